//! Between the wire and the domain: ids, queries, conversations.

use parlance_domain::{
    Conversation, ConversationId, ConversationRef, Cursor, Error, Fault, Id, Item, Json, Metadata,
    Noun, Order, Reason, Ref, TurnId, check_rows,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::item;

use crate::kit::Query;
use crate::kit::fields::{Fields, kind};

/// What a conversation's id begins with.
pub(super) const CONVERSATION_PREFIX: &str = "conv_";
/// What a response's id begins with.
const RESPONSE_PREFIX: &str = "resp_";
/// Rows of a page, unless asked otherwise.
const LIMIT_DEFAULT: u32 = 20;
const LIMIT_MAX: u32 = 100;
const ORDERS: &[&str] = &["asc", "desc"];
/// What `include` can name. Items are given back whole, so that including changes nothing.
const INCLUDABLE: &[&str] = &[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
];

/// Reads a conversation's id. One that could be ours but is not is not found; one that could never
/// be is invalid.
pub(super) fn conversation_id(text: &str) -> Result<ConversationRef, Error> {
    named_conversation("conversation_id", text)
}

/// The same, where `field` names the conversation.
pub(super) fn named_conversation(field: &str, text: &str) -> Result<ConversationRef, Error> {
    let expected = "an ID that begins with 'conv_'";
    let tail = tail(field, text, (CONVERSATION_PREFIX, expected))?;
    ConversationRef::from_hex(tail).ok_or_else(|| Fault::NotFound(Noun::Conversation).into())
}

/// Reads a response's id in the same way, where `field` names it.
pub(super) fn response_id(field: &str, text: &str) -> Result<Ref<TurnId>, Error> {
    let expected = "an ID that begins with 'resp_'";
    let tail = tail(field, text, (RESPONSE_PREFIX, expected))?;
    Ref::from_hex(tail).ok_or_else(|| Fault::NotFound(Noun::Turn).into())
}

fn tail<'a>(
    field: &str,
    text: &'a str,
    (prefix, expected): (&str, &'static str),
) -> Result<&'a str, Error> {
    let malformed = |expected| Error::invalid(field, Reason::Malformed { expected });
    let tail = text.strip_prefix(prefix);
    let tail = tail.ok_or_else(|| malformed(expected))?;
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if tail.bytes().all(known) {
        Ok(tail)
    } else {
        Err(malformed(
            "an ID that contains letters, numbers, underscores, or dashes",
        ))
    }
}

/// A response's id on the wire.
pub(super) fn response_text(turn: TurnId) -> String {
    format!("{RESPONSE_PREFIX}{}", turn.hex())
}

/// A conversation's id on the wire.
pub(super) fn conversation_text(id: ConversationId) -> String {
    format!("{CONVERSATION_PREFIX}{}", id.hex())
}

/// A conversation on the wire.
pub(super) fn conversation(conversation: &Conversation) -> Value {
    let metadata = conversation.metadata.pairs().iter();
    let metadata: Map<String, Value> = metadata
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect();
    json!({
        "id": conversation_text(conversation.id),
        "object": "conversation",
        "created_at": conversation.created_at().seconds(),
        "metadata": metadata,
    })
}

/// The `metadata` of a body; none if it is absent or null.
pub(super) fn metadata(fields: &Fields<'_>) -> Result<Option<Metadata>, Error> {
    let Some(value) = fields.get("metadata") else {
        return Ok(None);
    };
    if !value.is_object() {
        let why = Reason::WrongType {
            expected: "a metadata object",
            got: kind(value),
        };
        return Err(fields.error("metadata", why));
    }
    let pairs = fields.pairs("metadata")?.unwrap_or_default();
    Metadata::new("metadata", pairs).map(Some)
}

/// The `limit` of a query, 0 to 100.
pub(super) fn limit(query: &Query) -> Result<u32, Error> {
    let Some(text) = query.filled("limit") else {
        return Ok(LIMIT_DEFAULT);
    };
    let wrong = || Reason::WrongType {
        expected: "an integer",
        got: "a string",
    };
    let number = text.parse().map_err(|_| Error::invalid("limit", wrong()))?;
    check_rows(number, 0, LIMIT_MAX).map_err(|why| Error::invalid("limit", why))
}

/// The `order` of a query, newest first unless it says otherwise.
pub(super) fn order(query: &Query) -> Result<Order, Error> {
    match query.filled("order") {
        None | Some("desc") => Ok(Order::NewestFirst),
        Some("asc") => Ok(Order::OldestFirst),
        Some(other) => {
            let why = Reason::NotOneOf {
                got: other.to_owned(),
                allowed: ORDERS,
            };
            Err(Error::invalid("order", why))
        }
    }
}

/// The cursor of a list of conversations; none if an anchor can never have been one, which makes
/// the page empty.
pub(super) fn conversation_cursor(query: &Query) -> Option<Cursor<ConversationRef>> {
    let anchor = |name| match query.filled(name) {
        None => Some(None),
        Some(text) => conversation_id(text).ok().map(Some),
    };
    Some(Cursor {
        after: anchor("after")?,
        before: anchor("before")?,
    })
}

/// Checks the `include` of a query.
pub(super) fn check_include(query: &Query) -> Result<(), Error> {
    let mut values = query.all("include").into_iter().enumerate();
    values.try_for_each(|(at, value)| check_included(at, value))
}

/// Checks one of the values of `include`.
pub(super) fn check_included(at: usize, value: &str) -> Result<(), Error> {
    if INCLUDABLE.contains(&value) {
        return Ok(());
    }
    let why = Reason::NotOneOf {
        got: value.to_owned(),
        allowed: INCLUDABLE,
    };
    Err(Error::invalid(format!("include[{at}]"), why))
}

/// A page of items on the wire. Its ids are empty where it is, since clients take them for strings.
#[derive(Serialize)]
pub(super) struct ItemList {
    object: &'static str,
    data: Vec<Json>,
    first_id: String,
    last_id: String,
    has_more: bool,
}

/// A page of items on the wire.
pub(super) fn items(items: &[Item], has_more: bool) -> ItemList {
    let id = |item: Option<&Item>| item.map(item::text).unwrap_or_default();
    ItemList {
        object: "list",
        data: items.iter().map(item::render).collect(),
        first_id: id(items.first()),
        last_id: id(items.last()),
        has_more,
    }
}
