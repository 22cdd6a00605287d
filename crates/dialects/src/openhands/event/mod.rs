//! Events: items as OpenHands shows them, and back.
//!
//! Key order and defaults are those of OpenHands 0.53.0 `events/serialization/event.py`; recorded
//! samples of every shape are in the tests.

pub(super) mod filter;
mod posted;
mod shape;

use parlance_domain::{Item, ItemContent, ItemKind, Json, Role, Timestamp, TurnFailure, TurnState};
use serde_json::{Map, Value, json};

use super::{NAME, VERSION, convert};

pub(super) use posted::read;

/// Keys of `extras` that a trajectory leaves out: what a browser has on its screen.
const BROWSER_EXTRAS: &[&str] = &[
    "dom_object",
    "axtree_object",
    "active_page_index",
    "last_browser_action",
    "last_browser_action_error",
    "focused_element_bid",
    "extra_element_properties",
    "screenshot",
    "set_of_marks",
];

/// An event as a client sees it.
pub(super) type Event = Map<String, Value>;

/// An item as an event; none if it is of a kind that this dialect does not show.
pub(super) fn render(item: &Item) -> Option<Event> {
    let mut event = Event::new();
    event.insert("id".to_owned(), item.seq.into());
    let at: Timestamp = item.created_at();
    event.insert("timestamp".to_owned(), convert::naive_time(at).into());
    match &item.content.kind {
        ItemKind::Event => match item.content.payload.value() {
            Value::Object(payload) => event.extend(payload),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => return None,
        },
        ItemKind::Message(Role::User) => event.extend(message("user", &item.content)),
        ItemKind::Message(Role::Assistant) => {
            event.extend(message("agent", &item.content));
            if item.turn.is_some() {
                add_metrics(&mut event);
            }
        }
        ItemKind::Message(Role::System | Role::Developer | Role::Other) | ItemKind::Typed(_) => {
            return None;
        }
    }
    Some(event)
}

/// What a message's event has beside id and time. An assistant's waits for an answer and has no
/// list of images.
fn message(source: &str, content: &ItemContent) -> Event {
    let text = content.text();
    let from_agent = source == "agent";
    let images = if from_agent { Value::Null } else { json!([]) };
    let mut args = object(json!({
        "content": text, "file_urls": null, "image_urls": images, "wait_for_response": from_agent,
    }));
    if let Some(Value::Object(native)) = content.native_of(NAME).map(Json::value) {
        args.extend(native);
    }
    object(json!({"source": source, "message": text, "action": "message", "args": args}))
}

/// Adds what an answer has cost, before its arguments: nothing, as far as Parlance knows. What a turn really
/// took is told in the dialects that tell it by turn; here it is a sum over the conversation.
fn add_metrics(event: &mut Event) {
    let args = event.shift_remove("args");
    let metrics = json!({
        "accumulated_cost": 0.0,
        "max_budget_per_task": null,
        "accumulated_token_usage": {
            "model": "default", "prompt_tokens": 0, "completion_tokens": 0,
            "cache_read_tokens": 0, "cache_write_tokens": 0, "context_window": 0,
            "per_turn_token": 0, "response_id": "",
        },
        "costs": [], "response_latencies": [], "token_usages": [],
    });
    event.insert("llm_metrics".to_owned(), metrics);
    event.extend(args.map(|args| ("args".to_owned(), args)));
}

/// Whether an event is marked as not to be shown.
pub(super) fn is_hidden(event: &Event) -> bool {
    ["args", "extras"].iter().any(|part| {
        let hidden = event.get(*part).and_then(|part| part.get("hidden"));
        hidden.and_then(Value::as_bool) == Some(true)
    })
}

/// Removes what a trajectory leaves out.
pub(super) fn trim_for_trajectory(event: &mut Event) {
    if let Some(extras) = event.get_mut("extras") {
        remove_browser_extras(extras);
    }
}

