use std::sync::Arc;

use parlance_domain::service::OutputKind;
use parlance_domain::{
    AppId, ConversationId, ItemContent, ItemId, Metadata, SectionId, Timestamp, TurnFailure,
    TurnId, Usage,
};
use serde_json::{Value, json};

use super::*;
use crate::coze::chat::Place;

/// An id whose decimal form is `n` and ten seconds' worth of zeros: short, and of a known time.
fn bits(n: u128) -> u128 {
    n << 80
}

fn encoder() -> Encoder {
    let place = Place {
        conversation: ConversationId::from_bits(bits(1_000)),
        section: SectionId::from_bits(bits(1_001)),
        bot: AppId::from_bits(bits(1_002)),
    };
    let at = Timestamp::from_millis(1_795_262_400_000);
    let turn = TurnId::from_bits(bits(1_003));
    let meta_data = Metadata::default();
    let chat = Chat::made(
        turn,
        &place,
        at,
        &meta_data,
        &[ItemId::from_bits(bits(1_004))],
    );
    Encoder::new(chat, "9".to_owned())
}

fn begun(n: u128, what: OutputKind) -> TurnEvent {
    let id = ItemId::from_bits(bits(n));
    TurnEvent::Begun(Arc::new(Begun { index: 0, id, what }))
}

fn piece(kind: PieceKind, text: &str) -> TurnEvent {
    let text = text.to_owned();
    TurnEvent::Piece { kind, text }
}

fn done(n: u128, content: ItemContent) -> TurnEvent {
    TurnEvent::Done(Arc::new(NewItem {
        id: ItemId::from_bits(bits(n)),
        alias: None,
        content,
    }))
}

fn ended(state: TurnState) -> TurnEnd {
    let at = Timestamp::from_millis(1_795_262_405_000);
    TurnEnd {
        usage: Usage {
            input_tokens: 12,
            cached_tokens: 4,
            output_tokens: 9,
            reasoning_tokens: 5,
        },
        ..TurnEnd::of(state, at)
    }
}

fn end(end: TurnEnd) -> TurnEvent {
    TurnEvent::Ended(Arc::new(end))
}

/// The events as cozepy reads them: exactly two lines, then an empty one.
#[track_caller]
fn read(frames: &str) -> Vec<(String, Value)> {
    let frames = frames
        .strip_suffix("\n\n")
        .expect("an empty line at the end");
    let read = |frame: &str| {
        let (event, data) = frame.split_once('\n').expect("two lines");
        assert!(!data.contains('\n'), "more than two lines: {frame}");
        let event = event.strip_prefix("event:").expect("an event");
        let data = data.strip_prefix("data:").expect("data");
        (event.to_owned(), serde_json::from_str(data).expect("JSON"))
    };
    frames.split("\n\n").map(read).collect()
}

fn told(events: &[TurnEvent]) -> Vec<(String, Value)> {
    let mut encoder = encoder();
    let mut frames = encoder.begin();
    for event in events {
        assert!(!encoder.is_over());
        frames += &encoder.take(event);
    }
    assert!(encoder.is_over());
    read(&frames)
}

/// The events with what tells them apart.
fn names(events: &[(String, Value)]) -> Vec<String> {
    let name = |(event, data): &(String, Value)| {
        let event = event.strip_prefix("conversation.").unwrap_or(event);
        let more = data.get("type").or_else(|| data.get("status"));
        let more = more.and_then(Value::as_str).unwrap_or_default();
        format!("{event} {more}").trim().to_owned()
    };
    events.iter().map(name).collect()
}

fn whole_turn(state: TurnState) -> Vec<TurnEvent> {
    vec![
        begun(2_000, OutputKind::Reasoning),
        piece(PieceKind::Reasoning, "Let me "),
        piece(PieceKind::Reasoning, "think."),
        done(2_000, ItemContent::reasoning("Let me think.")),
        begun(2_001, OutputKind::Message),
        piece(PieceKind::Text, "Grüß \"Gott\"\n"),
        piece(PieceKind::Refusal, "No."),
        done(
            2_001,
            ItemContent::answer(
                &[
                    (false, "Grüß \"Gott\"\n".to_owned()),
                    (true, "No.".to_owned()),
                ],
                true,
            ),
        ),
        end(ended(state)),
    ]
}

#[test]
fn a_chat_is_made_goes_on_is_answered_and_done() {
    let events = told(&whole_turn(TurnState::Completed));
    let expected = [
        "chat.created created",
        "chat.in_progress in_progress",
        "message.delta answer",
        "message.delta answer",
        "message.delta answer",
        "message.delta answer",
        "message.completed answer",
        "message.completed verbose",
        "chat.completed completed",
        "done",
    ];
    assert_eq!(names(&events), expected);
    assert_eq!(events[9].1, "[DONE]");
}

