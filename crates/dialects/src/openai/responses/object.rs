//! The Response object, in the set and order of fields of live answers: recorded traces of October 2025, and
//! `completed_at` and `cache_write_tokens` from the specification.

use parlance_domain::service::{TurnEnd, TurnStream};
use parlance_domain::{
    ConversationId, Cutoff, ItemContent, ItemId, Json, NewItem, Timestamp, Turn, TurnFailure,
    TurnId, TurnState, Usage,
};
use serde::Serialize;

use super::kept::{Kept, Reasoning};
use crate::openai::{convert, error, item};

/// What stands still of a response, however it goes on.
#[derive(Clone)]
pub(in crate::openai) struct Head {
    /// Which.
    pub(in crate::openai) turn: TurnId,
    /// When it began.
    pub(in crate::openai) created_at: Timestamp,
    /// Its conversation, if it is in one that clients see.
    pub(in crate::openai) conversation: Option<ConversationId>,
    /// The response that it continues.
    pub(in crate::openai) previous: Option<TurnId>,
    /// The model that answers.
    pub(in crate::openai) model: String,
    /// What it gives back of its request.
    pub(in crate::openai) kept: Kept,
}

impl Head {
    /// Of a turn that is stored.
    pub(in crate::openai) fn of(turn: &Turn) -> Self {
        Self {
            turn: turn.id,
            created_at: turn.started_at,
            conversation: (!turn.stands_alone()).then_some(turn.conversation),
            previous: turn.record.previous,
            model: turn.record.model.clone(),
            kept: Kept::of(turn),
        }
    }

    /// Of a turn that has just begun.
    pub(in crate::openai) fn begun(
        turn: &TurnStream,
        kept: Kept,
        conversation: Option<ConversationId>,
        previous: Option<TurnId>,
    ) -> Self {
        Self {
            turn: turn.turn,
            created_at: turn.started_at,
            conversation,
            previous,
            model: turn.model.clone(),
            kept,
        }
    }
}

/// How a response stands.
pub(in crate::openai) struct Standing {
    status: &'static str,
    completed_at: Option<i64>,
    error: Option<Failed>,
    incomplete: Option<Incomplete>,
    usage: Option<Spent>,
    output: Vec<Json>,
    is_over: bool,
}

impl Standing {
    /// Nothing is said yet; `status` is `queued` or `in_progress`.
    pub(in crate::openai) const fn open(status: &'static str) -> Self {
        Self {
            status,
            completed_at: None,
            error: None,
            incomplete: None,
            usage: None,
            output: Vec::new(),
            is_over: false,
        }
    }

    /// As a turn has ended.
    pub(in crate::openai) fn ended(end: &TurnEnd) -> Self {
        let output = end.output.iter().map(|item| item::render_new(item));
        let how = Ending {
            state: end.state,
            at: Some(end.at),
            usage: end.usage,
            error: end.error.as_deref(),
        };
        Self::of(&how, output.collect())
    }

    /// As a turn is stored, with its output.
    pub(in crate::openai) fn stored(turn: &Turn, output: Vec<Json>) -> Self {
        let how = Ending {
            state: turn.state,
            at: turn.finished_at,
            usage: turn.usage,
            error: turn.record.error.as_deref(),
        };
        Self::of(&how, output)
    }

    fn of(how: &Ending<'_>, output: Vec<Json>) -> Self {
        let open = Self {
            output,
            usage: (how.usage != Usage::default()).then(|| how.usage.into()),
            is_over: true,
            ..Self::open("in_progress")
        };
        match how.state {
            TurnState::Running => Self::open("in_progress"),
            TurnState::Completed => Self {
                status: "completed",
                completed_at: how.at.map(Timestamp::seconds),
                usage: Some(how.usage.into()),
                ..open
            },
            TurnState::Incomplete(cutoff) => Self {
                status: "incomplete",
                incomplete: Some(Incomplete {
                    reason: match cutoff {
                        Cutoff::Length => "max_output_tokens",
                        Cutoff::ContentFilter => "content_filter",
                    },
                }),
                usage: Some(how.usage.into()),
                ..open
            },
            TurnState::Failed(why) => Self {
                status: "failed",
                error: Some(failed(why, how.error)),
                ..open
            },
            TurnState::Cancelled => Self {
                status: "cancelled",
                ..open
            },
        }
    }

    /// The event that ends a stream. There is none for what was cancelled: `response.failed` is the one that
    /// says that nothing more will come, and its response says why.
    pub(super) fn last_event(&self) -> &'static str {
        match self.status {
            "completed" => "response.completed",
            "incomplete" => "response.incomplete",
            _ => "response.failed",
        }
    }
}

struct Ending<'a> {
    state: TurnState,
    at: Option<Timestamp>,
    usage: Usage,
    error: Option<&'a str>,
}

