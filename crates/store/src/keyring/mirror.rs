//! Two copies of one keyring, compared when they are opened.
//!
//! A crash leaves them apart by what was being done. A copy that was away for a time is behind. Both are
//! mended where one copy's past is the other one's, and refused where each knows what the other one
//! cannot: then one of them is not what it seems, and nobody but the operator can say which.
//!
//! Of one epoch, a slot that is empty in one copy has been wiped, or was never handed out: so empty wins.

use std::path::Path;
use std::sync::Arc;

use super::disk::Disk;
use super::files::Files;
use super::format::{self, Copy, Header, RECORD, SEGMENT, SLOT, SLOTS, generation};
use super::{KeyRef, KeyringError, RecordKey};

/// What each copy lacks.
pub(super) struct Plan {
    keys: Vec<Arc<RecordKey>>,
    main: Changes,
    mirror: Changes,
}

/// What is to be written to a copy.
#[derive(Default)]
struct Changes {
    records: Vec<(u32, [u8; RECORD])>,
    segments: Vec<(u32, Vec<u8>)>,
    header: bool,
}

impl Changes {
    fn apply(&self, files: &Files, copy: &Copy) -> Result<(), KeyringError> {
        for (segment, record) in &self.records {
            files.write_record(*segment, record)?;
        }
        for (segment, slots) in &self.segments {
            files.write_slots(segment * SLOTS, slots)?;
        }
        if !self.records.is_empty() {
            files.sync_records()?;
        }
        if !self.segments.is_empty() {
            files.sync_slots()?;
        }
        // Last, so that a copy is behind until it has everything.
        if self.header {
            files.write_header(&copy.header, &copy.bytes)?;
            files.sync_header()?;
        }
        Ok(())
    }
}

/// Two copies, the one of the higher epoch first.
struct Pair<'a> {
    newer: (&'a Files, &'a Header),
    older: (&'a Files, &'a Header),
    root: &'a RecordKey,
}

/// What the two copies of a slot come to.
enum Merged {
    Newer,
    Older,
    Empty,
}

impl Plan {
    /// Compares the keyring with its mirror. Changes nothing.
    pub(super) fn make(
        main: (&Files, &Header),
        mirror: (&Files, &Header),
        root: &RecordKey,
    ) -> Result<Self, KeyringError> {
        let swapped = mirror.1.epoch > main.1.epoch;
        let (newer, older) = if swapped {
            (mirror, main)
        } else {
            (main, mirror)
        };
        let same_epoch = newer.1.epoch == older.1.epoch;
        let segments = (newer.1.segments, older.1.segments);
        if segments.0 < segments.1 || (same_epoch && segments.0 != segments.1) {
            return Err(contradiction(main.0, mirror.0, "header", 0));
        }
        newer.0.check_lengths(newer.1)?;
        older.0.check_lengths(older.1)?;
        let pair = Pair { newer, older, root };
        let mut keys = Vec::new();
        let mut changes = (Changes::default(), Changes::default());
        for segment in 0..segments.0 {
            let (key, record) = pair.record(segment, &mut changes)?;
            if segment < segments.1 {
                pair.slots(segment, &key, &mut changes)?;
            } else {
                changes.1.records.push((segment, record));
                let mut slots = vec![0; SEGMENT];
                newer.0.read_slots(segment * SLOTS, &mut slots)?;
                changes.1.segments.push((segment, slots));
            }
            keys.push(key);
        }
        changes.1.header = !same_epoch;
        let (main, mirror) = if swapped {
            (changes.1, changes.0)
        } else {
            changes
        };
        Ok(Self { keys, main, mirror })
    }

    /// The segments' keys.
    pub(super) fn segment_keys(&self) -> Vec<Arc<RecordKey>> {
        self.keys.clone()
    }

    /// Gives each copy what it lacks; `copy` is the newer header.
    pub(super) fn apply(
        &self,
        main: &Files,
        mirror: &Files,
        copy: &Copy,
    ) -> Result<(), KeyringError> {
        self.main.apply(main, copy)?;
        self.mirror.apply(mirror, copy)
    }
}

