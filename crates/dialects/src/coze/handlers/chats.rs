//! Chats: a turn that is answered as it comes, or asked after until it has ended.

use bytes::Bytes;
use futures_util::{Stream, stream};
use parlance_domain::limits::PAGE_ROWS_MAX;
use parlance_domain::service::{ConversationDraft, Half, TurnDraft, TurnStream, TurnTarget};
use parlance_domain::{
    App, Conflict, Conversation, ConversationRef, Error, Fault, ItemFilter, ItemId, ItemKind,
    ItemQuery, ItemRef, ItemType, Noun, Order, Principal, Reason, Ref, SectionId, Turn, TurnId,
    TurnState, first_section,
};

use super::conversations::is;
use crate::coze::ask::Ask;
use crate::coze::caller::principal;
use crate::coze::chat::{self, Chat, Place};
use crate::coze::message::Message;
use crate::coze::stream::Encoder;
use crate::coze::{GET, POST, convert, envelope, error};
use crate::kit::fields::Fields;
use crate::kit::{Call, Failure, Reply, Route, sse};

/// The routes of this noun. The SDKs retrieve with POST, the vendor's page with GET.
pub(in crate::coze) fn routes() -> Vec<Route> {
    let one = "/v3/chat/retrieve";
    let list = "/v3/chat/message/list";
    let submit = "/v3/chat/submit_tool_outputs";
    vec![
        Route::keyed(POST, "/v3/chat", "chat.create", create).needs(&["chat"]),
        Route::keyed(GET, one, "chat.retrieve", retrieve).needs(&["getChat"]),
        Route::keyed(POST, one, "chat.retrieve", retrieve).needs(&["getChat"]),
        Route::keyed(GET, list, "chat.messages", messages).needs(&["chat", "listMessage"]),
        Route::keyed(POST, "/v3/chat/cancel", "chat.cancel", cancel).needs(&["cancelChat"]),
        Route::keyed(POST, submit, "chat.submit", submit_tool_outputs).needs(&["submitToolChat"]),
    ]
}

/// `POST /v3/chat`.
async fn create(call: Call) -> Reply {
    let who = principal(&call)?;
    let body = call.object()?;
    let ask = Ask::read(&Fields::of(&body))?;
    if !ask.is_streamed && !ask.is_kept {
        return Err(error::history_needed(&call.context).into());
    }
    let named = call.query.filled("conversation_id");
    let named = named.map(convert::conversation_ref).transpose()?;
    let app = call.service.choose_app(&call.access, is(&ask.bot)).await?;
    let (target, known) = target(&call, &who, &ask, named, &app).await?;
    let mut draft = TurnDraft::new(app, target, ask.input.clone());
    draft.instructions = ask.instructions(draft.app.instructions.as_deref());
    draft.native = chat::native(&ask.meta_data);
    draft.item_name = Some(|_, id| convert::decimal(id));
    let bot = draft.app.id;
    let turn = call.service.start_turn(&who, draft).await?;
    let conversation = match known {
        Some((conversation, _)) => conversation,
        None => turn.conversation.ok_or(Fault::Internal)?,
    };
    let section = known.map_or_else(|| first_section(conversation), |(_, section)| section);
    let place = Place {
        conversation,
        section,
        bot,
    };
    let chat = Chat::created(&turn, &place, &ask.meta_data);
    if !ask.is_streamed {
        return envelope::data(&call.context, chat.in_progress());
    }
    let last_message = convert::decimal(call.service.new_id::<ItemId>());
    let encoder = Encoder::new(chat, last_message);
    Ok(sse::response("text/event-stream", frames(turn, encoder)))
}

/// A conversation with its section, where they are known before the turn.
type Known = Option<(parlance_domain::ConversationId, SectionId)>;

/// Where a chat takes place. One that is not kept reads its conversation and leaves nothing in it, but
/// a conversation there is all the same.
async fn target(
    call: &Call,
    who: &Principal,
    ask: &Ask,
    named: Option<ConversationRef>,
    app: &App,
) -> Result<(TurnTarget, Known), Failure> {
    let unasked = || Error::invalid("additional_messages", Reason::Missing);
    let Some(named) = named else {
        if ask.input.is_empty() {
            return Err(unasked().into());
        }
        let mut new = ConversationDraft::new(app.id);
        new.extras.clone_from(&ask.extras);
        if ask.is_kept {
            return Ok((TurnTarget::New(Box::new(new)), None));
        }
        let made = call.service.create_conversation(who, new).await?;
        return Ok(unkept(&made));
    };
    let conversation = call.service.conversation(who, named).await?;
    if ask.input.is_empty() && !has_messages(call, who, &conversation).await? {
        return Err(unasked().into());
    }
    if ask.is_kept {
        let target = TurnTarget::Existing(conversation.id.into());
        return Ok((target, Some((conversation.id, conversation.section))));
    }
    if conversation.running.is_some() {
        return Err(Fault::Conflict(Conflict::ConversationBusy).into());
    }
    Ok(unkept(&conversation))
}

fn unkept(conversation: &Conversation) -> (TurnTarget, Known) {
    let target = TurnTarget::Unstored {
        previous: None,
        conversation: Some(conversation.id.into()),
    };
    (target, Some((conversation.id, conversation.section)))
}

