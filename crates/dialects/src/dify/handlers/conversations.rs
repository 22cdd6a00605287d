//! Conversations: list, rename, delete.

use http::StatusCode;
use parlance_domain::{
    Conversation, ConversationQuery, Cursor, Error, ItemFilter, ItemQuery, Order, Principal,
    Reason, Sort, check_title,
};
use serde_json::Value;

use crate::dify::{answer, caller, convert, message};
use crate::kit::fields::Fields;
use crate::kit::{Call, Reply, reply};

/// Longest name, in characters: what Dify's column holds.
const NAME_CHARS_MAX: usize = 255;
/// First items of a conversation among which the question that names it is sought.
const NAMING_ITEMS_MAX: u32 = 20;

/// `GET /v1/conversations`. Unknown parameters are ignored: npm's `dify-client` 2.3.2 sends `first_id`
/// and `pinned`.
pub(super) async fn list(call: Call) -> Reply {
    let who = caller::of_query(&call)?;
    let after = convert::optional_uuid("last_id", call.query.get("last_id"))?;
    let rows_max = convert::limit(&call.query)?;
    let (sort, order) = convert::sort(&call.query)?;
    let query = ConversationQuery {
        sort,
        order,
        cursor: Cursor {
            after,
            before: None,
        },
        app: None,
        rows_max,
    };
    check_anchor(&call, &who, &query).await?;
    let page = call.service.conversations(&who, &query).await?;
    let data: Vec<Value> = page.rows.iter().map(convert::conversation).collect();
    Ok(answer::ok(&convert::page(rows_max, page.has_more, &data)))
}

/// An unknown `last_id` is an error whatever the sort. A list by creation needs no record of its
/// anchor and would page on from the place that any id has; the list by change knows it or not.
async fn check_anchor(
    call: &Call,
    who: &Principal,
    query: &ConversationQuery,
) -> Result<(), Error> {
    if query.sort != Sort::Created || query.cursor.after.is_none() {
        return Ok(());
    }
    let by_change = ConversationQuery {
        sort: Sort::Updated,
        rows_max: 1,
        ..query.clone()
    };
    call.service.conversations(who, &by_change).await.map(drop)
}

/// `POST /v1/conversations/{conversation_id}/name`.
pub(super) async fn rename(call: Call) -> Reply {
    let id = convert::path_conversation(call.param("conversation_id"))?;
    let body = call.object()?;
    let who = caller::of_body(&call, &body)?;
    let fields = Fields::of(&body);
    let name = fields.string("name")?;
    let name = if fields.boolean("auto_generate")?.unwrap_or(false) {
        let conversation = call.service.conversation(&who, id).await?;
        first_question(&call, &who, &conversation).await?
    } else {
        let name = name.filter(|name| !name.trim().is_empty());
        let name = name.ok_or_else(|| fields.error("name", Reason::Blank))?;
        check_title("name", name, NAME_CHARS_MAX)?;
        name.to_owned()
    };
    let renamed = call
        .service
        .rename_conversation(&who, id, Some(name))
        .await?;
    Ok(answer::ok(&convert::conversation(&renamed)))
}

/// The name that the first question gives.
async fn first_question(call: &Call, who: &Principal, of: &Conversation) -> Result<String, Error> {
    let query = ItemQuery {
        filter: ItemFilter::Dialogue,
        ..ItemQuery::first(Order::OldestFirst, NAMING_ITEMS_MAX)
    };
    let page = call.service.items(who, of.id.into(), &query).await?;
    let questions = page.rows.iter().filter(|item| message::is_question(item));
    let mut texts = questions.map(|item| item.content.text());
    let said = texts.find(|text| !text.trim().is_empty());
    let none = || {
        let expected = "false for a conversation without a question";
        Error::invalid("auto_generate", Reason::Malformed { expected })
    };
    said.map(|text| convert::name(&text)).ok_or_else(none)
}

/// `DELETE /v1/conversations/{conversation_id}`. The body is optional here; Dify answers 415 without.
pub(super) async fn delete(call: Call) -> Reply {
    let id = convert::path_conversation(call.param("conversation_id"))?;
    let body = call.object()?;
    let who = caller::of_body(&call, &body)?;
    call.delete(&who, id).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}
