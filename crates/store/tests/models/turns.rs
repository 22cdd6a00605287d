//! Turns that begin, speak and end while their conversation is deleted.

use parlance_domain::model::{TurnFailure, TurnState};
use parlance_domain::service::{PieceKind, TurnEvent};
use parlance_testkit::explore::Plan;

use crate::model::Script;
use crate::world::{both, explored};

const PLAN: Plan = Plan {
    by_chance: 400,
    delays: Some(2),
};

#[test]
fn a_turn_that_hangs_ends_with_its_conversation() {
    explored(PLAN, Script::Hangs, async |world| {
        let (target, stream) = world.begin().await;
        let (delete, read) = (target.clone(), target);
        let deleter = world.beside(async move |world| world.delete(&delete).await.unwrap());
        let reader = world.beside(async move |world| world.read(&read, stream).await);
        let (_, told) = both(deleter, reader).await;
        assert_eq!(told.end.state, TurnState::Cancelled);
    });
}

#[test]
fn a_turn_that_begins_while_its_conversation_is_deleted_is_refused_or_stopped() {
    explored(PLAN, Script::Hangs, async |world| {
        let target = world.conversation().await;
        let (delete, ask) = (target.clone(), target);
        let deleter = world.beside(async move |world| world.delete(&delete).await.unwrap());
        let asker = world.beside(async move |world| world.converse(&ask).await);
        let (_, told) = both(deleter, asker).await;
        if let Some(told) = told {
            assert_eq!(told.end.state, TurnState::Cancelled);
        }
    });
}

/// A turn with this script, whose conversation is deleted meanwhile.
fn deleted_meanwhile(script: Script) {
    explored(PLAN, script, async |world| {
        let (target, stream) = world.begin().await;
        let (delete, read) = (target.clone(), target);
        let deleter = world.beside(async move |world| world.delete(&delete).await.unwrap());
        let reader = world.beside(async move |world| world.read(&read, stream).await);
        both(deleter, reader).await;
    });
}

#[test]
fn an_answer_is_stored_before_the_delete_or_never() {
    deleted_meanwhile(Script::Speaks);
}

#[test]
fn a_turn_whose_model_breaks_off_ends_with_its_conversation() {
    deleted_meanwhile(Script::Breaks);
}

#[test]
fn a_turn_whose_model_panics_ends_with_its_conversation() {
    deleted_meanwhile(Script::Panics);
}

#[test]
fn a_turn_whose_model_is_down_ends_with_its_conversation() {
    deleted_meanwhile(Script::Down);
}

#[test]
fn a_turn_that_nobody_deletes_speaks_to_its_end() {
    explored(PLAN, Script::Speaks, async |world| {
        let target = world.conversation().await;
        let told = world.converse(&target).await.unwrap();
        assert_eq!(told.end.state, TurnState::Completed);
        assert_eq!(told.end.text(), "first second ");
        assert!(told.end.answer().is_some());
    });
}

#[test]
fn a_turn_that_is_stopped_and_deleted_at_once_ends_once() {
    explored(PLAN, Script::Hangs, async |world| {
        let (target, stream) = world.begin().await;
        let turn = stream.turn;
        let (delete, read) = (target.clone(), target);
        let stopper = world.beside(async move |world| {
            world.service.stop_turn(&world.who, turn.into());
        });
        let deleter = world.beside(async move |world| world.delete(&delete).await.unwrap());
        let told = world.read(&read, stream).await;
        both(stopper, deleter).await;
        assert_eq!(told.end.state, TurnState::Cancelled);
    });
}

#[test]
fn what_was_said_is_told_although_nothing_more_comes_and_kept_by_a_stop() {
    explored(PLAN, Script::Hangs, async |world| {
        let (target, mut stream) = world.begin().await;
        assert!(matches!(stream.next().await, Some(TurnEvent::Begun(_))));
        let first = TurnEvent::Piece {
            kind: PieceKind::Text,
            text: "first ".to_owned(),
        };
        assert_eq!(stream.next().await, Some(first));
        world.service.stop_turn(&world.who, stream.turn.into());
        assert!(matches!(stream.next().await, Some(TurnEvent::Done(_))));
        let Some(TurnEvent::Ended(end)) = stream.next().await else {
            panic!("a turn that is stopped ends");
        };
        assert_eq!(end.state, TurnState::Cancelled);
        assert_eq!(end.text(), "first ");
        assert!(end.answer().is_some());
        world.delete(&target).await;
    });
}

