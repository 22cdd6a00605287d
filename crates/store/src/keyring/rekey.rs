//! Replaces the root, and the keys of the segments in which something was wiped, so that no copy of the
//! files from before opens a wiped key any more.
//!
//! A wiped key stands, sealed under its segment's key, in whatever the disk has kept of its slot: worn
//! pages, snapshots, copies. So a new root alone is not enough, because it would open the same segment's
//! key again. Segments with wipes are therefore sealed anew as a whole, under new keys, into frames of
//! the file that hold nothing; all segments' keys and the header are sealed under a new root; and then
//! the old root is destroyed, which all copies from before lead to.
//!
//! In this order, so that the power may go between any two steps:
//! 1. the new root is kept in its second place, beside the old one;
//! 2. the new frames are written and synced, one after the other. Others take and wipe keys meanwhile: what
//!    they write to a segment that is done goes to both of its frames;
//! 3. the table of segments is written to its other file and synced, then the header: from there on the
//!    new root holds, and this one sync decides;
//! 4. the old frames are overwritten and synced;
//! 5. the old root is destroyed.
//!
//! The header says which of the two places its root is kept in. What was cut off before the third step is
//! overwritten at the next start, and what was cut off after it is finished by the next renewal.
//!
//! Invariant: the old root is destroyed only when everything is durable under the new one, in every
//! copy; and a wipe counts as renewed only if it had returned before the renewal began.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::error::no_room;
use super::files::Files;
use super::format::{self, SEGMENT, SLOT, SLOTS, Segment, Side, first_place, generation, narrow};
use super::{KeyRef, Keyring, KeyringError, RecordKey, Root, RootError, Writer, locked};

/// Renewals whose effect on the program that keeps the root is looked at in full: one for each place.
/// Later ones of the process count on what was seen, because every call takes its time.
const WATCHED: u32 = 2;

/// What is left to others between two segments.
const PAUSE: Duration = Duration::from_micros(200);

/// What came of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rekeyed {
    /// The root was replaced, and the one before is destroyed.
    Done {
        /// The segments that were sealed anew.
        segments: usize,
    },
    /// Nothing was wiped since the last renewal.
    NothingWiped,
}

/// What is known of the places for a root.
#[derive(Default)]
pub(super) struct Renewing {
    /// Nothing is kept beside the root.
    is_alone: bool,
    /// Renewals so far that were looked at in full.
    watched: u32,
    /// None is begun any more.
    is_over: bool,
}

/// The place of the root, and the other one.
struct Places<'a> {
    present: &'a dyn Root,
    other: &'a dyn Root,
}

impl Keyring {
    /// Replaces the root, if anything was wiped since that was done last. When this returns, no copy
    /// of the files from before opens what was wiped before the call. Waits for the disk and for the
    /// program that keeps the root; others go on meanwhile.
    ///
    /// Fails with [`KeyringError::FixedRoot`] where the root is a file, with
    /// [`KeyringError::Root`] or [`KeyringError::OneRoot`] if its program does not do what it has to, and
    /// with [`KeyringError::Empty`] if there is no room. Nothing is lost then, nothing counts as renewed,
    /// and the next call does what is left.
    pub fn rekey(&self) -> Result<Rekeyed, KeyringError> {
        let mut renewing = locked(&self.renewing);
        self.usable()?;
        if renewing.is_over {
            return Err(KeyringError::Closed);
        }
        if !locked(&self.stock).settled {
            return Err(KeyringError::Unsettled);
        }
        // Where this failed the last time.
        self.clear_moved()?;
        let (places, root) = self.places_for_root()?;
        if !renewing.is_alone {
            places.clear(&root)?;
            renewing.is_alone = true;
            locked(&self.writer).is_renewing = false;
        }
        let Some(wiped) = self.begin_renewal() else {
            return Ok(Rekeyed::NothingWiped);
        };
        let is_watched = renewing.watched < WATCHED;
        renewing.is_alone = false;
        let next = places.keep_next(&root, is_watched);
        let done = next.and_then(|next| self.reseal(&wiped, &next));
        if done.is_err() {
            locked(&self.writer).wiped.extend(&wiped);
        }
        done?;
        places.destroy_old(is_watched)?;
        renewing.is_alone = true;
        renewing.watched += 1;
        locked(&self.writer).is_renewing = false;
        Ok(Rekeyed::Done {
            segments: wiped.len(),
        })
    }

    /// Waits for the renewal that is under way, and lets none begin any more: whoever opens the keyring next
    /// must be alone with it.
    pub fn end_renewals(&self) {
        locked(&self.renewing).is_over = true;
    }

