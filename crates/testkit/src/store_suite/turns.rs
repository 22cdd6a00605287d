//! Turns.

use parlance_domain::clock::Timestamp;
use parlance_domain::ids::{ConversationId, Id, Ref, TurnId};
use parlance_domain::model::{
    Cutoff, ItemQuery, Order, Principal, Realm, Turn, TurnFailure, TurnRecord, TurnState, Usage,
    first_section,
};
use parlance_domain::store::{Batch, Outcome, Write};

use super::bench::{Bench, MANY, Refusal, USAGE, refused};
use super::scope::others;
use super::turn_pages::first;
use crate::samples::{self, answer, app, principal};

async fn turn(bench: &Bench, who: &Principal, of: ConversationId, id: TurnId) -> Option<Turn> {
    let found = bench.store.turns(who, of.into(), &[id]).await.unwrap();
    assert!(found.len() <= 1);
    found.into_iter().next()
}

pub async fn a_turn_runs_until_it_is_finished(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    bench.tick();
    let id = bench.start(&who, conversation, bench.questions(1)).await;
    let id = id.unwrap();
    let mut wanted = Turn {
        id,
        conversation,
        app: app(1),
        state: TurnState::Running,
        started_at: bench.now(),
        finished_at: None,
        usage: Usage::default(),
        first_seq: 0,
        output_seq: None,
        record: samples::record("begun"),
    };
    assert_eq!(
        turn(bench, &who, conversation, id).await,
        Some(wanted.clone())
    );
    let read = bench.read(&who, conversation).await.unwrap();
    assert_eq!((read.running, read.updated_at), (Some(id), bench.now()));
    bench.tick();
    let output = vec![bench.item(answer("a")), bench.item(answer("b"))];
    let done = bench.finish(&who, conversation, id, output).await.unwrap();
    let section = first_section(conversation);
    assert_eq!(
        done,
        Outcome::Added {
            first_seq: 1,
            section
        }
    );
    wanted.state = TurnState::Completed;
    wanted.finished_at = Some(bench.now());
    wanted.usage = USAGE;
    wanted.output_seq = Some(1);
    assert_eq!(turn(bench, &who, conversation, id).await, Some(wanted));
    let read = bench.read(&who, conversation).await.unwrap();
    assert_eq!((read.running, read.updated_at), (None, bench.now()));
    let items = bench.all_items(&who, conversation).await;
    assert_eq!(items.len(), 3);
    assert!(items.iter().all(|item| item.turn == Some(id)));
}

pub async fn a_second_turn_is_refused_while_one_runs(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    let first = bench.start(&who, conversation, vec![]).await.unwrap();
    let second = bench.start(&who, conversation, bench.questions(1)).await;
    refused(second, Refusal::TurnRunning);
    assert_eq!(bench.all_items(&who, conversation).await, []);
    bench
        .append(&who, conversation, bench.questions(1))
        .await
        .unwrap();
    bench
        .finish(&who, conversation, first, vec![])
        .await
        .unwrap();
    bench.start(&who, conversation, vec![]).await.unwrap();
}

pub async fn only_the_running_turn_can_be_finished(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    let none = bench.finish(&who, conversation, bench.id(), bench.questions(1));
    refused(none.await, Refusal::NoTurn);
    let id = bench.start(&who, conversation, vec![]).await.unwrap();
    let wrong = bench.finish(&who, conversation, bench.id(), vec![]).await;
    refused(wrong, Refusal::NoTurn);
    bench.finish(&who, conversation, id, vec![]).await.unwrap();
    let twice = bench
        .finish(&who, conversation, id, bench.questions(1))
        .await;
    refused(twice, Refusal::NoTurn);
    assert_eq!(bench.all_items(&who, conversation).await, []);
}

pub async fn a_turn_that_cannot_begin_leaves_nothing(bench: &Bench) {
    let who = principal("ann");
    let early = bench.questions(1);
    let (conversation, ids) = bench.make_with(&who, 1).await;
    let before = bench.read(&who, conversation).await;
    bench.tick();
    let stale = bench.start(&who, conversation, early).await;
    refused(stale, Refusal::StaleItemId(ids[0]));
    let mut twins = bench.questions(2);
    for item in &mut twins {
        item.alias = Some("twin".to_owned());
    }
    let twins = bench.start(&who, conversation, twins).await;
    refused(twins, Refusal::DuplicateItem);
    assert_eq!(bench.read(&who, conversation).await, before);
    assert_eq!(bench.all_items(&who, conversation).await.len(), 1);
    bench.start(&who, conversation, vec![]).await.unwrap();
}

