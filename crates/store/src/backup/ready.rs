//! What was made ready by a restore takes its place, name by name.
//!
//! A restore makes a folder ready beside what is there, gives it another name when it is whole, and moves its
//! content into place. Whoever takes the data directory next goes on with that, or removes what was never
//! ready.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::part::{destroy, make_dir, sync_dir, walk};
use super::{BackupError, DATABASE, FILES, KEYRING, trouble};
use crate::erasures;

/// Where what is to be restored is made ready.
pub(super) const DRAFT: &str = "restoring";
/// How the name begins that it has when it is whole; the time follows.
const READY: &str = "restored-";
/// How the name begins of what was there before.
const REPLACED: &str = "replaced-";
/// What can be replaced, in the order in which it is: the keyring before what needs it.
const NAMES: [&str; 4] = [KEYRING, FILES, erasures::FILE, DATABASE];
/// What belongs to the database, and to no other.
const BESIDE_DATABASE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Declares what is in the draft to be ready, under a name of its own. From here on it takes its place,
/// whatever happens. Gives where what is replaced will be.
pub(super) fn declare(dir: &Path, name: &str) -> Result<PathBuf, BackupError> {
    let (draft, ready) = (dir.join(DRAFT), dir.join(format!("{READY}{name}")));
    sync_dir(&draft)?;
    fs::rename(&draft, &ready).map_err(trouble("rename", &draft))?;
    sync_dir(dir)?;
    Ok(dir.join(format!("{REPLACED}{name}")))
}

/// Finishes a restore that was cut off in this data directory, or removes it, if it had not come so far that it
/// counts. Nobody else may be using the directory. Nothing to do is no error.
pub fn finish_restore(dir: &Path) -> Result<(), BackupError> {
    abandon(&dir.join(DRAFT))?;
    let entries = fs::read_dir(dir).map_err(trouble("list", dir))?;
    for entry in entries {
        let name = entry.map_err(trouble("list", dir))?.file_name();
        let Some(number) = name.to_str().and_then(|name| name.strip_prefix(READY)) else {
            continue;
        };
        install(
            dir,
            &dir.join(&name),
            &dir.join(format!("{REPLACED}{number}")),
        )?;
    }
    Ok(())
}

/// Removes what never became ready. Keys in it are overwritten: nobody else would, when they expire.
pub(super) fn abandon(draft: &Path) -> Result<(), BackupError> {
    if !exists(draft)? {
        return Ok(());
    }
    for (_, path) in walk(&draft.join(KEYRING))? {
        destroy(&path)?;
    }
    fs::remove_dir_all(draft).map_err(trouble("remove", draft))
}

fn install(dir: &Path, ready: &Path, aside: &Path) -> Result<(), BackupError> {
    for name in NAMES {
        let (from, to) = (ready.join(name), dir.join(name));
        if !exists(&from)? {
            continue;
        }
        if name == DATABASE {
            // Before the new one comes: SQLite would take them for its.
            for end in BESIDE_DATABASE {
                move_aside(dir, &format!("{DATABASE}{end}"), aside)?;
            }
        }
        move_aside(dir, name, aside)?;
        sync_dir(dir)?;
        fs::rename(&from, &to).map_err(trouble("rename", &from))?;
        sync_dir(dir)?;
    }
    fs::remove_dir_all(ready).map_err(trouble("remove", ready))?;
    sync_dir(dir)
}

fn move_aside(dir: &Path, name: &str, aside: &Path) -> Result<(), BackupError> {
    let from = dir.join(name);
    if !exists(&from)? {
        return Ok(());
    }
    make_dir(aside)?;
    fs::rename(&from, aside.join(name)).map_err(trouble("move aside", &from))?;
    sync_dir(aside)
}

fn exists(path: &Path) -> Result<bool, BackupError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(trouble("look for", path)(error)),
    }
}
