//! The messages of a conversation.

use parlance_domain::limits::PAGE_ROWS_MAX;
use parlance_domain::{
    Conversation, ConversationRef, Cursor, Error, Fault, Item, ItemFilter, ItemId, ItemKind,
    ItemQuery, ItemRef, Noun, Order, Page, Principal, Ref, Role, SeqRange, TurnId,
};

use crate::coze::caller::principal;
use crate::coze::convert;
use crate::coze::envelope::{self, Place};
use crate::coze::message::{self, Message};
use crate::coze::{GET, POST};
use crate::kit::fields::Fields;
use crate::kit::{Call, Reply, Route};

/// The routes of this noun. coze-java retrieves with POST, everybody else with GET.
pub(in crate::coze) fn routes() -> Vec<Route> {
    let one = "/v1/conversation/message/retrieve";
    vec![
        Route::keyed(
            POST,
            "/v1/conversation/message/create",
            "message.create",
            create,
        )
        .needs(&["createMessage"]),
        Route::keyed(POST, "/v1/conversation/message/list", "message.list", list)
            .needs(&["chat", "listMessage"]),
        Route::keyed(GET, one, "message.retrieve", retrieve).needs(&["retrieveMessage"]),
        Route::keyed(POST, one, "message.retrieve", retrieve).needs(&["retrieveMessage"]),
        Route::keyed(
            POST,
            "/v1/conversation/message/modify",
            "message.modify",
            modify,
        )
        .needs(&["modifyMessage"]),
        Route::keyed(
            POST,
            "/v1/conversation/message/delete",
            "message.delete",
            delete,
        )
        .needs(&["deleteMessage"]),
    ]
}

/// `POST /v1/conversation/message/create`.
async fn create(call: Call) -> Reply {
    let who = principal(&call)?;
    let of = convert::conversation_id(&call.query)?;
    let body = call.object()?;
    let content = message::created(&Fields::of(&body))?;
    let drafts = vec![content.into()];
    let appended = call.service.append_items(&who, of, drafts).await?;
    let item = appended.items.first().ok_or(Fault::Internal)?;
    envelope::data(&call.context, Message::added(item, appended.conversation))
}

/// `POST /v1/conversation/message/list`. A page goes on at `after_id` in the list's own order, and
/// back at `before_id`: in the default order, newest first, "after" is older.
async fn list(call: Call) -> Reply {
    let who = principal(&call)?;
    let of = convert::conversation_id(&call.query)?;
    let body = call.object()?;
    let fields = Fields::of(&body);
    let mut query = ItemQuery {
        order: convert::order(&fields)?,
        cursor: Cursor {
            after: convert::anchor(&fields, "after_id")?,
            before: convert::anchor(&fields, "before_id")?,
        },
        within: SeqRange::ALL,
        filter: ItemFilter::Dialogue,
        settled: false,
        turn: None,
        rows_max: convert::limit(&fields)?,
    };
    let chat = convert::id_text(&fields, "chat_id")?;
    let conversation = call.service.conversation(&who, of).await?;
    let page = match chat {
        None => {
            call.service
                .items(&who, conversation.id.into(), &query)
                .await?
        }
        Some(chat) => match turn(&call, &who, &conversation, &chat).await? {
            None => Page::default(),
            Some(turn) => {
                query.turn = Some(turn);
                call.service
                    .items(&who, conversation.id.into(), &query)
                    .await?
            }
        },
    };
    let rows = page
        .rows
        .iter()
        .map(|item| Message::of(item, &conversation));
    let rows: Vec<Message> = rows.collect();
    let id = |message: Option<&Message>| message.map_or("", Message::id).to_owned();
    let place = Place {
        first_id: id(rows.first()),
        last_id: id(rows.last()),
        has_more: page.has_more,
    };
    envelope::page(&call.context, &rows, &place)
}

