//! The history of a conversation.

use parlance_domain::{
    Conversation, ConversationRef, Cursor, Error, Fault, Item, ItemFilter, ItemId, ItemQuery,
    ItemRef, Noun, Order, Principal, Reason, Ref,
};
use serde_json::Value;

use crate::dify::{answer, caller, convert, message};
use crate::kit::{Call, Query, Reply};

/// What is asked for.
struct Wanted {
    /// None where the parameter is empty, which Dify answers with an empty page.
    of: Option<ConversationRef>,
    first: Option<Ref<ItemId>>,
    limit: u32,
}

impl Wanted {
    fn read(query: &Query) -> Result<Self, Error> {
        let of = query.get("conversation_id");
        if of.is_none() {
            return Err(Error::invalid("conversation_id", Reason::Missing));
        }
        Ok(Self {
            of: convert::optional_uuid("conversation_id", of)?,
            first: convert::optional_uuid("first_id", query.get("first_id"))?,
            limit: convert::limit(query)?,
        })
    }
}

/// `GET /v1/messages`: the newest messages first, page by page; within a page the oldest first.
pub(super) async fn list(call: Call) -> Reply {
    let who = caller::of_query(&call)?;
    let wanted = Wanted::read(&call.query)?;
    let Some(of) = wanted.of else {
        return Ok(answer::ok(&convert::page(wanted.limit, false, &[])));
    };
    let of = call.service.conversation(&who, of).await?;
    let first = anchor(&call, &who, &of, wanted.first).await?;
    let query = ItemQuery {
        filter: ItemFilter::Dialogue,
        cursor: Cursor {
            after: wanted.first.map(ItemRef::Id),
            before: None,
        },
        ..ItemQuery::first(Order::NewestFirst, message::items_max(wanted.limit))
    };
    let page = call.service.items(&who, of.id.into(), &query).await?;
    check_whole(first.as_ref(), page.rows.first())?;
    let (mut messages, left) = message::pair(page.rows, wanted.limit);
    messages.reverse();
    let turns = message::turns(&messages);
    let turns = call.service.turns(&who, of.id.into(), &turns).await?;
    let data: Vec<Value> = messages
        .iter()
        .map(|message| message::render(message, &of, &turns))
        .collect();
    let has_more = left || page.has_more;
    Ok(answer::ok(&convert::page(wanted.limit, has_more, &data)))
}

/// The item that `first_id` names; none where it is not given, or named one that is deleted.
async fn anchor(
    call: &Call,
    who: &Principal,
    of: &Conversation,
    first: Option<Ref<ItemId>>,
) -> Result<Option<Item>, Error> {
    let Some(id) = first else {
        return Ok(None);
    };
    let unknown = || Error::from(Fault::NotFound(Noun::AnchorItem));
    match call.service.item(who, of.id.into(), &ItemRef::Id(id)).await {
        Ok(item) if message::is_question(&item) || message::is_answer(&item) => Ok(Some(item)),
        Ok(_) => Err(unknown()),
        Err(Error {
            fault: Fault::NotFound(Noun::Item),
            ..
        }) => {
            let gone = id
                .whole()
                .is_some_and(|id| message::may_have_been(id, of, call.context.at));
            if gone { Ok(None) } else { Err(unknown()) }
        }
        Err(error) => Err(error),
    }
}

/// An answer with its question before it is no message of its own, so that its id is none.
fn check_whole(first: Option<&Item>, before: Option<&Item>) -> Result<(), Error> {
    match (first, before) {
        (Some(first), Some(before))
            if message::is_answer(first) && message::is_question(before) =>
        {
            Err(Fault::NotFound(Noun::AnchorItem).into())
        }
        _ => Ok(()),
    }
}
