use super::*;
use crate::crash::calls::PREAMBLE;
use crate::crash::journal::{Deed, Outcome};
use crate::crash::read::Message;

fn canary(number: u32) -> String {
    format!("cNrY{number:016}")
}

fn item(number: u32, kind: Kind) -> Item {
    let canary = canary(number);
    Item::new(kind, canary.clone(), format!("{canary} said"))
}

fn begun(maker: Dialect) -> Conversation {
    let mut of = Conversation::new(maker);
    of.step = 1;
    of
}

fn add(of: &mut Conversation, items: &[Item], outcome: Option<&Outcome>) {
    let deed = Deed::Add(items.to_vec());
    of.step += 1;
    of.send(&deed);
    if let Some(outcome) = outcome {
        of.learn(&deed, outcome);
    }
}

/// A question, and as much of its answer as came before the connection broke off.
fn ask(of: &mut Conversation, number: u32, begun: bool, ended: bool) {
    let deed = Deed::Ask(item(number, Kind::User), item(number, Kind::Assistant));
    of.step += 1;
    of.send(&deed);
    of.learn(&deed, &Outcome::Broken { begun, ended });
}

const DONE: &Outcome = &Outcome::Done(Vec::new());

/// What a server shows that has these items.
fn shown(items: &[Item]) -> Seen {
    let row = |(number, item): (u64, &Item), id: fn(u64) -> RowId| Row {
        id: id(number),
        kind: item.kind,
        text: item.text.held.clone(),
    };
    let rows = |dialect, id: fn(u64) -> RowId| {
        let items = (5..).zip(items);
        let items = items.filter(|(_, item)| Comparison::shows(dialect, item.kind));
        items.map(|item| row(item, id)).collect::<Vec<Row>>()
    };
    let whole = |number| RowId::Whole(u128::from(number) << 80);
    let questions = items.iter().filter(|item| item.kind == Kind::User);
    let message = |item: &Item| Message {
        query: item.text.held.clone(),
        failed: false,
    };
    Seen {
        messages: questions.map(message).collect(),
        openai: rows(Dialect::OpenAi, whole),
        dify: rows(Dialect::Dify, whole),
        coze: rows(Dialect::Coze, |number| RowId::Decimal(number << 21)),
        openhands: rows(Dialect::OpenHands, RowId::Number),
        ..Seen::default()
    }
}

#[track_caller]
fn complains(of: &mut Conversation, seen: &Seen, expected: &str) {
    let found = check(of, seen);
    let named = found.iter().any(|what| what.contains(expected));
    assert!(named, "{found:?} does not say {expected:?}");
}

#[track_caller]
fn is_content(of: &mut Conversation, seen: &Seen) {
    assert_eq!(check(of, seen), Vec::<String>::new());
}

fn two() -> [Item; 2] {
    [item(1, Kind::User), item(2, Kind::Assistant)]
}

#[test]
fn what_was_acknowledged_and_is_there_is_right() {
    let mut of = begun(Dialect::OpenAi);
    add(&mut of, &two(), Some(DONE));
    add(&mut of, &[item(3, Kind::Call)], Some(DONE));
    let [one, other] = two();
    is_content(&mut of, &shown(&[one, other, item(3, Kind::Call)]));
}

#[test]
fn an_acknowledged_item_that_is_lost_is_a_violation() {
    let mut of = begun(Dialect::OpenAi);
    add(&mut of, &two(), Some(DONE));
    let [one, _] = two();
    complains(&mut of, &shown(&[one]), "was acknowledged and is not there");
}

#[test]
fn a_call_without_an_answer_is_done_or_not_and_stays_so() {
    for there in [Vec::new(), two().to_vec()] {
        let mut of = begun(Dialect::OpenAi);
        add(&mut of, &two(), None);
        is_content(&mut of, &shown(&there));
        is_content(&mut of, &shown(&there));
        let other = if there.is_empty() {
            two().to_vec()
        } else {
            Vec::new()
        };
        assert_ne!(check(&mut of, &shown(&other)), Vec::<String>::new());
    }
}

#[test]
fn a_call_that_is_half_there_is_a_violation() {
    for half in two() {
        let mut of = begun(Dialect::OpenAi);
        add(&mut of, &two(), None);
        complains(&mut of, &shown(&[half]), "a call is half there");
    }
}

#[test]
fn an_item_that_nobody_wrote_is_a_violation() {
    let mut of = begun(Dialect::OpenAi);
    complains(&mut of, &shown(&[item(1, Kind::User)]), "nobody wrote");
}

#[test]
fn an_item_that_is_there_twice_is_a_violation() {
    let mut of = begun(Dialect::OpenAi);
    add(&mut of, &[item(1, Kind::User)], Some(DONE));
    let seen = shown(&[item(1, Kind::User), item(1, Kind::User)]);
    complains(&mut of, &seen, "is there twice");
}

