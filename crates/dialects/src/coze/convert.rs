//! Between the wire and the domain: ids, queries, conversations.

use std::borrow::Cow;

use parlance_domain::{
    Conversation, ConversationRef, Error, Extras, Fault, Id, ItemRef, Json, Metadata, Noun, Order,
    Principal, Reason, Ref, check_rows,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Coze;
use super::caller::account;
use crate::kit::fields::{Fields, kind};
use crate::kit::{Dialect, Query};

/// Rows of a page, unless asked otherwise, and at most.
const ROWS_MAX: u32 = 50;
/// The channel of a conversation that says no other: the API's.
const CONNECTOR_DEFAULT: &str = "1024";
/// Longest id of a channel, in characters. The vendor names no limit; its own have 2 to 19.
const CONNECTOR_CHARS_MAX: usize = 64;
/// How far into a list page numbers reach, in rows. A page is found by walking to it from the start
/// of the list, which costs a read of every row before it; this bounds what one request can cost.
/// Older rows are reached with the other `sort_order`.
const ROWS_DEEP_MAX: u64 = 100_000;
const ORDERS: &[&str] = &["desc", "asc"];
const SORT_ORDERS: &[&str] = &["DESC", "ASC"];

/// An id on the wire.
pub(super) fn decimal<I: Id>(id: I) -> String {
    id.decimal().to_string()
}

/// A conversation on the wire: the vendor's `ConversationData`, always complete, since cozepy refuses
/// one without `meta_data` or `last_section_id`.
#[derive(Serialize)]
pub(super) struct ConversationData {
    id: String,
    name: String,
    meta_data: Map<String, Value>,
    creator_id: String,
    created_at: i64,
    updated_at: i64,
    last_section_id: String,
    connector_id: String,
}

impl ConversationData {
    /// The conversation as `who`, who made it, sees it.
    pub(super) fn of(conversation: &Conversation, who: &Principal) -> Self {
        Self {
            id: decimal(conversation.id),
            name: conversation.title.clone().unwrap_or_default(),
            meta_data: pairs(&conversation.metadata),
            creator_id: account(who),
            created_at: conversation.created_at().seconds(),
            updated_at: conversation.updated_at.seconds(),
            last_section_id: decimal(conversation.section),
            connector_id: connector(&conversation.extras),
        }
    }
}

/// Metadata as an object.
pub(super) fn pairs(metadata: &Metadata) -> Map<String, Value> {
    let pairs = metadata.pairs().iter();
    pairs
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect()
}

fn connector(extras: &Extras) -> String {
    let kept = extras.get(Coze::NAME).map(Json::value).unwrap_or_default();
    let own = kept.get("connector_id").and_then(Value::as_str);
    own.unwrap_or(CONNECTOR_DEFAULT).to_owned()
}

/// The channel that a body names, where it is not the default.
pub(super) fn extras(fields: &Fields<'_>) -> Result<Extras, Error> {
    let mut extras = Extras::new();
    let Some(connector) = id_text(fields, "connector_id")? else {
        return Ok(extras);
    };
    let got = connector.chars().count();
    if got > CONNECTOR_CHARS_MAX {
        let max = CONNECTOR_CHARS_MAX;
        return Err(fields.error("connector_id", Reason::TooLong { max, got }));
    }
    if connector != CONNECTOR_DEFAULT {
        let kept = json!({"connector_id": connector});
        extras.insert(Coze::NAME.to_owned(), Json::from(&kept));
    }
    Ok(extras)
}

/// The `meta_data` of a body, none if they are absent or null.
pub(super) fn meta_data(fields: &Fields<'_>) -> Result<Option<Metadata>, Error> {
    let Some(pairs) = fields.pairs("meta_data")? else {
        return Ok(None);
    };
    Metadata::new(&fields.name("meta_data"), pairs).map(Some)
}

/// An id of a body. Absent are null, `""`, which coze-go sends for every id that is not set, and `0`,
/// which the vendor's pages give as the default of cursors. A number is taken for its digits, since
/// some of the vendor's tables call ids integers.
pub(super) fn id_text<'a>(fields: &Fields<'a>, field: &str) -> Result<Option<Cow<'a, str>>, Error> {
    let text = match fields.get(field) {
        None => return Ok(None),
        Some(Value::String(text)) => Cow::Borrowed(text.as_str()),
        Some(Value::Number(number)) if number.is_u64() => Cow::Owned(number.to_string()),
        Some(other) => {
            let why = Reason::WrongType {
                expected: "a string",
                got: kind(other),
            };
            return Err(fields.error(field, why));
        }
    };
    Ok(Some(text).filter(|text| !text.is_empty() && text != "0"))
}

