//! Opens connections. All of them get the same settings, and those that erasure rests on are read back.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::writer::Copying;
use super::{Durability, Host, migrate, renew};
use crate::keyring::KeyringError;

/// How long a connection waits for another one's lock.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements that each connection keeps prepared: more than there are.
const STATEMENTS_MAX: usize = 96;
/// The writer's page cache, in KiB; negative, because that is how SQLite tells it from pages.
const WRITER_CACHE_KIB: i64 = -8_192;
/// A reader's page cache, in KiB.
const READER_CACHE_KIB: i64 = -2_048;
/// The page cache of the connection that copies the WAL, in KiB: the copying goes around it.
const COPIER_CACHE_KIB: i64 = -64;
/// Bytes of the WAL file that are kept for reuse.
const WAL_KEPT_BYTES: i64 = 32 << 20;

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file of it cannot be made, read or synced.
    #[error("could not use `{path}`")]
    File {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// SQLite refuses.
    #[error("could not open the database while {during}")]
    Driver {
        /// What was being done.
        during: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// A newer Parlance has written the database.
    #[error(
        "the database has schema version {found}, this Parlance knows versions up to {known}: \
         use the Parlance that wrote it, or a newer one"
    )]
    Newer {
        /// The database's version.
        found: i64,
        /// The newest version that is known.
        known: i64,
    },
    /// A migration that was applied is not the one that is known.
    #[error("migration {number} of the database is not the one that this Parlance knows")]
    Foreign {
        /// Its number.
        number: i64,
    },
    /// A setting does not hold.
    #[error("the database ignores the setting `{setting}`")]
    Setting {
        /// The setting.
        setting: &'static str,
    },
    /// The keyring does not open.
    #[error("could not open the keyring")]
    Keyring(#[from] KeyringError),
    /// There is a keyring, and no database that it could belong to.
    #[error(
        "there is a keyring in `{path}`, but no database beside it: bring the database back, or move \
         the keyring away if it is not needed any more"
    )]
    Orphaned {
        /// The keyring.
        path: PathBuf,
    },
    /// No secret can be drawn.
    #[error("the operating system gives no random bits")]
    Random,
    /// The writer cannot be started.
    #[error("could not start the writing thread")]
    Thread(#[source] io::Error),
}

pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::File { path, source }
}

pub(super) fn driver(during: &'static str) -> impl FnOnce(rusqlite::Error) -> OpenError {
    move |source| OpenError::Driver { during, source }
}

/// Opens the one connection that writes, and brings the schema up to date.
pub(super) fn writer(
    host: &Host,
    path: &Path,
    durability: Durability,
) -> Result<Connection, OpenError> {
    // Made before SQLite does, so that nobody else can read it for an instant.
    host.disk.open(path, true).map_err(file(path))?;
    renew::log(&*host.disk, path).map_err(file(path))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = host
        .connect(path, flags)
        .map_err(driver("opening the file"))?;
    // Can only be chosen while there is no table, and before WAL makes the first page.
    db.pragma_update(None, "auto_vacuum", "INCREMENTAL")
        .map_err(driver("choosing incremental vacuum"))?;
    common(&db, WRITER_CACHE_KIB)?;
    let synchronous = match durability {
        Durability::Power => "FULL",
        Durability::Process => "NORMAL",
    };
    let settings = || -> rusqlite::Result<()> {
        begin_log(&db)?;
        db.pragma_update(None, "synchronous", synchronous)?;
        // The copier does it.
        db.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
        db.pragma_update_and_check(None, "journal_size_limit", WAL_KEPT_BYTES, |_| Ok(()))
    };
    settings().map_err(driver("setting up the writer"))?;
    holds(&db, "journal_mode", "wal".to_owned())?;
    migrate::migrate(&mut db)?;
    holds(&db, "auto_vacuum", 2)?;
    renew::names(&*host.disk, path).map_err(file(path))?;
    Ok(db)
}

/// Opens what copies the WAL to the database.
pub(super) fn copier(host: &Host, path: &Path) -> Result<Copying, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = host
        .connect(path, flags)
        .map_err(driver("opening a copier"))?;
    common(&db, COPIER_CACHE_KIB)?;
    // A copy is synced whatever the durability of commits: the log is begun anew after it.
    db.pragma_update(None, "synchronous", "FULL")
        .map_err(driver("setting up the copier"))?;
    let file = host.disk.open(path, false).map_err(file(path))?;
    Ok(Copying { db, file })
}

/// Has the database keep a write-ahead log.
fn begin_log(db: &Connection) -> rusqlite::Result<()> {
    let mut statement = db.prepare("PRAGMA journal_mode = WAL")?;
    let mut rows = statement.query([])?;
    // To the end: the mode is written after it was answered, and only then a failure is told. From
    // there on the connection would say that there is a log, and have none.
    while rows.next()?.is_some() {}
    Ok(())
}

/// Opens a connection that reads.
pub(super) fn reader(host: &Host, path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = host
        .connect(path, flags)
        .map_err(driver("opening a reader"))?;
    common(&db, READER_CACHE_KIB)?;
    db.pragma_update(None, "query_only", true)
        .map_err(driver("setting up a reader"))?;
    Ok(db)
}

fn common(db: &Connection, cache_kib: i64) -> Result<(), OpenError> {
    let settings = || -> rusqlite::Result<()> {
        db.busy_timeout(BUSY_TIMEOUT)?;
        // Otherwise a statement is planned anew whenever its parameters change, because another plan
        // might suit their values.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        db.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
        db.pragma_update(None, "temp_store", "MEMORY")?;
        // The pragma gives no row where memory mapping is compiled out.
        db.query_row("PRAGMA mmap_size = 0", [], |_| Ok(()))
            .optional()?;
        db.pragma_update(None, "cache_size", cache_kib)?;
        db.pragma_update(None, "trusted_schema", false)
    };
    settings().map_err(driver("setting up a connection"))?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    holds(db, "secure_delete", 1)?;
    holds(db, "temp_store", 2)
}

/// Reads a setting back.
fn holds(
    db: &Connection,
    setting: &'static str,
    wanted: impl Into<Value>,
) -> Result<(), OpenError> {
    let found: Value = db
        .pragma_query_value(None, setting, |row| row.get(0))
        .map_err(driver("reading a setting back"))?;
    if wanted.into() == found {
        return Ok(());
    }
    Err(OpenError::Setting { setting })
}
