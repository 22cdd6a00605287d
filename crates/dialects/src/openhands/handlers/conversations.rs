//! Conversations.

use http::StatusCode;
use parlance_domain::service::TurnTarget;
use parlance_domain::{
    Conversation, ConversationQuery, ConversationRef, Cursor, Error, Fault, Id, Order, Principal,
    Sort,
};
use serde_json::{Value, json};

use crate::kit::{Call, Failure, Reply, reply};
use crate::openhands::caller::{found, named, principal};
use crate::openhands::convert::{self, Kept, New};
use crate::openhands::validate::Problems;
use crate::openhands::{body, page, wire};

/// Rows of a page, unless asked otherwise.
const LIMIT_DEFAULT: i64 = 20;
/// OpenHands has no maximum.
const LIMIT_MAX: i64 = 100;
/// Rows that are read at once while most of them may be filtered out.
const SCAN_ROWS: u32 = 200;

/// `POST /api/conversations`. The agent is there at once, so nothing is evicted and nobody waits;
/// `STARTING` is what clients expect. What the user says with it is answered.
pub(in crate::openhands) async fn create(call: Call) -> Reply {
    let who = principal(&call)?;
    let request = Problems::body(body::given(&call)?, &wire::INIT_SESSION)?;
    let app = &call.access.app;
    let New { draft, kept, asks } = New::of(app, &request);
    let id = if asks {
        let turn = convert::answer(app, &kept, TurnTarget::New(Box::new(draft)));
        let turn = call.service.start_turn(&who, turn).await?;
        turn.conversation.ok_or(Fault::Internal)?
    } else {
        call.service.create_conversation(&who, draft).await?.id
    };
    reply::ok(&convert::outcome(&id.hex(), None, "STARTING"))
}

/// `GET /api/conversations`. Filters come before paging, and no age hides anything.
pub(in crate::openhands) async fn list(call: Call) -> Reply {
    let who = principal(&call)?;
    let wanted = Wanted::read(&call)?;
    let (rows, has_more) = wanted.rows(&call, &who).await?;
    let next = rows.last().filter(|_| has_more);
    let next = next.map(|(conversation, _)| page::token(conversation.id));
    let info = |(conversation, kept): &(Conversation, Kept)| convert::info(conversation, kept);
    let results: Vec<Value> = rows.iter().map(info).collect();
    reply::ok(&json!({"results": results, "next_page_id": next}))
}

/// What a list should hold.
struct Wanted<'a> {
    after: Option<ConversationRef>,
    rows_max: usize,
    repository: Option<&'a str>,
    trigger: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn read(call: &'a Call) -> Result<Self, Failure> {
        let (query, mut problems) = (&call.query, Problems::default());
        let limit = problems.query_integer(query, "limit");
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        problems.query_within(query, "limit", limit, LIMIT_MAX);
        let trigger = query.get("conversation_trigger");
        if let Some(trigger) = trigger {
            let loc = ["query".into(), "conversation_trigger".into()];
            problems.one_of(&loc, &trigger.into(), wire::TRIGGERS);
        }
        problems.none()?;
        Ok(Self {
            after: page::after(query)?,
            rows_max: usize::try_from(limit).unwrap_or(0),
            repository: query.get("selected_repository"),
            trigger,
        })
    }

    /// The rows, and whether another would follow.
    async fn rows(
        &self,
        call: &Call,
        who: &Principal,
    ) -> Result<(Vec<(Conversation, Kept)>, bool), Error> {
        let mut rows = Vec::new();
        let mut after = self.after;
        if self.rows_max == 0 {
            return Ok((rows, false));
        }
        loop {
            let page = call.service.conversations(who, &self.query(after)).await?;
            after = page.rows.last().map(|last| last.id.into());
            for conversation in page.rows {
                let kept = Kept::of(&conversation);
                if !self.passes(&kept) {
                    continue;
                }
                if rows.len() == self.rows_max {
                    return Ok((rows, true));
                }
                rows.push((conversation, kept));
            }
            if !page.has_more || after.is_none() {
                return Ok((rows, false));
            }
        }
    }

    fn query(&self, after: Option<ConversationRef>) -> ConversationQuery {
        let filtered = self.repository.is_some() || self.trigger.is_some();
        let one_more = u32::try_from(self.rows_max).map_or(SCAN_ROWS, |rows| rows + 1);
        ConversationQuery {
            sort: Sort::Created,
            order: Order::NewestFirst,
            cursor: Cursor {
                after,
                before: None,
            },
            app: None,
            rows_max: if filtered { SCAN_ROWS } else { one_more },
        }
    }

    fn passes(&self, kept: &Kept) -> bool {
        self.repository
            .is_none_or(|repository| kept.is("selected_repository", repository))
            && self
                .trigger
                .is_none_or(|trigger| kept.is("trigger", trigger))
    }
}

/// `GET /api/conversations/{conversation_id}`: null for what is not there.
pub(in crate::openhands) async fn retrieve(call: Call) -> Reply {
    let (who, named) = (principal(&call)?, named(&call)?);
    let conversation = found(named.find(&call, &who).await)?;
    let info = |conversation: &Conversation| convert::info(conversation, &Kept::of(conversation));
    reply::ok(&conversation.as_ref().map(info))
}

/// `PATCH /api/conversations/{conversation_id}`. A blank title is none: the default is shown then.
pub(in crate::openhands) async fn update(call: Call) -> Reply {
    let given = body::given(&call)?;
    let (who, named) = (principal(&call)?, named(&call)?);
    let request = Problems::body(given, &wire::UPDATE)?;
    let title = request
        .get("title")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .trim();
    let title = Some(title.to_owned()).filter(|title| !title.is_empty());
    let renamed = match named.id() {
        Ok(id) => call.service.rename_conversation(&who, id, title).await,
        Err(error) => Err(error),
    };
    if found(renamed)?.is_some() {
        return reply::ok(&true);
    }
    let body = json!({
        "status": "error", "message": "Conversation not found",
        "msg_id": "CONVERSATION$NOT_FOUND",
    });
    reply::json(StatusCode::NOT_FOUND, &body)
}

/// `DELETE /api/conversations/{conversation_id}`: whether there was one. True is said only when it
/// is gone.
pub(in crate::openhands) async fn delete(call: Call) -> Reply {
    let (who, named) = (principal(&call)?, named(&call)?);
    let deleted = match named.id() {
        Ok(id) => call.delete(&who, id).await,
        Err(error) => Err(error),
    };
    reply::ok(&found(deleted)?.is_some())
}