/// The chat of that id, if it is one of the conversation.
async fn turn(
    call: &Call,
    who: &Principal,
    conversation: &Conversation,
    chat: &str,
) -> Result<Option<TurnId>, Error> {
    let Some(chat) = Ref::<TurnId>::from_decimal(chat) else {
        return Ok(None);
    };
    match call.service.turn(who, chat).await {
        Ok(turn) => Ok((turn.conversation == conversation.id).then_some(turn.id)),
        Err(error) if error.fault == Fault::NotFound(Noun::Turn) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `GET` and `POST /v1/conversation/message/retrieve`.
async fn retrieve(call: Call) -> Reply {
    let who = principal(&call)?;
    let of = convert::conversation_id(&call.query)?;
    let (conversation, item) = find(&call, &who, of).await?;
    envelope::data(&call.context, Message::of(&item, &conversation))
}

/// `POST /v1/conversation/message/modify`.
async fn modify(call: Call) -> Reply {
    let who = principal(&call)?;
    let of = convert::conversation_id(&call.query)?;
    let body = call.object()?;
    let change = message::change(&Fields::of(&body))?;
    let edit = |item: &Item| change.apply(&item.content, spoken(item)?);
    let (conversation, item) = find(&call, &who, of).await?;
    let (its, id) = (conversation.id.into(), item.id.into());
    let item = call.service.edit_item(&who, its, &id, edit).await?;
    envelope::message(&call.context, Message::of(&item, &conversation))
}

/// `POST /v1/conversation/message/delete`. An answer takes the tool calls that led to it along.
async fn delete(call: Call) -> Reply {
    let who = principal(&call)?;
    let of = convert::conversation_id(&call.query)?;
    let (conversation, item) = find(&call, &who, of).await?;
    let mut doomed = match item.content.kind {
        ItemKind::Message(Role::Assistant) => {
            calls_before(&call, &who, &conversation, &item).await?
        }
        ItemKind::Message(Role::User | Role::System | Role::Developer | Role::Other)
        | ItemKind::Typed(_)
        | ItemKind::Event => Vec::new(),
    };
    doomed.push(item.id);
    call.service
        .remove_items(&who, conversation.id, doomed)
        .await?;
    envelope::data(&call.context, Message::of(&item, &conversation))
}

/// The message that the query names: by its id, or by the one that a stream announced it with, where it has
/// got another since (somebody else has added a message before it was complete).
async fn find(
    call: &Call,
    who: &Principal,
    of: ConversationRef,
) -> Result<(Conversation, Item), Error> {
    let (id, announced) = convert::message_id(&call.query)?;
    let conversation = call.service.conversation(who, of).await?;
    let its = conversation.id.into();
    let item = match call.service.item(who, its, &id).await {
        Err(error) if error.fault == Fault::NotFound(Noun::Item) => {
            call.service.item(who, its, &announced).await?
        }
        found => found?,
    };
    spoken(&item)?;
    Ok((conversation, item))
}

/// Who speaks; what neither the user nor the assistant says is no message here.
fn spoken(item: &Item) -> Result<Role, Error> {
    message::speaker(item).ok_or_else(|| Fault::NotFound(Noun::Item).into())
}

/// The tool calls, their outputs and the reasoning between an answer and the message before it in the
/// same chat.
async fn calls_before(
    call: &Call,
    who: &Principal,
    conversation: &Conversation,
    answer: &Item,
) -> Result<Vec<ItemId>, Error> {
    let mut calls = Vec::new();
    if answer.turn.is_none() {
        return Ok(calls);
    }
    let mut query = ItemQuery::first(Order::NewestFirst, PAGE_ROWS_MAX);
    query.filter = ItemFilter::NoEvents;
    query.turn = answer.turn;
    query.cursor.after = Some(ItemRef::Seq(answer.seq));
    loop {
        let page = call
            .service
            .items(who, conversation.id.into(), &query)
            .await?;
        for item in &page.rows {
            if message::speaker(item).is_some() {
                return Ok(calls);
            }
            if let ItemKind::Typed(_) = item.content.kind {
                calls.push(item.id);
            }
        }
        match page.rows.last() {
            Some(last) if page.has_more => query.cursor.after = Some(ItemRef::Seq(last.seq)),
            Some(_) | None => return Ok(calls),
        }
    }
}
