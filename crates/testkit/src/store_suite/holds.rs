//! Legal holds: what they cover is not destroyed, by nobody.

use parlance_domain::Hold;
use parlance_domain::clock::Timestamp;
use parlance_domain::ids::{ConversationId, HoldId, Id};
use parlance_domain::model::{Due, HoldEntry, HoldScope, Principal, ProjectId, Scopes, User};
use parlance_domain::receipt_log::{Covered, Event, Happening};
use parlance_domain::secret::Secret;
use parlance_domain::store::{AdminWrite, StoreError, Write};

use super::admin;
use super::bench::{Bench, Refusal, elsewhere, refused};
use crate::samples::{PROJECT, app, principal, question};

/// A hold on something of a project.
pub fn hold_on(bench: &Bench, project: ProjectId, covers: HoldScope) -> Hold {
    Hold {
        id: bench.id(),
        project,
        covers,
        note: Some(Secret::new("case 7")),
        added_at: bench.now(),
    }
}

fn event(bench: &Bench, what: Happening) -> Event {
    Event {
        id: bench.id(),
        at: bench.now(),
        what,
    }
}

fn adding(bench: &Bench, hold: &Hold) -> AdminWrite {
    let happening = Happening::HoldAdded {
        hold: hold.id,
        project: hold.project,
        covers: Covered::Project,
    };
    AdminWrite::AddHold {
        hold: hold.clone(),
        event: event(bench, happening),
    }
}

fn removing(bench: &Bench, project: ProjectId, hold: HoldId) -> AdminWrite {
    AdminWrite::RemoveHold {
        project,
        hold,
        event: event(bench, Happening::HoldRemoved { hold, project }),
    }
}

pub(super) async fn hold(bench: &Bench, covers: HoldScope) -> HoldId {
    let hold = hold_on(bench, PROJECT, covers);
    let write = adding(bench, &hold);
    bench.store.administer(&write).await.unwrap();
    hold.id
}

pub(super) async fn release(bench: &Bench, hold: HoldId) {
    let write = removing(bench, PROJECT, hold);
    bench.store.administer(&write).await.unwrap();
}

pub(super) fn user(name: &str) -> User {
    User::parse(name).unwrap().unwrap()
}

/// Whether a delete of each is refused because of a hold. What is not held is not deleted either.
async fn is_held(bench: &Bench, who: &Principal, id: ConversationId) -> bool {
    let delete = bench.deletion(id.into());
    let nothing = bench.deletion(ConversationId::from_bits(1).into());
    let batch = parlance_domain::store::Batch {
        require: Vec::new(),
        // The second finds nothing, so that the first is taken back.
        writes: vec![delete, nothing],
    };
    match bench.store.apply(who, &batch).await {
        Err(StoreError::Held) => true,
        Err(StoreError::NoConversation) => false,
        other => panic!("{other:?}"),
    }
}

pub async fn what_a_hold_covers_is_not_deleted_until_it_is_removed(bench: &Bench) {
    let (ann, bob) = (principal("ann"), principal("bob"));
    let (first, second) = (bench.make(&ann).await, bench.make(&ann).await);
    let others = bench.make(&bob).await;
    let nobodys = bench.make(&principal("")).await;
    let all = [
        (&ann, first),
        (&ann, second),
        (&bob, others),
        (&principal(""), nobodys),
    ];
    for (covers, wanted) in [
        (HoldScope::Conversation(first), [true, false, false, false]),
        (HoldScope::User(user("ann")), [true, true, false, false]),
        (HoldScope::Project, [true; 4]),
    ] {
        let hold = hold(bench, covers).await;
        for ((who, id), wanted) in all.iter().zip(wanted) {
            assert_eq!(is_held(bench, who, *id).await, wanted, "{id}");
        }
        release(bench, hold).await;
        for (who, id) in &all {
            assert!(!is_held(bench, who, *id).await);
        }
    }
    for (who, id) in all {
        bench.delete(who, id).await.unwrap();
    }
}

