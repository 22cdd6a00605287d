//! The events of a conversation.

use http::StatusCode;
use parlance_domain::service::TurnTarget;
use parlance_domain::{
    Conflict, ConversationRef, Cursor, Error, Fault, ItemFilter, ItemKind, ItemQuery, ItemRef,
    Order, Principal, Role, SeqRange,
};
use serde_json::{Value, json};

use crate::kit::{Call, Failure, Reply, reply};
use crate::openhands::caller::{named, principal};
use crate::openhands::convert::{self, Kept};
use crate::openhands::event::filter::EventFilter;
use crate::openhands::event::{self, Event};
use crate::openhands::validate::Problems;
use crate::openhands::{body, wire};

/// Events of a page, unless asked otherwise.
const LIMIT_DEFAULT: i64 = 20;
const LIMIT_MAX: i64 = 100;
/// Items that are read at once while some of them may be filtered out.
const SCAN_ROWS: u32 = 100;

/// `GET /api/conversations/{conversation_id}/events`, with a filter in the body if there is one.
pub(in crate::openhands) async fn list(call: Call) -> Reply {
    let given = body::given(&call)?;
    let (who, named) = (principal(&call)?, named(&call)?);
    let conversation = named.find(&call, &who).await?;
    let Some(wanted) = Wanted::read(&call, given.as_ref())? else {
        let body = json!({"detail": "Invalid limit"});
        return reply::json(StatusCode::BAD_REQUEST, &body);
    };
    let (events, has_more) = wanted.events(&call, &who, conversation.id.into()).await?;
    reply::ok(&json!({"events": events, "has_more": has_more}))
}

/// Which events a client wants.
struct Wanted {
    within: Option<SeqRange>,
    order: Order,
    filter: Option<EventFilter>,
    rows_max: usize,
}

impl Wanted {
    /// None for a limit out of bounds, which is the one value that is not checked with the others.
    fn read(call: &Call, given: Option<&Value>) -> Result<Option<Self>, Failure> {
        let (query, mut problems) = (&call.query, Problems::default());
        let start = problems.query_integer(query, "start_id").unwrap_or(0);
        let end = problems.query_integer(query, "end_id").unwrap_or(i64::MAX);
        let reverse = problems.query_boolean(query, "reverse").unwrap_or(false);
        let limit = problems.query_integer(query, "limit");
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        if let Some(given) = given {
            problems.model(&mut vec!["body".into()], given, &wire::EVENT_FILTER);
        }
        problems.none()?;
        let filter = given.and_then(Value::as_object);
        let filter = filter.map(EventFilter::of);
        let within = u64::try_from(end).ok().map(|last| SeqRange {
            first: u64::try_from(start).unwrap_or(0),
            last,
        });
        let order = if reverse {
            Order::NewestFirst
        } else {
            Order::OldestFirst
        };
        let rows_max = usize::try_from(limit).ok().filter(|_| limit <= LIMIT_MAX);
        Ok(rows_max.map(|rows_max| Self {
            within: within.filter(|within| within.first <= within.last),
            order,
            filter,
            rows_max,
        }))
    }

    /// The events, and whether another would follow.
    async fn events(
        &self,
        call: &Call,
        who: &Principal,
        of: ConversationRef,
    ) -> Result<(Vec<Event>, bool), Error> {
        let mut events = Vec::new();
        let mut after = None;
        let Some(within) = self.within else {
            return Ok((events, false));
        };
        loop {
            let query = self.query(within, after);
            let page = call.service.items(who, of, &query).await?;
            after = page.rows.last().map(|last| last.seq);
            let passes = |event: &Event| {
                let filter = self.filter.as_ref();
                filter.is_none_or(|filter| filter.passes(event))
            };
            for event in page.rows.iter().filter_map(event::render).filter(passes) {
                if events.len() == self.rows_max {
                    return Ok((events, true));
                }
                events.push(event);
            }
            if !page.has_more || after.is_none() {
                return Ok((events, false));
            }
        }
    }

    fn query(&self, within: SeqRange, after: Option<u64>) -> ItemQuery {
        let one_more = u32::try_from(self.rows_max).map_or(SCAN_ROWS, |rows| rows + 1);
        let rows_max = match &self.filter {
            Some(_) => SCAN_ROWS,
            None => one_more,
        };
        ItemQuery {
            cursor: Cursor {
                after: after.map(ItemRef::Seq),
                before: None,
            },
            within,
            filter: ItemFilter::DialogueAndEvents,
            ..ItemQuery::first(self.order, rows_max)
        }
    }
}

/// `POST /api/conversations/{conversation_id}/events`. Whatever it says, it is from the user; a message is
/// answered, after what is being answered already.
pub(in crate::openhands) async fn create(call: Call) -> Reply {
    let (who, named) = (principal(&call)?, named(&call)?);
    let conversation = named.find(&call, &who).await?;
    let posted = body::json(&call)?;
    if !conversation.active {
        return Err(Fault::Conflict(Conflict::NotRunning).into());
    }
    let item = event::read(&posted)?;
    let of = conversation.id.into();
    if item.kind == ItemKind::Message(Role::User) {
        let kept = Kept::of(&conversation);
        let answer = convert::answer(&call.access.app, &kept, TurnTarget::Existing(of));
        call.service
            .say(&who, of, vec![item.into()], answer)
            .await?;
    } else {
        let items = vec![item.into()];
        call.service.append_items(&who, of, items).await?;
    }
    reply::ok(&json!({"success": true}))
}