fn failed(why: TurnFailure, said: Option<&str>) -> Failed {
    let (code, message) = match why {
        TurnFailure::Busy => ("rate_limit_exceeded", error::MODEL_BUSY),
        TurnFailure::Refused => ("invalid_prompt", error::REFUSED),
        TurnFailure::Upstream => ("server_error", error::MODEL_DOWN),
        TurnFailure::Interrupted => (
            "server_error",
            "The server was stopped while the response was being made.",
        ),
        TurnFailure::TooLong => (
            "server_error",
            "The answer was longer than this server accepts.",
        ),
        TurnFailure::Internal => ("server_error", error::INTERNAL),
    };
    Failed {
        code,
        message: said.unwrap_or(message).to_owned(),
    }
}

/// Where a response object stands: alone it says who pays, in events of a stream it does not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::openai) enum Form {
    /// The whole answer.
    Whole,
    /// Inside an event.
    Event,
}

#[derive(Serialize)]
struct Failed {
    code: &'static str,
    message: String,
}

#[derive(Serialize)]
struct Incomplete {
    reason: &'static str,
}

/// What a response cost.
#[derive(Serialize)]
pub(in crate::openai) struct Spent {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Serialize)]
struct InputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

impl From<Usage> for Spent {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            input_tokens_details: InputDetails {
                cached_tokens: usage.cached_tokens,
                cache_write_tokens: 0,
            },
            output_tokens: usage.output_tokens,
            output_tokens_details: OutputDetails {
                reasoning_tokens: usage.reasoning_tokens,
            },
            total_tokens: usage.total(),
        }
    }
}

#[derive(Serialize)]
struct Billing {
    payer: &'static str,
}

#[derive(Serialize)]
struct ConversationName {
    id: String,
}

#[derive(Serialize)]
struct Response<'a> {
    id: String,
    object: &'static str,
    created_at: i64,
    status: &'static str,
    background: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    billing: Option<Billing>,
    completed_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<ConversationName>,
    error: Option<&'a Failed>,
    incomplete_details: Option<&'a Incomplete>,
    instructions: Option<&'a str>,
    max_output_tokens: Option<u64>,
    max_tool_calls: Option<u64>,
    model: &'a str,
    output: &'a [Json],
    parallel_tool_calls: bool,
    previous_response_id: Option<String>,
    prompt_cache_key: Option<&'a str>,
    reasoning: &'a Reasoning,
    safety_identifier: Option<&'a str>,
    service_tier: &'a str,
    store: bool,
    temperature: f64,
    text: &'a Json,
    tool_choice: &'a Json,
    tools: &'a Json,
    top_logprobs: u64,
    top_p: f64,
    truncation: &'a str,
    usage: Option<&'a Spent>,
    user: Option<&'a str>,
    metadata: &'a Json,
}

/// The Response object on the wire.
pub(in crate::openai) fn response<'a>(
    head: &'a Head,
    standing: &'a Standing,
    form: Form,
) -> impl Serialize + 'a {
    let kept = &head.kept;
    let payer = "developer";
    Response {
        id: convert::response_text(head.turn),
        object: "response",
        created_at: head.created_at.seconds(),
        status: standing.status,
        background: kept.background,
        billing: (form == Form::Whole).then_some(Billing { payer }),
        completed_at: standing.completed_at,
        conversation: head.conversation.map(|id| ConversationName {
            id: convert::conversation_text(id),
        }),
        error: standing.error.as_ref(),
        incomplete_details: standing.incomplete.as_ref(),
        instructions: kept.instructions.as_deref(),
        max_output_tokens: kept.max_output_tokens,
        max_tool_calls: kept.max_tool_calls,
        model: &head.model,
        output: &standing.output,
        parallel_tool_calls: kept.parallel_tool_calls,
        previous_response_id: head.previous.map(convert::response_text),
        prompt_cache_key: kept.prompt_cache_key.as_deref(),
        reasoning: &kept.reasoning,
        safety_identifier: kept.safety_identifier.as_deref(),
        // The tier that was asked for, and in the end the only one that there is.
        service_tier: if standing.is_over {
            "default"
        } else {
            &kept.service_tier
        },
        store: kept.store,
        temperature: kept.temperature,
        text: &kept.text,
        tool_choice: &kept.tool_choice,
        tools: &kept.tools,
        top_logprobs: 0,
        top_p: kept.top_p,
        truncation: &kept.truncation,
        usage: standing.usage.as_ref(),
        user: kept.user.as_deref(),
        metadata: &kept.metadata,
    }
}

/// The object with which `POST /v1/responses/compact` answers.
#[derive(Serialize)]
pub(in crate::openai) struct Compacted {
    id: String,
    object: &'static str,
    created_at: i64,
    output: [Json; 1],
    usage: Spent,
}

impl Compacted {
    /// Of a turn that has summed up what was said.
    pub(in crate::openai) fn new(turn: &TurnStream, end: &TurnEnd, id: ItemId) -> Self {
        let summary = NewItem {
            id,
            alias: None,
            content: ItemContent::compaction(&end.text()),
        };
        Self {
            id: convert::response_text(turn.turn),
            object: "response.compaction",
            created_at: turn.started_at.seconds(),
            output: [item::render_new(&summary)],
            usage: end.usage.into(),
        }
    }
}