pub async fn settled_items_are_those_of_no_running_turn(bench: &Bench) {
    let who = principal("ann");
    let (conversation, _) = bench.make_with(&who, 1).await;
    let id = bench.start(&who, conversation, bench.questions(1)).await;
    let id = id.unwrap();
    bench
        .append(&who, conversation, bench.questions(1))
        .await
        .unwrap();
    let mut query = ItemQuery::first(Order::OldestFirst, 9);
    let page = bench.seqs(&who, conversation, &query).await;
    assert_eq!(page, (vec![0, 1, 2], false));
    query.settled = true;
    let page = bench.seqs(&who, conversation, &query).await;
    assert_eq!(page, (vec![0, 2], false));
    let output = vec![bench.item(answer("a"))];
    bench.finish(&who, conversation, id, output).await.unwrap();
    let page = bench.seqs(&who, conversation, &query).await;
    assert_eq!(page, (vec![0, 1, 2, 3], false));
}

pub async fn items_of_one_turn_can_be_listed(bench: &Bench) {
    let who = principal("ann");
    let (conversation, _) = bench.make_with(&who, 1).await;
    let mut turns = Vec::new();
    for _ in 0..3 {
        let id = bench.start(&who, conversation, bench.questions(1)).await;
        turns.push(id.unwrap());
        bench
            .append(&who, conversation, bench.questions(1))
            .await
            .unwrap();
        let output = vec![bench.item(answer("a"))];
        let done = bench.finish(&who, conversation, turns[turns.len() - 1], output);
        done.await.unwrap();
    }
    let running = bench.start(&who, conversation, bench.questions(1)).await;
    turns.extend([running.unwrap(), bench.id()]);
    let wanted = [vec![1, 3], vec![4, 6], vec![7, 9], vec![10], vec![]];
    for (turn, seqs) in turns.iter().zip(wanted) {
        let query = ItemQuery {
            turn: Some(*turn),
            ..ItemQuery::first(Order::OldestFirst, 9)
        };
        let page = bench.seqs(&who, conversation, &query).await;
        assert_eq!(page, (seqs, false));
    }
    let found = bench.store.turns(&who, conversation.into(), &turns);
    assert_eq!(found.await.unwrap().len(), 4, "the last one never was");
}

pub async fn every_end_of_a_turn_is_kept(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    let states = [
        TurnState::Completed,
        TurnState::Cancelled,
        TurnState::Failed(TurnFailure::Interrupted),
        TurnState::Failed(TurnFailure::Upstream),
        TurnState::Failed(TurnFailure::Busy),
        TurnState::Failed(TurnFailure::Refused),
        TurnState::Incomplete(Cutoff::Length),
        TurnState::Incomplete(Cutoff::ContentFilter),
        TurnState::Failed(TurnFailure::TooLong),
        TurnState::Failed(TurnFailure::Internal),
    ];
    for state in states {
        let id = bench.start(&who, conversation, vec![]).await.unwrap();
        let usage = Usage {
            input_tokens: 1 << 40,
            ..Usage::default()
        };
        let finish = Write::FinishTurn {
            conversation,
            turn: id,
            state,
            usage,
            record: None,
            output: vec![],
            at: bench.now(),
        };
        bench.apply(&who, finish).await.unwrap();
        let read = turn(bench, &who, conversation, id).await.unwrap();
        assert_eq!((read.state, read.usage), (state, usage));
    }
}

pub async fn running_turns_fail_at_start_up(bench: &Bench) {
    let (ann, bob) = (principal("ann"), principal("bob"));
    let mut running = Vec::new();
    for who in [&ann, &bob] {
        let conversation = bench.make(who).await;
        let id = bench.start(who, conversation, bench.questions(1)).await;
        running.push((who, conversation, id.unwrap()));
    }
    bench.tick();
    let at = bench.now();
    assert_eq!(bench.store.fail_running_turns(at).await.unwrap(), 2);
    assert_eq!(bench.store.fail_running_turns(at).await.unwrap(), 0);
    for (who, conversation, id) in running {
        let read = turn(bench, who, conversation, id).await.unwrap();
        let failed = TurnState::Failed(TurnFailure::Interrupted);
        assert_eq!((read.state, read.finished_at), (failed, Some(at)));
        assert_eq!(bench.read(who, conversation).await.unwrap().running, None);
        assert_eq!(bench.all_items(who, conversation).await.len(), 1);
        bench.start(who, conversation, vec![]).await.unwrap();
    }
}