    /// The root, and where it is kept.
    fn places_for_root(&self) -> Result<(Places<'_>, Arc<RecordKey>), KeyringError> {
        let first = &*self.roots;
        let second = first.second().ok_or(KeyringError::FixedRoot)?;
        let writer = locked(&self.writer);
        let (present, other) = match writer.header.side() {
            Side::First => (first, second),
            Side::Second => (second, first),
        };
        Ok((Places { present, other }, Arc::clone(&writer.root)))
    }

    /// The segments that are to be sealed anew. What is wiped from here on is for the next renewal. None
    /// if there is nothing to do.
    pub(super) fn begin_renewal(&self) -> Option<BTreeSet<u32>> {
        let mut writer = locked(&self.writer);
        let wiped = mem::take(&mut writer.wiped);
        writer.is_renewing = !wiped.is_empty();
        (!wiped.is_empty()).then_some(wiped)
    }

    /// Whether no copy of the files from before opens anything that was wiped so far.
    pub fn is_renewed(&self) -> bool {
        let writer = locked(&self.writer);
        self.roots.second().is_some() && writer.wiped.is_empty() && !writer.is_renewing
    }

    /// Seals these segments anew and everything under the next root, so that it holds.
    fn reseal(&self, wiped: &BTreeSet<u32>, next: &Arc<RecordKey>) -> Result<(), KeyringError> {
        let moved = wiped.iter().try_for_each(|segment| {
            self.move_segment(*segment)?;
            let_others_go_on();
            Ok(())
        });
        let switched = moved.and_then(|()| self.switch(next));
        match &switched {
            Err(error) if error.is_fatal() => return switched,
            Ok(()) | Err(_) => {}
        }
        self.clear_moved()?;
        switched
    }

    /// Writes a segment to another frame, under a new key.
    pub(super) fn move_segment(&self, number: u32) -> Result<(), KeyringError> {
        let mut writer = locked(&self.writer);
        self.usable()?;
        let old = self.segment_with(number * SLOTS)?;
        let new = Segment {
            key: RecordKey::generate()?,
            frame: writer.frames.take(),
        };
        let written = self.sealed_anew(number, &old, &new).and_then(|bytes| {
            let first = first_place(new.frame);
            self.copies()
                .try_for_each(|files| files.write_slots(first, &bytes))
                .map_err(no_room)?;
            // With the lock held: a sync that fails tells only one of those who have written.
            self.copies().try_for_each(Files::sync_slots)
        });
        match self.watched(written) {
            Ok(()) => {
                writer.moving.insert(number, new);
                Ok(())
            }
            Err(error) => {
                writer.frames.give(new.frame);
                Err(error)
            }
        }
    }

    /// The segment's slots, sealed under another key for where they were sealed for.
    fn sealed_anew(
        &self,
        number: u32,
        old: &Segment,
        new: &Segment,
    ) -> Result<Vec<u8>, KeyringError> {
        let first = number * SLOTS;
        let mut slots = vec![0; SEGMENT];
        self.main.read_slots(old.place_of(first), &mut slots)?;
        for (slot, bytes) in (first..).zip(slots.chunks_mut(SLOT)) {
            if bytes.iter().all(|byte| *byte == 0) {
                continue;
            }
            let (at, key) = self.opened_for_move(slot, old, bytes)?;
            let sealed = format::slot(&new.key, &self.store, at, &key)?;
            bytes.copy_from_slice(&sealed);
        }
        Ok(slots)
    }

    /// What is in a slot that is not empty.
    fn opened_for_move(
        &self,
        slot: u32,
        segment: &Segment,
        bytes: &[u8],
    ) -> Result<(KeyRef, Arc<RecordKey>), KeyringError> {
        let open = |bytes: &[u8]| {
            let generation = generation(bytes);
            let at = KeyRef { slot, generation };
            let key = format::open_slot(&segment.key, &self.store, at, bytes)?;
            Some((at, key))
        };
        let opened = match (open(bytes), &self.mirror) {
            (None, Some(mirror)) => open(&mirror.read_slot(segment.place_of(slot))?),
            (opened, _) => opened,
        };
        opened.ok_or_else(|| self.torn("slot", slot))
    }

    /// Writes the table of segments and the header under the next root. From there on it holds.
    pub(super) fn switch(&self, next: &Arc<RecordKey>) -> Result<(), KeyringError> {
        let mut writer = locked(&self.writer);
        self.usable()?;
        self.watched(self.write_switch(&mut writer, next))?;
        let mut segments = self
            .segments
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for (number, other) in &mut writer.moving {
            if let Some(segment) = segments.get_mut(narrow(*number)) {
                mem::swap(segment, other);
            }
        }
        drop(segments);
        writer.has_switched = true;
        Ok(())
    }

