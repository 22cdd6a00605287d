//! Brings a backup back, without what was erased since.
//!
//! With the keyring of the day that comes by itself: what was erased has no key in it. With a snapshot of the
//! keyring it has one, and so what the logs of erasures know is destroyed in the snapshot before anybody uses
//! it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parlance_domain::receipt_log::{Event, Happening, Restoration, RestoredSnapshot};
use parlance_domain::{EventId, Timestamp};

use super::manifest::{About, Entry, Manifest};
use super::part::{copy_and_digest, make_dir, private, sync_dir};
use super::ready::{DRAFT, declare, finish_restore};
use super::{BackupError, DATA, DATABASE, KEYRING, database, make, trouble};
use crate::erasures::{self, ErasureLog, Known};
use crate::keyring::disk::Machine;
use crate::keyring::{self, KeyRef, Keyring, Root};
use crate::sqlite;

/// What is to be restored, and how.
pub struct Restore<'a> {
    /// The folder with the backup.
    pub from: &'a Path,
    /// The data directory, which is there. Nobody else may be using it.
    pub to: &'a Path,
    /// Another copy of the log of erasures.
    pub erasures: Option<&'a Path>,
    /// Take the snapshot of the keyring though it has expired.
    pub accept_expired: bool,
    /// Move aside what is in the data directory.
    pub replace: bool,
    /// The keyring's mirror, if it has one.
    pub mirror: Option<&'a Path>,
    /// Who keeps the root key of a keyring in this folder.
    pub root: &'a dyn Fn(&Path) -> Arc<dyn Root>,
    /// The time.
    pub now: Timestamp,
    /// The id of the event that the log of receipts gets.
    pub event: EventId,
}

/// With which keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The keyring that is in the data directory.
    Today,
    /// The snapshot in the backup.
    Snapshot {
        /// When it was made.
        taken_at: Timestamp,
        /// Whether it has expired.
        expired: bool,
    },
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// With which keys.
    pub way: Way,
    /// The instant that the data are of.
    pub taken_at: Timestamp,
    /// Keys that were destroyed in the snapshot, because they are known to be erased.
    pub destroyed: u64,
    /// From when to when nothing is known of erasures: what was erased then is there again.
    pub gaps: Vec<(Timestamp, Timestamp)>,
    /// Where that is which was replaced; nothing if there is no such folder.
    pub aside: PathBuf,
    /// Logs of erasures that could not be used, and why.
    pub unused: Vec<String>,
}

/// A part of a backup that is to be brought back.
struct Found {
    dir: PathBuf,
    manifest: Manifest,
    about: About,
}

/// What all logs of erasures together know.
struct Logs {
    /// The newest one, and where it is.
    newest: Option<(PathBuf, Known)>,
    erased: Vec<KeyRef>,
    unused: Vec<String>,
}