pub async fn a_hold_keeps_items_from_being_removed_and_changed_and_nothing_else(bench: &Bench) {
    let who = principal("ann");
    let (id, items) = bench.make_with(&who, 2).await;
    hold(bench, HoldScope::User(user("ann"))).await;
    let before = bench.all_items(&who, id).await;
    refused(bench.remove(&who, id, vec![items[0]]).await, Refusal::Held);
    let at = bench.now();
    let replace = Write::ReplaceItem {
        conversation: id,
        item: items[0],
        content: question("another"),
        at,
    };
    refused(bench.apply(&who, replace).await, Refusal::Held);
    refused(bench.delete(&who, id).await, Refusal::Held);
    assert_eq!(bench.all_items(&who, id).await, before);
    let added = bench.questions(1);
    bench.append(&who, id, added).await.unwrap();
    let title = Write::SetTitle {
        conversation: id,
        title: Some("a title".to_owned()),
        at,
    };
    bench.apply(&who, title).await.unwrap();
    let turn = bench.start(&who, id, Vec::new()).await.unwrap();
    bench.finish(&who, id, turn, Vec::new()).await.unwrap();
}

pub async fn a_hold_covers_what_comes_later(bench: &Bench) {
    let who = principal("ann");
    hold(bench, HoldScope::User(user("ann"))).await;
    let id = bench.make(&who).await;
    refused(bench.delete(&who, id).await, Refusal::Held);
    hold(bench, HoldScope::Project).await;
    let others = bench.make(&principal("bob")).await;
    refused(bench.delete(&principal("bob"), others).await, Refusal::Held);
}

pub async fn every_hold_of_several_keeps_what_it_covers(bench: &Bench) {
    let who = principal("ann");
    let id = bench.make(&who).await;
    let one = hold(bench, HoldScope::Conversation(id)).await;
    let again = hold(bench, HoldScope::Conversation(id)).await;
    let user = hold(bench, HoldScope::User(user("ann"))).await;
    for hold in [one, user, again] {
        refused(bench.delete(&who, id).await, Refusal::Held);
        release(bench, hold).await;
    }
    bench.delete(&who, id).await.unwrap();
}

pub async fn another_principal_learns_nothing_of_a_hold(bench: &Bench) {
    let who = principal("ann");
    let (id, items) = bench.make_with(&who, 1).await;
    hold(bench, HoldScope::Conversation(id)).await;
    hold(bench, HoldScope::Project).await;
    let bound = Principal {
        app: Some(app(2)),
        ..principal("ann")
    };
    for other in [principal("bob"), principal(""), elsewhere("ann"), bound] {
        refused(bench.delete(&other, id).await, Refusal::NoConversation);
        let removed = bench.remove(&other, id, items.clone()).await;
        refused(removed, Refusal::NoConversation);
    }
    let unknown = ConversationId::from_bits(1);
    refused(bench.delete(&who, unknown).await, Refusal::NoConversation);
}

pub async fn a_hold_of_another_project_covers_nothing_here(bench: &Bench) {
    let who = principal("ann");
    let id = bench.make(&who).await;
    for covers in [HoldScope::User(user("ann")), HoldScope::Project] {
        let hold = hold_on(bench, ProjectId(2), covers);
        let write = adding(bench, &hold);
        bench.store.administer(&write).await.unwrap();
    }
    let elsewhere = hold_on(bench, ProjectId(2), HoldScope::Conversation(id));
    let write = adding(bench, &elsewhere);
    refused(
        bench.store.administer(&write).await,
        Refusal::NoConversation,
    );
    bench.delete(&who, id).await.unwrap();
}

pub async fn an_operator_erases_nothing_that_is_held(bench: &Bench) {
    let who = principal("ann");
    let id = bench.make(&who).await;
    let hold = hold(bench, HoldScope::Conversation(id)).await;
    let erase = async || {
        let receipt = bench.id();
        let erased = bench.store.erase(PROJECT, id.into(), receipt, bench.now());
        erased.await
    };
    refused(erase().await, Refusal::Held);
    assert!(bench.read(&who, id).await.is_some());
    release(bench, hold).await;
    erase().await.unwrap();
}

