//! Legal holds: what must not be erased until somebody says so.

use super::{ProjectId, User};
use crate::clock::Timestamp;
use crate::ids::{ConversationId, HoldId};
use crate::secret::Secret;

/// What a hold covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldScope {
    /// One conversation.
    Conversation(ConversationId),
    /// All conversations of a user, later ones included, and the name of the user on keys.
    User(User),
    /// All conversations of the project, later ones included, and the names of users on keys.
    Project,
}

/// A hold: deletes of what it covers, and of items in it, are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its id.
    pub id: HoldId,
    /// The tenant.
    pub project: ProjectId,
    /// What it covers.
    pub covers: HoldScope,
    /// Why, in the operator's words.
    pub note: Option<Secret>,
    /// When it began.
    pub added_at: Timestamp,
}

/// A hold in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldEntry {
    /// Its id.
    pub id: HoldId,
    /// What it covers. None for a user whose name is gone: this is a copy of the data from before the
    /// hold was removed. What is the user's is covered all the same.
    pub covers: Option<HoldScope>,
    /// Why, in the operator's words.
    pub note: Option<Secret>,
    /// When it began.
    pub added_at: Timestamp,
}
