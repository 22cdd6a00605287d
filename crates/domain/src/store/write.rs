//! Writes are values: what is to change, and what has to hold for it.

#[cfg(doc)]
use super::{Erasing, StoreError};
use crate::clock::Timestamp;
use crate::ids::{
    AppId, ConversationId, ConversationRef, HoldId, ItemId, KeyId, ReceiptId, SectionId, TurnId,
};
use crate::model::{
    App, Hold, ItemContent, KeyDigest, KeyRecord, Metadata, NewConversation, NewItem, Project,
    ProjectId, TurnRecord, TurnState, Usage, User,
};
use crate::receipt_log::Event;

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