fn remove_browser_extras(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !BROWSER_EXTRAS.contains(&name.as_str()));
            fields.values_mut().for_each(remove_browser_extras);
        }
        Value::Array(values) => values.iter_mut().for_each(remove_browser_extras),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A message of the user's. `args` is what the message says beside its text; images are parts of the
/// message as well, for models and for the other dialects.
pub(super) fn user_message(text: &str, args: Event) -> ItemContent {
    let mut content = ItemContent::message(Role::User, text);
    let images = args.get("image_urls").and_then(Value::as_array);
    let images: Vec<Value> = images.into_iter().flatten().map(image).collect();
    if !images.is_empty() {
        let mut payload = content.payload.value();
        if let Some(Value::Array(parts)) = payload.get_mut("content") {
            parts.extend(images);
        }
        content.payload = Json::from(&payload);
    }
    if !args.is_empty() {
        content.native = Some(parlance_domain::Native {
            dialect: NAME.to_owned(),
            json: Json::from(&Value::Object(args)),
        });
    }
    content
}

fn image(url: &Value) -> Value {
    json!({"type": "input_image", "detail": "auto", "image_url": url})
}

/// An item that is an event and no message.
fn item(event: &Value) -> ItemContent {
    ItemContent {
        kind: ItemKind::Event,
        payload: Json::from(event),
        native: None,
    }
}

/// The state of an agent that waits for the user.
const READY: &str = "awaiting_user_input";
const RUNNING: &str = "running";

/// The events of a new conversation, in the recorded order. With something to answer the agent is told to
/// run, and [`running`] comes next; otherwise it waits.
pub(super) fn opening(instructions: &str, first: Option<ItemContent>) -> Vec<ItemContent> {
    let system = json!({
        "source": "agent", "message": instructions, "action": "system", "args": {
            "content": instructions, "tools": null, "openhands_version": VERSION,
            "agent_class": "CodeActAgent",
        },
    });
    let to = if first.is_some() { RUNNING } else { READY };
    let change = json!({
        "source": "environment", "message": format!("Agent state changed to {to}"),
        "action": "change_agent_state", "args": {"agent_state": to, "thought": ""},
    });
    let waits = first.is_none().then(|| state(READY, ""));
    let mut items = vec![state("loading", ""), item(&system)];
    items.extend(first);
    items.push(item(&change));
    items.extend(waits);
    items
}

/// What a turn begins with.
pub(super) fn running() -> ItemContent {
    state(RUNNING, "")
}

/// What a turn ends with. The reasons are those of OpenHands's controller (`_react_to_exception`).
pub(super) fn closing(how: TurnState, said: Option<&str>) -> ItemContent {
    let why = match how {
        TurnState::Running | TurnState::Completed | TurnState::Incomplete(_) => {
            return state(READY, "");
        }
        TurnState::Cancelled => return state("stopped", ""),
        TurnState::Failed(why) => why,
    };
    let reason = match why {
        TurnFailure::Busy => return state("rate_limited", ""),
        TurnFailure::Upstream => "STATUS$ERROR_LLM_SERVICE_UNAVAILABLE",
        TurnFailure::Refused => {
            let said = said.unwrap_or("the model's server refused the request");
            return state("error", &format!("BadRequestError: {said}"));
        }
        TurnFailure::Interrupted => "RuntimeError: the server was stopped",
        TurnFailure::TooLong => "RuntimeError: the answer was longer than allowed",
        TurnFailure::Internal => "RuntimeError: internal error",
    };
    state("error", reason)
}

fn state(state: &str, reason: &str) -> ItemContent {
    item(&json!({
        "source": "environment", "message": "", "observation": "agent_state_changed",
        "content": "", "extras": {"agent_state": state, "reason": reason},
    }))
}

/// The fields of a value that is known to be an object.
fn object(value: Value) -> Event {
    match value {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Event::new()
        }
    }
}

#[cfg(test)]
mod tests;
