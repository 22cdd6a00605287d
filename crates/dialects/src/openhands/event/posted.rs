//! Events that clients post.
//!
//! OpenHands builds an object of the event's class, which drops what it does not know at the top,
//! refuses unknown or missing arguments with a 500, fills in defaults, and words the message anew.
//! The same is done here, with 422 and the fields' names instead.

use parlance_domain::ItemContent;
use serde_json::{Value, json};

use super::shape::{ACTIONS, Absent, Arg, Kind, OBSERVATIONS, action_message};
use super::shape::{observation_message, success};
use super::{Event, item, object, user_message};
use crate::kit::Failure;
use crate::openhands::validate::{DICT_TYPE, MISSING, Problems, STRING_TYPE, UNEXPECTED};

/// Arguments that old clients send and that say nothing any more.
const OBSOLETE_ARGS: &[&str] = &[
    "timestamp",
    "keep_prompt",
    "task_completed",
    "translated_ipython_code",
];
/// Arguments under their older names.
const RENAMED_ARGS: &[(&str, &str)] = &[
    ("is_confirmed", "confirmation_state"),
    ("images_urls", "image_urls"),
];

/// Reads a posted event as an item of the user's.
pub(in crate::openhands) fn read(body: &Value) -> Result<ItemContent, Failure> {
    let mut problems = Problems::default();
    let read = posted(&mut problems, body);
    problems.none()?;
    Ok(read.unwrap_or_else(|| item(&Value::Null)))
}

/// None, and a problem, if something is wrong.
fn posted(problems: &mut Problems, body: &Value) -> Option<ItemContent> {
    let loc = vec![Value::from("body")];
    if !body.is_object() {
        problems.add(&loc, DICT_TYPE, body);
        return None;
    }
    if body.get("action").is_some() {
        let (kind, shape) = kind(problems, body, "action", ACTIONS)?;
        return action(problems, body, kind, shape);
    }
    if body.get("observation").is_some() {
        let (kind, shape) = kind(problems, body, "observation", OBSERVATIONS)?;
        return observation(problems, body, kind, shape);
    }
    problems.add(&["body".into(), "action".into()], MISSING, body);
    None
}

fn kind(problems: &mut Problems, body: &Value, name: &str, kinds: &[Kind]) -> Option<Kind> {
    let given = body.get(name)?;
    let known = |text: &str| kinds.iter().find(|(kind, _)| *kind == text).copied();
    let found = given.as_str().and_then(known);
    if found.is_none() {
        let allowed: Vec<&str> = kinds.iter().map(|(kind, _)| *kind).collect();
        problems.one_of(&["body".into(), name.into()], given, &allowed);
    }
    found
}

fn action(
    problems: &mut Problems,
    body: &Value,
    kind: &'static str,
    shape: Option<&[Arg]>,
) -> Option<ItemContent> {
    let mut args = part(problems, body, "args")?;
    args.retain(|name, _| !OBSOLETE_ARGS.contains(&name.as_str()));
    for (old, new) in RENAMED_ARGS {
        if let Some(value) = args.shift_remove(*old).filter(|value| !value.is_null()) {
            args.insert((*new).to_owned(), value);
        }
    }
    let args = shaped(problems, "args", args, shape);
    if kind == "message" {
        return Some(message(args));
    }
    let mut event = head(body, &action_message(kind, &args));
    event.insert("action".to_owned(), kind.into());
    carry(body, &mut event);
    event.insert("args".to_owned(), args.into());
    if let Some(timeout) = body.get("timeout").filter(|timeout| timeout.is_number()) {
        event.insert("timeout".to_owned(), timeout.clone());
    }
    Some(item(&event.into()))
}

/// A message, with what it says beside its text where that is not what all messages say.
fn message(mut args: Event) -> ItemContent {
    let text = args.shift_remove("content").unwrap_or_default();
    let usual = object(json!({"file_urls": null, "image_urls": [], "wait_for_response": false}));
    args.retain(|name, value| !value.is_null() && usual.get(name) != Some(value));
    user_message(text.as_str().unwrap_or_default(), args)
}

fn observation(
    problems: &mut Problems,
    body: &Value,
    kind: &'static str,
    shape: Option<&[Arg]>,
) -> Option<ItemContent> {
    let content = body.get("content").cloned().unwrap_or_else(|| "".into());
    let Some(text) = content.as_str() else {
        let loc = ["body".into(), "content".into()];
        problems.add(&loc, STRING_TYPE, &content);
        return None;
    };
    let extras = part(problems, body, "extras")?;
    let extras = shaped(problems, "extras", extras, shape);
    let mut event = head(body, &observation_message(kind, text, &extras));
    event.insert("observation".to_owned(), kind.into());
    carry(body, &mut event);
    let success = success(kind, &extras);
    event.insert("content".to_owned(), content);
    event.insert("extras".to_owned(), extras.into());
    if let Some(success) = success {
        event.insert("success".to_owned(), success.into());
    }
    Some(item(&event.into()))
}

/// The object under `name`, empty if there is none.
fn part(problems: &mut Problems, body: &Value, name: &str) -> Option<Event> {
    match body.get(name) {
        None => Some(Event::new()),
        Some(Value::Object(part)) => Some(part.clone()),
        Some(other) => {
            problems.add(&["body".into(), name.into()], DICT_TYPE, other);
            None
        }
    }
}

/// Checks a part of an event, and puts it into the order of its class, with its defaults.
fn shaped(problems: &mut Problems, part: &str, given: Event, shape: Option<&[Arg]>) -> Event {
    let Some(shape) = shape else {
        return given;
    };
    let at = |name: &str| vec!["body".into(), part.into(), name.into()];
    let mut whole = Event::new();
    for arg in shape {
        let value = match (given.get(arg.name), &arg.absent) {
            (None | Some(Value::Null), Absent::LeftOut) => continue,
            (Some(value), absent) => {
                problems.check(&mut at(arg.name), value, &arg.schema);
                completed(value, absent)
            }
            (None, Absent::Is(json)) => serde_json::from_str(json).unwrap_or_default(),
            (None, Absent::Refused) => {
                problems.add(&at(arg.name), MISSING, &given.clone().into());
                continue;
            }
        };
        whole.insert(arg.name.to_owned(), value);
    }
    for (name, value) in &given {
        if !shape.iter().any(|arg| arg.name == name) {
            problems.add(&at(name), UNEXPECTED, value);
        }
    }
    whole
}

/// A value; of an object, with the fields that its default has beyond it.
fn completed(value: &Value, absent: &Absent) -> Value {
    match (value, absent) {
        (Value::Object(given), Absent::Is(json)) => {
            let mut whole: Event = serde_json::from_str(json).unwrap_or_default();
            whole.extend(given.clone());
            whole.into()
        }
        _ => value.clone(),
    }
}

/// What every posted event begins with: it is the user's, whoever it says it is from.
fn head(body: &Value, message: &str) -> Event {
    let mut event = Event::new();
    event.insert("source".to_owned(), "user".into());
    event.insert("message".to_owned(), message.into());
    if let Some(cause) = body.get("cause").filter(|cause| cause.is_i64()) {
        event.insert("cause".to_owned(), cause.clone());
    }
    event
}

/// Copies what is kept as it came.
fn carry(body: &Value, event: &mut Event) {
    for name in ["tool_call_metadata", "llm_metrics"] {
        if let Some(value) = body.get(name).filter(|value| !value.is_null()) {
            event.insert(name.to_owned(), value.clone());
        }
    }
}
