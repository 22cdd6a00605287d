use std::sync::Arc;

use parlance_domain::{Cutoff, Id, ItemContent, ItemId, NewItem, TurnState};

use super::*;

const NOON: Timestamp = Timestamp::from_millis(1_795_262_400_000);

fn encoder() -> Encoder {
    let names = Names {
        conversation: "c".to_owned(),
        message: "m".to_owned(),
        task: "t".to_owned(),
        workflow: "w".to_owned(),
        nodes: ["n1".to_owned(), "n2".to_owned(), "n3".to_owned()],
        model: "echo".to_owned(),
        user: "alice".to_owned(),
    };
    Encoder::new(names, 1_795_262_399, NOON, json!({"city": "Köln"}))
}

fn later(millis: i64) -> Timestamp {
    Timestamp::from_millis(NOON.millis() + millis)
}

fn item(content: ItemContent) -> Arc<NewItem> {
    Arc::new(NewItem {
        id: ItemId::from_bits(1),
        alias: None,
        content,
    })
}

fn answer(text: &str) -> Arc<NewItem> {
    item(ItemContent::answer(&[(false, text.to_owned())], true))
}

fn end(state: TurnState, output: Vec<Arc<NewItem>>) -> TurnEnd {
    TurnEnd {
        output,
        usage: Usage {
            input_tokens: 3,
            cached_tokens: 1,
            output_tokens: 4,
            reasoning_tokens: 2,
        },
        ..TurnEnd::of(state, later(1_500))
    }
}

fn piece(kind: PieceKind, text: &str) -> TurnEvent {
    let text = text.to_owned();
    TurnEvent::Piece { kind, text }
}

/// The frames as a client reads them: the JSON of each, or `ping`.
fn read(frames: &str) -> Vec<Value> {
    let frames = frames.strip_suffix("\n\n").unwrap();
    let read = |frame: &str| match (frame, frame.strip_prefix("data: ")) {
        (_, Some(json)) => serde_json::from_str(json).unwrap(),
        ("event: ping", None) => json!({"event": "ping"}),
        _ => panic!("an unreadable frame: {frame}"),
    };
    frames.split("\n\n").map(read).collect()
}

