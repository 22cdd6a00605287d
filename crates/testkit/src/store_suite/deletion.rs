//! Deleting, sweeping, forgetting.

use std::time::Duration;

use parlance_domain::ids::{ConversationId, ConversationRef, Id, ReceiptId, TurnId};
use parlance_domain::limits::PURGE_INLINE_ITEMS_MAX;
use parlance_domain::model::{Cursor, ItemQuery, Order, Sort};
use parlance_domain::store::{Outcome, Write};

use super::bench::{Bench, Refusal, first, refused};
use super::scope::all_writes;
use crate::samples::{self, app, principal};

/// What a delete tells: which conversation, and which turn was running in it.
fn told(deleted: &Outcome) -> (ConversationId, Option<TurnId>) {
    match deleted {
        Outcome::Deleted {
            conversation,
            running,
            ..
        } => (*conversation, *running),
        Outcome::Done | Outcome::Added { .. } => panic!("nothing was deleted: {deleted:?}"),
    }
}

pub async fn a_deleted_conversation_is_gone_with_all_that_was_in_it(bench: &Bench) {
    let who = principal("ann");
    for count in [0, 3, usize::try_from(PURGE_INLINE_ITEMS_MAX).unwrap() + 1] {
        let (id, items) = bench.make_with(&who, count).await;
        let turn = bench.start(&who, id, vec![]).await.unwrap();
        bench.finish(&who, id, turn, vec![]).await.unwrap();
        let deleted = bench.delete(&who, id).await.unwrap();
        assert_eq!(told(&deleted), (id, None));
        assert_eq!(bench.read(&who, id).await, None);
        let (store, why) = (&bench.store, Refusal::NoConversation);
        let query = ItemQuery::first(Order::OldestFirst, 9);
        refused(store.items(&who, id.into(), &query).await, why);
        refused(store.turns(&who, id.into(), &[turn]).await, why);
        for item in items {
            refused(store.item(&who, id.into(), &item.into()).await, why);
        }
        for sort in [Sort::Created, Sort::Updated] {
            let query = first(sort, Order::OldestFirst, 9);
            assert_eq!(bench.listed(&who, &query).await, (vec![], false));
        }
    }
}

pub async fn a_delete_tells_which_turn_was_running(bench: &Bench) {
    let who = principal("ann");
    let id = bench.make(&who).await;
    let turn = bench.start(&who, id, bench.questions(1)).await.unwrap();
    let deleted = bench.delete(&who, id).await.unwrap();
    assert_eq!(told(&deleted), (id, Some(turn)));
    let late = bench.finish(&who, id, turn, bench.questions(1)).await;
    refused(late, Refusal::NoConversation);
    let failed = bench.store.fail_running_turns(bench.now()).await;
    assert_eq!(failed.unwrap(), 0);
}

pub async fn an_operator_erases_whoevers_conversation_it_is(bench: &Bench) {
    let nobody = parlance_domain::model::Principal {
        user: None,
        ..principal("ann")
    };
    for who in [principal("ann"), nobody] {
        let id = bench.make(&who).await;
        let (store, at) = (&bench.store, bench.now());
        let elsewhere = parlance_domain::model::ProjectId(who.project.0 + 1);
        refused(
            store.erase(elsewhere, id.into(), bench.id(), at).await,
            Refusal::NoConversation,
        );
        let prefix = ConversationRef::from_decimal(&id.decimal().to_string()).unwrap();
        let receipt: ReceiptId = bench.id();
        let erased = store.erase(who.project, prefix, receipt, at).await.unwrap();
        let wanted = Outcome::Deleted {
            conversation: id,
            running: None,
            receipt,
        };
        assert_eq!(erased, wanted);
        let due = store.receipts_to_sign(9).await.unwrap();
        assert!(due.iter().any(|due| due.receipt() == Some(receipt)));
        assert_eq!(bench.read(&who, id).await, None);
        refused(
            store.erase(who.project, id.into(), bench.id(), at).await,
            Refusal::NoConversation,
        );
        // It is the owner's all the same: a cursor of the owner's still knows its place.
        let query = parlance_domain::model::ConversationQuery {
            cursor: Cursor {
                after: Some(id.into()),
                before: None,
            },
            ..first(Sort::Updated, Order::OldestFirst, 9)
        };
        assert_eq!(bench.listed(&who, &query).await, (vec![], false));
    }
}

