//! The log of receipts: every statement of every receipt, and what else has happened, one after the other,
//! so that none can be changed, left out or moved without anybody noticing.
//!
//! An entry is canonical JSON and names its place and the hash of the entry before. A signature covers a
//! batch of entries through the root of a Merkle tree over them (RFC 6962); an entry with its path to
//! that root can be verified alone. Checkpoints are signed roots over all entries so far.
//!
//! Invariant: whatever is signed says what it is, so that no signature can be used for anything else.

mod document;
mod event;
pub mod merkle;
mod proof;
mod statement;
mod verify;

use std::time::Duration;

use crate::clock::Timestamp;
use crate::ids::{EventId, ReceiptId};
use crate::model::{ProjectId, ReceiptState};

pub(crate) use document::{Batch, Checkpoint, Header, sign};
pub use document::{Flaw, KeyFlaw, PublicKey};
pub(crate) use event::EventStatement;
pub use event::{Covered, Event, Happening, Restoration, RestoredSnapshot};
pub use merkle::{Frontier, Hash};
pub use proof::{ProvenEntry, VouchedReceipt, verify_receipt};
pub(crate) use statement::{Place, Speaker, Statement};
pub use verify::{Anchor, Located, Verified, Verifier, VerifyError, Vouched, verify};

/// Most entries under one signature, and in one commit. One signature costs as much as a few dozen
/// entries, so that more would save nothing; and a path stays short.
pub const BATCH_ENTRIES_MAX: u32 = 128;
/// Most entries under one signature that are read: what a log of another version may have.
pub const BATCH_ENTRIES_READ_MAX: u32 = 1 << 16;
/// How long new entries may be without a checkpoint.
pub const CHECKPOINT_EVERY: Duration = Duration::from_hours(1);
/// Longest line of an exported log, in bytes. An entry has about 1,300.
pub const LINE_BYTES_MAX: usize = 64 << 10;

/// How far the log has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogHead {
    /// The tree over all entries.
    pub tree: Frontier,
    /// The hash of the last entry.
    pub last: Option<Hash>,
    /// The latest time that any entry or checkpoint speaks of as past. No checkpoint has an earlier one.
    pub latest: Timestamp,
    /// The number of batches.
    pub batches: u64,
    /// The number of checkpoints.
    pub checkpoints: u64,
    /// How many entries the last checkpoint is over; 0 if there is none.
    pub checkpointed: u64,
    /// When the last checkpoint was made, by the clock of then: later than now if that was set back.
    pub checkpointed_at: Timestamp,
}

const _: () = assert!(
    BATCH_ENTRIES_MAX <= BATCH_ENTRIES_READ_MAX,
    "what is written is read"
);

impl LogHead {
    /// Whether there are entries that no checkpoint is over.
    pub const fn has_news(&self) -> bool {
        self.checkpointed < self.tree.size()
    }
}

/// One entry, as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// What it is about.
    pub of: Stated,
    /// The statement: canonical JSON.
    pub statement: String,
}

/// What an entry is about, and what a store keeps of that besides the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stated {
    /// A receipt, which may say more later.
    Receipt {
        /// The receipt that makes the statement.
        receipt: ReceiptId,
        /// The tenant.
        project: ProjectId,
        /// What it says.
        state: ReceiptState,
        /// What it says of the key.
        key_destroyed_at: Option<Timestamp>,
        /// What it says of the root.
        root_renewed_at: Option<Timestamp>,
    },
    /// An event, which waits no more to be stated.
    Event(EventId),
}

/// Entries that are signed together, for a store to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBatch {
    /// The place of the first: how many entries the log must have.
    pub first: u64,
    /// The entries. At least one.
    pub entries: Vec<LogEntry>,
    /// Their hashes.
    pub leaves: Vec<Hash>,
    /// The signed batch: canonical JSON.
    pub signed: String,
    /// How far the log has come with them.
    pub after: LogHead,
}

/// A checkpoint, for a store to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCheckpoint {
    /// The signed checkpoint: canonical JSON.
    pub signed: String,
    /// How far the log has come with it. It is over all entries.
    pub after: LogHead,
}

/// A batch as it is kept: lines of an exported log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedBatch {
    /// The place of the first entry.
    pub first: u64,
    /// The signed batch.
    pub signed: String,
    /// The entries.
    pub statements: Vec<String>,
    /// The checkpoint over all entries to the end of this batch, if there is one.
    pub checkpoint: Option<String>,
}
