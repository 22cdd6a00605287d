//! Turns that stand alone: each has a conversation of its own bits to itself, in a realm of its own.

use std::time::Duration;

use parlance_domain::clock::Timestamp;
use parlance_domain::erasing::{Erasable, ErasePlace, EraseQuery};
use parlance_domain::ids::{ConversationId, ConversationRef, Id, ItemId, TurnId};
use parlance_domain::model::{
    Cursor, HoldScope, ItemQuery, Order, Page, Principal, Realm, Sort, TurnFailure, TurnState,
};
use parlance_domain::store::{Batch, Left, Outcome, Write};

use super::bench::{Bench, Refusal, first, refused};
use super::holds::{hold, release, user};
use super::scope::all_writes;
use crate::samples::{self, PROJECT, answer, app, principal};

const BOTH: [Realm; 2] = [Realm::Conversations, Realm::LoneTurns];

/// What a lone turn has in place of a conversation.
fn place(turn: TurnId) -> ConversationId {
    ConversationId::from_bits(turn.bits())
}

/// Somebody in both realms: for conversations, and for lone turns.
fn both(name: &str) -> [Principal; 2] {
    BOTH.map(|realm| principal(name).in_realm(realm))
}

pub async fn a_lone_turn_begins_with_a_conversation_of_its_own_bits(bench: &Bench) {
    let [who, lone] = both("ann");
    let turn = bench.ask(&who, app(2)).await;
    let read = bench.turn(&who, turn).await.unwrap();
    assert!(read.stands_alone());
    assert_eq!((read.state, read.app), (TurnState::Running, app(2)));
    assert_eq!((read.first_seq, read.output_seq), (0, None));
    let output = vec![bench.item(answer("a")), bench.item(answer("b"))];
    bench
        .finish(&lone, place(turn), turn, output)
        .await
        .unwrap();
    let read = bench.turn(&who, turn).await.unwrap();
    assert_eq!(
        (read.state, read.output_seq),
        (TurnState::Completed, Some(1))
    );
    let query = ItemQuery {
        turn: Some(turn),
        ..ItemQuery::first(Order::OldestFirst, 9)
    };
    let page = bench.seqs(&lone, place(turn), &query).await;
    assert_eq!(page, (vec![0, 1, 2], false));
    let of = place(turn).into();
    let found = bench.store.turns(&lone, of, &[turn]).await.unwrap();
    assert_eq!(found, [read]);
}

pub async fn a_lone_turn_whose_id_is_taken_begins_with_another(bench: &Bench) {
    let [who, lone] = both("ann");
    let taken = bench.make(&who).await;
    let begin = |id: ConversationId| {
        let mut new = samples::conversation(&bench.ids, app(1), bench.now());
        new.id = id;
        let start = Write::StartTurn {
            conversation: id,
            turn: TurnId::from_bits(id.bits()),
            app: app(1),
            record: Box::new(samples::record("alone")),
            input: bench.questions(1),
            at: bench.now(),
        };
        Batch {
            require: vec![],
            writes: vec![Write::Create(Box::new(new)), start],
        }
    };
    // Ids are one namespace, whatever the realm: an operator names either by its bits.
    let clash = bench.store.apply(&lone, &begin(taken)).await;
    refused(clash, Refusal::IdClash);
    let free = bench.id();
    bench.store.apply(&lone, &begin(free)).await.unwrap();
    let turn = TurnId::from_bits(free.bits());
    let read = bench.turn(&who, turn).await.unwrap();
    assert_eq!(read.record, samples::record("alone"));
    let items = bench.all_items(&lone, free).await;
    assert_eq!(items.len(), 1, "and all of it can be read");
}

/// Whoever means the other realm is answered as if there were nothing.
async fn is_unseen(bench: &Bench, who: &Principal, of: ConversationId, item: ItemId, turn: TurnId) {
    let (store, why) = (&bench.store, Refusal::NoConversation);
    assert_eq!(bench.read(who, of).await, None);
    let prefix = ConversationRef::from_decimal(&of.decimal().to_string()).unwrap();
    assert_eq!(store.conversation(who, prefix).await.unwrap(), None);
    for sort in [Sort::Created, Sort::Updated] {
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let listed = store.conversations(who, &first(sort, order, 9)).await;
            assert_eq!(listed.unwrap(), Page::default());
        }
    }
    let query = ItemQuery::first(Order::OldestFirst, 9);
    refused(store.items(who, of.into(), &query).await, why);
    refused(store.item(who, of.into(), &item.into()).await, why);
    refused(store.turns(who, of.into(), &[turn]).await, why);
    assert_eq!(store.receipt_of(who, of.into()).await.unwrap(), None);
    for write in all_writes(bench, of, item, turn) {
        refused(bench.apply(who, write).await, why);
    }
}

