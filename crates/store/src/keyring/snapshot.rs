//! What others need to know of the keyring's files: a copy of one instant, what stands in each slot, and the
//! bringing up to date of a copy that is an old one.

use std::collections::{BTreeMap, BTreeSet};

use super::format::{narrow, widen};
use super::settle::TORN;
use super::{KeyRef, Keyring, KeyringError, Mark, locked};

/// Epochs that a keyring goes on by which may have had another life after its copy was made: more than that
/// life can have had. Odd, so that the header goes to the other of its two places.
const ANOTHER_LIFE: u64 = (1 << 32) + 1;

/// The keyring's files at one instant. The keys in them are sealed.
pub struct Snapshot {
    /// How far the keyring had come.
    pub mark: Mark,
    /// Each file's name and content.
    pub files: Vec<(&'static str, Vec<u8>)>,
}

/// What stands in a slot that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A key of this generation.
    Key(u64),
    /// A part of one.
    Torn,
}

/// What stands in the slots.
pub struct Census {
    generations: Vec<u64>,
    /// Slots that differ in the mirror.
    unequal: BTreeMap<u32, u64>,
    /// Keys that are filled ahead, or were given back and are about to be wiped.
    ahead: BTreeSet<u32>,
    /// Whether it is known which are filled ahead: not before the keyring was compared with the database.
    is_settled: bool,
}

impl Census {
    /// What stands in a slot; none if it is empty.
    pub fn standing(&self, slot: u32) -> Option<Standing> {
        standing(self.generations.get(narrow(slot)).copied()?)
    }

    /// All slots that are not empty, in the mirror also.
    pub fn filled(&self) -> impl Iterator<Item = (u32, Standing)> {
        let main = (0_u32..).zip(self.generations.iter().copied());
        let mirror = self.unequal.iter().map(|(slot, found)| (*slot, *found));
        main.chain(mirror)
            .filter_map(|(slot, found)| Some((slot, standing(found)?)))
    }

    /// Whether the key in a slot was filled ahead, and nothing is sealed with it.
    pub fn is_ahead(&self, slot: u32) -> bool {
        self.ahead.contains(&slot)
    }

    /// Whether it is known which keys are filled ahead.
    pub const fn is_settled(&self) -> bool {
        self.is_settled
    }
}

const fn standing(found: u64) -> Option<Standing> {
    match found {
        0 => None,
        TORN => Some(Standing::Torn),
        found => Some(Standing::Key(found)),
    }
}

impl Keyring {
    /// A copy of the files of one instant. Waits for the disk, and keeps wipes and refills waiting while the
    /// files are read.
    pub fn snapshot(&self) -> Result<Snapshot, KeyringError> {
        let writer = locked(&self.writer);
        self.usable()?;
        let mark = Mark {
            epoch: writer.header.epoch,
            segments: writer.header.segments,
        };
        let files = self.main.contents()?;
        Ok(Snapshot { mark, files })
    }

    /// What stands in each slot, as the disk says. Waits for the disk, and keeps wipes and refills waiting
    /// while the files are read.
    pub fn census(&self) -> Result<Census, KeyringError> {
        let writer = locked(&self.writer);
        self.usable()?;
        let segments = writer.header.segments;
        let generations = self.generations(&self.main, segments)?;
        let mut unequal = BTreeMap::new();
        if let Some(mirror) = &self.mirror {
            let others = self.generations(mirror, segments)?;
            let both = (0_u32..).zip(generations.iter().zip(others));
            unequal.extend(
                both.filter_map(|(slot, (one, other))| (*one != other).then_some((slot, other))),
            );
        }
        let stock = locked(&self.stock);
        let returned = stock.returned.iter().map(|key| key.slot);
        Ok(Census {
            generations,
            unequal,
            ahead: stock.keys.keys().copied().chain(returned).collect(),
            is_settled: stock.settled,
        })
    }

    /// Brings a copy up to date that is an old one: destroys the keys that are known to have been erased since
    /// it was made, and goes on from an epoch that its other life cannot have reached, so that no generation
    /// means two keys. Gives the number of keys. Waits for the disk.
    pub fn resume(&self, erased: impl Iterator<Item = KeyRef>) -> Result<u64, KeyringError> {
        let mark = self.mark();
        // A later generation was erased where this copy has an earlier one: then that was erased before it.
        let known = erased.map(|key| KeyRef {
            generation: key.generation.min(mark.epoch),
            ..key
        });
        let known: Vec<KeyRef> = known
            .filter(|key| self.possible(*key, mark).is_ok())
            .collect();
        let before = self.census()?;
        self.wipe(&known)?;
        let after = self.census()?;
        let mut writer = locked(&self.writer);
        self.watched(self.raise_epoch(&mut writer, ANOTHER_LIFE, None))?;
        Ok(widen(before.filled().count() - after.filled().count()))
    }
}
