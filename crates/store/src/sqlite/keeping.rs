//! What keeps a store in order: giving room back, audits, backups, and what comes back from one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parlance_domain::fault::Chain;
use parlance_domain::receipt_log::Event;
use parlance_domain::store::StoreError;
use rusqlite::{Connection, OpenFlags};
use tokio::task::spawn_blocking;

use super::open::{OpenError, driver, file};
use super::{FILE, Host, Sqlite, migrate, open, receipts, sweep, vault};
use crate::audit::{self, AuditError, Report, Subject};
use crate::backup::{self, BackupError, Made};
use crate::keyring::{KeyringError, Mark};

/// Most portions of free pages that are given back at once where the disk is full.
const SHORT_VACUUMS: u32 = 2_048;

const GIVING_BACK: &str = "giving pages back";

impl Sqlite {
    /// Gives a few free pages back to the file system, if there are many. True as long as there may be
    /// more to give.
    pub async fn give_back(&self) -> Result<bool, StoreError> {
        let vacuum = |db: &Connection| sweep::vacuum(db, true);
        self.writer()?.outside(GIVING_BACK, vacuum).await
    }

    /// Empties the WAL, so that nothing that was deleted lingers in it; where the disk is full, gives all
    /// free pages back to the file system before. False if a reader was in the way: then it should be
    /// tried again.
    pub async fn checkpoint_truncate(&self) -> Result<bool, StoreError> {
        let writer = self.writer()?;
        let is_short = writer.health().is_short();
        for _ in 0..if is_short { SHORT_VACUUMS } else { 0 } {
            let vacuum = |db: &Connection| sweep::vacuum(db, false);
            if !writer.outside(GIVING_BACK, vacuum).await? {
                break;
            }
        }
        let is_empty = writer.empty_log().await?;
        if is_short {
            writer.restore_ballast().await?;
        }
        Ok(is_empty)
    }

    /// Makes a backup in a folder, while others read and write. See [`crate::backup`]. It is given up as soon
    /// as it is not `going_on` any more.
    pub async fn back_up(
        &self,
        to: PathBuf,
        options: backup::Options,
        going_on: impl Fn() -> bool + Send + 'static,
    ) -> Result<Made, BackupError> {
        // So that the copy of the log says as much as can be said.
        if let Err(error) = self.log_erasures().await {
            tracing::warn!(error = %Chain(&error), "`erasures.log` is behind, and so is its copy");
        }
        let (vault, clock) = (Arc::clone(&self.vault), Arc::clone(&self.clock));
        let (dir, has_root_file) = (self.dir.clone(), self.has_root_file);
        let made = spawn_blocking(move || {
            let folder = dir.join(vault::FOLDER);
            let absent = || KeyringError::Absent(folder.clone());
            let db = open::reader(&Host::machine(), &dir.join(FILE))?;
            let source = backup::Source {
                db: &db,
                keyring: vault.keyring().ok_or_else(absent)?,
                dir: &dir,
                root: has_root_file.then(|| folder.join("root.key")),
            };
            backup::make(&source, &to, &options, &*clock, &going_on)
        });
        made.await.unwrap_or(Err(BackupError::Stopped))
    }

    /// Looks for what should not be, while others read and write. See [`crate::audit`]. It is given up as soon
    /// as it is not `going_on` any more.
    pub async fn audit(
        &self,
        also: Vec<PathBuf>,
        going_on: impl Fn() -> bool + Send + 'static,
    ) -> Result<Report, AuditError> {
        let (vault, dir) = (Arc::clone(&self.vault), self.dir.clone());
        let found = spawn_blocking(move || {
            let db = open::reader(&Host::machine(), &dir.join(FILE))?;
            audit::look(&Subject {
                db: &db,
                vault: &vault,
                dir: &dir,
                also: &also,
                is_live: true,
                going_on: &going_on,
            })
        });
        found.await.unwrap_or(Err(AuditError::Stopped))
    }
}

/// Opens the database of a store that nobody uses, to read it as it is. Gives which store's it is, and how far
/// its keyring must have come.
pub(crate) fn open_as_it_is(dir: &Path) -> Result<(Connection, [u8; 16], Mark), OpenError> {
    let db = open::reader(&Host::machine(), &dir.join(FILE))?;
    migrate::check_current(&db)?;
    let recorded = vault::recorded_mark(&db).map_err(driver("reading what it records"))?;
    let folder = dir.join(vault::FOLDER);
    let (store, mark) = recorded.ok_or(OpenError::Keyring(KeyringError::Absent(folder)))?;
    Ok((db, store, mark))
}

/// Brings a database that was restored to this version, and notes in it that it was. It is durable then, and
/// whole without any file beside it.
pub(crate) fn make_ready_again(path: &Path, event: &Event) -> Result<(), OpenError> {
    const NOTING: &str = "noting that it was restored";
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags).map_err(driver("opening it"))?;
    migrate::migrate(&mut db)?;
    receipts::insert_event(&db, event).map_err(driver(NOTING))?;
    super::writer::checkpoint(&db).map_err(driver(NOTING))?;
    db.close().map_err(|(_, error)| driver(NOTING)(error))?;
    File::open(path)
        .and_then(|database| database.sync_all())
        .map_err(file(path))
}
