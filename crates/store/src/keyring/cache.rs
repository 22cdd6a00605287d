//! Keys that were used of late, so that they need not be read and opened each time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError};

use crate::sync::Mutex;

use super::{KeyRef, RecordKey};

/// How many locks there are: a few more than processors that would wait for one.
const SHARDS: u32 = if cfg!(feature = "models") { 1 } else { 16 };
/// Keys that a shard keeps. All shards together keep 4,096, in about half a megabyte.
pub(super) const SHARD_KEYS: usize = if cfg!(feature = "models") { 2 } else { 256 };

/// A bounded cache. A key that leaves it is overwritten as soon as nobody uses it any more.
pub(super) struct Cache {
    shards: Vec<Mutex<Shard>>,
}

#[derive(Default)]
struct Shard {
    entries: BTreeMap<u32, Entry>,
    /// The slots of the entries, in the order in which they are asked to leave.
    order: VecDeque<u32>,
}

struct Entry {
    generation: u64,
    key: Arc<RecordKey>,
    /// Used since it was last asked to leave: then it may stay for another round.
    used: bool,
}

/// What the cache knows of a key.
pub(super) enum Found {
    /// It is this.
    Key(Arc<RecordKey>),
    /// Its slot has a key of a later generation.
    Erased,
    /// Nothing.
    Unknown,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    #[cfg_attr(
        feature = "models",
        expect(clippy::modulo_one, reason = "a model has one shard")
    )]
    fn shard<T>(&self, slot: u32, work: impl FnOnce(&mut Shard) -> T) -> Option<T> {
        let shard = self.shards.get(super::format::narrow(slot % SHARDS))?;
        Some(work(
            &mut shard.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }

    pub(super) fn get(&self, key: KeyRef) -> Found {
        self.shard(key.slot, |shard| match shard.entries.get_mut(&key.slot) {
            Some(entry) if entry.generation == key.generation => {
                entry.used = true;
                Found::Key(Arc::clone(&entry.key))
            }
            Some(entry) if entry.generation > key.generation => Found::Erased,
            _ => Found::Unknown,
        })
        .unwrap_or(Found::Unknown)
    }

    pub(super) fn insert(&self, at: KeyRef, key: &Arc<RecordKey>) {
        self.shard(at.slot, |shard| {
            let entry = Entry {
                generation: at.generation,
                key: Arc::clone(key),
                used: true,
            };
            if shard.entries.insert(at.slot, entry).is_none() {
                shard.order.push_back(at.slot);
            }
            while shard.entries.len() > SHARD_KEYS {
                shard.let_one_go();
            }
        });
    }

    /// Forgets what the slot had up to a generation, and gives it to whoever wants to know who else has
    /// it.
    pub(super) fn evict(&self, key: KeyRef) -> Option<Arc<RecordKey>> {
        self.shard(key.slot, |shard| {
            let entry = shard.entries.get(&key.slot);
            if entry.is_none_or(|entry| entry.generation > key.generation) {
                return None;
            }
            shard.order.retain(|slot| *slot != key.slot);
            shard.entries.remove(&key.slot).map(|entry| entry.key)
        })
        .flatten()
    }

    /// How many keys it has.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let count = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            assert_eq!(shard.entries.len(), shard.order.len());
            shard.entries.len()
        };
        self.shards.iter().map(count).sum()
    }
}

impl Shard {
    /// Every entry gets a second chance, once.
    fn let_one_go(&mut self) {
        while let Some(slot) = self.order.pop_front() {
            match self.entries.get_mut(&slot) {
                Some(entry) if entry.used => {
                    entry.used = false;
                    self.order.push_back(slot);
                }
                _ => {
                    self.entries.remove(&slot);
                    return;
                }
            }
        }
    }
}
