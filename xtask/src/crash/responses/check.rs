//! Compares a response with the journal. What was unknown is known afterwards.

use serde_json::Value;

use super::calls::answer_to;
use super::{Reply, text};
use crate::crash::journal::{Answered, Kind, Presence};
use crate::crash::read::{Replied, pairs, row};

/// Everything that is wrong with a response that stands alone, in words.
pub(super) fn check(reply: &mut Reply, seen: &Replied) -> Vec<String> {
    reply.touched = false;
    let id = text(reply.id.unwrap_or_default());
    let mut wrong = Vec::new();
    match (reply.presence, seen.status) {
        (Presence::There | Presence::Leaving, 200) => reply.presence = Presence::There,
        (Presence::Leaving | Presence::Gone, 404) => {
            reply.presence = Presence::Gone;
            return wrong;
        }
        (Presence::Gone, _) => return vec![format!("{id} was deleted: {}", seen.object)],
        (presence, status) => {
            let was = if presence == Presence::There {
                "was acknowledged and is not there"
            } else {
                "may be deleted and is neither there nor gone"
            };
            return vec![format!("{id} {was}: {status} {}", seen.object)];
        }
    }
    reply.state = settled(reply.state, &seen.object).unwrap_or_else(|why| {
        wrong.push(why);
        reply.state
    });
    let wanted = match reply.state {
        Answered::Yes => vec![answer_to(&reply.input)],
        Answered::Perhaps | Answered::Failed => Vec::new(),
    };
    if said(&seen.object) != wanted {
        wrong.push("has another output".to_owned());
    }
    wrong.extend(kept(reply, seen).into_iter().map(str::to_owned));
    wrong
        .into_iter()
        .map(|what| format!("{id} {what}"))
        .collect()
}

/// What of the request is not as it was sent.
fn kept(reply: &Reply, seen: &Replied) -> Vec<&'static str> {
    let object = &seen.object;
    let is = |pointer: &str, wanted: &str| {
        object.pointer(pointer).and_then(Value::as_str) == Some(wanted)
    };
    let mut rows = seen.input.iter();
    let (first, second) = (rows.next(), rows.next());
    let asked = first.is_some_and(|row| row.kind == Kind::User && row.text == reply.input);
    let previous = reply.previous.map_or(Value::Null, |id| text(id).into());
    let checks = [
        (asked && second.is_none(), "has another input"),
        (
            is("/instructions", &reply.instructions),
            "has other instructions",
        ),
        (is("/tools/0/description", &reply.tool), "has another tool"),
        (
            is("/tools/0/parameters/properties/a/description", &reply.tool),
            "has a tool of another form",
        ),
        (
            pairs(object.get("metadata")) == reply.metadata,
            "has other metadata",
        ),
        (
            object.get("previous_response_id") == Some(&previous),
            "continues another",
        ),
        (object.get("conversation").is_none(), "is in a conversation"),
    ];
    let wrong = checks.into_iter().filter(|(is_right, _)| !is_right);
    wrong.map(|(_, what)| what).collect()
}

/// What is known of an answer whose response is this one.
pub(super) fn settled(known: Answered, object: &Value) -> Result<Answered, String> {
    let status = object.get("status").and_then(Value::as_str);
    match (known, status.unwrap_or_default()) {
        (Answered::Perhaps | Answered::Yes, "completed") => Ok(Answered::Yes),
        (Answered::Perhaps | Answered::Failed, "failed") => Ok(Answered::Failed),
        (known, status) => Err(format!("is {status}, the journal has {known:?}")),
    }
}

/// The texts of a response's output.
pub(super) fn said(object: &Value) -> Vec<String> {
    let output = object.get("output").and_then(Value::as_array);
    output
        .into_iter()
        .flatten()
        .map(|item| row(item).text)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crash::journal::{Known, Pairs};
    use crate::crash::read::{Row, RowId};

    fn reply(state: Answered) -> Reply {
        Reply {
            id: Some(7),
            previous: None,
            input: "asked".to_owned(),
            instructions: "do".to_owned(),
            tool: "look".to_owned(),
            metadata: Pairs::from([("key".to_owned(), "value".to_owned())]),
            known: Known::Acknowledged,
            state,
            presence: Presence::There,
            touched: true,
        }
    }

    fn seen(status: &str) -> Replied {
        let message = json!({
            "type": "message", "role": "assistant",
            "content": [{"type": "output_text", "text": answer_to("asked")}],
        });
        let output = if status == "completed" {
            json!([message])
        } else {
            json!([])
        };
        Replied {
            status: 200,
            object: json!({
                "status": status, "output": output, "instructions": "do", "metadata": {"key": "value"},
                "previous_response_id": null, "tools": [{
                    "description": "look",
                    "parameters": {"properties": {"a": {"description": "look"}}},
                }],
            }),
            input: vec![Row {
                id: RowId::None,
                kind: Kind::User,
                text: "asked".to_owned(),
            }],
        }
    }

    #[track_caller]
    fn complains(reply: &mut Reply, seen: &Replied, expected: &str) {
        let found = check(reply, seen);
        let named = found.iter().any(|what| what.contains(expected));
        assert!(named, "{found:?} does not say {expected:?}");
    }

    #[test]
    fn an_answer_that_was_cut_off_is_there_or_has_failed_and_stays_so() {
        for (one, other) in [("completed", "failed"), ("failed", "completed")] {
            let mut reply = reply(Answered::Perhaps);
            assert_eq!(check(&mut reply, &seen(one)), Vec::<String>::new());
            assert_eq!(check(&mut reply, &seen(one)), Vec::<String>::new());
            complains(&mut reply, &seen(other), "the journal has");
        }
    }

    #[test]
    fn a_response_without_an_end_is_a_violation() {
        complains(
            &mut reply(Answered::Perhaps),
            &seen("in_progress"),
            "is in_progress",
        );
    }

    #[test]
    fn an_acknowledged_response_that_is_lost_is_a_violation() {
        let mut lost = seen("completed");
        lost.status = 404;
        complains(&mut reply(Answered::Yes), &lost, "and is not there");
        lost.status = 500;
        complains(&mut reply(Answered::Yes), &lost, "and is not there");
    }

    #[test]
    fn a_response_whose_delete_had_no_answer_is_there_or_not_and_stays_so() {
        let mut gone = seen("completed");
        gone.status = 404;
        for (one, other) in [(&gone, &seen("completed")), (&seen("completed"), &gone)] {
            let mut reply = reply(Answered::Yes);
            reply.presence = Presence::Leaving;
            assert_eq!(check(&mut reply, one), Vec::<String>::new());
            assert_ne!(check(&mut reply, other), Vec::<String>::new());
        }
    }

    #[test]
    fn whatever_was_said_with_it_has_to_be_there() {
        for (pointer, expected) in [
            ("/output/0/content/0/text", "another output"),
            ("/instructions", "other instructions"),
            ("/metadata/key", "other metadata"),
            ("/previous_response_id", "continues another"),
            ("/tools/0/description", "another tool"),
            (
                "/tools/0/parameters/properties/a/description",
                "of another form",
            ),
        ] {
            let mut changed = seen("completed");
            *changed.object.pointer_mut(pointer).expect("it is there") = json!("!");
            complains(&mut reply(Answered::Yes), &changed, expected);
        }
        let mut changed = seen("completed");
        changed.input.clear();
        complains(&mut reply(Answered::Yes), &changed, "another input");
    }
}
