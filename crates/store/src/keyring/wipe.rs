//! Overwrites slots in place.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, Weak};

use super::error::writing;
use super::files::Files;
use super::format::{SLOT, generation, narrow, segment_of};
use super::stock::runs;
use super::{KeyRef, Keyring, KeyringError, Mark, RecordKey, Writer, locked};

impl Keyring {
    /// Destroys these keys: forgets them, overwrites their slots in every copy, syncs each copy once, and
    /// reads back that nothing is left. Keys that are gone already are no error, and a later key in the
    /// same slot is left alone. Waits for the disk. Gives the keys that somebody was using just then.
    pub fn wipe(&self, keys: &[KeyRef]) -> Result<Vec<InUse>, KeyringError> {
        let mut writer = locked(&self.writer);
        self.usable()?;
        self.watched(self.wipe_some(&mut writer, keys))
    }

    /// Wipes these keys and those that were given back.
    pub(super) fn wipe_some(
        &self,
        writer: &mut Writer,
        keys: &[KeyRef],
    ) -> Result<Vec<InUse>, KeyringError> {
        let returned = locked(&self.stock).returned.clone();
        let mark = Mark {
            epoch: writer.header.epoch,
            segments: writer.header.segments,
        };
        let mut wanted: BTreeMap<u32, u64> = BTreeMap::new();
        for key in keys.iter().chain(&returned) {
            self.possible(*key, mark)?;
            // A slot that reads as wiped is overwritten all the same: only a sync that this process has
            // seen says that it is so on the disk.
            let place = self.segment_with(key.slot)?.place_of(key.slot);
            if generation(&self.main.read_slot(place)?) <= key.generation {
                let last = wanted.entry(key.slot).or_default();
                *last = key.generation.max(*last);
            }
        }
        let wiped: Vec<KeyRef> = wanted
            .into_iter()
            .map(|(slot, generation)| KeyRef { slot, generation })
            .collect();
        let in_use = self.overwrite(writer, &wiped)?;
        let mut stock = locked(&self.stock);
        for KeyRef { slot, .. } in wiped {
            stock.keys.remove(&slot);
            stock.free.insert(slot);
        }
        stock.returned.drain(..returned.len());
        Ok(in_use)
    }

    /// Overwrites slots, which are given once each and rising, wherever they stand; forgets what they had
    /// up to the generation given, syncs and reads back.
    pub(super) fn overwrite(
        &self,
        writer: &mut Writer,
        wiped: &[KeyRef],
    ) -> Result<Vec<InUse>, KeyringError> {
        if wiped.is_empty() {
            return Ok(Vec::new());
        }
        let segments = wiped.iter().map(|key| segment_of(key.slot));
        writer.wiped.extend(segments);
        let mut in_use = Vec::new();
        let runs = self.places(writer, wiped)?;
        {
            let _alone = self
                .segments
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            for (first, count) in &runs {
                let zeros = vec![0; narrow(*count) * SLOT];
                self.copies()
                    .try_for_each(|files| files.write_slots(*first, &zeros))?;
            }
            for key in wiped {
                let evicted = self.cache.evict(*key);
                in_use.extend(evicted.and_then(|held| InUse::of(*key, held)));
            }
        }
        self.copies().try_for_each(Files::sync_slots)?;
        self.copies()
            .try_for_each(|files| read_back(files, &runs))?;
        Ok(in_use)
    }

    /// Where slots stand, in runs: the first place of each and how many there are. While a renewal
    /// is under way some stand in two places.
    fn places(&self, writer: &Writer, slots: &[KeyRef]) -> Result<Vec<(u64, u32)>, KeyringError> {
        let mut places = Vec::new();
        for (first, count) in runs(slots.iter().map(|key| key.slot)) {
            places.push((self.segment_with(first)?.place_of(first), count));
            let moving = writer.moving.get(&segment_of(first));
            places.extend(moving.map(|other| (other.place_of(first), count)));
        }
        Ok(places)
    }
}

/// A key that is destroyed, but for those who were using it when it was.
#[derive(Debug)]
pub struct InUse {
    /// Its name.
    pub key: KeyRef,
    held: Weak<RecordKey>,
}

impl InUse {
    /// None if nobody else has it.
    fn of(key: KeyRef, held: Arc<RecordKey>) -> Option<Self> {
        let weak = Arc::downgrade(&held);
        drop(held);
        let in_use = Self { key, held: weak };
        in_use.is_used().then_some(in_use)
    }

    /// Whether somebody still has it. Nobody gets it again.
    pub fn is_used(&self) -> bool {
        self.held.strong_count() > 0
    }
}

/// Whether these slots are all zero. It is too late for an error that is not fatal.
fn read_back(files: &Files, runs: &[(u64, u32)]) -> Result<(), KeyringError> {
    let failed = |source| writing("read back the wiped slots in", &files.dir)(source);
    for (first, count) in runs {
        let mut bytes = vec![0xff; narrow(*count) * SLOT];
        files
            .read_slots(*first, &mut bytes)
            .map_err(|error| failed(io::Error::other(error)))?;
        if bytes.iter().any(|byte| *byte != 0) {
            return Err(failed(io::Error::other("they are not empty")));
        }
    }
    Ok(())
}
