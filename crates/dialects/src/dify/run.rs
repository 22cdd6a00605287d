//! One run of an app's flow: how it ends, and what it took, for both response modes.

use std::time::Duration;

use parlance_domain::{Timestamp, TurnFailure, Usage};
use serde_json::{Value, json};

/// What everything costs: models have no prices here. Dify writes the same for a model without.
pub(super) const PRICE: &str = "0.0";
/// The currency of [`PRICE`].
pub(super) const CURRENCY: &str = "USD";
/// What comes before the reason of a failure, where Dify reports it as an error.
pub(super) const RUN_FAILED: &str = "Run failed: ";

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

/// Why a run failed, in words.
pub(super) const fn failure(why: TurnFailure) -> &'static str {
    match why {
        TurnFailure::Interrupted => "the server was stopped before the answer was complete",
        TurnFailure::Upstream => "the model did not answer, or broke off",
        TurnFailure::Busy => "the model is at its limit",
        TurnFailure::Refused => "the model refused",
        TurnFailure::TooLong => "the answer was longer than allowed",
        TurnFailure::Internal => "internal server error",
    }
}

/// When a run began, and when its answer did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// When the run began.
    pub(super) started: Timestamp,
    /// When the first piece of the answer came.
    first_text: Option<Timestamp>,
}

impl Timing {
    /// A run that begins now.
    pub(super) const fn new(started: Timestamp) -> Self {
        Self {
            started,
            first_text: None,
        }
    }

    /// Notes a piece of the answer.
    pub(super) fn text(&mut self, at: Timestamp) {
        self.first_text.get_or_insert(at);
    }

    /// Seconds from the beginning on.
    pub(super) fn elapsed(&self, at: Timestamp) -> f64 {
        seconds(self.started, at)
    }

    /// What a run took, as Dify's models report it.
    pub(super) fn usage(&self, usage: Usage, at: Timestamp) -> Value {
        let first = self.first_text.map(|first| self.elapsed(first));
        let rest = self.first_text.map(|first| seconds(first, at));
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
    pub(super) fn metadata(&self, usage: Usage, at: Timestamp) -> Value {
        json!({
            "annotation_reply": null,
            "retriever_resources": [],
            "usage": self.usage(usage, at),
            "reasoning": {},
        })
    }
}

/// Seconds between two times; none if the clock went back.
pub(super) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    let micros = to.micros().saturating_sub(from.micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0)).as_secs_f64()
}
