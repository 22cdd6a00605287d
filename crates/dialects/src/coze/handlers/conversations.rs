//! Conversations. Only who made one can do anything with it: that is the principal's rule, which the
//! store keeps.

use parlance_domain::limits::PAGE_ROWS_MAX;
use parlance_domain::service::{ConversationDraft, ItemDraft};
use parlance_domain::{
    App, Conversation, ConversationQuery, Cursor, Error, Id, Page, Principal, Reason, Sort,
    check_title,
};
use serde::Serialize;

use crate::coze::caller::principal;
use crate::coze::convert::{self, ConversationData, NumberedPage};
use crate::coze::{DELETE, GET, POST, PUT, envelope, message};
use crate::kit::fields::Fields;
use crate::kit::{Call, Reply, Route};

/// Longest name, in characters (the vendor's pages on create and edit).
const NAME_CHARS_MAX: usize = 100;

/// The vendor's `Section`.
#[derive(Serialize)]
struct Section {
    id: String,
    conversation_id: String,
}

/// The vendor's `ListConversationData`.
#[derive(Serialize)]
struct Listed {
    conversations: Vec<ConversationData>,
    has_more: bool,
}

/// The routes of this noun.
pub(in crate::coze) fn routes() -> Vec<Route> {
    let one = "/v1/conversations/{conversation_id}";
    let clearing = "/v1/conversations/{conversation_id}/clear";
    vec![
        Route::keyed(
            POST,
            "/v1/conversation/create",
            "conversation.create",
            create,
        )
        .needs(&["createConversation"]),
        Route::keyed(
            GET,
            "/v1/conversation/retrieve",
            "conversation.retrieve",
            retrieve,
        )
        .needs(&["retrieveConversation"]),
        Route::keyed(GET, "/v1/conversations", "conversation.list", list)
            .needs(&["listConversation"]),
        Route::keyed(PUT, one, "conversation.rename", rename).needs(&["editConversation"]),
        Route::keyed(DELETE, one, "conversation.delete", delete).needs(&["editConversation"]),
        Route::keyed(POST, clearing, "conversation.clear", clear).needs(&["editConversation"]),
    ]
}

/// `POST /v1/conversation/create`.
async fn create(call: Call) -> Reply {
    let who = principal(&call)?;
    let body = call.object()?;
    let fields = Fields::of(&body);
    let app = match convert::id_text(&fields, "bot_id")? {
        Some(bot) => call.service.choose_app(&call.access, is(&bot)).await?.id,
        None => call.access.app.id,
    };
    let mut draft = ConversationDraft::new(app);
    draft.title = name(&fields, fields.string("name")?.unwrap_or_default())?;
    draft.metadata = convert::meta_data(&fields)?.unwrap_or_default();
    draft.extras = convert::extras(&fields)?;
    let items = message::entered(&fields)?.into_iter();
    draft.items = items.map(ItemDraft::from).collect();
    let made = call.service.create_conversation(&who, draft).await?;
    envelope::data(&call.context, ConversationData::of(&made, &who))
}

/// `GET /v1/conversation/retrieve`.
async fn retrieve(call: Call) -> Reply {
    let who = principal(&call)?;
    let id = convert::conversation_id(&call.query)?;
    let conversation = call.service.conversation(&who, id).await?;
    envelope::data(&call.context, ConversationData::of(&conversation, &who))
}

/// `GET /v1/conversations`. What is created or deleted between two calls moves the pages, as page
/// numbers do at the vendor's. The filter `connector_id` is not applied: it would hide conversations
/// that were made through another dialect from their owner.
async fn list(call: Call) -> Reply {
    let who = principal(&call)?;
    let missing = || Error::invalid("bot_id", Reason::Missing);
    let bot = call.query.filled("bot_id").ok_or_else(missing)?;
    let order = convert::sort_order(&call.query)?;
    let wanted = convert::numbered_page(&call.query)?;
    let app = call.service.choose_app(&call.access, is(bot)).await?;
    let query = ConversationQuery {
        sort: Sort::Created,
        order,
        cursor: Cursor::default(),
        app: Some(app.id),
        rows_max: wanted.rows_max,
    };
    let page = turn_to(&call, &who, query, wanted).await?;
    let shown = |conversation| ConversationData::of(conversation, &who);
    let listed = Listed {
        conversations: page.rows.iter().map(shown).collect(),
        has_more: page.has_more,
    };
    envelope::data(&call.context, listed)
}

/// The page at a number, found by walking to it from the start. Each step begins after the last row
/// of the one before, so that no row is passed over or seen twice while others come and go.
async fn turn_to(
    call: &Call,
    who: &Principal,
    mut query: ConversationQuery,
    wanted: NumberedPage,
) -> Result<Page<Conversation>, Error> {
    let mut skip = wanted.skip;
    while skip > 0 {
        query.rows_max = u32::try_from(skip).map_or(PAGE_ROWS_MAX, |skip| skip.min(PAGE_ROWS_MAX));
        let passed = call.service.conversations(who, &query).await?;
        let (Some(last), true) = (passed.rows.last(), passed.has_more) else {
            return Ok(Page::default());
        };
        query.cursor.after = Some(last.id.into());
        skip = skip.saturating_sub(query.rows_max.into());
    }
    query.rows_max = wanted.rows_max;
    call.service.conversations(who, &query).await
}

/// `PUT /v1/conversations/{conversation_id}`. The empty name, which a conversation has by default, is
/// one like any other.
async fn rename(call: Call) -> Reply {
    let who = principal(&call)?;
    let body = call.object()?;
    let fields = Fields::of(&body);
    let title = name(&fields, fields.required_string("name")?)?;
    let id = convert::conversation_ref(call.param("conversation_id"))?;
    let renamed = call.service.rename_conversation(&who, id, title).await?;
    envelope::data(&call.context, ConversationData::of(&renamed, &who))
}

/// `DELETE /v1/conversations/{conversation_id}`. What does not exist, is deleted already or is
/// somebody else's answers alike.
async fn delete(call: Call) -> Reply {
    let who = principal(&call)?;
    let id = convert::conversation_ref(call.param("conversation_id"))?;
    call.delete(&who, id).await?;
    envelope::done(&call.context)
}

/// `POST /v1/conversations/{conversation_id}/clear`. The messages stay; the model sees only what comes
/// after.
async fn clear(call: Call) -> Reply {
    let who = principal(&call)?;
    let id = convert::conversation_ref(call.param("conversation_id"))?;
    let (conversation, section) = call.service.start_section(&who, id).await?;
    let section = Section {
        id: convert::decimal(section),
        conversation_id: convert::decimal(conversation),
    };
    envelope::data(&call.context, section)
}

/// A name as a title; the empty one is none.
fn name(fields: &Fields<'_>, name: &str) -> Result<Option<String>, Error> {
    check_title(&fields.name("name"), name, NAME_CHARS_MAX)?;
    Ok((!name.is_empty()).then(|| name.to_owned()))
}

/// Whether an app is the bot of that id.
pub(super) fn is(bot: &str) -> impl Fn(&App) -> bool + Send {
    let bot: Option<u64> = bot.parse().ok();
    move |app| bot == Some(app.id.decimal())
}
