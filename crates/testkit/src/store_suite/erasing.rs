//! What operators erase: many conversations, whoever's they are.

use std::time::Duration;

use parlance_domain::clock::Timestamp;
use parlance_domain::erasing::{Erasable, ErasePlace, EraseQuery};
use parlance_domain::ids::{ConversationId, ConversationRef, Id, ReceiptId};
use parlance_domain::model::{HoldScope, Principal, ProjectId, ReceiptState};
use parlance_domain::store::{Left, Outcome};

use super::bench::{Bench, Refusal, elsewhere, refused};
use super::holds::{hold, release, user};
use super::receipts::{record, sign};
use crate::samples::{PROJECT, app, principal};

/// All of a user's, or of everybody's.
fn all_of(name: Option<&str>) -> EraseQuery {
    EraseQuery {
        project: PROJECT,
        user: name.map(user),
        unchanged_since: None,
    }
}

fn older(than: Timestamp, name: Option<&str>) -> EraseQuery {
    EraseQuery {
        unchanged_since: Some(than),
        ..all_of(name)
    }
}

/// All that is to be erased, found in pages of so many.
async fn found(bench: &Bench, what: &EraseQuery, count_max: u32) -> Vec<ConversationId> {
    let mut found: Vec<Erasable> = Vec::new();
    loop {
        let after: Option<ErasePlace> = found.last().map(|one| one.place);
        let page = bench.store.erasable(what, after, count_max).await.unwrap();
        if page.is_empty() {
            return found.iter().map(|one| one.place.id).collect();
        }
        assert!(page.len() <= usize::try_from(count_max).unwrap());
        found.extend(page);
    }
}

async fn erase(bench: &Bench, what: &EraseQuery, ids: &[ConversationId]) -> Vec<Outcome> {
    let which: Vec<_> = ids.iter().map(|id| (*id, bench.id())).collect();
    let outcomes = bench.store.erase_some(what, &which, bench.now()).await;
    let outcomes = outcomes.unwrap();
    assert_eq!(outcomes.len(), ids.len());
    for (outcome, (id, receipt)) in outcomes.iter().zip(which) {
        if let Outcome::Deleted {
            conversation,
            receipt: its,
            ..
        } = outcome
        {
            assert_eq!((*conversation, *its), (id, receipt));
        }
    }
    outcomes
}

fn is_erased(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Deleted { .. })
}

/// Conversations of ann with two apps, of bob and of nobody, and of another project, a millisecond
/// between them; those of the project by their last change.
async fn furnish(bench: &Bench) -> Vec<(Principal, ConversationId)> {
    let mut made = Vec::new();
    for round in 0..3 {
        for (who, app_number) in [("ann", 2), ("bob", 1), ("", 1), ("ann", 1)] {
            bench.tick();
            let who = principal(who);
            let id = bench.make_in(&who, app(app_number)).await;
            made.push((who, id));
        }
        bench.tick();
        bench.make(&elsewhere("ann")).await;
        if round == 1 {
            // The first comes to be the last that was changed.
            let (who, id) = made.remove(0);
            let items = bench.questions(1);
            bench.append(&who, id, items).await.unwrap();
            made.push((who, id));
        }
    }
    made
}

pub async fn what_is_to_be_erased_is_found_by_age_at_every_page_size(bench: &Bench) {
    let made = furnish(bench).await;
    let all: Vec<ConversationId> = made.iter().map(|(_, id)| *id).collect();
    let updated = async |at: usize| {
        let (who, id) = &made[at];
        bench.read(who, *id).await.unwrap().updated_at
    };
    let limit = updated(5).await;
    for size in [1, 2, 5, 100] {
        assert_eq!(found(bench, &all_of(None), size).await, all);
        let young = older(limit, None);
        assert_eq!(found(bench, &young, size).await, all[..5]);
        let none = older(updated(0).await, None);
        assert_eq!(found(bench, &none, size).await, []);
    }
}

pub async fn a_users_are_found_app_by_app_and_nobody_elses(bench: &Bench) {
    let made = furnish(bench).await;
    let ann = principal("ann");
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (who, id) in &made {
        if *who == ann {
            let of = bench.read(who, *id).await.unwrap().app;
            if of == app(1) {
                &mut first
            } else {
                &mut second
            }
            .push(*id);
        }
    }
    assert_eq!((first.len(), second.len()), (3, 3));
    let all = [first.clone(), second.clone()].concat();
    let limit = bench.read(&ann, first[1]).await.unwrap().updated_at;
    for size in [1, 2, 3, 100] {
        assert_eq!(found(bench, &all_of(Some("ann")), size).await, all);
        let young = found(bench, &older(limit, Some("ann")), size).await;
        assert!(young.contains(&first[0]) && !young.contains(&first[1]));
        assert_eq!(found(bench, &all_of(Some("eve")), size).await, []);
    }
}

pub async fn many_are_erased_at_once_each_with_its_receipt(bench: &Bench) {
    let made = furnish(bench).await;
    let all: Vec<ConversationId> = made.iter().map(|(_, id)| *id).collect();
    let outcomes = erase(bench, &all_of(None), &all).await;
    assert!(outcomes.iter().all(is_erased));
    for (who, id) in &made {
        assert_eq!(bench.read(who, *id).await, None);
        let receipt = bench.store.receipt_of(who, (*id).into()).await.unwrap();
        assert!(receipt.is_some(), "its owner is told of the receipt");
    }
    assert_eq!(found(bench, &all_of(None), 9).await, []);
    while sign(bench).await > 0 {}
    bench.sweep(Timestamp::from_micros(0)).await;
    while sign(bench).await > 0 {}
    for outcome in outcomes {
        let Outcome::Deleted { receipt, .. } = outcome else {
            panic!("all are deleted");
        };
        let state = record(bench, receipt).await.entry.state;
        assert_eq!(state, ReceiptState::Complete);
    }
}

