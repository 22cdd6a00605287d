use parlance_domain::{Id, Item, ItemContent, ItemId, ItemKind, Json, Role, SectionId};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::filter::EventFilter;
use super::{is_hidden, opening, read, render, trim_for_trajectory};
use crate::kit::Failure;

/// 2025-08-14T12:00:01.001Z.
const MILLIS: u128 = 1_755_172_801_001;

fn item(seq: u64, content: ItemContent) -> Item {
    Item {
        id: ItemId::from_bits(MILLIS << 80),
        seq,
        section: SectionId::from_bits(0),
        turn: None,
        modified_at: None,
        alias: None,
        content,
    }
}

/// A posted event as it is shown.
fn posted(event: &Value) -> Value {
    let Ok(content) = read(event) else {
        panic!("refused: {event}");
    };
    render(&item(7, content))
        .map(Value::from)
        .unwrap_or_default()
}

/// What is wrong with a posted event.
async fn refused(event: Value) -> Value {
    let Err(Failure::Answer(response)) = read(&event) else {
        panic!("accepted: {event}");
    };
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await;
    serde_json::from_slice(&body.unwrap()).unwrap()
}

#[test]
fn a_message_is_a_message_action() {
    let said = |role, text: &str| render(&item(2, ItemContent::message(role, text)));
    let user = json!({
        "id": 2, "timestamp": "2025-08-14T12:00:01.001000", "source": "user", "message": "hello",
        "action": "message", "args": {"content": "hello", "file_urls": null, "image_urls": [],
        "wait_for_response": false},
    });
    let shown = said(Role::User, "hello").unwrap();
    assert_eq!(Value::from(shown).to_string(), user.to_string());
    let agent = json!({
        "id": 2, "timestamp": "2025-08-14T12:00:01.001000", "source": "agent", "message": "done",
        "action": "message", "args": {"content": "done", "file_urls": null, "image_urls": null,
        "wait_for_response": true},
    });
    let shown = said(Role::Assistant, "done").unwrap();
    assert_eq!(Value::from(shown).to_string(), agent.to_string());
    for role in [Role::System, Role::Developer, Role::Other] {
        assert_eq!(said(role, "x"), None);
    }
}

#[test]
fn events_that_clients_post_look_as_recorded() {
    // Given short, shown whole: the keys, their order, the defaults and the words are those of
    // events that OpenHands 0.53.0 has written.
    for (given, shown) in [
        (
            json!({"action": "run", "args": {"command": "ls", "thought": "look"}}),
            json!({"message": "Running command: ls", "action": "run", "args": {"command": "ls",
                "is_input": false, "thought": "look", "blocking": false, "is_static": false,
                "cwd": null, "hidden": false, "confirmation_state": "confirmed"}}),
        ),
        (
            json!({"action": "run_ipython", "args": {"code": "print(1)"}}),
            json!({"message": "Running Python code interactively: print(1)",
                "action": "run_ipython", "args": {"code": "print(1)", "thought": "",
                "include_extra": true, "confirmation_state": "confirmed",
                "kernel_init_code": ""}}),
        ),
        (
            json!({"action": "read", "args": {"path": "/a"}}),
            json!({"message": "Reading file: /a", "action": "read", "args": {"path": "/a",
                "start": 0, "end": -1, "thought": "", "impl_source": "default",
                "view_range": null}}),
        ),
        (
            json!({"action": "edit", "args": {"path": "/a", "command": "create"}}),
            json!({"message": "", "action": "edit", "args": {"path": "/a", "command": "create",
                "file_text": null, "old_str": null, "new_str": null, "insert_line": null,
                "content": "", "start": 1, "end": -1, "thought": "", "impl_source": "oh_aci"}}),
        ),
        (
            json!({"action": "finish", "args": {"final_thought": "bye"}}),
            json!({"message": "All done! What's next on the agenda?", "action": "finish",
                "args": {"final_thought": "bye", "outputs": {}, "thought": ""}}),
        ),
        (
            json!({"action": "recall", "args": {"recall_type": "knowledge", "query": "q"}}),
            json!({"message": "Retrieving content for: q", "action": "recall",
                "args": {"recall_type": "knowledge", "query": "q", "thought": ""}}),
        ),
        (
            json!({"action": "null"}),
            json!({"message": "No action", "action": "null", "args": {}}),
        ),
        (
            json!({"observation": "run", "content": "a.txt", "cause": 6,
                "extras": {"command": "ls", "metadata": {"exit_code": 0}}}),
            json!({"message": "Command `ls` executed with exit code 0.", "cause": 6,
                "observation": "run", "content": "a.txt", "extras": {"command": "ls", "metadata":
                {"exit_code": 0, "pid": -1, "username": null, "hostname": null,
                "working_dir": null, "py_interpreter_path": null, "prefix": "", "suffix": ""},
                "hidden": false}, "success": true}),
        ),
        (
            json!({"observation": "error", "content": "boom"}),
            json!({"message": "boom", "observation": "error", "content": "boom",
                "extras": {"error_id": ""}}),
        ),
        (
            json!({"observation": "think", "content": "Your thought has been logged."}),
            json!({"message": "Your thought has been logged.", "observation": "think",
                "content": "Your thought has been logged.", "extras": {}}),
        ),
    ] {
        let mut whole = json!({
            "id": 7, "timestamp": "2025-08-14T12:00:01.001000", "source": "user",
        });
        whole
            .as_object_mut()
            .unwrap()
            .extend(shown.as_object().unwrap().clone());
        assert_eq!(posted(&given).to_string(), whole.to_string());
    }
}

