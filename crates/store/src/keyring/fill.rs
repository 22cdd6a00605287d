//! Fills slots ahead, so that taking a key costs no disk access.

use std::sync::{Arc, PoisonError};

use super::error::no_room;
use super::files::Files;
use super::format::{self, Header, SEGMENT, Segment, first_place, narrow, segment_of};
use super::stock::{Stock, runs};
use super::{Fresh, KeyRef, Keyring, KeyringError, Mark, RecordKey, Writer, locked};

/// Keys that are filled at once.
pub(super) const BATCH: usize = if cfg!(feature = "models") { 4 } else { 1_024 };
/// Fewer keys in stock are too few.
const LOW: usize = BATCH / 2;
/// Fewer free slots than this are not worth the two syncs of a batch: then there is to be a new segment.
const FREE_MIN: usize = BATCH / 2;

/// Whether it is time to fill some.
pub(super) fn is_low(stock: &Stock) -> bool {
    stock.settled && stock.keys.len() < LOW
}

impl Keyring {
    /// Fills a batch of slots, if fewer than half a batch are in stock. Waits for the disk.
    ///
    /// Fails with [`KeyringError::Empty`] where the disk has no room; nothing has happened then.
    pub fn refill(&self) -> Result<(), KeyringError> {
        let mut writer = locked(&self.writer);
        self.usable()?;
        let enough = {
            let stock = locked(&self.stock);
            stock.settled && !is_low(&stock)
        };
        if enough {
            return Ok(());
        }
        let fresh = self.watched(self.fill(&mut writer))?;
        self.put_in_stock(fresh);
        Ok(())
    }

    /// A key where none was in stock.
    pub(super) fn fill_one(&self) -> Result<Fresh, KeyringError> {
        let mut writer = locked(&self.writer);
        // Somebody else may have filled some while this one was waiting.
        if let Some(taken) = locked(&self.stock).pop() {
            return Ok(taken);
        }
        self.usable()?;
        let mut fresh = self.watched(self.fill(&mut writer))?;
        let taken = fresh.pop().ok_or(KeyringError::Exhausted)?;
        self.put_in_stock(fresh);
        Ok(taken)
    }

    fn put_in_stock(&self, fresh: Vec<Fresh>) {
        let keys = fresh
            .into_iter()
            .map(|(at, key)| (at.slot, (at.generation, key)));
        locked(&self.stock).keys.extend(keys);
    }

    fn fill(&self, writer: &mut Writer) -> Result<Vec<Fresh>, KeyringError> {
        if !locked(&self.stock).settled {
            return Err(KeyringError::Unsettled);
        }
        if !locked(&self.stock).returned.is_empty() {
            self.wipe_some(writer, &[])?;
        }
        let free = locked(&self.stock).free.len();
        let segment = if free < FREE_MIN {
            match self.prepare_segment(writer) {
                Ok(segment) => Some(segment),
                Err(KeyringError::Empty(_) | KeyringError::Exhausted) if free > 0 => None,
                Err(error) => return Err(error),
            }
        } else {
            None
        };
        self.raise_epoch(writer, 1, segment)?;
        let slots: Vec<u32> = locked(&self.stock).free.iter().take(BATCH).collect();
        let fresh = self.seal_slots(writer, &slots)?;
        let mut stock = locked(&self.stock);
        for slot in slots {
            stock.free.remove(slot);
        }
        Ok(fresh)
    }

    /// Makes room for one more segment, which nothing counts yet.
    fn prepare_segment(&self, writer: &mut Writer) -> Result<Segment, KeyringError> {
        let number = writer.header.segments;
        // The last slot needs a number, too.
        if number >= u32::MAX / format::SLOTS {
            return Err(KeyringError::Exhausted);
        }
        let segment = Segment {
            key: RecordKey::generate()?,
            frame: writer.frames.take(),
        };
        let side = writer.header.side();
        let record = format::record(&writer.root, &self.store, number, &segment)?;
        let grow = |files: &Files| {
            files.write_records(side, number, &record)?;
            files.write_slots(first_place(segment.frame), &vec![0; SEGMENT])
        };
        let grown = self.copies().try_for_each(grow).map_err(no_room);
        if grown.is_err() {
            writer.frames.give(segment.frame);
        }
        grown?;
        self.copies()
            .try_for_each(|files| files.sync_records(side))?;
        self.copies().try_for_each(Files::sync_slots)?;
        Ok(segment)
    }

