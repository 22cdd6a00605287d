//! One run of an app's flow: how it ends, and what it took, for both response modes.

use std::time::Duration;

use parlance_domain::service::TurnEnd;
use parlance_domain::{
    Cutoff, ItemKind, ItemType, NewItem, Timestamp, TurnFailure, TurnState, Usage,
};
use serde_json::{Value, json};

/// What everything costs: models have no prices here. Dify writes the same for a model without.
pub(super) const PRICE: &str = "0.0";
/// The currency of [`PRICE`].
pub(super) const CURRENCY: &str = "USD";
/// What comes before the reason of a failure, where Dify reports it as an error.
pub(super) const RUN_FAILED: &str = "Run failed: ";

/// The model's node.
pub(super) const LLM: &str = "llm";

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The answer is complete.
    Completed,
    /// There is no complete answer.
    Failed(TurnFailure),
    /// Somebody stopped it.
    Stopped,
    /// Its conversation was deleted.
    Deleted,
}

impl Ending {
    /// How a turn's end is a run's.
    pub(super) const fn of(end: &TurnEnd) -> Self {
        match end.state {
            // Dify reports an answer that was cut off as it does a whole one.
            TurnState::Completed | TurnState::Incomplete(_) => Self::Completed,
            TurnState::Failed(why) => Self::Failed(why),
            TurnState::Running => Self::Failed(TurnFailure::Internal),
            TurnState::Cancelled if end.is_deleted => Self::Deleted,
            TurnState::Cancelled => Self::Stopped,
        }
    }
}

/// Why a run failed, in words: of the model's server, if it said any, after Dify's own for such an error
/// (`model_runtime`, `_transform_invoke_error`), which name the provider; here, the model.
pub(super) fn failure(why: TurnFailure, model: &str, said: Option<&str>) -> String {
    let error = match why {
        TurnFailure::Upstream => "Connection Error",
        TurnFailure::Busy => "Rate Limit Error",
        TurnFailure::Refused => "Bad Request Error",
        TurnFailure::Interrupted => {
            return "the server was stopped before the answer was complete".to_owned();
        }
        TurnFailure::TooLong => return "the answer was longer than allowed".to_owned(),
        TurnFailure::Internal => return "internal server error".to_owned(),
    };
    let said = said.map(|said| format!(", {said}")).unwrap_or_default();
    format!("[{model}] {error}{said}")
}

/// Why the model stopped, as its node reports it.
pub(super) fn finish_reason(end: &TurnEnd) -> &'static str {
    let calls = end.output.last().is_some_and(|item| is_call(item));
    match end.state {
        TurnState::Incomplete(Cutoff::Length) => "length",
        TurnState::Incomplete(Cutoff::ContentFilter) => "content_filter",
        TurnState::Running | TurnState::Completed | TurnState::Failed(_) | TurnState::Cancelled => {
            if calls {
                "tool_calls"
            } else {
                "stop"
            }
        }
    }
}

fn is_call(item: &NewItem) -> bool {
    item.content.kind == ItemKind::Typed(ItemType::FUNCTION_CALL)
}

/// When a run began, and when its answer did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// When the run began.
    pub(super) started: Timestamp,
    /// When the first piece came, of the answer or of what was thought before it.
    first_piece: Option<Timestamp>,
}

impl Timing {
    /// A run that begins now.
    pub(super) const fn new(started: Timestamp) -> Self {
        Self {
            started,
            first_piece: None,
        }
    }

    /// Notes a piece.
    pub(super) fn piece(&mut self, at: Timestamp) {
        self.first_piece.get_or_insert(at);
    }

    /// Seconds from the beginning on.
    pub(super) fn elapsed(&self, at: Timestamp) -> f64 {
        seconds(self.started, at)
    }

    /// What a run took, as Dify's models report it.
    pub(super) fn usage(&self, usage: Usage, at: Timestamp) -> Value {
        let first = self.first_piece.map(|first| self.elapsed(first));
        let rest = self.first_piece.map(|first| seconds(first, at));
        json!({
            "prompt_tokens": usage.input_tokens,
            "prompt_unit_price": PRICE,
            "prompt_price_unit": PRICE,
            "prompt_price": PRICE,
            "completion_tokens": usage.output_tokens,
            "completion_unit_price": PRICE,
            "completion_price_unit": PRICE,
            "completion_price": PRICE,
            "total_tokens": usage.total(),
            "total_price": PRICE,
            "currency": CURRENCY,
            "latency": self.elapsed(at),
            "time_to_first_token": first,
            "time_to_generate": rest,
        })
    }

    /// The `metadata` of an answer.
    pub(super) fn metadata(&self, end: &TurnEnd, at: Timestamp) -> Value {
        let thought = end.thought();
        let reasoning = if thought.is_empty() {
            json!({})
        } else {
            json!({LLM: thought})
        };
        json!({
            "annotation_reply": null,
            "retriever_resources": [],
            "usage": self.usage(end.usage, at),
            "reasoning": reasoning,
        })
    }
}

/// Seconds between two times; none if the clock went back.
pub(super) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    let micros = to.micros().saturating_sub(from.micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0)).as_secs_f64()
}
