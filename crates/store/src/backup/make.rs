//! Makes a backup, beside a running store or without one.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use parlance_domain::clock::{Clock, Timestamp};
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::manifest::{About, Entry, Manifest, store_name};
use super::part::{Part, Removal, make_dir, private, sync_dir, walk};
use super::{BackupError, DATA, DATABASE, FILES, KEYRING, database, trouble};
use crate::erasures;
use crate::keyring::{Keyring, Mark, Snapshot};

/// Says whose backups are in a folder.
const MARKER: &str = "parlance-backup";
/// The same, before it is whole.
const MARKER_DRAFT: &str = "parlance-backup.part";
/// Pages of the database that are copied before it is asked whether to go on.
const STEP_PAGES: i32 = 1_024;

/// How a backup is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long the snapshot of the keyring may be kept. None makes none, and destroys one that is there.
    pub snapshot_kept: Option<Duration>,
}

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// The instant that the data are of.
    pub taken_at: Timestamp,
    /// When the snapshot of the keyring expires; none if there is none.
    pub expires_at: Option<Timestamp>,
    /// Files in both parts.
    pub files: u64,
    /// Files of them that had not changed, and were not written again.
    pub unchanged: u64,
    /// Bytes that were written.
    pub written: u64,
}

/// What a backup is made of.
pub(crate) struct Source<'a> {
    /// A connection of its own.
    pub(crate) db: &'a Connection,
    pub(crate) keyring: &'a Keyring,
    /// The data directory.
    pub(crate) dir: &'a Path,
    /// Where the root key is, if that is a plain file: without it the snapshot opens nowhere else.
    pub(crate) root: Option<PathBuf>,
}

/// A folder of backups that nobody else works with.
struct Claim {
    dir: PathBuf,
    _lock: File,
}

/// Makes a backup in a folder, in place of the one that is there. It is given up as soon as it is not
/// `going_on`. Waits for disks.
pub(crate) fn make(
    source: &Source<'_>,
    to: &Path,
    options: &Options,
    clock: &dyn Clock,
    going_on: &dyn Fn() -> bool,
) -> Result<Made, BackupError> {
    let claim = claim(source, to)?;
    let mut data = Part::open(claim.dir.join(DATA), Removal::Unlink)?;
    let mut keys = Part::open(claim.dir.join(KEYRING), Removal::Overwrite)?;
    // Whatever was cut off before goes first: it may be what the disk has no room for.
    data.tidy(Manifest::read(&data.dir)?.as_ref())?;
    keys.tidy(Manifest::read(&keys.dir)?.as_ref())?;
    let taken_at = clock.now();
    let mut about = About {
        store: source.keyring.store(),
        taken_at,
        expires_at: None,
        mark: copy_database(source, &data.draft(DATABASE)?, going_on)?,
    };
    let mut files = vec![data.keep(DATABASE)?];
    files.extend(copy_rest(source, &mut data, going_on)?);
    let data_manifest = Manifest::new(about, files);
    let keys_manifest = match options.snapshot_kept {
        None => None,
        Some(kept) => {
            // Later than the data: it has every key that they need.
            about.taken_at = clock.now();
            about.expires_at = Some(about.taken_at.later(kept));
            let snapshot = source.keyring.snapshot()?;
            about.mark = snapshot.mark;
            Some(Manifest::new(
                about,
                keep_keys(source, &mut keys, &snapshot)?,
            ))
        }
    };
    if !going_on() {
        return Err(BackupError::Stopped);
    }
    // First the keys: the newer ones fit the older data as well.
    match &keys_manifest {
        Some(manifest) => manifest.put(&keys.dir)?,
        None => Manifest::remove(&keys.dir)?,
    }
    data_manifest.put(&data.dir)?;
    keys.tidy(keys_manifest.as_ref())?;
    data.tidy(Some(&data_manifest))?;
    let count = |manifest: &Manifest| u64::try_from(manifest.files.len()).unwrap_or(u64::MAX);
    Ok(Made {
        taken_at,
        expires_at: about.expires_at,
        files: count(&data_manifest).saturating_add(keys_manifest.as_ref().map_or(0, count)),
        unchanged: data.unchanged.saturating_add(keys.unchanged),
        written: data.written.saturating_add(keys.written),
    })
}