pub async fn a_prefix_deletes(bench: &Bench) {
    let who = principal("ann");
    let id = bench.make(&who).await;
    let prefix = ConversationRef::from_decimal(&id.decimal().to_string()).unwrap();
    let deleted = bench.apply(&who, bench.deletion(prefix)).await.unwrap();
    assert_eq!(told(&deleted), (id, None));
    assert_eq!(bench.read(&who, id).await, None);
}

pub async fn nothing_is_written_to_a_deleted_conversation(bench: &Bench) {
    let who = principal("ann");
    let (id, items) = bench.make_with(&who, 1).await;
    let turn = bench.start(&who, id, vec![]).await.unwrap();
    bench.delete(&who, id).await.unwrap();
    for write in all_writes(bench, id, items[0], turn) {
        refused(bench.apply(&who, write).await, Refusal::NoConversation);
    }
    assert_eq!(bench.read(&who, id).await, None);
}

pub async fn a_second_delete_finds_nothing(bench: &Bench) {
    let who = principal("ann");
    let id = bench.make(&who).await;
    bench.delete(&who, id).await.unwrap();
    refused(bench.delete(&who, id).await, Refusal::NoConversation);
}

pub async fn a_deleted_id_stays_taken_until_it_is_forgotten(bench: &Bench) {
    let who = principal("ann");
    let mut new = samples::conversation(&bench.ids, app(1), bench.now());
    let id = new.id;
    bench
        .apply(&who, Write::Create(Box::new(new.clone())))
        .await
        .unwrap();
    bench.delete(&who, id).await.unwrap();
    let deleted_at = bench.now();
    bench.sweep(deleted_at).await;
    for bits in [id.bits(), id.bits() ^ 1] {
        new.id = Id::from_bits(bits);
        let again = Write::Create(Box::new(new.clone()));
        refused(bench.apply(&who, again).await, Refusal::IdClash);
    }
    bench.clock.advance(Duration::from_secs(1));
    bench.sweep(bench.now()).await;
    bench
        .apply(&who, Write::Create(Box::new(new)))
        .await
        .unwrap();
}

pub async fn a_forgotten_anchor_is_unknown(bench: &Bench) {
    let who = principal("ann");
    let made = bench.make_some(&who, 2).await;
    bench.delete(&who, made[0]).await.unwrap();
    let mut query = first(Sort::Updated, Order::OldestFirst, 9);
    query.cursor = Cursor {
        after: Some(made[0].into()),
        before: None,
    };
    bench.sweep(bench.now()).await;
    assert_eq!(bench.listed(&who, &query).await, (vec![made[1]], false));
    bench.tick();
    bench.sweep(bench.now()).await;
    let listed = bench.store.conversations(&who, &query).await;
    refused(listed, Refusal::NoAnchor);
}

pub async fn a_large_conversation_is_swept_in_chunks(bench: &Bench) {
    let who = principal("ann");
    let (id, _) = bench.make_with(&who, 2_500).await;
    let (kept, _) = bench.make_with(&who, 100).await;
    bench.delete(&who, id).await.unwrap();
    assert_eq!(bench.read(&who, id).await, None);
    // Others write between two chunks.
    while bench.store.sweep(bench.now()).await.unwrap() {
        bench.append(&who, kept, bench.questions(1)).await.unwrap();
    }
    let items = bench.all_items(&who, kept).await;
    let next = bench.read(&who, kept).await.unwrap().next_seq;
    assert_eq!(u64::try_from(items.len()).unwrap(), next);
}

pub async fn a_sweep_leaves_the_living_alone(bench: &Bench) {
    let who = principal("ann");
    let (id, _) = bench.make_with(&who, 3).await;
    let turn = bench.start(&who, id, vec![]).await.unwrap();
    let before = (bench.read(&who, id).await, bench.all_items(&who, id).await);
    bench.clock.advance(Duration::from_hours(48));
    bench.sweep(bench.now()).await;
    let after = (bench.read(&who, id).await, bench.all_items(&who, id).await);
    assert_eq!(after, before);
    bench.finish(&who, id, turn, vec![]).await.unwrap();
}
