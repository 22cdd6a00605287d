//! Turns: one request to the assistant and all that came of it.

use crate::clock::Timestamp;
use crate::ids::{AppId, ConversationId, ConversationRef, Id, Ref, TurnId};
use crate::model::item::Native;
use crate::model::page::{Cursor, Order};
use crate::model::principal::Realm;

/// A turn without its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Its id.
    pub id: TurnId,
    /// The conversation that it belongs to. A turn that stands alone has one to itself, of the same bits.
    pub conversation: ConversationId,
    /// The app that answers.
    pub app: AppId,
    /// How it stands.
    pub state: TurnState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What it cost.
    pub usage: Usage,
    /// The sequence number of the first item of its input, if it has any.
    pub first_seq: u64,
    /// The sequence number of the first item of its output, if it has any; none while it runs. Items with
    /// this turn below it are its input.
    pub output_seq: Option<u64>,
    /// What else is known of it.
    pub record: TurnRecord,
}

impl Turn {
    /// Whether it belongs to no conversation that anybody sees.
    pub fn stands_alone(&self) -> bool {
        self.id.bits() == self.conversation.bits()
    }

    /// Among which of the principal's things its items are.
    pub fn realm(&self) -> Realm {
        if self.stands_alone() {
            Realm::LoneTurns
        } else {
            Realm::Conversations
        }
    }
}

/// What is kept of a turn beside its items. Content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TurnRecord {
    /// The name of the model that answers.
    pub model: String,
    /// The turn whose context it continues, where that is not simply the conversation's.
    pub previous: Option<TurnId>,
    /// What only the dialect that began it can show: the parameters that it gives back.
    pub native: Option<Native>,
    /// Why it failed, in words for the client.
    pub error: Option<String>,
    /// Where the pieces end in which its output came: for each item of the output, in order, the bytes
    /// of every piece. Empty where nobody keeps them.
    pub pieces: Vec<Vec<u32>>,
}

/// How a turn stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnState {
    /// The model is answering.
    Running,
    /// The answer is complete and stored.
    Completed,
    /// The answer was cut off, and is stored as far as it came.
    Incomplete(Cutoff),
    /// There is no complete answer.
    Failed(TurnFailure),
    /// Somebody stopped it.
    Cancelled,
}

/// What cut an answer off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cutoff {
    /// It has as many tokens as it may have.
    Length,
    /// The model's server would not let it say more.
    ContentFilter,
}

/// Why a turn failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnFailure {
    /// The server ended while it ran.
    Interrupted,
    /// The model broke off, could not be reached, or sent what makes no sense.
    Upstream,
    /// The model's server has too much to do.
    Busy,
    /// The model's server refused what it was asked.
    Refused,
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
    /// Those among them that it had read before.
    pub cached_tokens: u64,
    /// Tokens that the model wrote.
    pub output_tokens: u64,
    /// Those among them that it thought.
    pub reasoning_tokens: u64,
}

impl Usage {
    /// All that were read and written.
    pub const fn total(self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

/// A page of a principal's turns, in and outside of conversations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnQuery {
    /// Which way, by when they began.
    pub order: Order,
    /// Where the page lies.
    pub cursor: Cursor<Ref<TurnId>>,
    /// Only those of this conversation, which the principal has to mean: not of a lone turn's, unless the
    /// principal means those.
    pub conversation: Option<ConversationRef>,
    /// Only those that this app answers.
    pub app: Option<AppId>,
    /// At most so many rows; 0 gives an empty page. A page of turns with very large records may end earlier.
    pub rows_max: u32,
}
