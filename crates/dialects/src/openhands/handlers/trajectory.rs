//! All events of a conversation in one answer.

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::StatusCode;
use parlance_domain::{
    ConversationId, Cursor, Error, Fault, Item, ItemFilter, ItemQuery, ItemRef, Order, Page,
    Principal, Service,
};

use crate::kit::{Call, Reply, reply};
use crate::openhands::caller::{named, principal};
use crate::openhands::event;

/// Items that are in memory at once.
const PAGE_ROWS: u32 = 50;

/// `GET /api/conversations/{conversation_id}/trajectory`. However long it is, one page of it is held
/// at a time; if it is deleted meanwhile, the answer breaks off.
pub(in crate::openhands) async fn retrieve(call: Call) -> Reply {
    let (who, named) = (principal(&call)?, named(&call)?);
    let of = named.find(&call, &who).await?.id;
    let mut walk = Walk {
        service: call.service,
        who,
        of,
        after: None,
        written: false,
        state: State::Before,
    };
    // The first page decides between an answer and an error.
    let first = walk.step().await?;
    if matches!(walk.state, State::Done) {
        return Ok(reply::bytes_of(StatusCode::OK, "application/json", first));
    }
    let rest = stream::unfold(walk, |mut walk| async move {
        match walk.state {
            State::Done => None,
            State::Before | State::Within => {
                let chunk = walk.step().await;
                if chunk.is_err() {
                    walk.state = State::Done;
                }
                Some((chunk, walk))
            }
        }
    });
    let chunks = stream::iter([Ok(first)]).chain(rest);
    let body = Body::from_stream(chunks);
    Ok(reply::bytes_of(StatusCode::OK, "application/json", body))
}

/// On the way through a conversation.
struct Walk {
    service: Service,
    who: Principal,
    of: ConversationId,
    after: Option<u64>,
    written: bool,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    /// Nothing is written.
    Before,
    /// The list is open.
    Within,
    /// The list is closed.
    Done,
}

impl Walk {
    /// The text of the next page, with the brackets if it is the first or the last.
    async fn step(&mut self) -> Result<Bytes, Error> {
        let page = self.page().await?;
        let mut text = match self.state {
            State::Before => b"{\"trajectory\":[".to_vec(),
            State::Within | State::Done => Vec::new(),
        };
        for item in &page.rows {
            let Some(mut event) = event::render(item).filter(|event| !event::is_hidden(event))
            else {
                continue;
            };
            event::trim_for_trajectory(&mut event);
            if self.written {
                text.push(b',');
            }
            self.written = true;
            serde_json::to_writer(&mut text, &event)
                .map_err(|error| Error::caused_by(Fault::Internal, error))?;
        }
        self.after = page.rows.last().map(|last| last.seq);
        self.state = if page.has_more && self.after.is_some() {
            State::Within
        } else {
            text.extend_from_slice(b"]}");
            State::Done
        };
        Ok(text.into())
    }

    async fn page(&self) -> Result<Page<Item>, Error> {
        let query = ItemQuery {
            cursor: Cursor {
                after: self.after.map(ItemRef::Seq),
                before: None,
            },
            filter: ItemFilter::DialogueAndEvents,
            ..ItemQuery::first(Order::OldestFirst, PAGE_ROWS)
        };
        self.service.items(&self.who, self.of.into(), &query).await
    }
}
