//! The port to storage. Reads are methods, writes are values.
//!
//! Every method but the administrative ones takes the principal first, and answers about things of
//! other principals exactly as about things that do not exist.

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::erasing::Erasing;
use crate::ids::{
    AppId, ConversationId, ConversationRef, HoldId, ItemId, KeyId, ReceiptId, Ref, SectionId,
    TurnId,
};
use crate::model::{
    App, Conversation, ConversationQuery, Due, Hold, Item, ItemContent, ItemQuery, ItemRef,
    KeyDigest, KeyRecord, Metadata, NewConversation, NewItem, Page, Principal, Project, ProjectId,
    ReceiptEntry, ReceiptRecord, Turn, TurnQuery, TurnRecord, TurnState, Usage, User,
};
use crate::receipt_log::{Event, LogHead, LoggedBatch, NewBatch, NewCheckpoint};

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

/// Writes that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// What must hold, beyond what each write needs anyway.
    pub require: Vec<Require>,
    /// What is written, in this order.
    pub writes: Vec<Write>,
}

impl Batch {
    /// A batch of one write.
    pub fn of(write: Write) -> Self {
        Self {
            require: Vec::new(),
            writes: vec![write],
        }
    }
}

/// A precondition. A failed one is [`StoreError::Changed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Require {
    /// The item is there and was last changed then.
    ItemAsRead {
        /// The conversation.
        conversation: ConversationId,
        /// The item.
        item: ItemId,
        /// When it was last changed.
        modified_at: Option<Timestamp>,
    },
}

/// One change. All but [`Write::Create`] need the conversation to live and to be the principal's,
/// else [`StoreError::NoConversation`]; `at` becomes its time of change where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Makes a conversation, with its first items. [`StoreError::IdClash`] if any conversation of
    /// the project, living or deleted within a day, has the same decimal id.
    Create(Box<NewConversation>),
    /// Adds items at the end. [`StoreError::StaleItemId`] unless their ids rise, and rise above those
    /// of the items that are there; [`StoreError::DuplicateItem`] for an alias that is taken.
    Append {
        /// The conversation.
        conversation: ConversationId,
        /// The items.
        items: Vec<NewItem>,
        /// When.
        at: Timestamp,
    },
    /// Sets or removes the title.
    SetTitle {
        /// The conversation.
        conversation: ConversationId,
        /// The title.
        title: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// Replaces the metadata.
    SetMetadata {
        /// The conversation.
        conversation: ConversationId,
        /// The metadata.
        metadata: Metadata,
        /// When.
        at: Timestamp,
    },
    /// Starts or stops the conversation's agent. No change of the conversation itself.
    SetActive {
        /// The conversation.
        conversation: ConversationRef,
        /// Whether it is started.
        active: bool,
    },
    /// Begins a new section: later items belong to it.
    StartSection {
        /// The conversation.
        conversation: ConversationId,
        /// The new section.
        section: SectionId,
        /// When.
        at: Timestamp,
    },
    /// Replaces what an item says; [`StoreError::NoItem`] if it is gone, [`StoreError::Held`] as for
    /// [`Write::Delete`].
    ReplaceItem {
        /// The conversation.
        conversation: ConversationId,
        /// The item.
        item: ItemId,
        /// What it says now. Its kind must be as before.
        content: ItemContent,
        /// When.
        at: Timestamp,
    },
    /// Removes items; [`StoreError::NoItem`] if one is gone, [`StoreError::Held`] as for
    /// [`Write::Delete`].
    RemoveItems {
        /// The conversation.
        conversation: ConversationId,
        /// The items.
        items: Vec<ItemId>,
        /// When.
        at: Timestamp,
    },
    /// Begins a turn and adds its input. [`StoreError::TurnRunning`] if one is running.
    StartTurn {
        /// The conversation.
        conversation: ConversationId,
        /// The turn.
        turn: TurnId,
        /// The app that answers.
        app: AppId,
        /// What is kept of it.
        record: Box<TurnRecord>,
        /// Its input.
        input: Vec<NewItem>,
        /// When.
        at: Timestamp,
    },
    /// Ends the running turn and adds its output. [`StoreError::NoTurn`] if it is not the running one.
    FinishTurn {
        /// The conversation.
        conversation: ConversationId,
        /// The turn.
        turn: TurnId,
        /// How it ended.
        state: TurnState,
        /// What it cost.
        usage: Usage,
        /// What is kept of it from now on; as before if none.
        record: Option<Box<TurnRecord>>,
        /// Its output.
        output: Vec<NewItem>,
        /// When.
        at: Timestamp,
    },
    /// Forgets a turn that does not run; its items stay. [`StoreError::NoTurn`] if there is none of that id in
    /// the conversation, [`StoreError::TurnRunning`] if it runs, [`StoreError::Held`] as for [`Write::Delete`].
    /// No change of the conversation itself.
    RemoveTurn {
        /// The conversation.
        conversation: ConversationId,
        /// The turn.
        turn: TurnId,
    },
    /// Deletes the conversation and all that is in it. From the commit on nothing of it can be read,
    /// and its receipt is there to be signed. [`StoreError::IdClash`] if there is a receipt of that id,
    /// [`StoreError::Held`] if a hold covers the conversation.
    Delete {
        /// The conversation.
        conversation: ConversationRef,
        /// The new receipt.
        receipt: ReceiptId,
        /// When the request came.
        requested_at: Timestamp,
        /// When it is done: the time on the tombstone.
        at: Timestamp,
    },
}

