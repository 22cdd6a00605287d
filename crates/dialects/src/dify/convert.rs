//! Between the wire and the domain: ids, queries, conversations.

use parlance_domain::{
    Conversation, ConversationRef, Error, Fault, Id, Json, Order, Reason, Ref, Sort, check_rows,
};
use serde_json::{Map, Value, json};

use crate::dify::Dify;
use crate::kit::{Dialect, Query};

/// Rows of a page, unless asked otherwise.
const LIMIT_DEFAULT: u32 = 20;
const LIMIT_MAX: u32 = 100;
const SORTS: &[&str] = &["created_at", "-created_at", "updated_at", "-updated_at"];
/// The name of a conversation that has none, made in a dialect without titles: Dify's own for one
/// that is not named yet.
const UNNAMED: &str = "New conversation";
/// Characters of the first question that name a conversation
/// (`api/core/app/apps/message_based_app_generator.py`).
const NAME_CHARS: usize = 20;

/// Reads a UUID as Python's `uuid.UUID` does, with dashes or without.
pub(super) fn uuid<I: Id>(text: &str) -> Option<Ref<I>> {
    Ref::from_dashed(text).or_else(|| Ref::from_hex(text))
}

/// The conversation in a path. What is no dashed UUID is no such path: Dify's router knows no other.
pub(super) fn path_conversation(text: &str) -> Result<ConversationRef, Error> {
    Ref::from_dashed(text).ok_or_else(|| Fault::NoSuchRoute.into())
}

/// A UUID at `field`; a blank one is none.
pub(super) fn optional_uuid<I: Id>(
    field: &str,
    text: Option<&str>,
) -> Result<Option<Ref<I>>, Error> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let why = Reason::Malformed { expected: "a UUID" };
    let read = uuid(text).ok_or_else(|| Error::invalid(field, why));
    read.map(Some)
}

/// The `limit` of a query, 1 to 100.
pub(super) fn limit(query: &Query) -> Result<u32, Error> {
    let Some(text) = query.get("limit") else {
        return Ok(LIMIT_DEFAULT);
    };
    let no_number = |_| Reason::Malformed {
        expected: "an integer",
    };
    text.trim()
        .parse()
        .map_err(no_number)
        .and_then(|number| check_rows(number, 1, LIMIT_MAX))
        .map_err(|why| Error::invalid("limit", why))
}

/// The `sort_by` of a query; last changed first unless it says otherwise.
pub(super) fn sort(query: &Query) -> Result<(Sort, Order), Error> {
    match query.get("sort_by") {
        None | Some("-updated_at") => Ok((Sort::Updated, Order::NewestFirst)),
        Some("updated_at") => Ok((Sort::Updated, Order::OldestFirst)),
        Some("created_at") => Ok((Sort::Created, Order::OldestFirst)),
        Some("-created_at") => Ok((Sort::Created, Order::NewestFirst)),
        Some(other) => {
            let why = Reason::NotOneOf {
                got: other.to_owned(),
                allowed: SORTS,
            };
            Err(Error::invalid("sort_by", why))
        }
    }
}

/// A page on the wire.
pub(super) fn page(limit: u32, has_more: bool, data: &[Value]) -> Value {
    json!({"limit": limit, "has_more": has_more, "data": data})
}

/// A conversation on the wire.
pub(super) fn conversation(conversation: &Conversation) -> Value {
    json!({
        "id": conversation.id.dashed(),
        "name": conversation.title.as_deref().unwrap_or(UNNAMED),
        "inputs": inputs(conversation.extras.get(Dify::NAME)),
        "status": "normal",
        "introduction": "",
        "created_at": conversation.created_at().seconds(),
        "updated_at": conversation.updated_at.seconds(),
    })
}

/// What Dify keeps of inputs; nothing where there are none.
pub(super) fn kept_inputs(inputs: &Map<String, Value>) -> Option<Json> {
    (!inputs.is_empty()).then(|| Json::from(&json!({"inputs": inputs})))
}

/// The inputs among what Dify has kept.
pub(super) fn inputs(kept: Option<&Json>) -> Value {
    let inputs = kept.and_then(|kept| kept.value().get("inputs").cloned());
    inputs.unwrap_or_else(|| json!({}))
}

/// The name that a question gives to its conversation.
pub(super) fn name(question: &str) -> String {
    let mut name: String = question.chars().take(NAME_CHARS).collect();
    if name.len() < question.len() {
        name.push('…');
    }
    name
}