pub async fn holds_are_listed_by_project_and_read_back(bench: &Bench) {
    let id = bench.make(&principal("ann")).await;
    let mut wanted = Vec::new();
    for (covers, note) in [
        (HoldScope::Conversation(id), Some("case 7: \"ü\"")),
        (HoldScope::User(user("ann")), None),
        (HoldScope::Project, None),
    ] {
        bench.tick();
        let hold = Hold {
            note: note.map(Secret::new),
            ..hold_on(bench, PROJECT, covers)
        };
        let write = adding(bench, &hold);
        bench.store.administer(&write).await.unwrap();
        refused(bench.store.administer(&write).await, Refusal::IdClash);
        wanted.push(HoldEntry {
            id: hold.id,
            covers: Some(hold.covers),
            note: hold.note,
            added_at: hold.added_at,
        });
    }
    assert_eq!(bench.store.holds(PROJECT).await.unwrap(), wanted);
    assert_eq!(bench.store.holds(ProjectId(2)).await.unwrap(), []);
    release(bench, wanted[1].id).await;
    wanted.remove(1);
    assert_eq!(bench.store.holds(PROJECT).await.unwrap(), wanted);
}

pub async fn a_hold_is_removed_once_and_only_in_its_project(bench: &Bench) {
    let id = hold(bench, HoldScope::Project).await;
    for (project, hold) in [(ProjectId(2), id), (PROJECT, HoldId::from_bits(1))] {
        let write = removing(bench, project, hold);
        refused(bench.store.administer(&write).await, Refusal::NoHold);
    }
    release(bench, id).await;
    let write = removing(bench, PROJECT, id);
    refused(bench.store.administer(&write).await, Refusal::NoHold);
}

pub async fn a_hold_waits_to_be_stated_with_what_it_does_and_not_where_it_is_refused(
    bench: &Bench,
) {
    let due = async || bench.store.receipts_to_sign(9).await.unwrap();
    let hold = hold_on(bench, PROJECT, HoldScope::Project);
    let add = adding(bench, &hold);
    let remove = removing(bench, PROJECT, hold.id);
    let of = |write: &AdminWrite| {
        let (AdminWrite::AddHold { event, .. } | AdminWrite::RemoveHold { event, .. }) = write
        else {
            panic!("{write:?} is no event's");
        };
        Due::Event(event.clone())
    };
    refused(bench.store.administer(&remove).await, Refusal::NoHold);
    let nothing = hold_on(
        bench,
        PROJECT,
        HoldScope::Conversation(ConversationId::from_bits(1)),
    );
    let write = adding(bench, &nothing);
    refused(
        bench.store.administer(&write).await,
        Refusal::NoConversation,
    );
    assert_eq!(due().await, []);
    bench.store.administer(&add).await.unwrap();
    assert_eq!(due().await, [of(&add)]);
    bench.store.administer(&remove).await.unwrap();
    assert_eq!(due().await, [of(&add), of(&remove)]);
}

pub async fn a_key_forgets_its_user_and_is_revoked_unless_that_is_held(bench: &Bench) {
    let key = admin::key(bench, PROJECT, Scopes::All, "ann");
    let digest = admin::create(bench, &key, "a key").await;
    let retire = |at: Timestamp| AdminWrite::RetireKey {
        project: PROJECT,
        key: key.id,
        user: user("ann"),
        at,
    };
    for covers in [HoldScope::User(user("ann")), HoldScope::Project] {
        let hold = hold(bench, covers).await;
        let at = bench.now();
        refused(bench.store.administer(&retire(at)).await, Refusal::Held);
        let found = bench.store.key(&digest).await.unwrap();
        assert_eq!(found, Some(key.clone()));
        release(bench, hold).await;
    }
    let id = bench.make(&principal("ann")).await;
    hold(bench, HoldScope::Conversation(id)).await;
    hold(bench, HoldScope::User(user("bob"))).await;
    bench.tick();
    let at = bench.now();
    bench.store.administer(&retire(at)).await.unwrap();
    bench.tick();
    let again = retire(bench.now());
    bench.store.administer(&again).await.unwrap();
    let found = bench.store.key(&digest).await.unwrap().unwrap();
    assert_eq!((found.user, found.revoked_at), (None, Some(at)));
    let unknown = AdminWrite::RetireKey {
        project: ProjectId(2),
        key: key.id,
        user: user("ann"),
        at,
    };
    refused(bench.store.administer(&unknown).await, Refusal::NoKey);
}