#[test]
fn a_posted_event_is_the_users_and_older_names_are_understood() {
    let shown = posted(&json!({
        "id": 3, "timestamp": "1999", "source": "agent", "action": "run", "timeout": 5,
        "args": {"command": "ls", "is_confirmed": "rejected", "keep_prompt": true},
    }));
    assert_eq!(shown["source"], "user");
    assert_eq!(shown["id"], 7);
    assert_eq!(shown["timeout"], 5);
    assert_eq!(shown["args"]["confirmation_state"], "rejected");
    assert_eq!(shown["args"].get("keep_prompt"), None);
    let shown = posted(&json!({
        "action": "message", "args": {"content": "c", "images_urls": ["u"]},
    }));
    assert_eq!(shown["args"]["image_urls"], json!(["u"]));
}

#[test]
fn a_posted_message_can_be_read_by_others_and_keeps_nothing_usual() {
    let plain = json!({"action": "message", "args": {"content": "c", "image_urls": [],
        "file_urls": null, "wait_for_response": false}});
    let Ok(content) = read(&plain) else {
        panic!("refused");
    };
    assert_eq!(content, ItemContent::message(Role::User, "c"));
}

#[tokio::test]
async fn a_wrong_event_is_told_where() {
    for (event, kind, loc) in [
        (json!(1), "dict_type", json!(["body"])),
        (json!({}), "missing", json!(["body", "action"])),
        (json!({"action": 1}), "enum", json!(["body", "action"])),
        (
            json!({"observation": "x"}),
            "enum",
            json!(["body", "observation"]),
        ),
        (
            json!({"action": "run", "args": null}),
            "dict_type",
            json!(["body", "args"]),
        ),
        (
            json!({"action": "run"}),
            "missing",
            json!(["body", "args", "command"]),
        ),
        (
            json!({"action": "think", "args": {"x": 1}}),
            "unexpected_keyword_argument",
            json!(["body", "args", "x"]),
        ),
        (
            json!({"action": "message", "args": {"content": 1}}),
            "string_type",
            json!(["body", "args", "content"]),
        ),
        (
            json!({"observation": "error", "content": 1}),
            "string_type",
            json!(["body", "content"]),
        ),
    ] {
        let said = refused(event).await;
        assert_eq!(said["detail"][0]["type"], kind);
        assert_eq!(said["detail"][0]["loc"], loc);
    }
}

#[test]
fn a_new_conversation_begins_with_four_events_and_the_message() {
    let first = ItemContent::message(Role::User, "hi");
    let kinds = |items: Vec<ItemContent>| -> Vec<String> {
        let shown = items
            .into_iter()
            .map(|content| render(&item(0, content)).unwrap());
        let kind = |event: super::Event| {
            let kind = event.get("action").or_else(|| event.get("observation"));
            kind.and_then(Value::as_str).unwrap().to_owned()
        };
        shown.map(kind).collect()
    };
    let bare = [
        "agent_state_changed",
        "system",
        "change_agent_state",
        "agent_state_changed",
    ];
    assert_eq!(kinds(opening("", None)), bare);
    assert_eq!(kinds(opening("", Some(first)))[2], "message");
}

#[test]
fn a_trajectory_has_no_screens_however_deep() {
    let mut event = json!({"extras": {"url": "u", "screenshot": "s", "a": [{"dom_object": 1}]}});
    let event = event.as_object_mut().unwrap();
    trim_for_trajectory(event);
    assert_eq!(event["extras"], json!({"url": "u", "a": [{}]}));
}

#[test]
fn hidden_is_said_in_args_or_extras() {
    let hidden = |event: Value| is_hidden(event.as_object().unwrap());
    assert!(hidden(json!({"args": {"hidden": true}})));
    assert!(hidden(json!({"extras": {"hidden": true}})));
    assert!(!hidden(json!({"args": {"hidden": false}})));
    assert!(!hidden(json!({"hidden": true})));
}

#[test]
fn a_filter_takes_what_passes_all_of_it() {
    let event = json!({"id": 1, "timestamp": "2025-08-14T12:00:01.001000", "source": "user",
        "args": {"content": "Grüße"}});
    let passes = |filter: Value| {
        EventFilter::of(filter.as_object().unwrap()).passes(event.as_object().unwrap())
    };
    assert!(passes(json!({})));
    assert!(passes(
        json!({"source": "", "query": "", "start_date": "", "end_date": null})
    ));
    assert!(passes(
        json!({"query": "\"CONTENT\": \"grÜ", "source": "user"})
    ));
    assert!(passes(json!({"query": "{\"id\": 1, \"timestamp\""})));
    assert!(!passes(json!({"query": "grusse"})));
    assert!(!passes(json!({"source": "agent"})));
    assert!(passes(
        json!({"start_date": "2025-08-14", "end_date": "2025-08-15"})
    ));
    assert!(!passes(json!({"start_date": "2025-08-15"})));
    assert!(!passes(json!({"end_date": "2025-08-14"})));
}

#[test]
fn an_event_that_is_no_object_is_not_shown() {
    let content = ItemContent {
        kind: ItemKind::Event,
        payload: Json::from(&json!([])),
        native: None,
    };
    assert_eq!(render(&item(0, content)), None);
}

proptest! {
    #[test]
    fn every_message_is_shown_as_it_was_posted(
        text: String,
        images in proptest::option::of(proptest::collection::vec("[a-z]{1,4}", 1..3)),
        wait: bool,
    ) {
        let args = json!({"content": text, "image_urls": images, "wait_for_response": wait});
        let shown = posted(&json!({"action": "message", "args": args}));
        prop_assert_eq!(&shown["message"], &json!(text));
        prop_assert_eq!(&shown["args"]["content"], &json!(text));
        prop_assert_eq!(&shown["args"]["image_urls"], &json!(images.unwrap_or_default()));
        prop_assert_eq!(&shown["args"]["wait_for_response"], &json!(wait));
    }
}
