//! Compares the keyring with the database, once, when both have been opened.

use super::files::Files;
use super::format::{SEGMENT, SLOT, SLOTS, generation, narrow};
use super::stock::Slots;
use super::{KeyRef, Keyring, KeyringError, Mark, Writer, locked};

/// A slot that is neither empty nor whole: its generation is gone and other bytes are left.
pub(super) const TORN: u64 = u64::MAX;

impl Keyring {
    /// Tells the keyring every key that the database refers to. From then on keys can be taken.
    ///
    /// Slots that nothing refers to are wiped: their making or their erasing was cut off, or is not
    /// known to have reached the disk. The keys that are returned have been erased, and what they sealed is
    /// to be swept. Waits for the disk.
    ///
    /// Fails with [`KeyringError::Older`] or [`KeyringError::Shorter`] if the database refers to keys
    /// that this keyring has not seen yet; nothing was changed then.
    pub fn settle(&self, live: impl Iterator<Item = KeyRef>) -> Result<Vec<KeyRef>, KeyringError> {
        let mut writer = locked(&self.writer);
        self.usable()?;
        if locked(&self.stock).settled {
            return Err(KeyringError::Settled);
        }
        self.watched(self.settle_all(&mut writer, live))
    }

    fn settle_all(
        &self,
        writer: &mut Writer,
        live: impl Iterator<Item = KeyRef>,
    ) -> Result<Vec<KeyRef>, KeyringError> {
        let mark = Mark {
            epoch: writer.header.epoch,
            segments: writer.header.segments,
        };
        let generations = self.generations(&self.main, mark.segments)?;
        let mut kept = Slots::none_of(mark.segments);
        let mut erased = Vec::new();
        for key in live {
            self.possible(key, mark)?;
            match generations.get(narrow(key.slot)).copied().unwrap_or(0) {
                found if found == key.generation => kept.insert(key.slot),
                // A torn slot that the database refers to was durable before: its wipe has begun.
                0 | TORN => erased.push(key),
                found if found > key.generation => erased.push(key),
                found => return Err(self.older(found, key.generation)),
            }
        }
        // First: otherwise the power may bring back a header from before a renewal, whose frames are about to
        // be overwritten, and whose root may soon be destroyed.
        self.keep_header(writer)?;
        let free = kept.complement();
        // All of them, those too that read as empty: an earlier process may have ended because it could
        // not sync just these, and what is read is then in memory and not on the disk.
        let wiped: Vec<KeyRef> = free
            .iter()
            .map(|slot| KeyRef {
                slot,
                generation: mark.epoch,
            })
            .collect();
        self.overwrite(writer, &wiped)?;
        self.clear_free_frames(writer)?;
        let mut stock = locked(&self.stock);
        stock.free = free;
        stock.returned.clear();
        stock.settled = true;
        drop(stock);
        self.wanted.notify_all();
        Ok(erased)
    }

    /// Overwrites what a renewal that was cut off may have left: of its frames nobody knows whether they
    /// were cleared on the disk.
    fn clear_free_frames(&self, writer: &Writer) -> Result<(), KeyringError> {
        if writer.frames.free().is_empty() {
            return Ok(());
        }
        for frame in writer.frames.free() {
            self.copies()
                .try_for_each(|files| files.clear_frame(*frame))?;
        }
        self.copies().try_for_each(Files::sync_slots)
    }

    /// The generations of all slots of a copy.
    pub(super) fn generations(
        &self,
        files: &Files,
        segments: u32,
    ) -> Result<Vec<u64>, KeyringError> {
        let mut all = Vec::with_capacity(narrow(segments) * narrow(SLOTS));
        let mut bytes = vec![0; SEGMENT];
        for segment in 0..segments {
            let first = segment * SLOTS;
            let place = self.segment_with(first)?.place_of(first);
            files.read_slots(place, &mut bytes)?;
            all.extend(bytes.chunks(SLOT).map(|slot| match generation(slot) {
                0 if slot.iter().any(|byte| *byte != 0) => TORN,
                found => found,
            }));
        }
        Ok(all)
    }
}
