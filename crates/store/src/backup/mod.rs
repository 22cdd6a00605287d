//! Copies of a store that can be kept, and how they are brought back.
//!
//! A backup has two parts, which are kept for different times. The *data* is sealed, and may be kept for
//! years: with the keyring of the day it gives nothing back that was erased since. The *snapshot of the
//! keyring* brings back what was erased after it was made, and so has an end.
//!
//! ```text
//! DIR/parlance-backup          says whose backups these are
//! DIR/data/manifest.json       what is in this part: names, lengths and SHA-256 of the files
//! DIR/data/parlance.db-...     each file under its name and a part of its hash; also erasures.log, files/
//! DIR/keyring/manifest.json    the same, and when the snapshot expires
//! DIR/keyring/header-...       also segments, slots, and root.key where that is a plain file
//! ```
//!
//! Invariants:
//! * A manifest names whole files that are durable, and takes the place of the one before at once: whatever
//!   ends a backup, the one before is valid until the new one is.
//! * The snapshot is of a later instant than the data beside it, and so has every key that the data needs.
//!   The newer snapshot comes first into its place: it fits the older data as well.
//! * A file of a snapshot is overwritten before it is removed.
//! * What is restored is made ready in a folder of its own, and then takes its place name by name: once it has
//!   begun to, it is finished whatever happens, and before that nothing is changed.

mod make;
mod manifest;
mod part;
mod ready;
mod restore;

use std::io;
use std::path::{Path, PathBuf};

use crate::erasures::LogError;
use crate::keyring::{KeyringError, RootError};
use crate::sqlite::OpenError;

pub use make::{Made, Options};
pub(crate) use make::{Source, make};
pub use ready::finish_restore;
pub use restore::{Restore, Restored, Way};

/// The part that may be kept for years.
const DATA: &str = "data";
/// The part that expires.
const KEYRING: &str = "keyring";
/// The database's name in the data directory, and in a backup.
const DATABASE: &str = "parlance.db";
/// The folder of uploaded files, there and here.
const FILES: &str = "files";

/// Why a backup cannot be made or brought back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file or folder cannot be used.
    #[error("could not {during} `{}`", .path.display())]
    File {
        /// What was being done.
        during: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is something else in the folder.
    #[error(
        "`{}` is not empty, and no backup of Parlance is in it: name an empty folder, or one that is not \
         there", .0.display()
    )]
    NotOurs(PathBuf),
    /// The backup would be a part of what it is made of.
    #[error("`{}` is in the data directory: a backup belongs elsewhere, best on another disk", .0.display())]
    Inside(PathBuf),
    /// It is another store's.
    #[error("`{}` belongs to another store", .0.display())]
    Foreign(PathBuf),
    /// Somebody else is working with it.
    #[error("another backup or restore is using `{}`", .0.display())]
    InUse(PathBuf),
    /// There is no backup.
    #[error("there is no backup in `{}`: `manifest.json` is missing in its folder `data`", .0.display())]
    Absent(PathBuf),
    /// A manifest says nothing that is known.
    #[error("`{}` is damaged, or of a newer version of Parlance", .0.display())]
    Manifest(PathBuf),
    /// A file is not what its manifest says.
    #[error("`{}` is not what its manifest says: it is damaged; use another backup", .0.display())]
    Damaged(PathBuf),
    /// The database cannot be copied or read.
    #[error("could not use the database `{}`", .path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The database cannot be brought to this version.
    #[error("could not open the restored database")]
    Open(#[from] OpenError),
    /// The keyring cannot be used.
    #[error("could not use the keyring")]
    Keyring(#[from] KeyringError),
    /// The root key cannot be had.
    #[error("could not get the root key")]
    Root(#[from] RootError),
    /// A log of erasures cannot be used.
    #[error("could not use a log of erasures")]
    Log(#[from] LogError),
    /// The snapshot is too old.
    #[error(
        "the snapshot of the keyring in `{}` has expired: it brings back what was erased since it was made, \
         though receipts say that nobody can; `--accept-expired` restores it all the same, and is recorded in \
         the log of receipts", .0.display()
    )]
    Expired(PathBuf),
    /// There is no keyring, neither here nor in the backup.
    #[error(
        "there is no keyring in `{}`, and no snapshot of it in `{}`: bring one of them there; without it \
         nothing in the backup can be read", .keyring.display(), .backup.display()
    )]
    NoKeyring {
        /// The keyring's place in the data directory.
        keyring: PathBuf,
        /// The snapshot's place in the backup.
        backup: PathBuf,
    },
    /// The mirror has what is missing.
    #[error(
        "there is no keyring in `{}`, but its mirror `{}` has one: copy that there, and nothing comes back \
         that was erased; or move it away to restore the snapshot", .keyring.display(), .mirror.display()
    )]
    Mirrored {
        /// The keyring's place in the data directory.
        keyring: PathBuf,
        /// The mirror.
        mirror: PathBuf,
    },
    /// There are data that would be replaced.
    #[error(
        "there are data in `{}` already: with `--yes` they are moved aside, into a folder in it, and the \
         backup takes their place", .0.display()
    )]
    Occupied(PathBuf),
    /// The process is about to end.
    #[error("the backup was not finished, because the server stops: the one before is still valid")]
    Stopped,
}

fn trouble(during: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File {
        during,
        path,
        source,
    }
}

fn database(path: &Path) -> impl Fn(rusqlite::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Database {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests;
