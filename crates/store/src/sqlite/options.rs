//! What a database is opened with.

use std::path::PathBuf;
use std::sync::Arc;

use parlance_domain::{Clock, SystemClock};

use crate::keyring::Root;
use crate::seal::Renewal;

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Loss of power: every commit is synced.
    #[default]
    Power,
    /// The end of the process, however sudden. Loss of power may take the last commits, never break
    /// the database.
    Process,
}

/// How a database is opened.
pub struct Options {
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// Connections that read.
    pub readers: usize,
    /// Where keys come from.
    pub keys: Keys,
    /// Bytes on the disk that are kept for deletes, so that those work where it is full. At least twice
    /// the largest item's, since it is overwritten before its room is free; 0 keeps none.
    pub ballast_bytes: u64,
    /// What tells the time of what the store does by itself.
    pub clock: Arc<dyn Clock>,
}

/// Where the keys of what is sealed come from.
pub enum Keys {
    /// A keyring in the data directory.
    Keyring {
        /// What opens it; none is a file beside it, readable by its owner alone.
        root: Option<Arc<dyn Root>>,
        /// A directory with a second copy, kept in step.
        mirror: Option<PathBuf>,
        /// When the root is replaced.
        renewal: Renewal,
    },
    /// Nowhere: content is stored as it is. To measure what sealing costs, never for a server.
    None {
        /// What hashes are keyed with.
        hashing: [u8; 32],
    },
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Power,
            readers: 3,
            keys: Keys::Keyring {
                root: None,
                mirror: None,
                renewal: Renewal::WhenAsked,
            },
            ballast_bytes: 0,
            clock: Arc::new(SystemClock),
        }
    }
}