/// The events with what tells them apart.
fn names(events: &[Value]) -> Vec<String> {
    let name = |event: &Value| {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let parts = [
            text(&event["event"]),
            text(&event["data"]["node_id"]),
            text(&event["data"]["status"]),
            text(&event["code"]),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    events.iter().map(name).collect()
}

/// A run of two pieces that ends so.
fn run_to(end: TurnEnd) -> Vec<Value> {
    let mut encoder = encoder();
    let mut frames = encoder.begin();
    frames += &encoder.take(&piece(PieceKind::Text, "Grüß "), later(250));
    frames += &encoder.take(&piece(PieceKind::Text, "Gott"), later(500));
    assert!(!encoder.is_over());
    frames += &encoder.take(&TurnEvent::Ended(Arc::new(end)), later(1_500));
    assert!(encoder.is_over());
    read(&frames)
}

fn run(state: TurnState) -> Vec<Value> {
    run_to(end(state, vec![answer("Grüß Gott")]))
}

#[test]
fn a_run_goes_from_start_over_llm_to_answer() {
    let events = run(TurnState::Completed);
    let expected = [
        "ping",
        "workflow_started",
        "node_started start",
        "node_finished start succeeded",
        "node_started llm",
        "message",
        "message",
        "node_finished llm succeeded",
        "node_started answer",
        "node_finished answer succeeded",
        "message_end",
        "workflow_finished succeeded",
    ];
    assert_eq!(names(&events), expected);
}

#[test]
fn every_event_but_the_ping_says_what_it_belongs_to() {
    let events = run(TurnState::Completed);
    for event in &events[1..] {
        let keys: Vec<&String> = event.as_object().unwrap().keys().take(5).collect();
        let envelope = [
            "event",
            "conversation_id",
            "message_id",
            "created_at",
            "task_id",
        ];
        assert_eq!(keys, envelope, "{event}");
        assert_eq!(event["created_at"], 1_795_262_399);
    }
}

#[test]
fn the_pieces_are_passed_on_as_they_are() {
    let mut encoder = encoder();
    let frame = encoder.take(&piece(PieceKind::Text, "Grüß \"Gott\"\n"), later(0));
    let expected = concat!(
        r#"data: {"event":"message","conversation_id":"c","message_id":"m","#,
        r#""created_at":1795262399,"task_id":"t","id":"m","answer":"Grüß \"Gott\"\n","#,
        r#""from_variable_selector":["llm","text"]}"#,
        "\n\n"
    );
    assert_eq!(frame, expected);
}

#[test]
fn the_usage_tells_when_the_answer_began() {
    let events = run(TurnState::Completed);
    let usage = &events[10]["metadata"]["usage"];
    assert_eq!(usage["latency"], json!(1.5));
    assert_eq!(usage["time_to_first_token"], json!(0.25));
    assert_eq!(usage["time_to_generate"], json!(1.25));
    assert_eq!(usage["total_tokens"], 7);
    assert_eq!(usage["total_price"], "0.0");
    let finished = &events[11]["data"];
    assert_eq!(finished["elapsed_time"], json!(1.5));
    assert_eq!(
        finished["outputs"],
        json!({"answer": "Grüß Gott", "files": []})
    );
}

#[test]
fn a_failure_ends_with_the_documented_error_in_the_words_of_the_models_server() {
    let failed = |why, error: Option<&str>| {
        let error = error.map(str::to_owned);
        let state = TurnState::Failed(why);
        run_to(TurnEnd {
            error,
            ..end(state, Vec::new())
        })
    };
    let events = failed(TurnFailure::Refused, Some("no such model"));
    let expected = [
        "node_finished llm failed",
        "workflow_finished failed",
        "error invalid_param",
    ];
    assert_eq!(names(&events[7..]), expected);
    let why = "[echo] Bad Request Error, no such model";
    assert_eq!(events[7]["data"]["error"], why);
    assert_eq!(events[8]["data"]["error"], why);
    let error = &events[9];
    assert_eq!(error["status"], 400);
    assert_eq!(error["message"], format!("Run failed: {why}"));
    assert!(error.get("task_id").is_none());
    assert_eq!(error["message_id"], "m");
    for (why, said) in [
        (TurnFailure::Busy, "Run failed: [echo] Rate Limit Error"),
        (TurnFailure::Upstream, "Run failed: [echo] Connection Error"),
    ] {
        assert_eq!(failed(why, None)[9]["message"], said);
    }
}

#[test]
fn what_the_model_thinks_is_told_apart_from_the_answer() {
    let mut encoder = encoder();
    let thought = item(ItemContent::reasoning("Let me think."));
    let mut frames = encoder.take(&piece(PieceKind::Reasoning, "Let me "), later(100));
    frames += &encoder.take(&piece(PieceKind::Reasoning, "think."), later(200));
    frames += &encoder.take(&TurnEvent::Done(Arc::clone(&thought)), later(200));
    frames += &encoder.take(&piece(PieceKind::Refusal, "No."), later(300));
    let end = end(TurnState::Completed, vec![thought, answer("No.")]);
    frames += &encoder.take(&TurnEvent::Ended(Arc::new(end)), later(400));
    let events = read(&frames);
    let chunks: Vec<&Value> = events[..3].iter().map(|event| &event["data"]).collect();
    let chunk = |text: &str, is_final: bool| json!({"message_id": "m", "reasoning": text, "node_id": "llm", "is_final": is_final});
    let (first, second, last) = (
        chunk("Let me ", false),
        chunk("think.", false),
        chunk("", true),
    );
    assert_eq!(chunks, [&first, &second, &last]);
    assert_eq!(events[0]["event"], "reasoning_chunk");
    assert_eq!(
        (&events[3]["event"], &events[3]["answer"]),
        (&json!("message"), &json!("No."))
    );
    assert_eq!(
        events[4]["data"]["outputs"]["reasoning_content"],
        "Let me think."
    );
    assert_eq!(events[4]["data"]["outputs"]["text"], "No.");
    let metadata = &events[7]["metadata"];
    assert_eq!(metadata["reasoning"], json!({"llm": "Let me think."}));
    assert_eq!(metadata["usage"]["time_to_first_token"], json!(0.1));
}

#[test]
fn the_node_says_why_the_model_stopped() {
    let reason = |state, output| {
        let events = run_to(end(state, output));
        events[7]["data"]["outputs"]["finish_reason"].clone()
    };
    let said = || vec![answer("Grüß Gott")];
    assert_eq!(reason(TurnState::Completed, said()), "stop");
    assert_eq!(
        reason(TurnState::Incomplete(Cutoff::Length), said()),
        "length"
    );
    let filtered = TurnState::Incomplete(Cutoff::ContentFilter);
    assert_eq!(reason(filtered, said()), "content_filter");
    let call = item(ItemContent::function_call("c", "weather", "{}", true));
    assert_eq!(reason(TurnState::Completed, vec![call]), "tool_calls");
}

#[test]
fn a_call_of_a_tool_without_words_is_an_empty_answer() {
    let mut encoder = encoder();
    let call = item(ItemContent::function_call("c", "weather", "{}", true));
    assert_eq!(
        encoder.take(&piece(PieceKind::Arguments, "{}"), later(0)),
        ""
    );
    assert_eq!(
        encoder.take(&TurnEvent::Done(Arc::clone(&call)), later(0)),
        ""
    );
    let end = end(TurnState::Completed, vec![call]);
    let events = read(&encoder.take(&TurnEvent::Ended(Arc::new(end)), later(0)));
    assert_eq!(events[4]["data"]["outputs"]["answer"], "");
}

#[test]
fn a_stop_still_ends_the_message() {
    let events = run(TurnState::Cancelled);
    assert_eq!(
        names(&events[7..]),
        ["message_end", "workflow_finished stopped"]
    );
}

#[test]
fn a_deletion_ends_the_stream_with_an_error() {
    let gone = TurnEnd {
        is_deleted: true,
        ..end(TurnState::Cancelled, Vec::new())
    };
    assert_eq!(names(&run_to(gone)[7..]), ["error not_found"]);
}

#[test]
fn a_run_that_is_lost_ends_with_an_error() {
    let mut encoder = encoder();
    let events = read(&encoder.lost());
    assert_eq!(names(&events), ["error internal_server_error"]);
    assert!(encoder.is_over());
}