pub async fn a_finished_turn_does_not_fail_at_start_up(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    let id = bench.start(&who, conversation, vec![]).await.unwrap();
    bench.finish(&who, conversation, id, vec![]).await.unwrap();
    let failed = bench.store.fail_running_turns(bench.now()).await;
    assert_eq!(failed.unwrap(), 0);
    let read = turn(bench, &who, conversation, id).await.unwrap();
    assert_eq!(read.state, TurnState::Completed);
}

pub async fn a_turn_begins_in_a_conversation_made_with_it(bench: &Bench) {
    let who = principal("ann");
    let new = samples::conversation(&bench.ids, app(1), bench.now());
    let conversation = new.id;
    let start = Write::StartTurn {
        conversation,
        turn: bench.id(),
        app: app(2),
        record: Box::default(),
        input: bench.questions(2),
        at: bench.now(),
    };
    let batch = Batch {
        require: vec![],
        writes: vec![Write::Create(Box::new(new)), start],
    };
    let outcomes = bench.store.apply(&who, &batch).await.unwrap();
    let added = Outcome::Added {
        first_seq: 0,
        section: first_section(conversation),
    };
    assert_eq!(outcomes, [Outcome::Done, added]);
    assert!(
        bench
            .read(&who, conversation)
            .await
            .unwrap()
            .running
            .is_some()
    );
}

pub async fn a_record_is_kept_in_every_field_until_another_takes_its_place(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    let records = [
        TurnRecord::default(),
        TurnRecord {
            error: Some(String::new()),
            ..TurnRecord::default()
        },
        TurnRecord {
            pieces: vec![vec![u32::MAX; 3], vec![]],
            ..TurnRecord::default()
        },
        samples::record("é"),
    ];
    for begun in &records {
        for over in std::iter::once(None).chain(records.iter().map(Some)) {
            let id: TurnId = bench.id();
            let start = Write::StartTurn {
                conversation,
                turn: id,
                app: app(3),
                record: Box::new(begun.clone()),
                input: vec![],
                at: bench.now(),
            };
            bench.apply(&who, start).await.unwrap();
            let read = turn(bench, &who, conversation, id).await.unwrap();
            assert_eq!((&read.record, read.app), (begun, app(3)));
            let finish = Write::FinishTurn {
                conversation,
                turn: id,
                state: TurnState::Completed,
                usage: Usage::default(),
                record: over.cloned().map(Box::new),
                output: vec![],
                at: bench.now(),
            };
            bench.apply(&who, finish).await.unwrap();
            let read = turn(bench, &who, conversation, id).await.unwrap();
            assert_eq!(&read.record, over.unwrap_or(begun));
        }
    }
}

pub async fn a_turn_is_found_by_itself_and_by_a_prefix(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    let id = bench.start(&who, conversation, bench.questions(1)).await;
    let id = id.unwrap();
    let found = turn(bench, &who, conversation, id).await;
    assert!(found.is_some());
    assert_eq!(bench.turn(&who, id).await, found);
    let prefix = Ref::from_decimal(&id.decimal().to_string()).unwrap();
    assert_eq!(bench.store.turn(&who, prefix).await.unwrap(), found);
    let lone = who.in_realm(Realm::LoneTurns);
    assert_eq!(bench.turn(&lone, id).await, found, "whatever the realm");
    assert_eq!(bench.turn(&who, bench.id()).await, None);
}

pub async fn the_oldest_of_those_that_a_prefix_names_is_meant(bench: &Bench) {
    let who = principal("ann");
    let id: TurnId = bench.id();
    let twin = TurnId::from_bits(id.bits() ^ 1);
    for id in [id.max(twin), id.min(twin)] {
        let conversation = bench.make(&who).await;
        let start = Write::StartTurn {
            conversation,
            turn: id,
            app: app(1),
            record: Box::default(),
            input: vec![],
            at: bench.now(),
        };
        bench.apply(&who, start).await.unwrap();
    }
    let prefix = Ref::from_decimal(&id.decimal().to_string()).unwrap();
    let found = bench.store.turn(&who, prefix).await.unwrap().unwrap();
    assert_eq!(found.id, id.min(twin));
}

