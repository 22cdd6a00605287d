//! Turns.

use parlance_domain::ids::{ConversationId, TurnId};
use parlance_domain::model::{
    Cutoff, ItemQuery, Order, Principal, Turn, TurnFailure, TurnState, Usage, first_section,
};
use parlance_domain::store::{Batch, Outcome, Write};

use super::bench::{Bench, Refusal, USAGE, refused};
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