pub async fn whoever_means_conversations_sees_no_lone_turn_and_changes_none(bench: &Bench) {
    for name in ["ann", ""] {
        let [who, lone] = both(name);
        let turn = bench.ask(&who, app(1)).await;
        let before = bench.read(&lone, place(turn)).await;
        let items = bench.all_items(&lone, place(turn)).await;
        assert!(before.is_some());
        is_unseen(bench, &who, place(turn), items[0].id, turn).await;
        assert_eq!(bench.read(&lone, place(turn)).await, before);
        assert_eq!(bench.all_items(&lone, place(turn)).await, items);
        bench.delete(&lone, place(turn)).await.unwrap();
        is_unseen(bench, &who, place(turn), items[0].id, turn).await;
    }
}

pub async fn whoever_means_lone_turns_sees_no_conversation_and_changes_none(bench: &Bench) {
    for name in ["ann", ""] {
        let [who, lone] = both(name);
        let (id, items) = bench.make_with(&who, 1).await;
        let turn = bench.start(&who, id, vec![]).await.unwrap();
        let before = bench.read(&who, id).await;
        is_unseen(bench, &lone, id, items[0], turn).await;
        assert_eq!(bench.read(&who, id).await, before);
        bench.delete(&who, id).await.unwrap();
        is_unseen(bench, &lone, id, items[0], turn).await;
    }
}

pub async fn what_is_in_the_other_realm_is_no_anchor_by_change(bench: &Bench) {
    let [who, lone] = both("ann");
    let living = place(bench.ask(&who, app(1)).await);
    let gone = place(bench.ask(&who, app(1)).await);
    bench.delete(&lone, gone).await.unwrap();
    for anchor in [living, gone] {
        let mut query = first(Sort::Updated, Order::OldestFirst, 9);
        query.cursor = Cursor {
            after: Some(anchor.into()),
            before: None,
        };
        bench.store.conversations(&lone, &query).await.unwrap();
        let listed = bench.store.conversations(&who, &query).await;
        refused(listed, Refusal::NoAnchor);
    }
}

pub async fn a_lone_turns_receipt_is_found_in_its_realm_alone(bench: &Bench) {
    let [who, lone] = both("ann");
    let turn = bench.ask(&who, app(1)).await;
    let deleted = bench.delete(&lone, place(turn)).await.unwrap();
    let Outcome::Deleted {
        conversation,
        running,
        receipt,
    } = deleted
    else {
        panic!("{deleted:?}");
    };
    assert_eq!((conversation, running), (place(turn), Some(turn)));
    let of = place(turn).into();
    let found = bench.store.receipt_of(&lone, of).await.unwrap();
    assert_eq!(found, Some(receipt));
    assert_eq!(bench.store.receipt_of(&who, of).await.unwrap(), None);
    let other = principal("bob").in_realm(Realm::LoneTurns);
    assert_eq!(bench.store.receipt_of(&other, of).await.unwrap(), None);
    assert!(bench.store.receipt(receipt).await.unwrap().is_some());
}

pub async fn a_deleted_lone_turn_is_gone_with_all_that_was_in_it(bench: &Bench) {
    let [who, lone] = both("ann");
    let (turn, left) = (bench.ask(&who, app(1)).await, bench.ask(&who, app(1)).await);
    bench.delete(&lone, place(turn)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(bench.turn(&who, turn).await, None);
        assert!(bench.turn(&who, left).await.is_some());
        let finish = bench.finish(&lone, place(turn), turn, bench.questions(1));
        refused(finish.await, Refusal::NoConversation);
        bench.sweep(Timestamp::default()).await;
    }
}

pub async fn running_lone_turns_fail_at_start_up(bench: &Bench) {
    let [who, lone] = both("ann");
    let alone = bench.ask(&who, app(1)).await;
    let conversation = bench.make(&who).await;
    let within = bench.start(&who, conversation, bench.questions(2)).await;
    let within = within.unwrap();
    bench.tick();
    let at = bench.now();
    assert_eq!(bench.store.fail_running_turns(at).await.unwrap(), 2);
    for (turn, output_seq) in [(alone, 1), (within, 2)] {
        let read = bench.turn(&who, turn).await.unwrap();
        let failed = TurnState::Failed(TurnFailure::Interrupted);
        assert_eq!((read.state, read.finished_at), (failed, Some(at)));
        assert_eq!(read.output_seq, Some(output_seq));
        assert_ne!(read.record.model, "", "what was kept of it stays");
    }
    let read = bench.read(&lone, place(alone)).await.unwrap();
    assert_eq!(read.running, None);
}

/// Conversations and lone turns of a user, of two apps, in the order in which one order of an operator's
/// finds them: app by app, by change.
async fn mixed(bench: &Bench, who: &Principal) -> Vec<ConversationId> {
    let mut apps = [Vec::new(), Vec::new()];
    for round in 0..3 {
        for (made, number) in apps.iter_mut().zip(1..) {
            made.push(bench.make_in(who, app(number)).await);
            made.push(place(bench.ask(who, app(number)).await));
        }
        if round == 1 {
            bench.tick();
        }
    }
    // A third app has lone turns alone.
    let [mut all, two] = apps;
    all.extend(two);
    all.push(place(bench.ask(who, app(3)).await));
    all
}

fn all_of(name: Option<&str>) -> EraseQuery {
    EraseQuery {
        project: PROJECT,
        user: name.map(user),
        unchanged_since: None,
    }
}

