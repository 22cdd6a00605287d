//! Looks for what should not be: keys of what was erased, rows and keys without each other, and content that
//! stands somewhere unsealed.
//!
//! Invariants:
//! * Nothing is changed, beside a running store and without one.
//! * What is found is told by place and kind, never by content.
//! * A key that is being handed out or destroyed just now is no finding: what is found is looked at again until
//!   it has stayed the same for some time.

mod keys;
mod look;
mod sample;
mod search;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parlance_domain::ProjectId;
use rusqlite::Connection;

use crate::erasures::LogError;
use crate::keyring::{Keyring, KeyringError, Options, Root};
use crate::seal::Vault;
use crate::sqlite::{self, OpenError};

pub(crate) use look::look;

/// Findings of a kind that are told; more are left out.
const FINDINGS_MAX: usize = 1_000;

/// Something that should not be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// A key is in the keyring that was erased.
    LiveKey {
        /// Its slot.
        slot: u32,
        /// The generation that stands in it.
        generation: u64,
    },
    /// A key is in the keyring that nothing refers to, and that was not filled ahead either.
    KeyWithoutRow {
        /// Its slot.
        slot: u32,
        /// The generation that stands in it; none if the slot is torn.
        generation: Option<u64>,
    },
    /// A row refers to a key that is not in the keyring.
    RowWithoutKey(Row),
    /// Rows belong to a conversation that is not there, and that is not being purged.
    RowsWithoutConversation(Row),
    /// A conversation is there, and its tombstone too.
    Undead(Row),
    /// Content does not open with its own key.
    Unreadable {
        /// Of which record.
        row: Row,
        /// Which field.
        field: &'static str,
    },
    /// Content stands in a file, unsealed.
    Plaintext {
        /// The file.
        path: PathBuf,
        /// Bytes before it.
        offset: u64,
        /// Whose content it is.
        row: Row,
        /// Which field.
        field: &'static str,
    },
}

/// A row, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// The table.
    pub table: &'static str,
    /// The project.
    pub project: ProjectId,
    /// The id of the conversation, the key, the app or the hold.
    pub id: [u8; 16],
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u128::from_be_bytes(self.id);
        write!(
            f,
            "table {}, project {}, id {id:032x}",
            self.table, self.project.0
        )
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LiveKey { slot, generation } => write!(
                f,
                "live key of what was erased: slot {slot}, generation {generation}"
            ),
            Self::KeyWithoutRow {
                slot,
                generation: Some(generation),
            } => write!(f, "key without a row: slot {slot}, generation {generation}"),
            Self::KeyWithoutRow {
                slot,
                generation: None,
            } => write!(f, "key without a row: slot {slot}, torn"),
            Self::RowWithoutKey(row) => write!(f, "row without a key: {row}"),
            Self::RowsWithoutConversation(row) => write!(f, "rows without a conversation: {row}"),
            Self::Undead(row) => write!(f, "conversation beside its tombstone: {row}"),
            Self::Unreadable { row, field } => {
                write!(f, "content that does not open: {field} of {row}")
            }
            Self::Plaintext {
                path,
                offset,
                row,
                field,
            } => {
                let path = path.display();
                write!(f, "plaintext: `{path}` at byte {offset}: {field} of {row}")
            }
        }
    }
}

/// What was looked at, and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What should not be, sorted.
    pub findings: Vec<Finding>,
    /// Rows with a key of their own.
    pub rows: u64,
    /// Slots in the keyring that hold something.
    pub keys: u64,
    /// Keys of them that no row refers to, as far as that is right: filled ahead, or left by a process that has
    /// ended, and destroyed by the next one.
    pub ahead: u64,
    /// Slots in which a key is known to have been erased.
    pub erased: u64,
    /// Fields that were opened.
    pub fields: u64,
    /// Pieces of them that were searched for; what is short or common is not.
    pub pieces: u64,
    /// Files that were searched.
    pub files: u64,
    /// Bytes that were searched.
    pub bytes: u64,
}

/// Why it cannot be looked.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The database cannot be read.
    #[error("could not read the database")]
    Database(#[from] rusqlite::Error),
    /// The database cannot be opened.
    #[error("could not open the database")]
    Open(#[from] OpenError),
    /// The keyring cannot be read.
    #[error("could not read the keyring")]
    Keyring(#[from] KeyringError),
    /// The log of erasures cannot be read.
    #[error("could not use the log of erasures")]
    Log(#[from] LogError),
    /// A file cannot be read.
    #[error("could not read `{}`", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file has more bytes than can be searched for so many pieces.
    #[error("could not prepare the search")]
    Search(#[source] Box<aho_corasick::BuildError>),
    /// The operating system gives no random bits.
    #[error("the operating system gives no random bits")]
    Random,
    /// The process is about to end.
    #[error("the audit was not finished, because the server stops")]
    Stopped,
}

/// What is looked at.
pub(crate) struct Subject<'a> {
    /// A connection of its own.
    pub(crate) db: &'a Connection,
    pub(crate) vault: &'a Vault,
    /// The data directory.
    pub(crate) dir: &'a Path,
    /// Files and folders that are searched besides.
    pub(crate) also: &'a [PathBuf],
    /// Whether somebody uses the store meanwhile.
    pub(crate) is_live: bool,
    pub(crate) going_on: &'a dyn Fn() -> bool,
}

/// Looks at a store that nobody uses. Changes nothing, though a start would: it destroys keys that nothing
/// refers to.
pub fn audit_stopped(
    dir: &Path,
    root: Arc<dyn Root>,
    also: &[PathBuf],
) -> Result<Report, AuditError> {
    let (db, store, mark) = sqlite::open_as_it_is(dir)?;
    // Without its mirror, which would be brought into step.
    let options = Options { mirror: None, root };
    let keyring = Keyring::open(&dir.join("keyring"), store, mark, &options)?;
    look(&Subject {
        db: &db,
        vault: &Vault::over(keyring),
        dir,
        also,
        is_live: false,
        going_on: &|| true,
    })
}