async fn has_messages(
    call: &Call,
    who: &Principal,
    conversation: &Conversation,
) -> Result<bool, Error> {
    let query = ItemQuery {
        filter: ItemFilter::Dialogue,
        ..ItemQuery::first(Order::NewestFirst, 1)
    };
    let page = call
        .service
        .items(who, conversation.id.into(), &query)
        .await?;
    Ok(!page.rows.is_empty())
}

fn frames(turn: TurnStream, encoder: Encoder) -> impl Stream<Item = Bytes> + Send {
    use futures_util::StreamExt;
    let first = Bytes::from(encoder.begin());
    let rest = stream::unfold((turn, encoder), async |(mut turn, mut encoder)| {
        while !encoder.is_over() {
            let frames = match turn.next().await {
                Some(event) => encoder.take(&event),
                None => encoder.lost(),
            };
            if !frames.is_empty() {
                return Some((Bytes::from(frames), (turn, encoder)));
            }
        }
        None
    });
    stream::once(async { first }).chain(rest)
}

/// `GET` and `POST /v3/chat/retrieve`.
async fn retrieve(call: Call) -> Reply {
    let who = principal(&call)?;
    let (conversation, turn) = named_in_query(&call, &who).await?;
    shown(&call, &who, &conversation, &turn).await
}

/// `POST /v3/chat/cancel`. Unlike the vendor's, it ends the stream as well.
async fn cancel(call: Call) -> Reply {
    let who = principal(&call)?;
    let body = call.object()?;
    let fields = Fields::of(&body);
    let missing = |field| fields.error(field, Reason::Missing);
    let conversation = convert::id_text(&fields, "conversation_id")?;
    let conversation = conversation.ok_or_else(|| missing("conversation_id"))?;
    let chat = convert::id_text(&fields, "chat_id")?;
    let chat = chat.ok_or_else(|| missing("chat_id"))?;
    let (conversation, turn) = find(&call, &who, &conversation, &chat).await?;
    let turn = call.service.cancel_turn(&who, turn.id.into()).await?;
    if turn.state != TurnState::Cancelled {
        return Err(error::not_cancelable(&call.context).into());
    }
    shown(&call, &who, &conversation, &turn).await
}

/// `POST /v3/chat/submit_tool_outputs`. Bots have no plugins that clients run, so no chat waits for any.
async fn submit_tool_outputs(call: Call) -> Reply {
    let who = principal(&call)?;
    let body = call.object()?;
    let fields = Fields::of(&body);
    fields.boolean("stream")?;
    let outputs = fields.array("tool_outputs")?;
    let outputs = outputs.ok_or_else(|| fields.error("tool_outputs", Reason::Missing))?;
    if outputs.is_empty() {
        return Err(fields.error("tool_outputs", Reason::Blank).into());
    }
    named_in_query(&call, &who).await?;
    Err(error::no_action_required(&call.context).into())
}

/// `GET /v3/chat/message/list`: what the chat has said, without what it was asked. Nothing as long as it
/// is in progress.
async fn messages(call: Call) -> Reply {
    let who = principal(&call)?;
    let (_, turn) = named_in_query(&call, &who).await?;
    let mut query = ItemQuery::first(Order::OldestFirst, PAGE_ROWS_MAX);
    query.filter = ItemFilter::NoEvents;
    let (mut rows, mut thought) = (Vec::new(), None);
    loop {
        let output = call.service.turn_items(&who, &turn, Half::Output, &query);
        let page = output.await?;
        for item in &page.rows {
            if item.content.kind == ItemKind::Typed(ItemType::REASONING) {
                thought = Some(item.content.thought());
            } else if let Some(message) = Message::of_chat(item, &turn, thought.take()) {
                rows.push(message);
            }
        }
        match page.rows.last() {
            Some(last) if page.has_more => query.cursor.after = Some(ItemRef::Seq(last.seq)),
            Some(_) | None => return envelope::data(&call.context, rows),
        }
    }
}

/// The chat that the query names.
async fn named_in_query(call: &Call, who: &Principal) -> Result<(Conversation, Turn), Error> {
    let named = |name| {
        let id = call.query.filled(name);
        id.ok_or_else(|| Error::invalid(name, Reason::Missing))
    };
    find(call, who, named("conversation_id")?, named("chat_id")?).await
}

/// The chat of that id, if it is one of that conversation.
async fn find(
    call: &Call,
    who: &Principal,
    conversation: &str,
    chat: &str,
) -> Result<(Conversation, Turn), Error> {
    let of = convert::conversation_ref(conversation)?;
    let conversation = call.service.conversation(who, of).await?;
    let unknown = || Error::from(Fault::NotFound(Noun::Turn));
    let chat = Ref::<TurnId>::from_decimal(chat).ok_or_else(unknown)?;
    let turn = call.service.turn(who, chat).await?;
    if turn.conversation == conversation.id {
        Ok((conversation, turn))
    } else {
        Err(unknown())
    }
}

async fn shown(call: &Call, who: &Principal, of: &Conversation, turn: &Turn) -> Reply {
    let asked = ItemQuery::first(Order::OldestFirst, 1);
    let asked = call
        .service
        .turn_items(who, turn, Half::Input, &asked)
        .await?;
    // A chat that was asked nothing of its own, or whose question is deleted, is shown in today's section.
    let section = asked.rows.first().map_or(of.section, |item| item.section);
    envelope::data(&call.context, Chat::of(turn, section))
}
