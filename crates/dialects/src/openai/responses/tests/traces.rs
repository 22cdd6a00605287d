//! What OpenAI was recorded to answer, rendered from the same requests and the same words.
//!
//! The recordings are no part of the repository. They are looked for beside it, or where `PARLANCE_SPECS` says; where
//! they are not, nothing is compared.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parlance_domain::service::{Begun, OutputKind, PieceKind, TurnEnd, TurnEvent};
use parlance_domain::{
    ConversationId, Cutoff, Id, ItemContent, ItemId, ItemKind, ItemType, Json, NewItem, Role,
    Timestamp, TurnId, TurnState, Usage,
};
use serde_json::{Map, Value};

use crate::kit::Failure;
use crate::openai::responses::kept::Kept;
use crate::openai::responses::object::{self, Form, Head, Standing};
use crate::openai::responses::request::Request;
use crate::openai::responses::stream::Encoder;

fn traces() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/specs");
    let specs = std::env::var_os("PARLANCE_SPECS").map_or(beside, PathBuf::from);
    let traces = specs.join("openai/traces");
    traces.is_dir().then_some(traces)
}

/// All pairs of a request's and an answer's files, of both groups of recordings.
fn pairs(ending: &str) -> Vec<(String, Value, String)> {
    let mut pairs = Vec::new();
    let Some(traces) = traces() else {
        return pairs;
    };
    for group in ["Responses", "Conversations"] {
        for case in std::fs::read_dir(traces.join(group)).unwrap() {
            let case = case.unwrap().path();
            for stem in ["", "first_message_", "second_message_"] {
                let request = case.join(format!("{stem}request.json"));
                let answer = case.join(format!("{stem}response.{ending}"));
                let read = |path| std::fs::read_to_string(path).ok();
                let (Some(request), Some(answer)) = (read(request), read(answer)) else {
                    continue;
                };
                let request: Value = serde_json::from_str(&request).unwrap();
                if request.get("model").is_some() {
                    pairs.push((format!("{}/{stem}", case.display()), request, answer));
                }
            }
        }
    }
    assert!(!pairs.is_empty(), "the recordings are there");
    pairs
}