    /// Writes and syncs an epoch that is later by an odd number, and counts the new segment if there is one.
    pub(super) fn raise_epoch(
        &self,
        writer: &mut Writer,
        by: u64,
        segment: Option<Segment>,
    ) -> Result<(), KeyringError> {
        let mut header = self.next_header(writer, by)?;
        header.segments += u32::from(segment.is_some());
        let root = Arc::clone(&writer.root);
        self.advance(writer, header, root)?;
        let grown = segment.is_some();
        self.segments
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(segment);
        if grown {
            locked(&self.stock).free.push_segment();
        }
        Ok(())
    }

    /// Makes sure that the header which holds is on the disk: that it was read does not say so.
    pub(super) fn keep_header(&self, writer: &mut Writer) -> Result<(), KeyringError> {
        if !writer.durable {
            self.write_headers(&writer.header, &writer.bytes)?;
            writer.durable = true;
        }
        Ok(())
    }

    /// What the header says next, with a new epoch. Its copy overwrites the one before the present one,
    /// which is on the disk when this returns.
    pub(super) fn next_header(&self, writer: &mut Writer, by: u64) -> Result<Header, KeyringError> {
        self.keep_header(writer)?;
        let mut header = writer.header;
        header.epoch = header
            .epoch
            .checked_add(by)
            .ok_or(KeyringError::Exhausted)?;
        Ok(header)
    }

    /// Writes and syncs a header, sealed under a root, which holds from then on.
    pub(super) fn advance(
        &self,
        writer: &mut Writer,
        header: Header,
        root: Arc<RecordKey>,
    ) -> Result<(), KeyringError> {
        let bytes = header.encode(&root, &self.secret)?;
        self.write_headers(&header, &bytes)?;
        writer.header = header;
        writer.bytes = bytes;
        writer.root = root;
        locked(&self.stock).mark = Mark {
            epoch: header.epoch,
            segments: header.segments,
        };
        Ok(())
    }

    /// Writes this header to its place in every copy, and syncs it.
    pub(super) fn write_headers(
        &self,
        header: &Header,
        bytes: &[u8; format::HEADER],
    ) -> Result<(), KeyringError> {
        self.copies()
            .try_for_each(|files| files.write_header(header, bytes))?;
        self.copies().try_for_each(Files::sync_header)
    }

    /// Makes keys for these slots, writes and syncs them. While a renewal is under way some are written
    /// to where they will be, too.
    fn seal_slots(&self, writer: &Writer, slots: &[u32]) -> Result<Vec<Fresh>, KeyringError> {
        let generation = writer.header.epoch;
        let mut fresh = Vec::with_capacity(slots.len());
        let mut writes = Vec::new();
        for (first, count) in runs(slots.iter().copied()) {
            let mut keys = Vec::with_capacity(narrow(count));
            for slot in first..first + count {
                keys.push((KeyRef { slot, generation }, RecordKey::generate()?));
            }
            let own = self.segment_with(first)?;
            let next = writer.moving.get(&segment_of(first));
            let next = next.filter(|_| !writer.has_switched);
            for segment in std::iter::once(&own).chain(next) {
                let mut bytes = Vec::with_capacity(keys.len() * format::SLOT);
                for (at, key) in &keys {
                    bytes.extend(format::slot(&segment.key, &self.store, *at, key)?);
                }
                writes.push((segment.place_of(first), bytes));
            }
            fresh.extend(keys);
        }
        {
            let _alone = self
                .segments
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            for (first, bytes) in &writes {
                self.copies()
                    .try_for_each(|files| files.write_slots(*first, bytes))?;
            }
        }
        self.copies().try_for_each(Files::sync_slots)?;
        Ok(fresh)
    }
}