    fn write_switch(&self, writer: &mut Writer, next: &Arc<RecordKey>) -> Result<(), KeyringError> {
        let mut header = self.next_header(writer, 1)?;
        header.renewals = header
            .renewals
            .checked_add(1)
            .ok_or(KeyringError::Exhausted)?;
        let side = header.side();
        let table = self.table(&writer.moving, next)?;
        self.copies()
            .try_for_each(|files| files.write_records(side, 0, &table))
            .map_err(no_room)?;
        self.copies()
            .try_for_each(|files| files.sync_records(side))?;
        self.advance(writer, header, Arc::clone(next))
    }

    /// All segments' records, as they will be.
    fn table(
        &self,
        moving: &BTreeMap<u32, Segment>,
        root: &RecordKey,
    ) -> Result<Vec<u8>, KeyringError> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let mut table = Vec::with_capacity(segments.len() * format::RECORD);
        for (number, segment) in (0..).zip(&*segments) {
            let segment = moving.get(&number).unwrap_or(segment);
            table.extend(format::record(root, &self.store, number, segment)?);
        }
        Ok(table)
    }

    fn clear(&self, frame: u32) -> Result<(), KeyringError> {
        // In step with whoever wipes slots in it.
        let _writer = locked(&self.writer);
        self.usable()?;
        let clear = |files: &Files| {
            files.clear_frame(frame)?;
            files.sync_slots()
        };
        self.watched(self.copies().try_for_each(clear))
    }

    /// Overwrites the frames that segments were moved from; or those that they were to be moved to, if
    /// it has not come to that.
    pub(super) fn clear_moved(&self) -> Result<(), KeyringError> {
        let frames: Vec<u32> = {
            let writer = locked(&self.writer);
            let moving = writer.moving.values();
            moving.map(|segment| segment.frame).collect()
        };
        if frames.is_empty() {
            return Ok(());
        }
        for frame in &frames {
            self.clear(*frame)?;
            let_others_go_on();
        }
        let mut writer = locked(&self.writer);
        for frame in frames {
            writer.frames.give(frame);
        }
        writer.moving.clear();
        writer.has_switched = false;
        Ok(())
    }
}

/// A lock goes to whoever comes first, and this thread is always near.
fn let_others_go_on() {
    if cfg!(not(feature = "models")) {
        std::thread::park_timeout(PAUSE);
    }
}

impl Places<'_> {
    /// Destroys what a renewal that was cut off has left beside the root.
    fn clear(&self, root: &RecordKey) -> Result<(), KeyringError> {
        match self.other.get() {
            Err(RootError::Absent(_)) => return Ok(()),
            // Two names for one key: to destroy one would be to destroy both.
            Ok(key) if *key == *root.bytes() => {
                return Err(KeyringError::OneRoot("keep two keys apart"));
            }
            // Half a key may be there where its keeping was cut off.
            Ok(_) | Err(RootError::Malformed(_)) => {}
            Err(error) => return Err(error.into()),
        }
        self.other.destroy()?;
        self.check_present(root)?;
        is_absent(self.other)
    }

    /// Keeps a new root beside the present one.
    fn keep_next(
        &self,
        root: &RecordKey,
        is_watched: bool,
    ) -> Result<Arc<RecordKey>, KeyringError> {
        let next = RecordKey::generate()?;
        self.other.put(next.bytes())?;
        if is_watched {
            self.check_present(root)?;
        }
        match self.other.get() {
            Ok(key) if *key == *next.bytes() => Ok(next),
            Ok(_) | Err(RootError::Absent(_) | RootError::Malformed(_)) => {
                Err(KeyringError::OneRoot("keep a second key"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the present root is kept still. A program that takes one for the other gets it back.
    fn check_present(&self, root: &RecordKey) -> Result<(), KeyringError> {
        match self.present.get() {
            Ok(key) if *key == *root.bytes() => Ok(()),
            Ok(_) | Err(RootError::Absent(_) | RootError::Malformed(_)) => {
                self.present.put(root.bytes())?;
                Err(KeyringError::OneRoot("keep two keys apart"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Destroys the root that does not hold any more.
    fn destroy_old(&self, is_watched: bool) -> Result<(), KeyringError> {
        self.present.destroy()?;
        if is_watched {
            return is_absent(self.present);
        }
        Ok(())
    }
}

/// Whether a key that was destroyed is gone.
fn is_absent(place: &dyn Root) -> Result<(), KeyringError> {
    match place.get() {
        Err(RootError::Absent(_)) => Ok(()),
        Ok(_) | Err(RootError::Malformed(_)) => Err(KeyringError::OneRoot("destroy a key")),
        Err(error) => Err(error.into()),
    }
}
