//! The port to storage. Reads are methods, writes are values.
//!
//! Every method but the administrative ones takes the principal first, and answers about things of
//! other principals exactly as about things that do not exist.

mod write;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::erasing::Erasing;
use crate::ids::{AppId, ConversationRef, ItemId, ReceiptId, Ref, TurnId};
use crate::model::{
    App, Conversation, ConversationQuery, Due, Item, ItemQuery, ItemRef, KeyDigest, KeyRecord,
    Page, Principal, Project, ProjectId, ReceiptEntry, ReceiptRecord, Turn, TurnQuery,
};
use crate::receipt_log::{Event, LogHead, LoggedBatch, NewBatch, NewCheckpoint};

pub use write::{AdminWrite, Batch, Left, Outcome, Require, Write};

/// Where conversations are kept. An acknowledged write survives the process, and by default power loss.
#[async_trait]
pub trait Store: ReceiptLog + Erasing {
    /// The conversation, if it lives and is the principal's.
    async fn conversation(
        &self,
        who: &Principal,
        id: ConversationRef,
    ) -> Result<Option<Conversation>, StoreError>;

    /// A page of the principal's conversations. [`StoreError::NoAnchor`] where the list is sorted by
    /// change and nothing is known of the anchor any more.
    async fn conversations(
        &self,
        who: &Principal,
        query: &ConversationQuery,
    ) -> Result<Page<Conversation>, StoreError>;

    /// A page of a conversation's items. [`StoreError::NoConversation`] as for
    /// [`Store::conversation`]; an anchor that is gone marks the place where it was, and an alias
    /// that nothing has gives an empty page.
    async fn items(
        &self,
        who: &Principal,
        of: ConversationRef,
        query: &ItemQuery,
    ) -> Result<Page<Item>, StoreError>;

    /// One item. [`StoreError::NoConversation`] or [`StoreError::NoItem`].
    async fn item(
        &self,
        who: &Principal,
        of: ConversationRef,
        item: &ItemRef,
    ) -> Result<Item, StoreError>;

    /// The turns among `turns` that the conversation has, in no order.
    /// [`StoreError::NoConversation`] as for [`Store::conversation`].
    async fn turns(
        &self,
        who: &Principal,
        of: ConversationRef,
        turns: &[TurnId],
    ) -> Result<Vec<Turn>, StoreError>;

    /// One turn of the principal's, whether it is in a conversation or stands alone: of both realms, whatever
    /// the principal's own. Of several that a prefix names, the oldest.
    async fn turn(&self, who: &Principal, turn: Ref<TurnId>) -> Result<Option<Turn>, StoreError>;

    /// A page of the principal's turns, of both realms. [`StoreError::NoConversation`] if the query names a
    /// conversation that is not the principal's. An anchor that is gone marks the place where it was.
    async fn turn_page(&self, who: &Principal, query: &TurnQuery)
    -> Result<Page<Turn>, StoreError>;

    /// Applies all writes in order or none, having checked all preconditions, in one transaction.
    /// The outcomes are in the order of the writes.
    async fn apply(&self, who: &Principal, batch: &Batch) -> Result<Vec<Outcome>, StoreError>;

    /// Deletes a conversation of the project, whoever's it is: for operators, who answer for all of
    /// them. Otherwise as [`Write::Delete`]. [`StoreError::NoConversation`] if there is none.
    async fn erase(
        &self,
        project: ProjectId,
        conversation: ConversationRef,
        receipt: ReceiptId,
        at: Timestamp,
    ) -> Result<Outcome, StoreError>;

    /// The one question that is asked before a principal is known.
    async fn key(&self, digest: &KeyDigest) -> Result<Option<KeyRecord>, StoreError>;

    /// All projects, by number.
    async fn projects(&self) -> Result<Vec<Project>, StoreError>;

    /// All apps of a project, oldest first.
    async fn apps(&self, project: ProjectId) -> Result<Vec<App>, StoreError>;

    /// One app.
    async fn app(&self, project: ProjectId, id: AppId) -> Result<Option<App>, StoreError>;

    /// All keys of a project, oldest first, revoked ones included.
    async fn keys(&self, project: ProjectId) -> Result<Vec<KeyRecord>, StoreError>;

    /// Applies one administrative write.
    async fn administer(&self, write: &AdminWrite) -> Result<(), StoreError>;

    /// Marks every turn that is recorded as running as failed and interrupted: for start-up, before
    /// anything is served. Gives their number.
    async fn fail_running_turns(&self, at: Timestamp) -> Result<u64, StoreError>;

    /// Removes a bounded chunk of what deleted conversations have left, and forgets deletions from
    /// before `forget_before`. True as long as there may be more.
    async fn sweep(&self, forget_before: Timestamp) -> Result<bool, StoreError>;