#[test]
fn calls_in_another_order_are_a_violation() {
    let mut of = begun(Dialect::OpenAi);
    add(&mut of, &[item(1, Kind::User)], Some(DONE));
    add(&mut of, &[item(2, Kind::User)], Some(DONE));
    let seen = shown(&[item(2, Kind::User), item(1, Kind::User)]);
    complains(&mut of, &seen, "items are out of order");
}

#[test]
fn items_of_one_call_with_another_between_them_are_a_violation() {
    let mut of = begun(Dialect::OpenAi);
    let [one, other] = two();
    let between = item(3, Kind::User);
    add(&mut of, &two(), Some(DONE));
    // Sent at the same time as the other, so that either may come first.
    of.step -= 1;
    add(&mut of, std::slice::from_ref(&between), Some(DONE));
    is_content(
        &mut of.clone(),
        &shown(&[between.clone(), one.clone(), other.clone()]),
    );
    complains(
        &mut of,
        &shown(&[one, between, other]),
        "a call's items are apart",
    );
}

#[test]
fn a_deleted_item_that_is_back_is_a_violation() {
    let mut of = begun(Dialect::OpenAi);
    add(&mut of, &two(), Some(DONE));
    let deed = Deed::Remove(canary(2));
    of.send(&deed);
    of.learn(&deed, DONE);
    complains(&mut of, &shown(&two()), "was deleted and is there");
}

#[test]
fn an_item_whose_delete_had_no_answer_is_there_or_not() {
    for kept in 1..3 {
        let mut of = begun(Dialect::OpenAi);
        add(&mut of, &two(), Some(DONE));
        of.send(&Deed::Remove(canary(2)));
        is_content(&mut of, &shown(&two()[..kept]));
        let other = shown(&two()[..3 - kept]);
        assert_ne!(check(&mut of, &other), Vec::<String>::new());
    }
}

#[test]
fn another_text_is_a_violation_unless_it_was_sent() {
    let mut of = begun(Dialect::OpenAi);
    add(&mut of, &[item(1, Kind::User)], Some(DONE));
    let mut changed = item(1, Kind::User);
    changed.text.held.push('!');
    let seen = shown(std::slice::from_ref(&changed));
    complains(&mut of.clone(), &seen, "was written with");
    of.send(&Deed::Edit(canary(1), changed.text.held));
    is_content(&mut of, &seen);
}

#[test]
fn a_turn_that_was_interrupted_has_failed_and_keeps_its_question() {
    let mut of = begun(Dialect::Dify);
    ask(&mut of, 1, true, false);
    let mut seen = shown(&[item(1, Kind::User)]);
    complains(&mut of.clone(), &seen, "has not failed");
    seen.messages[0].failed = true;
    is_content(&mut of, &seen);
    complains(&mut of, &shown(&[]), "was acknowledged and is not there");
}

#[test]
fn an_answer_that_was_given_is_there() {
    let mut of = begun(Dialect::Dify);
    ask(&mut of, 1, true, true);
    let both = [item(1, Kind::User), item(1, Kind::Assistant)];
    is_content(&mut of.clone(), &shown(&both));
    complains(&mut of, &shown(&both[..1]), "was given and is not there");
}

#[test]
fn a_question_whose_answer_had_not_begun_is_there_or_not() {
    let mut of = begun(Dialect::Dify);
    ask(&mut of, 1, false, false);
    is_content(&mut of, &shown(&[]));
    complains(&mut of, &shown(&[item(1, Kind::User)]), "nobody wrote");
}

#[test]
fn a_dialect_that_shows_less_than_another_is_a_violation() {
    let mut of = begun(Dialect::OpenAi);
    add(&mut of, &two(), None);
    let mut seen = shown(&two());
    seen.coze.pop();
    complains(
        &mut of,
        &seen,
        "coze: cNrY0000000000000002 was acknowledged",
    );
}

#[test]
fn ids_that_do_not_rise_are_a_violation() {
    let mut of = begun(Dialect::OpenAi);
    add(&mut of, &two(), Some(DONE));
    let mut seen = shown(&two());
    seen.openai[1].id = seen.openai[0].id;
    complains(&mut of, &seen, "openai: the ids do not rise");
}

#[test]
fn a_title_that_nobody_gave_is_a_violation() {
    let mut of = begun(Dialect::OpenAi);
    let deed = Deed::Title("one".to_owned());
    of.send(&deed);
    is_content(&mut of.clone(), &shown(&[]));
    of.learn(&deed, DONE);
    let mut seen = shown(&[]);
    complains(&mut of.clone(), &seen, "the title is None");
    seen.title = Some("one".to_owned());
    seen.shown_title = "one".to_owned();
    is_content(&mut of, &seen);
}

#[test]
fn a_conversation_without_all_of_its_own_events_is_a_violation() {
    let mut of = begun(Dialect::OpenHands);
    say(&mut of, 1);
    let mut seen = shown(&[item(1, Kind::User)]);
    seen.active = true;
    seen.openhands[0].id = RowId::Number(2);
    seen.openhands
        .splice(0..0, [event(0, "loading"), event(1, "system")]);
    complains(&mut of.clone(), &seen, "its own events are");
    seen.openhands.push(event(3, "change_agent_state"));
    is_content(&mut of, &seen);
}

