//! The Conversations API, and Foundry's list of conversations.

use parlance_domain::service::ConversationDraft;
use parlance_domain::{ConversationQuery, Error, Fault, Noun, Page, Reason, Sort};
use serde_json::{Map, Value, json};

use crate::kit::fields::{Fields, kind};
use crate::kit::{Call, Reply, reply};
use crate::openai::caller::principal;
use crate::openai::convert;
use crate::openai::error::item_missing;
use crate::openai::item::{self, Given};

/// `POST /v1/conversations`. The body is optional.
pub(in crate::openai) async fn create(call: Call) -> Reply {
    let who = principal(&call)?;
    let body = call.object()?;
    let fields = Fields::of(&body);
    let mut draft = ConversationDraft::new(call.access.app.id);
    for given in item::items(&call.body, &fields)?.unwrap_or_default() {
        match given {
            Given::New(new) => draft.items.push(new),
            // A conversation that does not exist yet has nothing to refer to.
            Given::Reference(id) => {
                return Err(item_missing(Fault::NotFound(Noun::Item).into(), &id));
            }
        }
    }
    draft.metadata = convert::metadata(&fields)?.unwrap_or_default();
    let made = call.service.create_conversation(&who, draft).await?;
    reply::ok(&convert::conversation(&made))
}

/// `GET /v1/conversations`: Foundry's, without `object`.
pub(in crate::openai) async fn list(call: Call) -> Reply {
    let who = principal(&call)?;
    let (order, rows_max) = (convert::order(&call.query)?, convert::limit(&call.query)?);
    let app = agent(&call).await?;
    let page = match convert::conversation_cursor(&call.query) {
        Some(cursor) => {
            let query = ConversationQuery {
                sort: Sort::Created,
                order,
                cursor,
                app,
                rows_max,
            };
            call.service.conversations(&who, &query).await?
        }
        None => Page::default(),
    };
    let data: Vec<Value> = page.rows.iter().map(convert::conversation).collect();
    let mut body = Map::new();
    body.insert("data".to_owned(), data.into());
    if let (Some(first), Some(last)) = (page.rows.first(), page.rows.last()) {
        body.insert(
            "first_id".to_owned(),
            convert::conversation_text(first.id).into(),
        );
        body.insert(
            "last_id".to_owned(),
            convert::conversation_text(last.id).into(),
        );
    }
    body.insert("has_more".to_owned(), page.has_more.into());
    reply::ok(&body)
}

/// The app that `agent_name`, or `agent_id` without its version, narrows a list to.
pub(super) async fn agent(call: &Call) -> Result<Option<parlance_domain::AppId>, Error> {
    let id = call
        .query
        .filled("agent_id")
        .map(|id| id.split(':').next().unwrap_or(id));
    let Some(name) = call.query.filled("agent_name").or(id) else {
        return Ok(None);
    };
    let app = call
        .service
        .choose_app(&call.access, |app| app.name == name)
        .await?;
    Ok(Some(app.id))
}

/// `GET /v1/conversations/{conversation_id}`.
pub(in crate::openai) async fn retrieve(call: Call) -> Reply {
    let who = principal(&call)?;
    let id = convert::conversation_id(call.param("conversation_id"))?;
    let conversation = call.service.conversation(&who, id).await?;
    reply::ok(&convert::conversation(&conversation))
}

/// `POST /v1/conversations/{conversation_id}`. The metadata are replaced as a whole: whether OpenAI
/// merges is not documented, and the request carries a whole map.
pub(in crate::openai) async fn update(call: Call) -> Reply {
    let who = principal(&call)?;
    let id = convert::conversation_id(call.param("conversation_id"))?;
    let body = call.object()?;
    let fields = Fields::of(&body);
    let metadata = match body.get("metadata") {
        None => return Err(fields.error("metadata", Reason::Missing).into()),
        Some(null @ Value::Null) => {
            let why = Reason::WrongType {
                expected: "a metadata object",
                got: kind(null),
            };
            return Err(fields.error("metadata", why).into());
        }
        Some(_) => convert::metadata(&fields)?.unwrap_or_default(),
    };
    let conversation = call.service.set_metadata(&who, id, metadata).await?;
    reply::ok(&convert::conversation(&conversation))
}

/// `DELETE /v1/conversations/{conversation_id}`. The items go with it, against OpenAI's text.
pub(in crate::openai) async fn delete(call: Call) -> Reply {
    let who = principal(&call)?;
    let id = convert::conversation_id(call.param("conversation_id"))?;
    call.delete(&who, id).await?;
    reply::ok(&json!({
        "id": call.param("conversation_id"), "object": "conversation.deleted", "deleted": true,
    }))
}
