//! Where the keys are: apart from the data, so that a key can be destroyed and its data with it.
//!
//! A key seals what is erased as a whole. It stands in a *slot* of a file that is overwritten in place.
//! A slot is named with the *generation* that was written into it, so that nobody takes a later key for
//! an earlier one. Slots are sealed under the key of their *segment*, segments under the *root* key,
//! which is kept elsewhere ([`Root`]).
//!
//! Invariants:
//! * A key is handed out only after its slot is durable in every copy, and a slot is filled again only
//!   after its wipe is. So a key that the database refers to is there after any crash, and a wipe can
//!   hit nothing but what it names.
//! * The epoch is raised durably before a slot of that generation is written: no generation returns.
//! * A write or sync that fails is the end ([`KeyringError::is_fatal`]): what was written may be in
//!   memory and not on the disk, and to ask again would be answered from memory.
//! * A keyring is never guessed: what is not certainly the store's own, whole and as new as the
//!   database, is refused, and nothing is changed then.
//!
//! # Files
//!
//! In a directory of mode 700, and the same in its mirror. Integers are big-endian.
//!
//! `header`, 8,192 bytes: two copies at 0 and 4,096, of which the intact one with the higher epoch
//! holds. Epoch n is written over epoch n-2, so that a torn write loses nothing.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `PARLKEYS` |
//! | 4 | version: 1 as long as the root was never renewed, then 2 |
//! | 4 | segments |
//! | 16 | the store's id |
//! | 8 | epoch |
//! | 8 | renewals of the root so far; not in version 1 |
//! | 60 | the store's secret, sealed under the root for all of the above: nonce 12, secret 32, tag 16 |
//! | 32 | SHA-256 of all of the above |
//!
//! `segments`, 64 bytes each: the segment's key, sealed under the root for store, segment and frame (60), and
//! the frame XOR the segment's number (4). After an odd number of renewals it is `segments-2` that holds.
//!
//! `slots`, 80 bytes each, 1,024 a frame: generation 8, the key sealed under the segment's for store,
//! slot and generation (60), spare. All zero: wiped, or never filled. A segment stands in one frame; at first
//! in the one of its own number, and elsewhere after a renewal has given it a new key. Both files grow by
//! whole segments, written and synced before the header counts them.
//!
//! Disks write sectors of 512 bytes whole. Nothing depends on more: a slot may be torn, and is then
//! either not handed out yet or being wiped.

mod cache;
mod crypto;
pub(crate) mod disk;
mod error;
mod files;
mod fill;
mod format;
mod mirror;
mod open;
mod rekey;
mod root;
mod settle;
mod snapshot;
mod stock;
mod wipe;

#[cfg(test)]
mod simulated;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::sync::{AtomicBool, Condvar, Mutex, MutexGuard, RwLock};
use cache::{Cache, Found};
use disk::Disk;
use files::Files;
use format::{HEADER, Header, Segment, generation, narrow, open_slot, segment_of};
use rekey::Renewing;
use stock::{Frames, Stock};

pub use crypto::{KeyError, RecordKey};
pub use error::KeyringError;
pub use rekey::Rekeyed;
pub use root::{Root, RootCommand, RootError, RootFile};
pub use snapshot::{Census, Snapshot, Standing};
pub use wipe::InUse;

/// Names a key: a slot and the generation that was written into it. What a row of the database keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyRef {
    /// The slot.
    pub slot: u32,
    /// The generation, from 1.
    pub generation: u64,
}

/// How far a keyring has come. The database records it with every key that it begins to refer to, and so
/// knows an older keyring when it sees one. It only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The last generation that may have been written.
    pub epoch: u64,
    /// The segments there are.
    pub segments: u32,
}

/// How a keyring is kept.
pub struct Options {
    /// The directory of a second copy, best on another disk. One that is empty is filled.
    pub mirror: Option<PathBuf>,
    /// Who keeps the root key.
    pub root: Arc<dyn Root>,
}

