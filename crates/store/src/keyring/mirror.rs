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
use super::format::{
    self, Copy, Header, RECORD, SEGMENT, SLOT, SLOTS, Segment, first_place, generation,
};
use super::{KeyRef, KeyringError, RecordKey};

/// What brings copies into step, and what was learnt from them.
pub(super) struct Step {
    pub(super) secret: Arc<RecordKey>,
    pub(super) segments: Vec<Segment>,
    lacks: Lacks,
}

/// What copies lack.
enum Lacks {
    /// Of one renewal: parts.
    Some { main: Changes, mirror: Changes },
    /// The root was renewed without one of them, which is filled again as a whole.
    All { is_main: bool },
}

/// A copy and its header.
type Whole = (Files, Copy);

/// What is to be written to a copy.
#[derive(Default)]
struct Changes {
    records: Vec<(u32, [u8; RECORD])>,
    /// By the place of the first slot.
    segments: Vec<(u64, Vec<u8>)>,
    header: bool,
}

impl Changes {
    fn apply(&self, files: &Files, copy: &Copy) -> Result<(), KeyringError> {
        let side = copy.header.side();
        for (segment, record) in &self.records {
            files.write_records(side, *segment, record)?;
        }
        for (first, slots) in &self.segments {
            files.write_slots(*first, slots)?;
        }
        if !self.records.is_empty() {
            files.sync_records(side)?;
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

impl Step {
    /// Of a keyring without a mirror.
    pub(super) fn alone((files, copy): &Whole, root: &RecordKey) -> Result<Self, KeyringError> {
        let secret = opened(files, copy, root)?;
        files.check_lengths(&copy.header)?;
        let lacks = Lacks::Some {
            main: Changes::default(),
            mirror: Changes::default(),
        };
        Ok(Self {
            secret,
            segments: segments(files, &copy.header, root)?,
            lacks,
        })
    }

    /// Compares a keyring with its mirror. Changes nothing.
    pub(super) fn between(
        main: &Whole,
        mirror: &Whole,
        root: &RecordKey,
    ) -> Result<Self, KeyringError> {
        let is_main = main.1.header.renewals < mirror.1.header.renewals;
        let (newer, older) = if is_main {
            (mirror, main)
        } else {
            (main, mirror)
        };
        if newer.1.header.renewals == older.1.header.renewals {
            return Self::compared(main, mirror, root);
        }
        // The older one's root may be destroyed, so that nothing in it can be looked at. It is behind
        // unless it has gone on alone.
        if newer.1.header.epoch <= older.1.header.epoch {
            return Err(contradiction(&main.0, &mirror.0, "header", 0));
        }
        let newer = Self::alone(newer, root)?;
        Ok(Self {
            lacks: Lacks::All { is_main },
            ..newer
        })
    }

    fn compared(main: &Whole, mirror: &Whole, root: &RecordKey) -> Result<Self, KeyringError> {
        let secret = opened(&main.0, &main.1, root)?;
        let other = opened(&mirror.0, &mirror.1, root)?;
        if secret.commitment() != other.commitment() {
            return Err(contradiction(&main.0, &mirror.0, "header", 0));
        }
        let (main, mirror) = ((&main.0, &main.1.header), (&mirror.0, &mirror.1.header));
        let swapped = mirror.1.epoch > main.1.epoch;
        let (newer, older) = if swapped {
            (mirror, main)
        } else {
            (main, mirror)
        };
        let same_epoch = newer.1.epoch == older.1.epoch;
        let counts = (newer.1.segments, older.1.segments);
        if counts.0 < counts.1 || (same_epoch && counts.0 != counts.1) {
            return Err(contradiction(main.0, mirror.0, "header", 0));
        }
        newer.0.check_lengths(newer.1)?;
        older.0.check_lengths(older.1)?;
        let pair = Pair { newer, older, root };
        let mut segments = Vec::new();
        let mut changes = (Changes::default(), Changes::default());
        for number in 0..counts.0 {
            let (segment, record) = pair.record(number, &mut changes)?;
            if number < counts.1 {
                pair.slots(number, &segment, &mut changes)?;
            } else {
                changes.1.records.push((number, record));
                let mut slots = vec![0; SEGMENT];
                let first = first_place(segment.frame);
                newer.0.read_slots(first, &mut slots)?;
                changes.1.segments.push((first, slots));
            }
            segments.push(segment);
        }
        changes.1.header = !same_epoch;
        let (main, mirror) = if swapped {
            (changes.1, changes.0)
        } else {
            changes
        };
        Ok(Self {
            secret,
            segments,
            lacks: Lacks::Some { main, mirror },
        })
    }

    /// Gives each copy what it lacks; `copy` is the newer header.
    pub(super) fn take(
        &self,
        main: &Files,
        mirror: &Files,
        copy: &Copy,
    ) -> Result<(), KeyringError> {
        match &self.lacks {
            Lacks::Some {
                main: in_main,
                mirror: in_mirror,
            } => {
                in_main.apply(main, copy)?;
                in_mirror.apply(mirror, copy)
            }
            Lacks::All { is_main: true } => self.refill(mirror, main, copy),
            Lacks::All { is_main: false } => self.refill(main, mirror, copy),
        }
    }

    /// Gives a copy everything. Until it has all of it, its header says that it is behind.
    fn refill(&self, from: &Files, to: &Files, copy: &Copy) -> Result<(), KeyringError> {
        copy_segments(from, to, &copy.header, &self.segments)?;
        to.write_header(&copy.header, &copy.bytes)?;
        to.sync_header()
    }
}

/// The store's secret.
fn opened(files: &Files, copy: &Copy, root: &RecordKey) -> Result<Arc<RecordKey>, KeyringError> {
    copy.secret(root)
        .ok_or_else(|| KeyringError::RootDoesNotOpen(files.dir.clone()))
}

fn segments(
    files: &Files,
    header: &Header,
    root: &RecordKey,
) -> Result<Vec<Segment>, KeyringError> {
    let open = |number| {
        let record = files.read_record(header.side(), number)?;
        format::open_record(root, &header.store, number, &record).ok_or_else(|| {
            KeyringError::Torn {
                path: files.dir.clone(),
                what: "segment",
                number,
            }
        })
    };
    (0..header.segments).map(open).collect()
}

/// Copies the records of all segments, and their slots.
fn copy_segments(
    from: &Files,
    to: &Files,
    header: &Header,
    segments: &[Segment],
) -> Result<(), KeyringError> {
    let side = header.side();
    let mut slots = vec![0; SEGMENT];
    for (number, segment) in (0..).zip(segments) {
        to.write_records(side, number, &from.read_record(side, number)?)?;
        let first = first_place(segment.frame);
        from.read_slots(first, &mut slots)?;
        to.write_slots(first, &slots)?;
    }
    to.sync_records(side)?;
    to.sync_slots()
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
    ) -> Result<(Segment, [u8; RECORD]), KeyringError> {
        let side = self.newer.1.side();
        let open = |record: &[u8; RECORD]| {
            format::open_record(self.root, &self.newer.1.store, segment, record)
        };
        let newer = self.newer.0.read_record(side, segment)?;
        let older = if segment < self.older.1.segments {
            self.older.0.read_record(side, segment)?
        } else {
            newer
        };
        match (open(&newer), open(&older)) {
            (Some(found), Some(other))
                if found.frame == other.frame
                    && found.key.commitment() == other.key.commitment() =>
            {
                Ok((found, newer))
            }
            (Some(_), Some(_)) => Err(self.contradiction("segment", segment)),
            (Some(found), None) => {
                changes.1.records.push((segment, newer));
                Ok((found, newer))
            }
            (None, Some(found)) => {
                changes.0.records.push((segment, older));
                Ok((found, older))
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
        number: u32,
        segment: &Segment,
        changes: &mut (Changes, Changes),
    ) -> Result<(), KeyringError> {
        let place = first_place(segment.frame);
        let mut newer = vec![0; SEGMENT];
        let mut older = vec![0; SEGMENT];
        self.newer.0.read_slots(place, &mut newer)?;
        self.older.0.read_slots(place, &mut older)?;
        if newer == older {
            return Ok(());
        }
        let mut merged = newer.clone();
        let slots = newer.chunks(SLOT).zip(older.chunks(SLOT));
        let numbers = number * SLOTS..;
        for ((slot, to), (a, b)) in numbers.zip(merged.chunks_mut(SLOT)).zip(slots) {
            match self.merge(slot, &segment.key, a, b) {
                Some(Merged::Newer) => {}
                Some(Merged::Older) => to.copy_from_slice(b),
                Some(Merged::Empty) => to.fill(0),
                None => return Err(self.contradiction("slot", slot)),
            }
        }
        if merged != newer {
            changes.0.segments.push((place, merged.clone()));
        }
        if merged != older {
            changes.1.segments.push((place, merged));
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
    segments: &[Segment],
) -> Result<Files, KeyringError> {
    let mirror = Files::make(disk, path)?;
    copy_segments(main, &mirror, &copy.header, segments)?;
    mirror.clear_header()?;
    // The header makes it a keyring.
    mirror.write_header(&copy.header, &copy.bytes)?;
    mirror.sync_header()?;
    mirror.sync_names(disk)?;
    Ok(mirror)
}
