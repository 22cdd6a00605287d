//! What the connections of one process share about a database: its locks, and the WAL's index.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// How far a connection has locked a file. Each level contains the ones before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    #[default]
    None,
    Shared,
    Reserved,
    Pending,
    Exclusive,
}

/// The locks of a file, and its shared memory.
#[derive(Default)]
pub(crate) struct Locks {
    readers: u32,
    /// Whether one of the readers is about to write.
    reserved: bool,
    /// Whether it waits for the other readers, so that no more may come.
    pending: bool,
    exclusive: bool,
    memory: Weak<Memory>,
}

impl Locks {
    /// Raises a connection's level as far as it goes: whether all the way, and how far.
    pub(crate) const fn raise(&mut self, held: Level, wanted: Level) -> (bool, Level) {
        match (held, wanted) {
            (Level::None, Level::Shared) => {
                if self.pending || self.exclusive {
                    return (false, held);
                }
                self.readers += 1;
                (true, wanted)
            }
            (Level::Shared, Level::Reserved) => {
                if self.reserved || self.pending {
                    return (false, held);
                }
                self.reserved = true;
                (true, wanted)
            }
            (Level::Shared, Level::Exclusive) if self.reserved || self.pending => (false, held),
            (Level::Shared | Level::Reserved | Level::Pending, Level::Exclusive) => {
                self.pending = true;
                if self.readers > 1 {
                    return (false, Level::Pending);
                }
                self.exclusive = true;
                (true, wanted)
            }
            // It has it, or SQLite never asks so.
            _ => (true, held),
        }
    }

    /// Lowers a connection's level: to sharing, or to nothing.
    pub(crate) const fn lower(&mut self, held: Level, to_nothing: bool) -> Level {
        if !matches!(held, Level::None | Level::Shared) {
            self.reserved = false;
            self.pending = false;
            self.exclusive = false;
        }
        if matches!(held, Level::None) {
            return held;
        }
        if to_nothing {
            self.readers = self.readers.saturating_sub(1);
            return Level::None;
        }
        Level::Shared
    }

    /// Whether somebody is about to write.
    pub(crate) const fn is_reserved(&self) -> bool {
        self.reserved || self.pending
    }

    /// The shared memory, as long as anybody has it; a new one otherwise.
    pub(crate) fn memory(&mut self) -> Arc<Memory> {
        self.memory.upgrade().unwrap_or_else(|| {
            let memory = Arc::new(Memory::default());
            self.memory = Arc::downgrade(&memory);
            memory
        })
    }
}

/// How many locks the shared memory has.
pub(crate) const LOCKS: usize = 8;

/// The WAL's index: memory that all connections of a process to one database share.
#[derive(Default)]
pub(crate) struct Memory {
    regions: Mutex<Vec<Box<[AtomicU64]>>>,
    held: Mutex<[Held; LOCKS]>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Held {
    #[default]
    Free,
    By(u32),
    Alone,
}

impl Memory {
    pub(crate) fn regions(&self) -> usize {
        let regions = self.regions.lock();
        regions.unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Makes a region of zeros.
    pub(crate) fn grow(&self, bytes: usize) {
        let region = (0..bytes.div_ceil(8)).map(|_| AtomicU64::new(0)).collect();
        let regions = self.regions.lock();
        regions.unwrap_or_else(PoisonError::into_inner).push(region);
    }

    /// Where a region is. It stays there for as long as the memory is held; who uses it sees to it that
    /// nobody gets in his way.
    pub(crate) fn region(&self, number: usize) -> Option<*mut AtomicU64> {
        let regions = self.regions.lock();
        let regions = regions.unwrap_or_else(PoisonError::into_inner);
        let region = regions.get(number)?;
        Some(region.as_ptr().cast_mut())
    }

    /// Takes some locks together with others, or alone. False if somebody is in the way.
    pub(crate) fn lock(&self, from: usize, count: usize, alone: bool) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = held.get_mut(from..from.saturating_add(count)) else {
            return false;
        };
        let in_the_way = |held: &Held| match held {
            Held::Free => false,
            Held::By(_) => alone,
            Held::Alone => true,
        };
        if held.iter().any(in_the_way) {
            return false;
        }
        for held in held {
            *held = match *held {
                _ if alone => Held::Alone,
                Held::By(count) => Held::By(count + 1),
                Held::Free | Held::Alone => Held::By(1),
            };
        }
        true
    }

    /// Gives some locks back.
    pub(crate) fn unlock(&self, from: usize, count: usize) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for held in held.iter_mut().skip(from).take(count) {
            *held = match *held {
                Held::By(count) if count > 1 => Held::By(count - 1),
                _ => Held::Free,
            };
        }
    }
}