/// The keys of a store. All methods can be called from many threads; those that wait for a disk say so.
pub struct Keyring {
    main: Files,
    mirror: Option<Files>,
    store: [u8; 16],
    secret: Arc<RecordKey>,
    /// The segments. Also fences the slots: whoever reads one holds it shared until the key is in the
    /// cache, whoever overwrites some holds it alone until the cache has forgotten them.
    segments: RwLock<Vec<Segment>>,
    /// Who keeps the root.
    roots: Arc<dyn Root>,
    /// Held while the root is renewed, and taken first.
    renewing: Mutex<Renewing>,
    /// Held while files are written and synced.
    writer: Mutex<Writer>,
    /// Held for moments only, and taken last.
    stock: Mutex<Stock>,
    wanted: Condvar,
    cache: Cache,
    broken: AtomicBool,
}

/// What those who write know of the files.
struct Writer {
    header: Header,
    /// The copy of the header that holds, as it was written.
    bytes: [u8; HEADER],
    /// Whether this process has seen it become durable. What was read may have been in memory alone.
    durable: bool,
    /// What the header and the segments are sealed under.
    root: Arc<RecordKey>,
    frames: Frames,
    /// Segments in which something was wiped since they were given their keys, or may have been.
    wiped: BTreeSet<u32>,
    /// While a renewal is under way, where else segments stand: until it has switched, where they will
    /// be, then where they were.
    moving: BTreeMap<u32, Segment>,
    /// Whether the renewal that is under way has switched.
    has_switched: bool,
    /// A renewal has begun, and the root before it may not be destroyed yet.
    is_renewing: bool,
}