impl Restore<'_> {
    /// Restores. Until all is ready, nothing that is there is changed, but that the log of erasures gets what
    /// the database knows more. Waits for disks.
    pub fn run(&self) -> Result<Restored, BackupError> {
        let _lock = make::lock(self.from)?;
        finish_restore(self.to)?;
        let data = Found::read(self.from, DATA)?;
        let data = data.ok_or_else(|| BackupError::Absent(self.from.to_owned()))?;
        let snapshot = self.snapshot(&data)?;
        self.may_replace()?;
        let logs = self.logs(&data)?;
        let (draft, own_log) = (self.to.join(DRAFT), self.to.join(erasures::FILE));
        make_dir(&draft)?;
        // It comes from the logs' newest copy.
        let but_log = |entry: &&Entry| entry.name != erasures::FILE;
        for entry in data.manifest.files.iter().filter(but_log) {
            data.bring(entry, &draft)?;
        }
        if let Some((path, _)) = logs.newest.as_ref().filter(|(path, _)| *path != own_log) {
            copy(path, &draft.join(erasures::FILE))?;
        }
        let destroyed = match &snapshot {
            None => 0,
            Some(snapshot) => self.resume(snapshot, &data, &draft, &logs)?,
        };
        let way = snapshot
            .as_ref()
            .map_or(Way::Today, |snapshot| Way::Snapshot {
                taken_at: snapshot.about.taken_at,
                expired: snapshot.has_expired(self.now),
            });
        let gaps = match way {
            Way::Today => Vec::new(),
            Way::Snapshot { taken_at, .. } => logs.gaps(taken_at, self.now),
        };
        let event = self.event(&data, snapshot.as_ref(), destroyed, &gaps);
        sqlite::make_ready_again(&draft.join(DATABASE), &event)?;
        let aside = declare(self.to, &self.now.micros().to_string())?;
        finish_restore(self.to)?;
        Ok(Restored {
            way,
            taken_at: data.about.taken_at,
            destroyed,
            gaps,
            aside,
            unused: logs.unused,
        })
    }

    /// The snapshot that is to be used; none where there is a keyring.
    fn snapshot(&self, data: &Found) -> Result<Option<Found>, BackupError> {
        let folder = self.to.join(KEYRING);
        if Keyring::is_in(&folder)? {
            // Whether it is the right one is found out before anything is changed.
            let options = self.options(&folder);
            Keyring::open(&folder, data.about.store, data.about.mark, &options)?;
            return Ok(None);
        }
        if let Some(mirror) = self.mirror
            && Keyring::is_in(mirror)?
        {
            return Err(BackupError::Mirrored {
                keyring: folder,
                mirror: mirror.to_owned(),
            });
        }
        let snapshot = Found::read(self.from, KEYRING)?.ok_or_else(|| BackupError::NoKeyring {
            keyring: folder,
            backup: self.from.join(KEYRING),
        })?;
        if snapshot.about.store != data.about.store {
            return Err(BackupError::Foreign(snapshot.dir));
        }
        if snapshot.has_expired(self.now) && !self.accept_expired {
            return Err(BackupError::Expired(snapshot.dir));
        }
        Ok(Some(snapshot))
    }

    fn options(&self, folder: &Path) -> keyring::Options {
        keyring::Options {
            // To open a keyring with its mirror would bring both into step.
            mirror: None,
            root: (self.root)(folder),
        }
    }

    fn may_replace(&self) -> Result<(), BackupError> {
        let path = self.to.join(DATABASE);
        let is_there = path.try_exists().map_err(trouble("look for", &path))?;
        if is_there && !self.replace {
            return Err(BackupError::Occupied(self.to.to_owned()));
        }
        Ok(())
    }

    /// Reads all logs of erasures that there are.
    fn logs(&self, data: &Found) -> Result<Logs, BackupError> {
        let mut logs = Logs {
            newest: None,
            erased: Vec::new(),
            unused: Vec::new(),
        };
        let store = &data.about.store;
        let own = self.to.join(erasures::FILE);
        if let Err(error) = self.complete(store) {
            let chain = parlance_domain::fault::Chain(&error).to_string();
            logs.unused.push(chain);
        }
        match Known::read_own(&own, store) {
            Ok(known) => logs.add(own, known),
            Err(error) => {
                let chain = parlance_domain::fault::Chain(&error).to_string();
                logs.unused.push(chain);
            }
        }
        let is_log = |entry: &&Entry| entry.name == erasures::FILE;
        if let Some(entry) = data.manifest.files.iter().find(is_log) {
            data.check(entry)?;
            let path = entry.path(&data.dir);
            let known = Known::read_own(&path, store)?;
            logs.add(path, known);
        }
        if let Some(path) = self.erasures {
            let known = Known::read_own(path, store)?;
            let known = known.ok_or_else(|| {
                trouble("read", path)(std::io::Error::other("there is no log of erasures in it"))
            })?;
            logs.add(path.to_owned(), Some(known));
        }
        Ok(logs)
    }

    /// Adds to the log in the data directory what only the database there knows.
    fn complete(&self, store: &[u8; 16]) -> Result<(), BackupError> {
        let path = self.to.join(DATABASE);
        if !path.try_exists().map_err(trouble("look for", &path))? {
            return Ok(());
        }
        let Some(erased) = sqlite::unlogged(&path, store).map_err(database(&path))? else {
            return Ok(());
        };
        let mut log = ErasureLog::new(Arc::new(Machine), self.to, *store);
        let written = log.append(self.now, &erased);
        written
            .and_then(|()| log.note_until(self.now))
            .map_err(trouble("write", &self.to.join(erasures::FILE)))
    }

    /// What the log of receipts says of it: whoever reads there that something was erased has to know.
    fn event(
        &self,
        data: &Found,
        snapshot: Option<&Found>,
        destroyed: u64,
        gaps: &[(Timestamp, Timestamp)],
    ) -> Event {
        let snapshot = snapshot.map(|snapshot| RestoredSnapshot {
            taken_at: snapshot.about.taken_at,
            expires_at: snapshot.expires_at(),
            erasures_applied: destroyed,
            gap_from: gaps.first().map(|(from, _)| *from),
        });
        Event {
            id: self.event,
            at: self.now,
            what: Happening::Restored(Restoration {
                copied_at: data.about.taken_at,
                snapshot,
            }),
        }
    }

    /// Makes the snapshot's keyring ready, without what is known to be erased. Gives the number of keys that
    /// were destroyed.
    fn resume(
        &self,
        snapshot: &Found,
        data: &Found,
        draft: &Path,
        logs: &Logs,
    ) -> Result<u64, BackupError> {
        let folder = draft.join(KEYRING);
        make_dir(&folder)?;
        for entry in &snapshot.manifest.files {
            snapshot.bring(entry, &folder)?;
        }
        let options = self.options(&folder);
        let keyring = Keyring::open(&folder, data.about.store, data.about.mark, &options)?;
        let destroyed = keyring.resume(logs.erased.iter().copied())?;
        sync_dir(&folder)?;
        Ok(destroyed)
    }
}