pub async fn a_turn_that_is_removed_is_gone_and_its_items_stay(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    let mut turns = Vec::new();
    for _ in 0..3 {
        let id = bench.start(&who, conversation, bench.questions(1)).await;
        turns.push(id.unwrap());
        let output = vec![bench.item(answer("a"))];
        let done = bench.finish(&who, conversation, turns[turns.len() - 1], output);
        done.await.unwrap();
    }
    let before = bench.all_items(&who, conversation).await;
    let removed = bench.forget(&who, conversation, turns[1]).await.unwrap();
    assert_eq!(removed, Outcome::Done);
    assert_eq!(bench.turn(&who, turns[1]).await, None);
    assert_eq!(turn(bench, &who, conversation, turns[1]).await, None);
    let found = bench.store.turns(&who, conversation.into(), &turns);
    assert_eq!(found.await.unwrap().len(), 2);
    assert_eq!(bench.all_items(&who, conversation).await, before);
    let query = ItemQuery {
        turn: Some(turns[1]),
        ..ItemQuery::first(Order::OldestFirst, 9)
    };
    let page = bench.seqs(&who, conversation, &query).await;
    assert_eq!(page, (vec![], false), "nothing is a removed turn's");
}

pub async fn only_a_turn_that_is_there_and_does_not_run_is_removed(bench: &Bench) {
    let who = principal("ann");
    let (one, other) = (bench.make(&who).await, bench.make(&who).await);
    let id = bench.start(&who, one, vec![]).await.unwrap();
    refused(bench.forget(&who, one, id).await, Refusal::TurnRunning);
    refused(bench.forget(&who, other, id).await, Refusal::NoTurn);
    refused(bench.forget(&who, one, bench.id()).await, Refusal::NoTurn);
    bench.finish(&who, one, id, vec![]).await.unwrap();
    refused(bench.forget(&who, other, id).await, Refusal::NoTurn);
    bench.forget(&who, one, id).await.unwrap();
    refused(bench.forget(&who, one, id).await, Refusal::NoTurn);
}

pub async fn a_removal_is_no_change_of_the_conversation(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    let id = bench.start(&who, conversation, vec![]).await.unwrap();
    bench.finish(&who, conversation, id, vec![]).await.unwrap();
    let before = bench.read(&who, conversation).await;
    bench.tick();
    bench.forget(&who, conversation, id).await.unwrap();
    assert_eq!(bench.read(&who, conversation).await, before);
}

pub async fn nobody_elses_turn_is_found(bench: &Bench) {
    for user in ["ann", ""] {
        let who = principal(user);
        let conversation = bench.make(&who).await;
        let within = bench.start(&who, conversation, vec![]).await.unwrap();
        let alone = bench.ask(&who, app(1)).await;
        for id in [within, alone] {
            assert!(bench.turn(&who, id).await.is_some());
            for other in others(user) {
                for realm in [Realm::Conversations, Realm::LoneTurns] {
                    let found = bench.turn(&other.in_realm(realm), id).await;
                    assert_eq!(found, None, "{other:?}");
                }
            }
        }
        let bound = Principal {
            app: Some(app(1)),
            ..who
        };
        assert!(bench.turn(&bound, within).await.is_some());
        assert!(bench.turn(&bound, alone).await.is_some());
    }
}

pub async fn the_turns_of_a_deleted_conversation_are_gone_at_once(bench: &Bench) {
    let who = principal("ann");
    // More than is removed with the delete itself.
    let (conversation, _) = bench.make_with(&who, MANY).await;
    let id = bench.start(&who, conversation, vec![]).await.unwrap();
    let left = bench.make(&who).await;
    let other = bench.start(&who, left, vec![]).await.unwrap();
    bench.delete(&who, conversation).await.unwrap();
    for _ in 0..2 {
        assert_eq!(bench.turn(&who, id).await, None);
        let query = first(Order::OldestFirst, 9);
        let page = bench.store.turn_page(&who, &query).await.unwrap();
        let listed: Vec<TurnId> = page.rows.iter().map(|turn| turn.id).collect();
        assert_eq!(listed, [other]);
        bench.sweep(Timestamp::default()).await;
    }
}

pub async fn a_conversation_whose_turns_were_removed_is_deleted_whole(bench: &Bench) {
    let who = principal("ann");
    let conversation = bench.make(&who).await;
    let mut turns = Vec::new();
    for _ in 0..3 {
        let id = bench.start(&who, conversation, vec![]).await.unwrap();
        bench.finish(&who, conversation, id, vec![]).await.unwrap();
        turns.push(id);
    }
    bench.forget(&who, conversation, turns[0]).await.unwrap();
    bench.forget(&who, conversation, turns[2]).await.unwrap();
    bench.delete(&who, conversation).await.unwrap();
    bench.sweep(Timestamp::default()).await;
    for id in turns {
        assert_eq!(bench.turn(&who, id).await, None);
    }
}
