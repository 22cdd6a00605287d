//! What a model is given to read.

use serde_json::{Value, json};

use super::super::super::items::ItemDraft;
use super::super::context::{Overflow, Past, text_tokens};
use crate::fault::Fault;
use crate::json::Json;
use crate::model::{ItemContent, ItemKind, ItemType, Role};
use crate::upstream::{ModelMessage, ModelPart, ToolCall};

fn typed(payload: &Value) -> ItemDraft {
    let name = payload["type"].as_str().unwrap();
    let content = ItemContent {
        kind: ItemKind::Typed(ItemType::parse(name).unwrap()),
        payload: Json::from(payload),
        native: None,
    };
    content.into()
}

fn said(role: Role, text: &str) -> ItemDraft {
    ItemContent::message(role, text).into()
}

fn message(role: Role, text: &str) -> ModelMessage {
    ModelMessage::text(role, text)
}

fn call(call_id: &str, status: &str) -> ItemDraft {
    typed(&json!({
        "type": "function_call", "status": status, "call_id": call_id, "name": "f", "arguments": "{}",
    }))
}

fn output(call_id: &str) -> ItemDraft {
    typed(&json!({"type": "function_call_output", "call_id": call_id, "output": "21 degrees"}))
}

fn read(items: &[ItemDraft]) -> (Vec<ModelMessage>, Option<String>) {
    let mut past = Past::new(10_000, Overflow::LeaveOut);
    past.add_input(items).unwrap();
    past.messages()
}

#[test]
fn calls_and_their_outputs_are_read_in_their_order() {
    let (messages, missing) = read(&[
        said(Role::User, "weather?"),
        call("call_1", "completed"),
        output("call_1"),
    ]);
    let called = ToolCall {
        call_id: "call_1".to_owned(),
        name: "f".to_owned(),
        arguments: "{}".to_owned(),
    };
    let gave = ModelMessage::ToolOutput {
        call_id: "call_1".to_owned(),
        parts: vec![ModelPart::Text("21 degrees".to_owned())],
    };
    let all = [
        message(Role::User, "weather?"),
        ModelMessage::Called(called),
        gave,
    ];
    assert_eq!(messages, all);
    assert_eq!(missing, None);
}

#[test]
fn a_call_without_output_is_named_and_not_read() {
    let (messages, missing) = read(&[
        call("call_1", "completed"),
        call("call_2", "completed"),
        output("call_1"),
        said(Role::User, "well?"),
    ]);
    assert_eq!(missing.as_deref(), Some("call_2"));
    assert_eq!(messages.len(), 3);
}

#[test]
fn outputs_of_no_call_and_calls_that_were_cut_off_are_not_read() {
    let (messages, missing) = read(&[
        output("call_0"),
        call("call_1", "incomplete"),
        said(Role::User, "well?"),
    ]);
    assert_eq!(messages, [message(Role::User, "well?")]);
    assert_eq!(missing, None);
}

#[test]
fn images_files_and_sound_are_read_and_what_we_cannot_fetch_is_not() {
    let content = json!({"type": "message", "role": "user", "content": [
        {"type": "input_text", "text": "see"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
    ]});
    let item = ItemContent {
        kind: ItemKind::Message(Role::User),
        payload: Json::from(&content),
        native: None,
    };
    let (messages, _) = read(&[item.into()]);
    let parts = vec![
        ModelPart::Text("see".to_owned()),
        ModelPart::Image {
            url: "data:image/png;base64,AA".to_owned(),
            detail: Some("low".to_owned()),
        },
        ModelPart::File {
            name: Some("a.pdf".to_owned()),
            data: "data:application/pdf;base64,AA".to_owned(),
        },
        ModelPart::Audio {
            data: "AA".to_owned(),
            format: "wav".to_owned(),
        },
    ];
    let role = Role::User;
    assert_eq!(messages, [ModelMessage::Said { role, parts }]);
}

#[test]
fn the_oldest_is_left_out_where_there_is_no_room_and_the_newest_never() {
    let long = "word ".repeat(400);
    let items = [
        said(Role::User, &long),
        said(Role::Assistant, "short"),
        said(Role::User, "newest"),
    ];
    let mut past = Past::new(100, Overflow::LeaveOut);
    past.add_input(&items).unwrap();
    let kept = [
        message(Role::Assistant, "short"),
        message(Role::User, "newest"),
    ];
    assert_eq!(past.messages().0, kept);
    let mut past = Past::new(100, Overflow::Refuse);
    let refused = past.add_input(&items).unwrap_err().fault;
    assert_eq!(refused, Fault::ContextTooLong { tokens_max: 100 });
    let mut past = Past::new(100, Overflow::LeaveOut);
    past.add_input(&[said(Role::User, &long)]).unwrap();
    assert_eq!(past.messages().0.len(), 1);
}

#[test]
fn tokens_are_counted_by_letters_and_by_other_characters() {
    assert_eq!(text_tokens(""), 0);
    assert_eq!(text_tokens("abcd efg"), 2);
    assert_eq!(text_tokens("会話を消す"), 5);
}
