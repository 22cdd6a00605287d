//! Responses that are there already.

use http::header::ACCEPT;
use parlance_domain::limits::PAGE_BYTES_MAX;
use parlance_domain::service::Half;
use parlance_domain::{
    Cursor, Error, Fault, Item, ItemFilter, ItemQuery, ItemRef, Json, Noun, Order, Page, Principal,
    Reason, Ref, Turn, TurnId, TurnQuery, TurnState,
};
use serde_json::{Map, Value, json};

use super::events;
use crate::kit::{Call, Failure, Query, Reply, reply};
use crate::openai::caller::principal;
use crate::openai::handlers::{conversations, items};
use crate::openai::responses::kept::Kept;
use crate::openai::responses::object::{self, Form, Head, Standing};
use crate::openai::responses::replay::Replay;
use crate::openai::responses::stream::Encoder;
use crate::openai::{convert, error, item};

/// Items of an output that are read at a time.
const ITEMS_AT_ONCE: u32 = 256;
/// How often a turn is looked for that ends while somebody wants to follow it.
const ATTEMPTS_MAX: u32 = 8;
const BOOLEANS: &[&str] = &["true", "false"];

/// `GET /v1/responses/{response_id}`.
pub(in crate::openai) async fn retrieve(call: Call) -> Reply {
    let who = principal(&call)?;
    let id = named(&call)?;
    convert::check_include(&call.query)?;
    let wants = Wants::read(&call)?;
    let turn = call.service.turn(&who, id).await?;
    if wants.stream {
        return follow(&call, &who, turn, &wants).await;
    }
    whole(&call, &who, &turn).await
}

/// The response that the path names.
fn named(call: &Call) -> Result<Ref<TurnId>, Error> {
    convert::response_id("response_id", call.param("response_id"))
}

/// What is wanted of a response.
struct Wants {
    stream: bool,
    after: Option<u64>,
    obfuscates: bool,
}

impl Wants {
    fn read(call: &Call) -> Result<Self, Error> {
        let query = &call.query;
        let accept = call.headers.get(ACCEPT);
        let accept = accept.and_then(|accept| accept.to_str().ok());
        let asks = accept.is_some_and(|accept| accept.contains("text/event-stream"));
        let after = match query.filled("starting_after") {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                let (expected, got) = ("an integer", "a string");
                Error::invalid("starting_after", Reason::WrongType { expected, got })
            })?),
        };
        Ok(Self {
            stream: boolean(query, "stream")?.unwrap_or(asks),
            after,
            obfuscates: boolean(query, "include_obfuscation")?.unwrap_or(true),
        })
    }
}

fn boolean(query: &Query, name: &str) -> Result<Option<bool>, Error> {
    match query.filled(name).map(str::to_ascii_lowercase).as_deref() {
        None => Ok(None),
        Some("true" | "1") => Ok(Some(true)),
        Some("false" | "0") => Ok(Some(false)),
        Some(other) => {
            let why = Reason::NotOneOf {
                got: other.to_owned(),
                allowed: BOOLEANS,
            };
            Err(Error::invalid(name, why))
        }
    }
}

/// The events of a response, running or over.
async fn follow(call: &Call, who: &Principal, mut turn: Turn, wants: &Wants) -> Reply {
    for _ in 0..ATTEMPTS_MAX {
        let encoder = Encoder::new(Head::of(&turn), wants.obfuscates, wants.after);
        if turn.state != TurnState::Running {
            let output = output(call, who, &turn).await?;
            return Ok(events::again(Replay::new(encoder, &turn, &output)));
        }
        if let Some(running) = call.service.follow_turn(who, &turn) {
            return Ok(events::live(running, encoder));
        }
        // It has just ended.
        turn = call.service.turn(who, turn.id.into()).await?;
    }
    Err(Fault::Internal.into())
}

/// A response as it is now.
async fn whole(call: &Call, who: &Principal, turn: &Turn) -> Reply {
    let output = output(call, who, turn).await?;
    let standing = standing(turn, &output);
    reply::ok(&object::response(&Head::of(turn), &standing, Form::Whole))
}

fn standing(turn: &Turn, output: &[Item]) -> Standing {
    Standing::stored(turn, output.iter().map(item::render).collect())
}

/// What a turn has answered.
async fn output(call: &Call, who: &Principal, turn: &Turn) -> Result<Vec<Item>, Error> {
    let mut query = ItemQuery {
        filter: ItemFilter::NoEvents,
        ..ItemQuery::first(Order::OldestFirst, ITEMS_AT_ONCE)
    };
    let mut output = Vec::new();
    loop {
        let page = call
            .service
            .turn_items(who, turn, Half::Output, &query)
            .await?;
        let more = page.has_more;
        output.extend(page.rows);
        match output.last().filter(|_| more) {
            Some(last) => query.cursor.after = Some(ItemRef::Seq(last.seq)),
            None => return Ok(output),
        }
    }
}

