//! The items of a conversation.

use parlance_domain::{
    ConversationRef, Cursor, Error, Fault, Item, ItemFilter, ItemKind, ItemQuery, ItemRef,
    ItemType, Noun, Page, Principal, Reason, SeqRange,
};

use crate::kit::fields::Fields;
use crate::kit::{Call, Reply, reply};
use crate::openai::caller::principal;
use crate::openai::convert;
use crate::openai::handlers::references::{self, Place};
use crate::openai::item;

/// `POST /v1/conversations/{conversation_id}/items`.
pub(in crate::openai) async fn create(call: Call) -> Reply {
    let who = principal(&call)?;
    let of = convert::conversation_id(call.param("conversation_id"))?;
    convert::check_include(&call.query)?;
    let body = call.object()?;
    let fields = Fields::of(&body);
    let given =
        item::items(&call.body, &fields)?.ok_or_else(|| fields.error("items", Reason::Missing))?;
    let drafts = references::resolve(&call, &who, Place::Conversation(of), given).await?;
    let appended = call.service.append_items(&who, of, drafts).await?;
    reply::ok(&convert::items(&appended.items, false))
}

/// `GET /v1/conversations/{conversation_id}/items`, with Foundry's `before` and `item_type`.
pub(in crate::openai) async fn list(call: Call) -> Reply {
    let who = principal(&call)?;
    let of = convert::conversation_id(call.param("conversation_id"))?;
    convert::check_include(&call.query)?;
    let (order, rows_max) = (convert::order(&call.query)?, convert::limit(&call.query)?);
    let cursor = Cursor {
        after: anchor(&call, &who, of, "after").await?,
        before: anchor(&call, &who, of, "before").await?,
    };
    let filter = match call.query.filled("item_type") {
        None => ItemFilter::NoEvents,
        Some(name) => {
            let item_type = ItemType::parse(name);
            ItemFilter::OfType(item_type.map_err(|why| Error::invalid("item_type", why))?)
        }
    };
    let query = ItemQuery {
        order,
        cursor,
        within: SeqRange::ALL,
        filter,
        settled: true,
        turn: None,
        rows_max,
    };
    let page: Page<Item> = call.service.items(&who, of, &query).await?;
    reply::ok(&convert::items(&page.rows, page.has_more))
}

/// `GET /v1/conversations/{conversation_id}/items/{item_id}`.
pub(in crate::openai) async fn retrieve(call: Call) -> Reply {
    let who = principal(&call)?;
    let of = convert::conversation_id(call.param("conversation_id"))?;
    convert::check_include(&call.query)?;
    let item = find(&call, &who, of, call.param("item_id")).await?;
    reply::ok(&item::render(&item))
}

/// `DELETE /v1/conversations/{conversation_id}/items/{item_id}`. Answers with the conversation, as
/// the specification and both SDKs have it; a trace of October 2025 has `conversation.item.deleted`.
pub(in crate::openai) async fn delete(call: Call) -> Reply {
    let who = principal(&call)?;
    let of = convert::conversation_id(call.param("conversation_id"))?;
    let item = find(&call, &who, of, call.param("item_id")).await?;
    call.service.remove_item(&who, of, &item.id.into()).await?;
    let conversation = call.service.conversation(&who, of).await?;
    reply::ok(&convert::conversation(&conversation))
}

/// The item that a client's id names, if this dialect can show it.
pub(super) async fn find(
    call: &Call,
    who: &Principal,
    of: ConversationRef,
    id: &str,
) -> Result<Item, Error> {
    let not_found = || Error::from(Fault::NotFound(Noun::Item));
    if let Some(ours) = item::ours(id) {
        match call.service.item(who, of, &ours).await {
            Ok(item) if item::text(&item) == id && item.content.kind != ItemKind::Event => {
                return Ok(item);
            }
            Ok(_)
            | Err(Error {
                fault: Fault::NotFound(Noun::Item),
                ..
            }) => {}
            Err(error) => return Err(error),
        }
    }
    let item = call
        .service
        .item(who, of, &ItemRef::Alias(id.to_owned()))
        .await?;
    if item.content.kind == ItemKind::Event {
        Err(not_found())
    } else {
        Ok(item)
    }
}

pub(super) async fn exists(
    call: &Call,
    who: &Principal,
    of: ConversationRef,
    id: &ItemRef,
) -> Result<bool, Error> {
    match call.service.item(who, of, id).await {
        Ok(_) => Ok(true),
        Err(Error {
            fault: Fault::NotFound(Noun::Item),
            ..
        }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where a page of a conversation's items starts: at the item that is named, or at the place where it was.
pub(super) async fn anchor(
    call: &Call,
    who: &Principal,
    of: ConversationRef,
    name: &str,
) -> Result<Option<ItemRef>, Error> {
    let Some(id) = call.query.filled(name) else {
        return Ok(None);
    };
    match find(call, who, of, id).await {
        Ok(item) => Ok(Some(ItemRef::Seq(item.seq))),
        Err(Error {
            fault: Fault::NotFound(Noun::Item),
            ..
        }) => Ok(Some(
            item::ours(id).unwrap_or_else(|| ItemRef::Alias(id.to_owned())),
        )),
        Err(error) => Err(error),
    }
}