    /// At most `count_max` things to state in the log of receipts: first events, in the order in which
    /// they were recorded, then receipts that have something new to say, the oldest first: a key is
    /// destroyed, or the last rows are gone; then those of which all that is new is that the root was
    /// renewed. Where nothing was sealed, only the rows.
    ///
    /// The keys of all that is given were destroyed before this answers, and the root was renewed where it
    /// says so, so a time that is taken afterwards is a time at which they were.
    async fn receipts_to_sign(&self, count_max: u32) -> Result<Vec<Due>, StoreError>;

    /// Replaces the root that all keys are sealed under, if anything was deleted since that was done
    /// last. When this returns, no copy of the keys from before opens what was deleted before the call,
    /// and its receipts have something new to say. Others read and write meanwhile.
    ///
    /// [`StoreError::FixedRoot`] if the root cannot be replaced. After other errors the next call does
    /// what is left.
    async fn renew_root(&self) -> Result<RootRenewal, StoreError>;

    /// The receipt of what the principal has deleted, as long as that deletion is not forgotten.
    async fn receipt_of(
        &self,
        who: &Principal,
        of: ConversationRef,
    ) -> Result<Option<ReceiptId>, StoreError>;

    /// At most `count_max` receipts of a project by their ids, from the one after `after` on. None is
    /// ever removed.
    async fn receipts(
        &self,
        project: ProjectId,
        after: Option<ReceiptId>,
        count_max: u32,
    ) -> Result<Vec<ReceiptEntry>, StoreError>;

    /// One receipt, whatever project it is of.
    async fn receipt(&self, id: ReceiptId) -> Result<Option<ReceiptRecord>, StoreError>;

    /// Whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// The log of receipts: one for the whole store.
#[async_trait]
pub trait ReceiptLog: Send + Sync + 'static {
    /// Keeps an event until it is stated. [`StoreError::IdClash`] if one of that id waits already.
    async fn record_event(&self, event: Event) -> Result<(), StoreError>;

    /// How far the log of receipts has come.
    async fn log_head(&self) -> Result<LogHead, StoreError>;

    /// Appends a batch to the log of receipts; what a receipt that becomes complete is about is
    /// forgotten with that, and an event waits no more. All in one transaction, or nothing:
    /// [`StoreError::Changed`] if the log has not as many entries as the batch begins after, or if a
    /// receipt is not there or has said as much, or if an event does not wait to be stated. So the log
    /// never forks, whoever appends, and whatever a crash has left of a batch that was sent.
    async fn append_to_log(&self, batch: NewBatch) -> Result<(), StoreError>;

    /// Keeps a checkpoint over the whole log. [`StoreError::Changed`] if the log has another number of
    /// entries than the checkpoint, or has one over as many.
    async fn keep_checkpoint(&self, checkpoint: NewCheckpoint) -> Result<(), StoreError>;

    /// Whole batches of the log, in order, from the one that begins at `first`: until they have
    /// `entries_max` entries or more. Empty if none begins there.
    async fn logged(&self, first: u64, entries_max: u32) -> Result<Vec<LoggedBatch>, StoreError>;
}

/// What came of [`Store::renew_root`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootRenewal {
    /// The root was replaced, and the one before is destroyed.
    Done,
    /// Nothing was deleted since it was replaced last.
    NothingDeleted,
}

/// Why a store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such conversation of the principal's.
    #[error("no such conversation")]
    NoConversation,
    /// No such item in the conversation.
    #[error("no such item")]
    NoItem,
    /// The turn is not the one that is running.
    #[error("no such running turn")]
    NoTurn,
    /// Nothing is known of the conversation that a page should start at.
    #[error("no such anchor")]
    NoAnchor,
    /// No such key.
    #[error("no such key")]
    NoKey,
    /// No such hold.
    #[error("no such hold")]
    NoHold,
    /// A hold keeps it from being destroyed.
    #[error("a hold covers it")]
    Held,
    /// The id is taken, or its decimal form.
    #[error("the id clashes with another")]
    IdClash,
    /// An item's id does not rise above this one.
    #[error("an item's id does not rise")]
    StaleItemId {
        /// The highest id in the conversation.
        last: ItemId,
    },
    /// The alias of an item is taken.
    #[error("the item's alias is taken")]
    DuplicateItem,
    /// A turn is running in the conversation.
    #[error("a turn is running")]
    TurnRunning,
    /// A precondition does not hold.
    #[error("a precondition does not hold")]
    Changed,
    /// The name is taken.
    #[error("the name is taken")]
    NameTaken,
    /// The root key cannot be replaced and destroyed.
    #[error(
        "the root key cannot be replaced and destroyed, so that erasure stays at level L2: let a program \
         keep it in a vault, and name that as `keyring.root_command`"
    )]
    FixedRoot,
    /// The store cannot be reached, or is shutting down.
    #[error("the store is unavailable while {during}")]
    Unavailable {
        /// What was being done.
        during: &'static str,
        /// Why.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// What was read makes no sense.
    #[error("table `{table}` holds a row that cannot be read: {column}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
}