fn event(number: u64, text: &str) -> Row {
    Row {
        id: RowId::Number(number),
        kind: Kind::Event,
        text: text.to_owned(),
    }
}

/// Something that is said to an agent, and acknowledged.
fn say(of: &mut Conversation, number: u32) {
    let deed = Deed::Say(item(number, Kind::User));
    of.step += 1;
    of.send(&deed);
    of.learn(&deed, DONE);
}

fn echo(number: u32) -> Item {
    let text = format!("{PREAMBLE}{}", item(number, Kind::User).text.held);
    Item::new(Kind::Assistant, canary(number), text)
}

/// Two messages to an agent and an answer, with these numbers, and with these events of its own.
fn numbered(numbers: [u64; 3], answer: Item, events: &[(u64, &str)]) -> Seen {
    let items = [item(1, Kind::User), item(2, Kind::User), answer];
    let mut seen = shown(&items);
    for (row, number) in seen.openhands.iter_mut().zip(numbers) {
        row.id = RowId::Number(number);
    }
    let events = events.iter().map(|(number, text)| event(*number, text));
    seen.openhands.extend(events);
    seen.openhands.sort_by_key(|row| match row.id {
        RowId::Number(number) => number,
        RowId::Whole(_) | RowId::Decimal(_) | RowId::None => 0,
    });
    seen
}

/// The second message comes while the agent is running.
fn answered(answer: Item, events: &[(u64, &str)]) -> Seen {
    numbered([5, 7, 8], answer, events)
}

fn twice_said() -> Conversation {
    let mut of = begun(Dialect::OpenAi);
    say(&mut of, 1);
    say(&mut of, 2);
    of
}

const BOTH: &[(u64, &str)] = &[(6, "running"), (9, "awaiting_user_input")];

#[test]
fn what_is_said_may_be_answered_together_and_stays_so() {
    for number in [1, 2] {
        let mut of = twice_said();
        is_content(&mut of, &answered(echo(number), BOTH));
        is_content(&mut of, &answered(echo(number), BOTH));
        let other = answered(echo(3 - number), BOTH);
        complains(&mut of.clone(), &other, "its own events are");
        let none = shown(&[item(1, Kind::User), item(2, Kind::User)]);
        complains(&mut of, &none, "its own events are");
    }
}

#[test]
fn what_was_not_answered_before_a_restart_never_is() {
    let mut of = twice_said();
    let none = shown(&[item(1, Kind::User), item(2, Kind::User)]);
    is_content(&mut of, &none);
    complains(&mut of, &answered(echo(2), BOTH), "its own events are");
}

#[test]
fn an_answer_that_was_heard_is_there() {
    let mut of = twice_said();
    of.agent.heard.push((8, echo(2).text.held));
    is_content(&mut of.clone(), &answered(echo(2), BOTH));
    let none = shown(&[item(1, Kind::User), item(2, Kind::User)]);
    complains(&mut of, &none, "heard were [\"8 ");
}

#[test]
fn an_answer_of_an_agent_has_a_beginning_and_an_end() {
    for (events, complaint) in [
        (&BOTH[1..], "has no beginning"),
        (&BOTH[..1], "has no end"),
        (&[(6, "running"), (10, "awaiting_user_input")], "is \"await"),
        (&[(6, "running"), (9, "error")], "is \"error\""),
    ] {
        complains(&mut twice_said(), &answered(echo(2), events), complaint);
    }
}

#[test]
fn an_answer_echoes_what_was_said_last() {
    let both_first = |answer| {
        let events = &[(7, "running"), (9, "awaiting_user_input")];
        numbered([5, 6, 8], answer, events)
    };
    is_content(&mut twice_said(), &both_first(echo(2)));
    complains(
        &mut twice_said(),
        &both_first(echo(1)),
        "echoes something else",
    );
    let mut changed = echo(2);
    changed.text.held.push('!');
    complains(
        &mut twice_said(),
        &answered(changed, BOTH),
        "echoes something else",
    );
}

#[test]
fn an_event_of_an_agent_that_is_lost_is_a_violation() {
    let mut of = begun(Dialect::OpenAi);
    say(&mut of, 1);
    let mut seen = shown(&[item(1, Kind::User)]);
    is_content(&mut of.clone(), &seen);
    // The kill has interrupted the turn.
    seen.openhands.push(event(6, "running"));
    is_content(&mut of, &seen);
    seen.openhands.pop();
    complains(&mut of, &seen, "were [\"6 running\"]");
}

#[test]
fn a_dialect_that_tells_another_dialogue_is_a_violation() {
    let mut seen = answered(echo(2), BOTH);
    seen.coze.pop();
    complains(
        &mut twice_said(),
        &seen,
        "coze and OpenAI tell another dialogue",
    );
}