/// The conversation that a query names.
pub(super) fn conversation_id(query: &Query) -> Result<ConversationRef, Error> {
    let id = query.filled("conversation_id");
    conversation_ref(id.ok_or_else(|| Error::invalid("conversation_id", Reason::Missing))?)
}

/// Reads a conversation's id. What is no id is not found, like any id that nothing has.
pub(super) fn conversation_ref(id: &str) -> Result<ConversationRef, Error> {
    ConversationRef::from_decimal(id).ok_or_else(|| Fault::NotFound(Noun::Conversation).into())
}

/// The message that a query names, by its id and as it may have been announced.
pub(super) fn message_id(query: &Query) -> Result<(ItemRef, ItemRef), Error> {
    let id = query.filled("message_id");
    let id = id.ok_or_else(|| Error::invalid("message_id", Reason::Missing))?;
    let own = Ref::from_decimal(id).ok_or_else(|| Error::from(Fault::NotFound(Noun::Item)))?;
    Ok((ItemRef::Id(own), ItemRef::Alias(id.to_owned())))
}

/// A place in a list of messages.
pub(super) fn anchor(fields: &Fields<'_>, field: &str) -> Result<Option<ItemRef>, Error> {
    let Some(id) = id_text(fields, field)? else {
        return Ok(None);
    };
    let expected = "the ID of a message";
    let id = Ref::from_decimal(&id)
        .ok_or_else(|| fields.error(field, Reason::Malformed { expected }))?;
    Ok(Some(ItemRef::Id(id)))
}

/// The `order` of a list of messages, newest first unless it says otherwise.
pub(super) fn order(fields: &Fields<'_>) -> Result<Order, Error> {
    match fields.string("order")? {
        None | Some("" | "desc") => Ok(Order::NewestFirst),
        Some("asc") => Ok(Order::OldestFirst),
        Some(other) => Err(fields.error("order", not_one_of(other, ORDERS))),
    }
}

/// The `limit` of a list of messages; 0 is coze-go's way not to give one.
pub(super) fn limit(fields: &Fields<'_>) -> Result<u32, Error> {
    match fields.integer("limit")? {
        None | Some(0) => Ok(ROWS_MAX),
        Some(limit) => check_rows(limit, 1, ROWS_MAX).map_err(|why| fields.error("limit", why)),
    }
}

/// The `sort_order` of a list of conversations, newest first unless it says otherwise.
pub(super) fn sort_order(query: &Query) -> Result<Order, Error> {
    match query.filled("sort_order") {
        None => Ok(Order::NewestFirst),
        Some(order) if order.eq_ignore_ascii_case("desc") => Ok(Order::NewestFirst),
        Some(order) if order.eq_ignore_ascii_case("asc") => Ok(Order::OldestFirst),
        Some(other) => Err(Error::invalid("sort_order", not_one_of(other, SORT_ORDERS))),
    }
}

fn not_one_of(got: &str, allowed: &'static [&'static str]) -> Reason {
    let got = got.to_owned();
    Reason::NotOneOf { got, allowed }
}

/// A page of a list of conversations, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NumberedPage {
    /// How many rows come before it.
    pub(super) skip: u64,
    /// At most how many it has.
    pub(super) rows_max: u32,
}

/// The page that a query asks for: `page_num` from 1, `page_size` up to 50.
pub(super) fn numbered_page(query: &Query) -> Result<NumberedPage, Error> {
    let rows_max = match integer(query, "page_size")? {
        None => ROWS_MAX,
        Some(size) => {
            check_rows(size, 1, ROWS_MAX).map_err(|why| Error::invalid("page_size", why))?
        }
    };
    let got = integer(query, "page_num")?.unwrap_or(1);
    let too_low = || Error::invalid("page_num", Reason::BelowMin { min: 1, got });
    let before = u64::try_from(got.saturating_sub(1)).map_err(|_| too_low())?;
    let skip = before.saturating_mul(rows_max.into());
    if skip.saturating_add(rows_max.into()) > ROWS_DEEP_MAX {
        let max = i64::try_from(ROWS_DEEP_MAX / u64::from(rows_max)).unwrap_or(i64::MAX);
        return Err(Error::invalid("page_num", Reason::AboveMax { max, got }));
    }
    Ok(NumberedPage { skip, rows_max })
}

fn integer(query: &Query, name: &str) -> Result<Option<i64>, Error> {
    let Some(text) = query.filled(name) else {
        return Ok(None);
    };
    let expected = "an integer";
    let number = text.parse();
    number
        .map(Some)
        .map_err(|_| Error::invalid(name, Reason::Malformed { expected }))
}