async fn found(bench: &Bench, what: &EraseQuery, count_max: u32) -> Vec<ConversationId> {
    let mut found: Vec<Erasable> = Vec::new();
    loop {
        let after: Option<ErasePlace> = found.last().map(|one| one.place);
        let page = bench.store.erasable(what, after, count_max).await.unwrap();
        if page.is_empty() {
            return found.iter().map(|one| one.place.id).collect();
        }
        found.extend(page);
    }
}

async fn erase(bench: &Bench, what: &EraseQuery, ids: &[ConversationId]) -> Vec<Outcome> {
    let which: Vec<_> = ids.iter().map(|id| (*id, bench.id())).collect();
    let outcomes = bench.store.erase_some(what, &which, bench.now()).await;
    outcomes.unwrap()
}

pub async fn a_users_erasure_takes_both_realms_in_one_order_at_every_page_size(bench: &Bench) {
    let ann = principal("ann");
    let all = mixed(bench, &ann).await;
    let others = mixed(bench, &principal("bob")).await;
    let nobodys = bench.ask(&principal(""), app(1)).await;
    let what = all_of(Some("ann"));
    for count_max in 1..=14 {
        assert_eq!(found(bench, &what, count_max).await, all, "{count_max}");
    }
    let outcomes = erase(bench, &what, &all).await;
    for outcome in outcomes {
        assert!(matches!(outcome, Outcome::Deleted { .. }), "{outcome:?}");
    }
    let left = Outcome::Left(Left::NotThere);
    let others_too = [others[0], others[1], place(nobodys)];
    let outcomes = erase(bench, &what, &others_too).await;
    assert_eq!(outcomes, [left.clone(), left.clone(), left]);
    assert_eq!(found(bench, &what, 3).await, []);
    assert_eq!(found(bench, &all_of(Some("bob")), 3).await, others);
    assert!(bench.turn(&principal(""), nobodys).await.is_some());
}

pub async fn an_erasure_by_age_takes_both_realms(bench: &Bench) {
    let who = principal("ann");
    let (old, old_turn) = (bench.make(&who).await, place(bench.ask(&who, app(1)).await));
    bench.clock.advance(Duration::from_secs(1));
    let young = bench.ask(&principal("bob"), app(1)).await;
    let what = EraseQuery {
        unchanged_since: Some(bench.now()),
        ..all_of(None)
    };
    assert_eq!(found(bench, &what, 1).await, [old, old_turn]);
    let outcomes = erase(bench, &what, &[old, old_turn, place(young)]).await;
    assert_eq!(outcomes[2], Outcome::Left(Left::NotThere));
    assert_eq!(found(bench, &all_of(None), 9).await, [place(young)]);
}

pub async fn an_operator_erases_a_lone_turn_by_its_bits(bench: &Bench) {
    let [who, lone] = both("ann");
    let turn = bench.ask(&who, app(1)).await;
    let of = place(turn);
    let located = bench.store.located(PROJECT, of.into()).await.unwrap();
    assert_eq!(located.map(|found| found.place.id), Some(of));
    let receipt = bench.id();
    let erased = bench.store.erase(PROJECT, of.into(), receipt, bench.now());
    erased.await.unwrap();
    assert_eq!(bench.turn(&who, turn).await, None);
    let found = bench.store.receipt_of(&lone, of.into()).await.unwrap();
    assert_eq!(found, Some(receipt), "its owner's repeat is told of it");
    assert_eq!(bench.store.located(PROJECT, of.into()).await.unwrap(), None);
}

/// A lone turn that is over is kept from everybody.
async fn is_kept(bench: &Bench, lone: &Principal, turn: TurnId) {
    let (of, store) = (place(turn), &bench.store);
    refused(bench.delete(lone, of).await, Refusal::Held);
    refused(bench.forget(lone, of, turn).await, Refusal::Held);
    let found = store.located(PROJECT, of.into()).await.unwrap();
    assert!(found.unwrap().is_held);
    let what = all_of(Some("ann"));
    let found = store.erasable(&what, None, 9).await.unwrap();
    assert!(found.len() == 1 && found[0].is_held);
    let left = [Outcome::Left(Left::Held)];
    assert_eq!(erase(bench, &what, &[of]).await, left);
    let erased = store.erase(PROJECT, of.into(), bench.id(), bench.now());
    refused(erased.await, Refusal::Held);
    assert!(bench.turn(lone, turn).await.is_some());
}

pub async fn a_hold_keeps_lone_turns_too(bench: &Bench) {
    let [who, lone] = both("ann");
    let turn = bench.ask(&who, app(1)).await;
    let of = place(turn);
    bench.finish(&lone, of, turn, vec![]).await.unwrap();
    for covers in [
        HoldScope::User(user("ann")),
        HoldScope::Conversation(of),
        HoldScope::Project,
    ] {
        let held = hold(bench, covers).await;
        is_kept(bench, &lone, turn).await;
        release(bench, held).await;
    }
    let others = hold(bench, HoldScope::User(user("bob"))).await;
    bench.delete(&lone, of).await.unwrap();
    release(bench, others).await;
}
