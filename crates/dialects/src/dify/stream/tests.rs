use parlance_domain::{TurnFailure, TurnState};

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

fn end(state: TurnState, text: &str) -> TurnEnd {
    TurnEnd {
        state,
        text: text.to_owned(),
        answer: None,
        usage: Usage {
            input_tokens: 3,
            output_tokens: 4,
        },
    }
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

fn run(ending: Ending, state: TurnState) -> (Vec<Value>, Encoder) {
    let mut encoder = encoder();
    let mut frames = encoder.begin();
    frames += &encoder.text("Grüß ", later(250));
    frames += &encoder.text("Gott", later(500));
    assert!(!encoder.is_over());
    frames += &encoder.end(ending, &end(state, "Grüß Gott"), later(1_500));
    assert!(encoder.is_over());
    (read(&frames), encoder)
}

#[test]
fn a_run_goes_from_start_over_llm_to_answer() {
    let (events, _) = run(Ending::Completed, TurnState::Completed);
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
    let (events, _) = run(Ending::Completed, TurnState::Completed);
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
    let frame = encoder.text("Grüß \"Gott\"\n", later(0));
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
    let (events, _) = run(Ending::Completed, TurnState::Completed);
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
fn a_failure_ends_with_the_documented_error() {
    let why = TurnFailure::Upstream;
    let (events, _) = run(Ending::Failed(why), TurnState::Failed(why));
    let expected = [
        "node_finished llm failed",
        "workflow_finished failed",
        "error invalid_param",
    ];
    assert_eq!(names(&events[7..]), expected);
    let error = &events[9];
    assert_eq!(error["status"], 400);
    assert_eq!(
        error["message"],
        "Run failed: the model did not answer, or broke off"
    );
    assert!(error.get("task_id").is_none());
    assert_eq!(error["message_id"], "m");
}

#[test]
fn a_stop_still_ends_the_message() {
    let (events, _) = run(Ending::Stopped, TurnState::Cancelled);
    assert_eq!(
        names(&events[7..]),
        ["message_end", "workflow_finished stopped"]
    );
}

#[test]
fn a_deletion_ends_the_stream_with_an_error() {
    let (events, _) = run(Ending::Deleted, TurnState::Cancelled);
    assert_eq!(names(&events[7..]), ["error not_found"]);
}

#[test]
fn a_run_that_is_lost_ends_with_an_error() {
    let mut encoder = encoder();
    let events = read(&encoder.lost());
    assert_eq!(names(&events), ["error internal_server_error"]);
    assert!(encoder.is_over());
}