impl Pair<'_> {
    fn contradiction(&self, what: &'static str, number: u32) -> KeyringError {
        contradiction(self.newer.0, self.older.0, what, number)
    }

    /// The segment's key and its record.
    fn record(
        &self,
        segment: u32,
        changes: &mut (Changes, Changes),
    ) -> Result<(Arc<RecordKey>, [u8; RECORD]), KeyringError> {
        let open = |record: &[u8; RECORD]| {
            format::open_record(self.root, &self.newer.1.store, segment, record)
        };
        let newer = self.newer.0.read_record(segment)?;
        let older = if segment < self.older.1.segments {
            self.older.0.read_record(segment)?
        } else {
            newer
        };
        match (open(&newer), open(&older)) {
            (Some(key), Some(other)) if key.commitment() == other.commitment() => Ok((key, newer)),
            (Some(_), Some(_)) => Err(self.contradiction("segment", segment)),
            (Some(key), None) => {
                changes.1.records.push((segment, newer));
                Ok((key, newer))
            }
            (None, Some(key)) => {
                changes.0.records.push((segment, older));
                Ok((key, older))
            }
            (None, None) => Err(KeyringError::Torn {
                path: self.newer.0.dir.clone(),
                what: "segment",
                number: segment,
            }),
        }
    }

    /// Compares the slots of a segment that both copies have.
    fn slots(
        &self,
        segment: u32,
        key: &RecordKey,
        changes: &mut (Changes, Changes),
    ) -> Result<(), KeyringError> {
        let first = segment * SLOTS;
        let mut newer = vec![0; SEGMENT];
        let mut older = vec![0; SEGMENT];
        self.newer.0.read_slots(first, &mut newer)?;
        self.older.0.read_slots(first, &mut older)?;
        if newer == older {
            return Ok(());
        }
        let mut merged = newer.clone();
        let slots = newer.chunks(SLOT).zip(older.chunks(SLOT));
        for ((slot, to), (a, b)) in (first..).zip(merged.chunks_mut(SLOT)).zip(slots) {
            match self.merge(slot, key, a, b) {
                Some(Merged::Newer) => {}
                Some(Merged::Older) => to.copy_from_slice(b),
                Some(Merged::Empty) => to.fill(0),
                None => return Err(self.contradiction("slot", slot)),
            }
        }
        if merged != newer {
            changes.0.segments.push((segment, merged.clone()));
        }
        if merged != older {
            changes.1.segments.push((segment, merged));
        }
        Ok(())
    }

    fn merge(&self, slot: u32, key: &RecordKey, newer: &[u8], older: &[u8]) -> Option<Merged> {
        if newer == older {
            return Some(Merged::Newer);
        }
        let (new, old) = (generation(newer), generation(older));
        if new == old && new != 0 {
            // One of them is torn, or there were two writers. If both are torn the key cannot be had,
            // and whoever asks for it is told.
            let at = KeyRef {
                slot,
                generation: new,
            };
            let opens = |bytes| format::open_slot(key, &self.newer.1.store, at, bytes).is_some();
            return match (opens(newer), opens(older)) {
                (true, true) => None,
                (false, true) => Some(Merged::Older),
                (_, false) => Some(Merged::Newer),
            };
        }
        let same_epoch = self.newer.1.epoch == self.older.1.epoch;
        if new == 0 || (same_epoch && old == 0) {
            return Some(Merged::Empty);
        }
        // The older copy cannot know what was written after its time; before it, both have to agree.
        (!same_epoch && new > self.older.1.epoch).then_some(Merged::Newer)
    }
}

/// The copies cannot both be true.
pub(super) fn contradiction(
    main: &Files,
    mirror: &Files,
    what: &'static str,
    number: u32,
) -> KeyringError {
    KeyringError::Contradiction {
        path: main.dir.clone(),
        mirror: mirror.dir.clone(),
        what,
        number,
    }
}

/// Makes a mirror where there is none.
pub(super) fn fill(
    disk: &dyn Disk,
    main: &Files,
    path: &Path,
    copy: &Copy,
) -> Result<Files, KeyringError> {
    let mirror = Files::make(disk, path)?;
    let mut slots = vec![0; SEGMENT];
    for segment in 0..copy.header.segments {
        mirror.write_record(segment, &main.read_record(segment)?)?;
        main.read_slots(segment * SLOTS, &mut slots)?;
        mirror.write_slots(segment * SLOTS, &slots)?;
    }
    mirror.sync_records()?;
    mirror.sync_slots()?;
    mirror.clear_header()?;
    // The header makes it a keyring.
    mirror.write_header(&copy.header, &copy.bytes)?;
    mirror.sync_header()?;
    mirror.sync_names(disk)?;
    Ok(mirror)
}
