//! Events: items as OpenHands shows them, and back.
//!
//! Key order and defaults are those of OpenHands 0.53.0 `events/serialization/event.py`; recorded
//! samples of every shape are in the tests.

pub(super) mod filter;
mod posted;
mod shape;

use parlance_domain::{Item, ItemContent, ItemKind, Json, Role, Timestamp};
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
        ItemKind::Message(Role::Assistant) => event.extend(message("agent", &item.content)),
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

/// A message of the user's. `args` is what the message says beside its text.
pub(super) fn user_message(text: &str, args: Event) -> ItemContent {
    let mut content = ItemContent::message(Role::User, text);
    if !args.is_empty() {
        content.native = Some(parlance_domain::Native {
            dialect: NAME.to_owned(),
            json: Json::from(&Value::Object(args)),
        });
    }
    content
}

/// An item that is an event and no message.
fn item(event: &Value) -> ItemContent {
    ItemContent {
        kind: ItemKind::Event,
        payload: Json::from(event),
        native: None,
    }
}

/// The events of a new conversation, in the recorded order; the user's first message, if there is
/// one, stands where the agent finds it when it is ready.
pub(super) fn opening(instructions: &str, first: Option<ItemContent>) -> Vec<ItemContent> {
    const READY: &str = "awaiting_user_input";
    let system = json!({
        "source": "agent", "message": instructions, "action": "system", "args": {
            "content": instructions, "tools": null, "openhands_version": VERSION,
            "agent_class": "CodeActAgent",
        },
    });
    let change = json!({
        "source": "environment", "message": format!("Agent state changed to {READY}"),
        "action": "change_agent_state", "args": {"agent_state": READY, "thought": ""},
    });
    let mut items = vec![item(&state("loading")), item(&system)];
    items.extend(first);
    items.extend([item(&change), item(&state(READY))]);
    items
}

fn state(state: &str) -> Value {
    json!({
        "source": "environment", "message": "", "observation": "agent_state_changed",
        "content": "", "extras": {"agent_state": state, "reason": ""},
    })
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