/// Without what differs from answer to answer, and without the two fields that are newer than the recordings.
fn plain(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for name in ["completed_at", "cache_write_tokens"] {
                map.shift_remove(name);
            }
            for (key, value) in map.iter_mut() {
                match (key.as_str(), &*value) {
                    ("id" | "item_id" | "previous_response_id", Value::String(id)) => {
                        *value = id.split('_').next().unwrap_or_default().into();
                    }
                    ("created_at", _) => *value = 0.into(),
                    ("model", _) => *value = "m".into(),
                    ("obfuscation", Value::String(filler)) => *value = filler.len().into(),
                    _ => plain(value),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(plain),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn plain_text(json: &str) -> String {
    let mut value: Value = serde_json::from_str(json).unwrap();
    plain(&mut value);
    serde_json::to_string_pretty(&value).unwrap()
}

fn turn() -> TurnId {
    TurnId::from_bits(1)
}

fn head(kept: Kept, answer: &Value) -> Head {
    let has = |name: &str| answer.get(name).is_some_and(|value| !value.is_null());
    Head {
        turn: turn(),
        created_at: Timestamp::from_millis(0),
        conversation: has("conversation").then(|| ConversationId::from_bits(2)),
        previous: has("previous_response_id").then(turn),
        model: "m".to_owned(),
        kept,
    }
}

fn item(value: &Value) -> NewItem {
    let mut payload: Map<String, Value> = value.as_object().unwrap().clone();
    payload.shift_remove("id");
    let kind = match value["type"].as_str().unwrap() {
        "message" => ItemKind::Message(Role::Assistant),
        other => ItemKind::Typed(ItemType::parse(other).unwrap()),
    };
    NewItem {
        id: ItemId::from_bits(3),
        alias: None,
        content: ItemContent {
            kind,
            payload: Json::from(&Value::Object(payload)),
            native: None,
        },
    }
}

/// How the recorded response ended.
fn end(answer: &Value) -> TurnEnd {
    let state = match answer["status"].as_str().unwrap() {
        "completed" => TurnState::Completed,
        "incomplete" => TurnState::Incomplete(Cutoff::Length),
        other => panic!("{other}"),
    };
    let count = |pointer: &str| answer.pointer(pointer).and_then(Value::as_u64).unwrap();
    let output = answer["output"].as_array().unwrap();
    TurnEnd {
        output: output.iter().map(|value| Arc::new(item(value))).collect(),
        usage: Usage {
            input_tokens: count("/usage/input_tokens"),
            cached_tokens: count("/usage/input_tokens_details/cached_tokens"),
            output_tokens: count("/usage/output_tokens"),
            reasoning_tokens: count("/usage/output_tokens_details/reasoning_tokens"),
        },
        ..TurnEnd::of(state, Timestamp::from_millis(0))
    }
}

fn read(request: &Value) -> Result<Request, Failure> {
    // The ids of the vendor are longer than ours.
    let mut request = request.clone();
    let map = request.as_object_mut().unwrap();
    let zeros = "0".repeat(32);
    if map.contains_key("previous_response_id") {
        map.insert(
            "previous_response_id".to_owned(),
            format!("resp_{zeros}").into(),
        );
    }
    if map.contains_key("conversation") {
        map.insert("conversation".to_owned(), format!("conv_{zeros}").into());
    }
    let raw = Bytes::from(request.to_string());
    Request::read(&raw, request.as_object().unwrap())
}

fn said(failure: Failure) -> Value {
    let Failure::Answer(response) = failure else {
        panic!("a rendered answer");
    };
    let body = axum::body::to_bytes(response.into_body(), usize::MAX);
    let body = futures_util::FutureExt::now_or_never(body)
        .unwrap()
        .unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn recorded_responses_are_rendered_as_recorded() {
    for (case, request, answer) in pairs("json") {
        let recorded: Value = serde_json::from_str(&answer).unwrap();
        match read(&request) {
            Ok(request) => {
                let head = head(request.kept, &recorded);
                let standing = Standing::ended(&end(&recorded));
                let ours = Json::of(&object::response(&head, &standing, Form::Whole)).unwrap();
                let (ours, theirs) = (plain_text(ours.text()), plain_text(&answer));
                assert_eq!(ours, theirs, "{case}");
            }
            Err(failure) => {
                let mut ours = said(failure);
                // The vendor's text has lost a name.
                ours["error"]["message"] = recorded["error"]["message"].clone();
                assert_eq!(ours, recorded, "{case}");
            }
        }
    }
}

/// What happened in the turn whose events were recorded.
fn happened(events: &[Value]) -> Vec<TurnEvent> {
    let mut happened = Vec::new();
    for event in events {
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        let next = match event["type"].as_str().unwrap() {
            "response.output_item.added" => TurnEvent::Begun(Arc::new(Begun {
                index: usize::try_from(event["output_index"].as_u64().unwrap()).unwrap(),
                id: ItemId::from_bits(3),
                what: match event["item"]["type"].as_str().unwrap() {
                    "message" => OutputKind::Message,
                    "reasoning" => OutputKind::Reasoning,
                    other => panic!("{other}"),
                },
            })),
            "response.output_text.delta" => TurnEvent::Piece {
                kind: PieceKind::Text,
                text: text("delta"),
            },
            "response.output_item.done" => TurnEvent::Done(Arc::new(item(&event["item"]))),
            "response.completed" | "response.incomplete" => {
                TurnEvent::Ended(Arc::new(end(&event["response"])))
            }
            _ => continue,
        };
        happened.push(next);
    }
    happened
}

#[test]
fn recorded_streams_are_told_as_recorded() {
    for (case, request, answer) in pairs("txt") {
        let theirs: Vec<&str> = answer.lines().filter(|line| !line.is_empty()).collect();
        let data = theirs.iter().filter_map(|line| line.strip_prefix("data: "));
        let events: Vec<Value> = data
            .map(|data| serde_json::from_str(data).unwrap())
            .collect();
        let request = read(&request).unwrap_or_else(|_| panic!("{case}"));
        assert!(request.stream && request.obfuscates, "{case}");
        let head = head(request.kept, &events[0]["response"]);
        let mut encoder = Encoder::new(head, true, None);
        let mut ours = Vec::new();
        encoder.begin(&mut ours);
        for event in happened(&events) {
            encoder.take(&event, &mut ours);
        }
        let ours = String::from_utf8(ours).unwrap();
        let ours: Vec<&str> = ours.lines().filter(|line| !line.is_empty()).collect();
        for (ours, theirs) in ours.iter().zip(&theirs) {
            match (ours.strip_prefix("data: "), theirs.strip_prefix("data: ")) {
                (Some(ours), Some(theirs)) => {
                    assert_eq!(plain_text(ours), plain_text(theirs), "{case}");
                }
                _ => assert_eq!(ours, theirs, "{case}"),
            }
        }
        assert_eq!(ours.len(), theirs.len(), "{case}");
    }
}
