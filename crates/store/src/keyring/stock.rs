//! What is known of the slots while the keyring is open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::format::{SLOTS, Segment, narrow, segment_of};
use super::{KeyRef, Mark, RecordKey};

/// A set of slots: one bit for each slot there is.
#[derive(Default)]
pub(super) struct Slots {
    segments: Vec<[u64; 16]>,
    count: usize,
}

impl Slots {
    /// A set of none of so many segments' slots.
    pub(super) fn none_of(segments: u32) -> Self {
        Self {
            segments: vec![[0; 16]; narrow(segments)],
            count: 0,
        }
    }

    /// Adds a segment, with all its slots.
    pub(super) fn push_segment(&mut self) {
        self.segments.push([u64::MAX; 16]);
        self.count += narrow(SLOTS);
    }

    /// How many slots it has.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    fn word(&mut self, slot: u32) -> Option<(&mut u64, u64)> {
        let segment = self.segments.get_mut(narrow(segment_of(slot)))?;
        let word = segment.get_mut(narrow(slot % SLOTS / 64))?;
        Some((word, 1 << (slot % 64)))
    }

    /// Whether it has the slot.
    #[cfg(test)]
    pub(super) fn contains(&self, slot: u32) -> bool {
        let segment = self.segments.get(narrow(segment_of(slot)));
        let word = segment.and_then(|segment| segment.get(narrow(slot % SLOTS / 64)));
        word.is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    /// The slots that it has not.
    pub(super) fn complement(self) -> Self {
        let all = self.segments.len() * narrow(SLOTS);
        Self {
            count: all - self.count,
            segments: self
                .segments
                .into_iter()
                .map(|words| words.map(|word| !word))
                .collect(),
        }
    }

    /// Adds a slot.
    pub(super) fn insert(&mut self, slot: u32) {
        if let Some((word, bit)) = self.word(slot)
            && *word & bit == 0
        {
            *word |= bit;
            self.count += 1;
        }
    }

    /// Takes a slot out.
    pub(super) fn remove(&mut self, slot: u32) {
        if let Some((word, bit)) = self.word(slot)
            && *word & bit != 0
        {
            *word &= !bit;
            self.count -= 1;
        }
    }

    /// All its slots, rising.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        let words = self.segments.iter().flatten();
        (0_u32..)
            .step_by(64)
            .zip(words)
            .filter(|(_, word)| **word != 0)
            .flat_map(|(first, word)| {
                (0..64)
                    .filter(move |bit| word & (1 << bit) != 0)
                    .map(move |bit| first + bit)
            })
    }
}

/// What changes from call to call.
#[derive(Default)]
pub(super) struct Stock {
    /// Keys that can be taken: their slots are durably filled.
    pub(super) keys: BTreeMap<u32, (u64, Arc<RecordKey>)>,
    /// Slots that can be filled: they are durably wiped, or were never filled.
    pub(super) free: Slots,
    /// Keys that were given back.
    pub(super) returned: Vec<KeyRef>,
    /// How far the keyring has come.
    pub(super) mark: Mark,
    /// Whether it was compared with the database.
    pub(super) settled: bool,
    /// Nobody waits any more until it is low.
    pub(super) awake: bool,
}

impl Stock {
    /// A key that can be taken.
    pub(super) fn pop(&mut self) -> Option<(KeyRef, Arc<RecordKey>)> {
        let (slot, (generation, key)) = self.keys.pop_first()?;
        Some((KeyRef { slot, generation }, key))
    }
}

/// The frames of the file of slots in which no segment is.
#[derive(Default)]
pub(super) struct Frames {
    free: BTreeSet<u32>,
    /// The first one that the file does not have.
    end: u32,
}

impl Frames {
    /// Of a file with so many frames, and these segments in it.
    pub(super) fn around(segments: &[Segment], count: u32) -> Self {
        let used: BTreeSet<u32> = segments.iter().map(|segment| segment.frame).collect();
        let end = used.last().map_or(0, |last| last.saturating_add(1));
        let end = end.max(count);
        Self {
            free: (0..end).filter(|frame| !used.contains(frame)).collect(),
            end,
        }
    }

    /// One to use: the first, so that the file stays short.
    pub(super) fn take(&mut self) -> u32 {
        self.free.pop_first().unwrap_or_else(|| {
            let frame = self.end;
            self.end = frame.saturating_add(1);
            frame
        })
    }

    /// Nothing is in this one any more.
    pub(super) fn give(&mut self, frame: u32) {
        self.free.insert(frame);
    }

    /// Those that could be used.
    pub(super) const fn free(&self) -> &BTreeSet<u32> {
        &self.free
    }
}

/// The slots in runs of neighbours in one segment: the first of each and how many there are.
pub(super) fn runs(slots: impl IntoIterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for slot in slots {
        match runs.last_mut() {
            Some((first, count))
                if first.checked_add(*count) == Some(slot)
                    && segment_of(*first) == segment_of(slot) =>
            {
                *count += 1;
            }
            _ => runs.push((slot, 1)),
        }
    }
    runs
}