#[test]
fn every_message_says_what_it_belongs_to_and_those_of_one_message_have_one_id() {
    let events = told(&whole_turn(TurnState::Completed));
    let chat = events[0].1["id"].as_str().expect("an id");
    for (_, message) in &events[2..8] {
        assert_eq!(message["chat_id"], chat);
        assert_eq!(message["conversation_id"], events[0].1["conversation_id"]);
        assert_eq!(message["bot_id"], events[0].1["bot_id"]);
        assert_eq!(message["section_id"], events[0].1["section_id"]);
        assert_eq!(
            (&message["role"], &message["content_type"]),
            (&json!("assistant"), &json!("text"))
        );
    }
    assert_eq!(events[4].1["id"], events[6].1["id"]);
    assert_eq!(events[4].1["content"], "Grüß \"Gott\"\n");
    assert_eq!(events[6].1["content"], "Grüß \"Gott\"\nNo.");
}

#[test]
fn what_the_model_thinks_is_told_apart_and_once_more_with_the_answer() {
    let events = told(&whole_turn(TurnState::Completed));
    let thought = |at: usize| (&events[at].1["content"], &events[at].1["reasoning_content"]);
    assert_eq!(thought(2), (&json!(""), &json!("Let me ")));
    assert_eq!(thought(3), (&json!(""), &json!("think.")));
    assert_eq!(thought(4).1, &Value::Null);
    assert_eq!(thought(6).1, &json!("Let me think."));
}

#[test]
fn the_end_says_what_it_cost() {
    let events = told(&whole_turn(TurnState::Completed));
    assert_eq!(events[0].1["usage"]["token_count"], 0);
    let usage = json!({"token_count": 21, "output_count": 9, "input_count": 12});
    assert_eq!(events[8].1["usage"], usage);
    assert_eq!(events[8].1["completed_at"], 1_795_262_405);
    assert_eq!(events[8].1["last_error"], json!({"code": 0, "msg": ""}));
}

#[test]
fn an_answer_that_was_cut_off_is_completed() {
    let cut = TurnState::Incomplete(parlance_domain::Cutoff::Length);
    let events = told(&whole_turn(cut));
    assert_eq!(names(&events)[8], "chat.completed completed");
}

#[test]
fn a_failure_has_a_code_and_the_words_of_the_models_server() {
    let said = TurnEnd {
        error: Some("too long".to_owned()),
        ..ended(TurnState::Failed(TurnFailure::Refused))
    };
    let events = told(&[end(said)]);
    let expected = ["chat.failed failed", "done"];
    assert_eq!(names(&events)[2..], expected);
    assert_eq!(
        events[2].1["last_error"],
        json!({"code": 4013, "msg": "too long"})
    );
    assert_eq!(events[2].1["failed_at"], 1_795_262_405);
    let events = told(&[end(ended(TurnState::Failed(TurnFailure::Busy)))]);
    assert_eq!(events[2].1["last_error"]["code"], 4009);
}

#[test]
fn a_canceled_chat_says_so_and_is_not_said_to_be_answered() {
    let events = told(&whole_turn(TurnState::Cancelled));
    let expected = [
        "message.completed answer",
        "chat.completed canceled",
        "done",
    ];
    assert_eq!(names(&events)[6..], expected);
}

#[test]
fn a_deleted_conversation_ends_its_stream_with_an_error() {
    let gone = TurnEnd {
        is_deleted: true,
        ..ended(TurnState::Cancelled)
    };
    let events = told(&[begun(2_001, OutputKind::Message), end(gone)]);
    assert_eq!(names(&events)[2..], ["error", "done"]);
    assert_eq!(events[2].1["code"], 4200);
}

#[test]
fn a_chat_that_is_lost_ends_with_an_error() {
    let mut encoder = encoder();
    let events = read(&encoder.lost());
    assert_eq!(names(&events), ["error", "done"]);
    assert!(encoder.is_over());
}

#[test]
fn a_call_of_a_tool_is_told_when_it_is_complete() {
    let what = OutputKind::FunctionCall {
        call_id: "c".to_owned(),
        name: "weather".to_owned(),
    };
    let content = ItemContent::function_call("c", "weather", "{\"city\":\"Köln\"}", true);
    let events = told(&[
        begun(2_000, what),
        piece(PieceKind::Arguments, "{\"city\":"),
        piece(PieceKind::Arguments, "\"Köln\"}"),
        done(2_000, content),
        end(ended(TurnState::Completed)),
    ]);
    assert_eq!(
        names(&events)[2..4],
        [
            "message.completed function_call",
            "message.completed verbose"
        ]
    );
    let call = "{\"name\":\"weather\",\"arguments\":{\"city\":\"Köln\"}}";
    assert_eq!(events[2].1["content"], call);
}