/// What came of a [`Write`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done; nothing more to say.
    Done,
    /// The items have the sequence numbers from this one on.
    Added {
        /// The number of the first.
        first_seq: u64,
        /// The section that they belong to.
        section: SectionId,
    },
    /// The conversation is deleted.
    Deleted {
        /// Its whole id.
        conversation: ConversationId,
        /// The turn that was running in it.
        running: Option<TurnId>,
        /// The receipt.
        receipt: ReceiptId,
    },
    /// The conversation is left as it is: for [`Erasing::erase_some`] alone.
    Left(Left),
}

/// Why a conversation that was to be erased is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// A hold covers it.
    Held,
    /// It is gone, or not of those that are to be erased.
    NotThere,
}

/// One administrative change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminWrite {
    /// Makes a project, its number already chosen. [`StoreError::NameTaken`] or, for the number,
    /// [`StoreError::IdClash`].
    CreateProject(Project),
    /// Makes an app. [`StoreError::NameTaken`].
    CreateApp(App),
    /// Makes a key.
    CreateKey {
        /// The record.
        key: KeyRecord,
        /// The digest of its secret.
        digest: KeyDigest,
    },
    /// Revokes a key. [`StoreError::NoKey`] if the project has none of that id; a second time changes
    /// nothing.
    RevokeKey {
        /// The project.
        project: ProjectId,
        /// The key.
        key: KeyId,
        /// When.
        at: Timestamp,
    },
    /// Revokes a key that speaks for a user, and forgets the user's name: what it was sealed with is
    /// destroyed. [`StoreError::NoKey`] if the project has none of that id, [`StoreError::Held`] if a hold
    /// covers all that is the user's; a second time changes nothing.
    RetireKey {
        /// The project.
        project: ProjectId,
        /// The key.
        key: KeyId,
        /// The user.
        user: User,
        /// When.
        at: Timestamp,
    },
    /// Adds a hold, and records the event that tells of it. [`StoreError::NoConversation`] if it is on a
    /// conversation that is not there, [`StoreError::IdClash`] if there is a hold of that id.
    AddHold {
        /// The hold.
        hold: Hold,
        /// What is recorded.
        event: Event,
    },
    /// Removes a hold, and records the event that tells of it. [`StoreError::NoHold`] if the project has
    /// none of that id.
    RemoveHold {
        /// The project.
        project: ProjectId,
        /// The hold.
        hold: HoldId,
        /// What is recorded.
        event: Event,
    },
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
