//! What is in a file: on the disk, and in the page cache.

use crate::chance::Chance;
use crate::lock::Locks;

/// What a disk writes wholly or not at all, as long as it is nothing worse than torn.
const SECTOR: usize = 512;
/// What a file system gives a file at once.
pub(crate) const BLOCK: usize = 4_096;

/// A change that was not synced.
#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Resize(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => write(to, *at, bytes),
            Self::Resize(length) => to.resize(*length, 0),
        }
    }
}

/// A file's content.
#[derive(Default)]
pub(crate) struct Content {
    /// What is read.
    now: Vec<u8>,
    /// What is on the disk.
    disk: Vec<u8>,
    /// What was done since the last sync.
    pending: Vec<Change>,
    /// A failed sync has forgotten some of it.
    forgetful: bool,
    pub(crate) locks: Locks,
}

/// What becomes of a file's changes when the power goes.
enum Fate {
    Lost,
    Kept,
    /// The first ones are kept, the next one is torn.
    CutOff,
    /// Each by itself, in their order.
    Scattered,
    /// Each by itself, in any order.
    Shuffled,
}

impl Content {
    /// What is read.
    pub(crate) fn now(&self) -> &[u8] {
        &self.now
    }

    /// What is on the disk for certain.
    pub(crate) fn disk(&self) -> &[u8] {
        &self.disk
    }

    pub(crate) fn write(&mut self, at: usize, bytes: &[u8]) {
        if !bytes.is_empty() {
            write(&mut self.now, at, bytes);
            let bytes = bytes.to_vec();
            self.pending.push(Change::Write { at, bytes });
        }
    }

    pub(crate) fn resize(&mut self, length: usize) {
        self.now.resize(length, 0);
        self.pending.push(Change::Resize(length));
    }

    /// How many blocks it takes.
    pub(crate) const fn blocks(&self) -> usize {
        self.now.len().div_ceil(BLOCK)
    }

    pub(crate) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.disk);
        }
    }

    /// A sync that fails: nobody tries again what it has not done.
    pub(crate) fn fail_to_sync(&mut self, chance: &mut Chance) {
        let pending = std::mem::take(&mut self.pending);
        self.forgetful |= !pending.is_empty();
        settle(pending, &mut self.disk, chance);
    }

    /// The process has ended, the machine goes on.
    pub(crate) fn respawn(&mut self, chance: &mut Chance) {
        self.locks = Locks::default();
        if std::mem::take(&mut self.forgetful) && chance.one_in(2) {
            self.now = self.disk.clone();
            for change in &self.pending {
                change.apply(&mut self.now);
            }
        }
    }

    /// The power went and is back.
    pub(crate) fn reboot(&mut self, kept: Option<bool>, chance: &mut Chance) {
        self.locks = Locks::default();
        self.forgetful = false;
        let pending = std::mem::take(&mut self.pending);
        match kept {
            Some(false) => {}
            Some(true) => pending
                .iter()
                .for_each(|change| change.apply(&mut self.disk)),
            None => settle(pending, &mut self.disk, chance),
        }
        self.now = self.disk.clone();
    }
}

/// Lets some of the changes reach the disk.
fn settle(mut pending: Vec<Change>, disk: &mut Vec<u8>, chance: &mut Chance) {
    let fate = match chance.below(8) {
        0 => Fate::Lost,
        1 => Fate::Kept,
        2 | 3 => Fate::CutOff,
        4 | 5 => Fate::Scattered,
        _ => Fate::Shuffled,
    };
    match fate {
        Fate::Lost => pending.clear(),
        Fate::Kept => {}
        Fate::CutOff => {
            pending.truncate(chance.index(pending.len() + 1));
            if let Some(last) = pending.pop() {
                pending.extend(torn(last, chance));
            }
        }
        Fate::Scattered | Fate::Shuffled => {
            let all = std::mem::take(&mut pending);
            for change in all {
                match chance.below(4) {
                    0 => {}
                    1 => pending.extend(torn(change, chance)),
                    _ => pending.push(change),
                }
            }
            if matches!(fate, Fate::Shuffled) {
                chance.shuffle(&mut pending);
            }
        }
    }
    for change in pending {
        change.apply(disk);
    }
}

/// What is left of a change that was cut short: some of its sectors, or its beginning.
fn torn(whole: Change, chance: &mut Chance) -> Vec<Change> {
    let (at, mut bytes) = match whole {
        Change::Resize(_) => return Vec::new(),
        Change::Write { at, bytes } => (at, bytes),
    };
    if chance.one_in(3) {
        bytes.truncate(chance.index(bytes.len()));
        return vec![Change::Write { at, bytes }];
    }
    let mut left = Vec::new();
    let mut from = at;
    while !bytes.is_empty() {
        let sector = SECTOR - from % SECTOR;
        let rest = bytes.split_off(sector.min(bytes.len()));
        let piece = std::mem::replace(&mut bytes, rest);
        let next = from + piece.len();
        if chance.one_in(2) {
            left.push(Change::Write {
                at: from,
                bytes: piece,
            });
        }
        from = next;
    }
    left
}

fn write(to: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if to.len() < end {
        to.resize(end, 0);
    }
    if let Some(place) = to.get_mut(at..end) {
        place.copy_from_slice(bytes);
    }
}
