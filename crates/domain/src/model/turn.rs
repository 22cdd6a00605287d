//! Turns: one request to the assistant and all that came of it.

use crate::clock::Timestamp;
use crate::ids::{ConversationId, TurnId};

/// A turn without its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Its id.
    pub id: TurnId,
    /// The conversation that it belongs to.
    pub conversation: ConversationId,
    /// How it stands.
    pub state: TurnState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What it cost.
    pub usage: Usage,
}

/// How a turn stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnState {
    /// The model is answering.
    Running,
    /// The answer is complete and stored.
    Completed,
    /// There is no complete answer.
    Failed(TurnFailure),
    /// Somebody stopped it.
    Cancelled,
}

/// Why a turn failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnFailure {
    /// The server ended while it ran.
    Interrupted,
    /// The model refused, broke off or could not be reached.
    Upstream,
    /// The answer was longer than allowed.
    TooLong,
    /// A defect of Parlance, or the store failed.
    Internal,
}

/// Tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens that the model read.
    pub input_tokens: u64,
    /// Tokens that the model wrote.
    pub output_tokens: u64,
}
