//! The names of files: in the cache, and on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::chance::Chance;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Folder,
    /// The file of this number.
    File(u64),
}

type Entries = BTreeMap<PathBuf, Entry>;

/// A change of names that was not synced.
#[derive(Clone)]
enum Change {
    Made(PathBuf, Entry),
    Removed(PathBuf),
    /// The file of the first name has the second one now, whatever had that before.
    Moved(PathBuf, PathBuf, Entry),
}

impl Change {
    fn path(&self) -> &Path {
        match self {
            Self::Made(path, _) | Self::Removed(path) | Self::Moved(path, ..) => path,
        }
    }

    fn apply(self, to: &mut Entries) {
        match self {
            Self::Made(path, entry) => {
                to.insert(path, entry);
            }
            Self::Removed(path) => {
                to.remove(&path);
            }
            Self::Moved(from, path, entry) => {
                to.remove(&from);
                to.insert(path, entry);
            }
        }
    }
}

/// All names.
#[derive(Default)]
pub(crate) struct Names {
    now: Entries,
    disk: Entries,
    pending: Vec<Change>,
}

impl Names {
    /// Nothing but a folder, whose own name is durable.
    pub(crate) fn new(root: &Path) -> Self {
        let entries = Entries::from([(root.to_owned(), Entry::Folder)]);
        Self {
            now: entries.clone(),
            disk: entries,
            pending: Vec::new(),
        }
    }

    pub(crate) fn get(&self, path: &Path) -> Option<Entry> {
        self.now.get(path).copied()
    }

    /// The number of the file that has the name on the disk.
    pub(crate) fn durable(&self, path: &Path) -> Option<Entry> {
        self.disk.get(path).copied()
    }

    /// Every file that has a name, by that name.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Path, u64)> {
        self.now.iter().filter_map(|(path, entry)| match entry {
            Entry::File(number) => Some((path.as_path(), *number)),
            Entry::Folder => None,
        })
    }

    /// The numbers of all files that can still be found, now or after a loss of power.
    pub(crate) fn reachable(&self) -> BTreeSet<u64> {
        let entries = self.now.values().chain(self.disk.values());
        let pending = self.pending.iter().filter_map(|change| match change {
            Change::Made(_, entry) | Change::Moved(_, _, entry) => Some(entry),
            Change::Removed(_) => None,
        });
        let number = |entry: &Entry| match entry {
            Entry::File(number) => Some(*number),
            Entry::Folder => None,
        };
        entries.chain(pending).filter_map(number).collect()
    }

    pub(crate) fn has_folder_of(&self, path: &Path) -> bool {
        path.parent().and_then(|above| self.get(above)) == Some(Entry::Folder)
    }

    pub(crate) fn make(&mut self, path: &Path, entry: Entry) {
        self.change(Change::Made(path.to_owned(), entry));
    }

    pub(crate) fn remove(&mut self, path: &Path) {
        self.change(Change::Removed(path.to_owned()));
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path, entry: Entry) {
        self.change(Change::Moved(from.to_owned(), to.to_owned(), entry));
    }

    fn change(&mut self, change: Change) {
        change.clone().apply(&mut self.now);
        self.pending.push(change);
    }

    /// Makes the names in a folder durable.
    pub(crate) fn sync(&mut self, folder: &Path) {
        let pending = std::mem::take(&mut self.pending);
        for change in pending {
            if change.path().parent() == Some(folder) {
                change.apply(&mut self.disk);
            } else {
                self.pending.push(change);
            }
        }
    }

    /// A sync that fails: some names are durable by chance, the others can still become so.
    pub(crate) fn fail_to_sync(&mut self, folder: &Path, chance: &mut Chance) {
        let pending = std::mem::take(&mut self.pending);
        for change in pending {
            if change.path().parent() == Some(folder) && chance.one_in(2) {
                change.apply(&mut self.disk);
            } else {
                self.pending.push(change);
            }
        }
    }

    /// The power went and is back.
    pub(crate) fn reboot(&mut self, kept: Option<bool>, chance: &mut Chance) {
        for change in std::mem::take(&mut self.pending) {
            if kept.unwrap_or_else(|| chance.one_in(2)) {
                change.apply(&mut self.disk);
            }
        }
        // What is in a folder that is not there cannot be found.
        let all = std::mem::take(&mut self.disk);
        for (path, entry) in &all {
            let mut above = path.ancestors().skip(1);
            let is_found = above.all(|folder| {
                all.get(folder) == Some(&Entry::Folder) || !self.is_below_root(folder)
            });
            if is_found {
                self.disk.insert(path.clone(), *entry);
            }
        }
        self.now = self.disk.clone();
    }

    /// Whether a folder is one of the disk's own. The root is the first of all names.
    fn is_below_root(&self, folder: &Path) -> bool {
        let root = self.now.keys().next();
        root.is_some_and(|root| folder.starts_with(root))
    }
}
