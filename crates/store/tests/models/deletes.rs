//! Deletes beside other deletes and writes.

use parlance_domain::model::User;
use parlance_domain::service::{EraseOrder, ItemDraft};
use parlance_domain::{Fault, Noun};
use parlance_testkit::explore::Plan;
use parlance_testkit::samples;

use crate::model::Script;
use crate::world::{World, both, explored};

const PLAN: Plan = Plan {
    by_chance: 300,
    delays: Some(2),
};

#[test]
fn of_two_deletes_one_succeeds_and_both_find_its_receipt() {
    explored(PLAN, Script::Speaks, async |world| {
        let target = world.conversation().await;
        let (first, second) = (target.clone(), target.clone());
        let deleted = both(
            world.beside(async move |world| world.delete(&first).await),
            world.beside(async move |world| world.delete(&second).await),
        );
        let (first, second) = deleted.await;
        assert!(first.is_some() != second.is_some(), "both or none deleted");
        let receipt = first.or(second).map(|deleted| deleted.receipt);
        world.check_gone(&target, receipt).await;
        assert_eq!(world.store.deletions(target.id), 1);
    });
}

#[test]
fn an_operator_and_a_client_delete_it_once() {
    explored(PLAN, Script::Hangs, async |world| {
        let (target, stream) = world.begin().await;
        let (erased, deleted) = (target.clone(), target.clone());
        let deleted = both(
            world.beside(async move |world| {
                let of = erased.id.into();
                let erasure = world.service.erase_conversation(samples::PROJECT, of);
                let erasure = erasure.await.unwrap();
                erased.answered(erasure.is_some());
                erasure
            }),
            world.beside(async move |world| world.delete(&deleted).await),
        );
        let told = world.read(&target, stream).await;
        let (first, second) = deleted.await;
        assert!(first.is_some() != second.is_some(), "both or none deleted");
        let receipt = first.or(second).map(|deleted| deleted.receipt);
        world.check_gone(&target, receipt).await;
        assert_eq!(told.end.answer(), None);
    });
}

#[test]
fn writes_beside_a_delete_are_done_before_it_or_refused() {
    explored(PLAN, Script::Speaks, async |world| {
        let target = world.conversation().await;
        let id = target.id.into();
        let delete = target.clone();
        let deleter = world.beside(async move |world| world.delete(&delete).await.unwrap());
        let gone = target.clone();
        let append = world.beside(async move |world| {
            let late = gone.is_gone();
            let items: Vec<ItemDraft> = vec![samples::question("more?").into()];
            let done = world.service.append_items(&world.who, id, items).await;
            (late, done.map(drop))
        });
        let gone = target;
        let rename = world.beside(async move |world| {
            let late = gone.is_gone();
            let title = Some("a title".to_owned());
            let done = world.service.rename_conversation(&world.who, id, title);
            (late, done.await.map(drop))
        });
        let written = both(append, rename).await;
        deleter.await.unwrap();
        for (late, done) in [written.0, written.1] {
            assert!(!late || done.is_err(), "it is written to after the delete");
            let fault = done.err().map(|error| error.fault);
            let expected = Fault::NotFound(Noun::Conversation);
            assert!(fault.is_none() || fault == Some(expected), "{fault:?}");
        }
    });
}

/// Erases all of a user's, and counts it.
async fn erase_user(world: &World, user: User) -> u64 {
    let order = EraseOrder {
        project: samples::PROJECT,
        user: Some(user),
        unchanged_for: None,
    };
    world
        .service
        .erase(&order)
        .finish()
        .await
        .unwrap()
        .conversations
}

#[test]
fn all_of_a_user_is_erased_while_he_goes_on() {
    explored(PLAN, Script::Hangs, async |world| {
        drop(world.begin().await);
        let target = world.conversation().await;
        let user = world.who.user.clone().unwrap();
        let other = user.clone();
        let eraser = world.beside(async move |world| erase_user(&world, other).await);
        let asker = world.beside(async |world| drop(world.begin().await));
        let deleter = world.beside(async move |world| world.delete(&target).await);
        let (mut erased, deleted) = both(eraser, deleter).await;
        erased += u64::from(deleted.is_some());
        assert!(erased >= 2, "some of what was there is left");
        asker.await.unwrap();
        let again = erase_user(&world, user).await;
        assert_eq!(erased + again, 3);
        assert_eq!(world.list().await, []);
    });
}

#[test]
fn receipts_that_are_signed_beside_deletes_say_one_thing_each() {
    explored(PLAN, Script::Speaks, async |world| {
        let (first, second) = (world.conversation().await, world.conversation().await);
        let first = world.delete(&first).await.unwrap();
        let signers = [(); 2]
            .map(|()| world.beside(async |world| world.service.sign_receipts().await.unwrap()));
        let deleter = world.beside(async move |world| world.delete(&second).await.unwrap());
        let mut signed = 0;
        for signer in signers {
            signed += signer.await.unwrap();
        }
        let second = deleter.await.unwrap();
        signed += world.service.sign_receipts().await.unwrap();
        assert_eq!(signed, 2, "a receipt is signed twice or never");
        for receipt in [first.receipt, second.receipt] {
            let record = world.service.receipt(receipt).await;
            assert!(
                record.unwrap().unwrap().proven.is_some(),
                "it is not signed"
            );
        }
    });
}