/// `DELETE /v1/responses/{response_id}`. What one in a conversation said stays there.
pub(in crate::openai) async fn delete(call: Call) -> Reply {
    let who = principal(&call)?;
    call.delete_turn(&who, named(&call)?).await?;
    reply::ok(&json!({"id": call.param("response_id"), "object": "response", "deleted": true}))
}

/// `POST /v1/responses/{response_id}/cancel`.
pub(in crate::openai) async fn cancel(call: Call) -> Reply {
    let who = principal(&call)?;
    let turn = call.service.turn(&who, named(&call)?).await?;
    if !Kept::of(&turn).background {
        return Err(error::not_in_background());
    }
    let turn = call.service.cancel_turn(&who, turn.id.into()).await?;
    whole(&call, &who, &turn).await
}

/// `GET /v1/responses/{response_id}/input_items`, with Foundry's `before`.
pub(in crate::openai) async fn input(call: Call) -> Reply {
    let who = principal(&call)?;
    let id = named(&call)?;
    convert::check_include(&call.query)?;
    let (order, rows_max) = (convert::order(&call.query)?, convert::limit(&call.query)?);
    let turn = call.service.turn(&who, id).await?;
    let (owner, of) = (who.in_realm(turn.realm()), turn.conversation.into());
    let cursor = Cursor {
        after: items::anchor(&call, &owner, of, "after").await?,
        before: items::anchor(&call, &owner, of, "before").await?,
    };
    let query = ItemQuery {
        cursor,
        filter: ItemFilter::NoEvents,
        ..ItemQuery::first(order, rows_max)
    };
    let page = call
        .service
        .turn_items(&who, &turn, Half::Input, &query)
        .await?;
    reply::ok(&convert::items(&page.rows, page.has_more))
}

/// `GET /v1/responses`: Foundry's, without `object`.
pub(in crate::openai) async fn list(call: Call) -> Reply {
    let who = principal(&call)?;
    let (order, rows_max) = (convert::order(&call.query)?, convert::limit(&call.query)?);
    let app = conversations::agent(&call).await?;
    let named = call.query.filled("conversation_id");
    let conversation = named
        .map(|id| convert::conversation_id(id).map_err(|error| error::context_missing(error, id)));
    let conversation = conversation.transpose()?;
    let page = match cursor(&call.query) {
        Some(cursor) => {
            let query = TurnQuery {
                order,
                cursor,
                conversation,
                app,
                rows_max,
            };
            let page = call.service.turn_page(&who, &query).await;
            page.map_err(|error| error::context_missing(error, named.unwrap_or_default()))?
        }
        None => Page::default(),
    };
    reply::ok(&listed(&call, &who, page).await?)
}

/// Where a page of responses lies; none if an anchor can never have been one, which makes the page empty.
fn cursor(query: &Query) -> Option<Cursor<Ref<TurnId>>> {
    let anchor = |name| match query.filled(name) {
        None => Some(None),
        Some(text) => convert::response_id(name, text).ok().map(Some),
    };
    Some(Cursor {
        after: anchor("after")?,
        before: anchor("before")?,
    })
}

/// A page of responses on the wire. One of very long answers ends earlier.
async fn listed(
    call: &Call,
    who: &Principal,
    page: Page<Turn>,
) -> Result<Map<String, Value>, Failure> {
    let (mut data, mut ids, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut has_more = page.has_more;
    for turn in &page.rows {
        if bytes > PAGE_BYTES_MAX {
            has_more = true;
            break;
        }
        let output = match output(call, who, turn).await {
            Ok(output) => output,
            // Deleted since the page was read.
            Err(error) if error.fault == Fault::NotFound(Noun::Turn) => continue,
            Err(error) => return Err(error.into()),
        };
        let (head, standing) = (Head::of(turn), standing(turn, &output));
        let json = Json::of(&object::response(&head, &standing, Form::Whole));
        let json = json.map_err(|error| Error::caused_by(Fault::Internal, error))?;
        bytes += json.text().len();
        data.push(json.value());
        ids.push(convert::response_text(turn.id));
    }
    let mut body = Map::new();
    body.insert("data".to_owned(), data.into());
    if let (Some(first), Some(last)) = (ids.first(), ids.last()) {
        body.insert("first_id".to_owned(), first.as_str().into());
        body.insert("last_id".to_owned(), last.as_str().into());
    }
    body.insert("has_more".to_owned(), has_more.into());
    Ok(body)
}