pub async fn what_is_no_more_to_be_erased_is_left(bench: &Bench) {
    let made = furnish(bench).await;
    let (ann, held) = made[0].clone();
    let (who, changed) = made[1].clone();
    let (gone_of, gone) = made[2].clone();
    bench.tick();
    let limit = bench.now();
    hold(bench, HoldScope::Conversation(held)).await;
    bench.tick();
    let items = bench.questions(1);
    bench.append(&who, changed, items).await.unwrap();
    bench.delete(&gone_of, gone).await.unwrap();
    let (_, free) = made[3];
    let which = [held, changed, gone, ConversationId::from_bits(1), free];
    let outcomes = erase(bench, &older(limit, None), &which).await;
    let left = |outcome: &Outcome| match outcome {
        Outcome::Left(why) => Some(*why),
        Outcome::Done | Outcome::Added { .. } | Outcome::Deleted { .. } => None,
    };
    let why: Vec<_> = outcomes.iter().map(left).collect();
    let not_there = Some(Left::NotThere);
    let wanted = [Some(Left::Held), not_there, not_there, not_there, None];
    assert_eq!(why, wanted);
    assert!(bench.read(&ann, held).await.is_some());
    assert!(bench.read(&who, changed).await.is_some());
}

pub async fn one_users_order_touches_no_other_user_and_no_other_project(bench: &Bench) {
    let made = furnish(bench).await;
    let ann = principal("ann");
    let all: Vec<ConversationId> = made.iter().map(|(_, id)| *id).collect();
    let outcomes = erase(bench, &all_of(Some("ann")), &all).await;
    for ((who, id), outcome) in made.iter().zip(&outcomes) {
        assert_eq!(is_erased(outcome), *who == ann);
        assert_eq!(bench.read(who, *id).await.is_none(), *who == ann);
    }
    let elsewhere = EraseQuery {
        project: ProjectId(2),
        ..all_of(None)
    };
    let outcomes = erase(bench, &elsewhere, &all).await;
    assert!(!outcomes.iter().any(is_erased));
    assert_eq!(found(bench, &elsewhere, 9).await.len(), 3);
}

pub async fn what_is_held_is_told_of_beforehand(bench: &Bench) {
    let made = furnish(bench).await;
    let held = made[4].1;
    hold(bench, HoldScope::Conversation(held)).await;
    hold(bench, HoldScope::User(user("bob"))).await;
    let page = bench
        .store
        .erasable(&all_of(None), None, 100)
        .await
        .unwrap();
    for (one, (who, id)) in page.iter().zip(&made) {
        let wanted = *id == held || *who == principal("bob");
        assert_eq!((one.place.id, one.is_held), (*id, wanted));
    }
    let bobs = all_of(Some("bob"));
    let page = bench.store.erasable(&bobs, None, 100).await.unwrap();
    assert!(page.len() == 3 && page.iter().all(|one| one.is_held));
}

pub async fn a_taken_receipt_refuses_all_of_them(bench: &Bench) {
    let who = principal("ann");
    let ids = bench.make_some(&who, 2).await;
    let taken: ReceiptId = bench.id();
    let which = [(ids[0], taken), (ids[1], taken)];
    let at = bench.now();
    let erased = bench.store.erase_some(&all_of(None), &which, at).await;
    refused(erased, Refusal::IdClash);
    for id in ids {
        assert!(bench.read(&who, id).await.is_some());
    }
}

pub async fn large_and_small_ones_are_erased_together(bench: &Bench) {
    let who = principal("ann");
    let mut ids = Vec::new();
    for count in [0, 1, 70, 3, 200] {
        ids.push(bench.make_with(&who, count).await.0);
    }
    let outcomes = erase(bench, &all_of(Some("ann")), &ids).await;
    assert!(outcomes.iter().all(is_erased));
    bench.clock.advance(Duration::from_secs(1));
    while sign(bench).await > 0 {}
    bench.sweep(Timestamp::from_micros(0)).await;
    while sign(bench).await > 0 {}
    let all = bench.store.receipts(PROJECT, None, 9).await.unwrap();
    assert_eq!(all.len(), 5);
    assert!(all.iter().all(|one| one.state == ReceiptState::Complete));
}

pub async fn a_conversation_is_located_whoevers_it_is(bench: &Bench) {
    let id = bench.make(&principal("ann")).await;
    let prefix = ConversationRef::from_decimal(&id.decimal().to_string()).unwrap();
    let located = async |project, of| {
        let found = bench.store.located(project, of).await.unwrap();
        found.map(|found| (found.place.id, found.is_held))
    };
    for of in [id.into(), prefix] {
        assert_eq!(located(PROJECT, of).await, Some((id, false)));
        assert_eq!(located(ProjectId(2), of).await, None);
    }
    let held = hold(bench, HoldScope::User(user("ann"))).await;
    assert_eq!(located(PROJECT, id.into()).await, Some((id, true)));
    release(bench, held).await;
    bench.delete(&principal("ann"), id).await.unwrap();
    assert_eq!(located(PROJECT, id.into()).await, None);
}