#[test]
fn a_turn_that_is_stopped_before_it_speaks_ends() {
    explored(PLAN, Script::Hangs, async |world| {
        let (target, stream) = world.begin().await;
        world.service.stop_turn(&world.who, stream.turn.into());
        let told = world.read(&target, stream).await;
        assert_eq!(told.end.state, TurnState::Cancelled);
    });
}

#[test]
fn of_two_turns_at_once_one_runs_and_after_its_end_there_is_room_for_another() {
    explored(PLAN, Script::Speaks, async |world| {
        let target = world.conversation().await;
        let (first, second) = (target.clone(), target.clone());
        let asked = both(
            world.beside(async move |world| world.converse(&first).await),
            world.beside(async move |world| world.converse(&second).await),
        );
        let (first, second) = asked.await;
        assert!(first.is_some() || second.is_some(), "nobody was answered");
        assert!(world.converse(&target).await.is_some(), "there is no room");
    });
}

#[test]
fn whoever_has_read_the_end_can_begin_another_turn() {
    explored(PLAN, Script::Speaks, async |world| {
        let target = world.conversation().await;
        for _ in 0..2 {
            assert!(world.converse(&target).await.is_some(), "there is no room");
        }
    });
}

#[test]
fn a_turn_whose_asker_goes_away_ends_with_its_conversation() {
    explored(PLAN, Script::Hangs, async |world| {
        let target = world.conversation().await;
        let (delete, ask) = (target.clone(), target);
        let asker = world.beside(async move |world| world.ask(&ask).await.map(drop));
        let deleter = world.beside(async move |world| world.delete(&delete).await.unwrap());
        asker.abort();
        deleter.await.unwrap();
    });
}

#[test]
fn a_turn_ends_although_whoever_deletes_its_conversation_goes_away() {
    explored(PLAN, Script::Hangs, async |world| {
        let (target, stream) = world.begin().await;
        let delete = target.clone();
        let deleter = world.beside(async move |world| world.delete(&delete).await);
        deleter.abort();
        drop(deleter.await);
        // Whether it was done by then or not: a delete that is answered leaves nothing that runs.
        if world.store.deletions(target.id) == 0 {
            world.delete(&target).await;
        }
        let told = world.read(&target, stream).await;
        assert_eq!(told.end.state, TurnState::Cancelled);
    });
}

#[test]
fn a_turn_whose_end_the_store_refuses_is_settled_or_deleted() {
    explored(PLAN, Script::Speaks, async |world| {
        world.store.refuse(3);
        let (target, stream) = world.begin().await;
        let (delete, read) = (target.clone(), target);
        let deleter = world.beside(async move |world| world.delete(&delete).await.unwrap());
        let reader = world.beside(async move |world| world.read(&read, stream).await);
        both(deleter, reader).await;
    });
}

#[test]
fn a_turn_whose_end_the_store_refuses_for_a_time_is_settled() {
    explored(PLAN, Script::Speaks, async |world| {
        world.store.refuse(3);
        let (_, mut stream) = world.begin().await;
        while stream.next().await.is_some() {}
    });
}

#[test]
fn a_server_that_stops_ends_its_turns() {
    explored(PLAN, Script::Hangs, async |world| {
        let (target, stream) = world.begin().await;
        let reader = world.beside(async move |world| world.read(&target, stream).await);
        let stopper = world.beside(async |world| world.service.tasks().shut_down().await);
        let (told, ()) = both(reader, stopper).await;
        assert_eq!(told.end.state, TurnState::Failed(TurnFailure::Interrupted));
        assert_eq!(world.service.running_turns(), 0);
    });
}
