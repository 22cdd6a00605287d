//! What a store stands on: a disk, SQLite's way to it, and the end of the process.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

use super::open::{OpenError, file};
use super::{Options, Sqlite};
use crate::keyring::disk::{Disk, Machine};
use crate::seal::End;

/// The machine, or one that tests have made up.
pub(super) struct Host {
    /// Where all files are.
    pub(super) disk: Arc<dyn Disk>,
    /// The name of SQLite's way to the disk; none is its own.
    pub(super) vfs: Option<&'static str>,
    /// Whether a thread of its own fills the keyring. Tests that count what is done want one at a time.
    pub(super) fills_ahead: bool,
    /// What ends the process when it cannot know what the disk holds.
    pub(super) end: End,
}

impl Host {
    /// The machine that the process runs on.
    pub(super) fn machine() -> Self {
        Self {
            disk: Arc::new(Machine),
            vfs: None,
            fills_ahead: true,
            end: Arc::new(|| std::process::abort()),
        }
    }

    /// Opens a connection.
    pub(super) fn connect(&self, path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
        match self.vfs {
            None => Connection::open_with_flags(path, flags),
            Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
        }
    }

    /// Whether there is a file or directory.
    pub(super) fn has(&self, path: &Path) -> Result<bool, OpenError> {
        self.disk.exists(path).map_err(file(path))
    }
}

impl Sqlite {
    /// Opens the database in this directory, or makes it. Blocks for a few syncs.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_on(&Host::machine(), dir, options)
    }
}
