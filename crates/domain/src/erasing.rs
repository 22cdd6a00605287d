//! The port to what operators erase, and to what keeps them from it: many conversations at once, whoever's
//! they are, and legal holds.

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::ids::{AppId, ConversationId, ConversationRef, ReceiptId};
use crate::model::{HoldEntry, ProjectId, User};
use crate::store::{Outcome, StoreError};

/// Which conversations are to be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EraseQuery {
    /// The tenant.
    pub project: ProjectId,
    /// Whose; whoever's, if none.
    pub user: Option<User>,
    /// Only what was last changed before this time.
    pub unchanged_since: Option<Timestamp>,
}

/// A place among the conversations that are to be erased. They are in the order of their last change;
/// those of one user app by app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ErasePlace {
    /// The app, where they are of one user.
    pub app: Option<AppId>,
    /// The time of the last change.
    pub updated_at: Timestamp,
    /// The conversation.
    pub id: ConversationId,
}

/// A conversation that is to be erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erasable {
    /// Where and which it is.
    pub place: ErasePlace,
    /// Whether a hold covers it.
    pub is_held: bool,
}

/// What stores do for operators.
#[async_trait]
pub trait Erasing: Send + Sync + 'static {
    /// The living conversation of the project that is meant, whoever's it is. Its place has no app.
    async fn located(
        &self,
        project: ProjectId,
        of: ConversationRef,
    ) -> Result<Option<Erasable>, StoreError>;

    /// At most `count_max` of the conversations that are to be erased, in order, from the place after
    /// `after` on. Found without looking at others.
    async fn erasable(
        &self,
        what: &EraseQuery,
        after: Option<ErasePlace>,
        count_max: u32,
    ) -> Result<Vec<Erasable>, StoreError>;

    /// Deletes these conversations, each with its receipt, in one transaction, as
    /// [`Write::Delete`](crate::store::Write::Delete) does; but what is not, or no more, to be erased is
    /// left, and the outcome says why: [`Outcome::Left`]. The outcomes are in the order of `which`.
    /// [`StoreError::IdClash`] if there is a receipt of one of these ids.
    async fn erase_some(
        &self,
        what: &EraseQuery,
        which: &[(ConversationId, ReceiptId)],
        at: Timestamp,
    ) -> Result<Vec<Outcome>, StoreError>;

    /// All holds of a project, oldest first.
    async fn holds(&self, project: ProjectId) -> Result<Vec<HoldEntry>, StoreError>;
}