/// Takes a folder for backups of this store, or makes it.
fn claim(source: &Source<'_>, to: &Path) -> Result<Claim, BackupError> {
    make_dir(to)?;
    let dir = to.canonicalize().map_err(trouble("find", to))?;
    let own = source.dir.canonicalize();
    if dir.starts_with(own.map_err(trouble("find", source.dir))?) {
        return Err(BackupError::Inside(dir));
    }
    let lock = lock(&dir)?;
    let wanted = format!("{MARKER}/1 {}\n", store_name(source.keyring.store()));
    let marker = dir.join(MARKER);
    match fs::read(&marker) {
        Ok(found) if found == wanted.as_bytes() => {}
        Ok(_) => return Err(BackupError::Foreign(dir)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => mark(&dir, &wanted)?,
        Err(error) => return Err(trouble("read", &marker)(error)),
    }
    Ok(Claim { dir, _lock: lock })
}

/// Keeps others from working with a folder of backups.
pub(super) fn lock(dir: &Path) -> Result<File, BackupError> {
    let folder = File::open(dir).map_err(trouble("open", dir))?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => Err(BackupError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(trouble("lock", dir)(error)),
    }
}

/// Says in an empty folder whose backups are there.
fn mark(dir: &Path, wanted: &str) -> Result<(), BackupError> {
    let entries = fs::read_dir(dir).map_err(trouble("list", dir))?;
    for entry in entries {
        let name = entry.map_err(trouble("list", dir))?.file_name();
        // A first backup may have been cut off just here.
        if name != MARKER_DRAFT {
            return Err(BackupError::NotOurs(dir.to_owned()));
        }
    }
    let draft = dir.join(MARKER_DRAFT);
    let write = || -> io::Result<()> {
        let mut file = private(&draft)?;
        file.write_all(wanted.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, dir.join(MARKER))
    };
    write().map_err(trouble("write", &draft))?;
    sync_dir(dir)
}

/// Copies the database as it is at one instant, and gives how far the keyring must have come for it. Writers
/// go on meanwhile; the write-ahead log keeps what they write.
fn copy_database(
    source: &Source<'_>,
    to: &Path,
    going_on: &dyn Fn() -> bool,
) -> Result<Mark, BackupError> {
    // Made before SQLite does, so that nobody else can read it for an instant.
    private(to).map_err(trouble("make", to))?;
    let copy = || -> rusqlite::Result<Option<Mark>> {
        // As long as this transaction lasts, all steps see the same instant.
        let instant = source.db.unchecked_transaction()?;
        let (_, mark) = crate::sqlite::recorded_mark(&instant)?.unwrap_or_default();
        let mut target = Connection::open(to)?;
        // Whatever ends this before it is whole, it is begun anew.
        target.pragma_update(None, "synchronous", false)?;
        target.query_row("PRAGMA journal_mode = OFF", [], |_| Ok(()))?;
        let backup = Backup::new(&instant, &mut target)?;
        while going_on() {
            if backup.step(STEP_PAGES)? == StepResult::Done {
                return Ok(Some(mark));
            }
        }
        Ok(None)
    };
    copy()
        .map_err(database(&source.dir.join(DATABASE)))?
        .ok_or(BackupError::Stopped)
}

/// Copies the log of erasures and uploaded files.
fn copy_rest(
    source: &Source<'_>,
    data: &mut Part,
    going_on: &dyn Fn() -> bool,
) -> Result<Vec<Entry>, BackupError> {
    let mut entries = Vec::new();
    entries.extend(data.copy(erasures::FILE, &source.dir.join(erasures::FILE))?);
    for (name, path) in walk(&source.dir.join(FILES))? {
        if !going_on() {
            return Err(BackupError::Stopped);
        }
        entries.extend(data.copy(&format!("{FILES}/{name}"), &path)?);
    }
    Ok(entries)
}

fn keep_keys(
    source: &Source<'_>,
    keys: &mut Part,
    snapshot: &Snapshot,
) -> Result<Vec<Entry>, BackupError> {
    let mut entries = Vec::new();
    for (name, bytes) in &snapshot.files {
        entries.push(keys.write(name, bytes)?);
    }
    if let Some(root) = &source.root {
        entries.extend(keys.copy("root.key", root)?);
    }
    Ok(entries)
}