impl Found {
    /// Reads a part of a backup; none if it is not there.
    fn read(from: &Path, part: &str) -> Result<Option<Self>, BackupError> {
        let dir = from.join(part);
        let Some(manifest) = Manifest::read(&dir)? else {
            return Ok(None);
        };
        let about = manifest.about();
        let about = about.ok_or_else(|| BackupError::Manifest(dir.clone()))?;
        Ok(Some(Self {
            dir,
            manifest,
            about,
        }))
    }

    /// When it expires. A snapshot that does not say so has no time at all.
    fn expires_at(&self) -> Timestamp {
        self.about.expires_at.unwrap_or(self.about.taken_at)
    }

    fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at() <= now
    }

    /// Copies a file to where it belongs below a folder, durably, and whole.
    fn bring(&self, entry: &Entry, folder: &Path) -> Result<(), BackupError> {
        let to = folder.join(&entry.name);
        let copied = copy(&entry.path(&self.dir), &to)?;
        self.judge(entry, &copied)
    }

    fn check(&self, entry: &Entry) -> Result<(), BackupError> {
        let measured = super::part::measure(&entry.path(&self.dir))?;
        self.judge(entry, &measured)
    }

    fn judge(&self, entry: &Entry, (bytes, sha256): &(u64, String)) -> Result<(), BackupError> {
        if *bytes == entry.bytes && *sha256 == entry.sha256 {
            return Ok(());
        }
        Err(BackupError::Damaged(entry.path(&self.dir)))
    }
}

/// Copies a file, makes the copy durable, and gives its length and hash.
fn copy(from: &Path, to: &Path) -> Result<(u64, String), BackupError> {
    let folder = to.parent().unwrap_or(to);
    make_dir(folder)?;
    let mut source = File::open(from).map_err(trouble("open", from))?;
    let mut target = private(to).map_err(trouble("make", to))?;
    let copied = copy_and_digest(&mut source, &mut target).map_err(trouble("copy", from))?;
    target.sync_all().map_err(trouble("sync", to))?;
    sync_dir(folder)?;
    Ok(copied)
}

impl Logs {
    fn add(&mut self, path: PathBuf, known: Option<Known>) {
        let Some(known) = known else {
            return;
        };
        // Whatever any of them says is so: no generation is ever used twice.
        self.erased.extend(known.erased());
        let is_newer = |(_, newest): &(PathBuf, Known)| known.until() > newest.until();
        if self.newest.as_ref().is_none_or(is_newer) {
            self.newest = Some((path, known));
        }
    }

    /// From when to when none of them knows what was erased after the snapshot was made.
    fn gaps(&self, since: Timestamp, now: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let known = self.newest.as_ref();
        let known = known.map_or((now, now), |(_, known)| (known.from(), known.until()));
        let gaps = match known {
            (_, until) if until <= since => vec![(since, now)],
            (from, until) => vec![(since, from), (until, now)],
        };
        gaps.into_iter().filter(|(from, to)| from < to).collect()
    }
}