/// A key that was just filled.
type Fresh = (KeyRef, Arc<RecordKey>);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keyring {
    /// Makes the keyring of a new store. Where the making was cut off before, it is finished.
    ///
    /// Fails with [`KeyringError::Exists`] rather than overwrite a keyring.
    pub fn create(dir: &Path, store: [u8; 16], options: &Options) -> Result<Self, KeyringError> {
        Self::create_on(&disk::Machine, dir, store, options)
    }

    /// Makes it on this disk.
    pub(crate) fn create_on(
        disk: &dyn Disk,
        dir: &Path,
        store: [u8; 16],
        options: &Options,
    ) -> Result<Self, KeyringError> {
        open::create(disk, dir, store, options)
    }

    /// Opens the keyring of a store, which must have come at least as far as the database recorded.
    ///
    /// On an error nothing was changed. A mirror that is behind is brought up to date, where that
    /// contradicts nothing.
    pub fn open(
        dir: &Path,
        store: [u8; 16],
        expected: Mark,
        options: &Options,
    ) -> Result<Self, KeyringError> {
        Self::open_on(&disk::Machine, dir, store, expected, options)
    }

    /// Opens it on this disk.
    pub(crate) fn open_on(
        disk: &dyn Disk,
        dir: &Path,
        store: [u8; 16],
        expected: Mark,
        options: &Options,
    ) -> Result<Self, KeyringError> {
        open::open(disk, dir, store, expected, options)
    }

    /// Whether there is a keyring in a directory, of whichever store and whole or not.
    pub fn is_in(dir: &Path) -> Result<bool, KeyringError> {
        Ok(Files::open(&disk::Machine, dir)?.is_some())
    }

    /// The store that it belongs to.
    pub const fn store(&self) -> [u8; 16] {
        self.store
    }

    /// How far it has come. Taken after a key was, it covers that key.
    pub fn mark(&self) -> Mark {
        locked(&self.stock).mark
    }

    /// A key to seal with, and what to call it. Its slot is durable already.
    ///
    /// Does not wait, unless none is in stock: then it fills some itself, as [`refill`](Self::refill)
    /// does.
    pub fn take(&self) -> Result<(KeyRef, Arc<RecordKey>), KeyringError> {
        self.usable()?;
        let (taken, low) = {
            let mut stock = locked(&self.stock);
            (stock.pop(), fill::is_low(&stock))
        };
        if low {
            self.wanted.notify_one();
        }
        let (at, key) = match taken {
            Some(taken) => taken,
            None => self.fill_one()?,
        };
        self.cache.insert(at, &key);
        Ok((at, key))
    }

    /// Returns a key that was taken and that nothing durable refers to. It is wiped with the next wipe
    /// or refill.
    pub fn give_back(&self, key: KeyRef) {
        locked(&self.stock).returned.push(key);
    }

    /// The key of this name; none if it was erased. Reads the disk where the cache does not know.
    ///
    /// Whoever holds a key can go on using it after its wipe; nobody gets it again.
    pub fn key(&self, key: KeyRef) -> Result<Option<Arc<RecordKey>>, KeyringError> {
        self.usable()?;
        match self.cache.get(key) {
            Found::Key(found) => return Ok(Some(found)),
            Found::Erased => return Ok(None),
            Found::Unknown => {}
        }
        self.possible(key, self.mark())?;
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let segment = segments
            .get(narrow(segment_of(key.slot)))
            .ok_or(KeyringError::Impossible(key))?;
        let place = segment.place_of(key.slot);
        let slot = match (self.main.read_slot(place), &self.mirror) {
            (Err(_), Some(mirror)) => mirror.read_slot(place)?,
            (slot, _) => slot?,
        };
        let found = generation(&slot);
        if found == 0 || found > key.generation {
            return Ok(None);
        }
        if found < key.generation {
            return Err(self.older(found, key.generation));
        }
        let opened = open_slot(&segment.key, &self.store, key, &slot);
        let opened = match (opened, &self.mirror) {
            (None, Some(mirror)) => {
                open_slot(&segment.key, &self.store, key, &mirror.read_slot(place)?)
            }
            (opened, _) => opened,
        };
        let opened = opened.ok_or_else(|| self.torn("slot", key.slot))?;
        self.cache.insert(key, &opened);
        Ok(Some(opened))
    }

    /// A secret of the store: always the same for the same name.
    pub fn secret(&self, name: &str) -> Zeroizing<[u8; 32]> {
        self.secret.derive(name)
    }

    /// Whether it is time for a [`refill`](Self::refill).
    pub fn wants_refill(&self) -> bool {
        fill::is_low(&locked(&self.stock))
    }

    /// Waits until it is time for a [`refill`](Self::refill), but not longer than told nor after a
    /// [`wake`](Self::wake). Says whether it is time. Where refilling fails for want of room
    /// ([`KeyringError::Empty`]) it stays time: let some time pass before the next try.
    pub fn wait_for_want(&self, longest: Duration) -> bool {
        let stock = locked(&self.stock);
        if stock.awake || fill::is_low(&stock) {
            return fill::is_low(&stock);
        }
        let waited = self.wanted.wait_timeout(stock, longest);
        let (stock, _) = waited.unwrap_or_else(PoisonError::into_inner);
        fill::is_low(&stock)
    }

    /// Ends the waiting of [`wait_for_want`](Self::wait_for_want) for good, so that its thread can end:
    /// whoever was about to wait does not either.
    pub fn wake(&self) {
        locked(&self.stock).awake = true;
        self.wanted.notify_all();
    }

    fn usable(&self) -> Result<(), KeyringError> {
        if self.broken.load(Ordering::Acquire) {
            return Err(KeyringError::Failed);
        }
        Ok(())
    }

    /// Remembers a fatal failure, so that nothing is tried after it.
    fn watched<T>(&self, result: Result<T, KeyringError>) -> Result<T, KeyringError> {
        if result.as_ref().is_err_and(KeyringError::is_fatal) {
            self.broken.store(true, Ordering::Release);
        }
        result
    }

    /// The segment that a slot is in.
    fn segment_with(&self, slot: u32) -> Result<Segment, KeyringError> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let found = segments.get(narrow(segment_of(slot)));
        found.cloned().ok_or(KeyringError::Impossible(KeyRef {
            slot,
            generation: 0,
        }))
    }

    fn copies(&self) -> impl Iterator<Item = &Files> {
        std::iter::once(&self.main).chain(&self.mirror)
    }

    /// Refuses names that this keyring cannot have given.
    fn possible(&self, key: KeyRef, mark: Mark) -> Result<(), KeyringError> {
        if key.generation == 0 {
            return Err(KeyringError::Impossible(key));
        }
        if key.generation > mark.epoch {
            return Err(self.older(mark.epoch, key.generation));
        }
        if segment_of(key.slot) >= mark.segments {
            return Err(KeyringError::Shorter {
                path: self.main.dir.clone(),
                found: mark.segments.into(),
                recorded: u64::from(segment_of(key.slot)) + 1,
            });
        }
        Ok(())
    }

    fn older(&self, found: u64, recorded: u64) -> KeyringError {
        KeyringError::Older {
            path: self.main.dir.clone(),
            found,
            recorded,
        }
    }

    fn torn(&self, what: &'static str, number: u32) -> KeyringError {
        KeyringError::Torn {
            path: self.main.dir.clone(),
            what,
            number,
        }
    }
}
