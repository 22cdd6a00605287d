//! A file as SQLite uses it.

use std::ffi::{c_int, c_void};
use std::io::{self, ErrorKind};
use std::sync::Arc;

use rusqlite::ffi;

use crate::file::File;
use crate::lock::{LOCKS, Level, Memory};

/// What came of a call, in SQLite's numbers.
pub(crate) type Answer = Result<(), c_int>;

/// A file that SQLite has opened.
pub(crate) struct Open {
    pub(crate) file: File,
    pub(crate) level: Level,
    /// Whether the folder is to be synced with the file, once: the name may be new.
    pub(crate) is_new: bool,
    pub(crate) memory: Option<Arc<Memory>>,
    /// The locks of the memory that this connection has.
    pub(crate) held: [bool; LOCKS],
}

/// Asks again as long as a signal was in the way.
pub(crate) fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

impl Open {
    /// Fills the buffer, with zeros behind the end of the file.
    pub(crate) fn read(&self, mut to: &mut [u8], mut at: u64) -> Answer {
        while !to.is_empty() {
            let count = retried(|| self.file.read(to, at));
            match count.map_err(|_| ffi::SQLITE_IOERR_CORRUPTFS)? {
                0 => {
                    to.fill(0);
                    return Err(ffi::SQLITE_IOERR_SHORT_READ);
                }
                count => {
                    to = to.get_mut(count..).unwrap_or_default();
                    at += u64::try_from(count).unwrap_or(0);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn write(&self, mut from: &[u8], mut at: u64) -> Answer {
        while !from.is_empty() {
            let count = retried(|| self.file.write(from, at));
            let count = count.map_err(|error| match error.kind() {
                ErrorKind::StorageFull => ffi::SQLITE_FULL,
                _ => ffi::SQLITE_IOERR_WRITE,
            })?;
            if count == 0 {
                return Err(ffi::SQLITE_FULL);
            }
            from = from.get(count..).unwrap_or_default();
            at += u64::try_from(count).unwrap_or(0);
        }
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> Answer {
        self.file.sync().map_err(|_| ffi::SQLITE_IOERR_FSYNC)?;
        if self.is_new
            && let Some(folder) = self.file.path().parent()
        {
            // SQLite does not look at what comes of it, and does not try it again.
            drop(self.file.disk().sync_folder(folder));
            self.is_new = false;
        }
        Ok(())
    }

    pub(crate) fn unlock(&mut self, to: Level) {
        let held = self.level;
        let lowered = self
            .file
            .locks(|locks| locks.lower(held, to == Level::None));
        self.level = lowered.unwrap_or_default();
    }

    /// A region of the shared memory; none if it is not there and is not to be made.
    pub(crate) fn region(
        &mut self,
        number: usize,
        bytes: usize,
        grow: bool,
    ) -> Result<Option<*mut c_void>, c_int> {
        if self.memory.is_none() {
            self.memory = self.file.locks(crate::lock::Locks::memory);
        }
        let memory = self.memory.as_ref().ok_or(ffi::SQLITE_IOERR_SHMOPEN)?;
        while memory.regions() <= number {
            if !grow {
                return Ok(None);
            }
            let shared = self.file.disk().share(self.file.path());
            shared.map_err(|_| ffi::SQLITE_IOERR_SHMSIZE)?;
            memory.grow(bytes);
        }
        Ok(memory.region(number).map(<*mut _>::cast))
    }

    pub(crate) fn lock_memory(&mut self, from: usize, count: usize, flags: c_int) -> Answer {
        let memory = self.memory.as_ref().ok_or(ffi::SQLITE_IOERR_SHMLOCK)?;
        let held = self.held.get_mut(from..from.saturating_add(count));
        let held = held.ok_or(ffi::SQLITE_IOERR_SHMLOCK)?;
        if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
            for (number, held) in (from..).zip(held.iter_mut()) {
                if std::mem::take(held) {
                    memory.unlock(number, 1);
                }
            }
            return Ok(());
        }
        let alone = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
        if !alone && held.iter().all(|held| *held) {
            return Ok(());
        }
        if !memory.lock(from, count, alone) {
            return Err(ffi::SQLITE_BUSY);
        }
        held.fill(true);
        Ok(())
    }

    pub(crate) fn let_go_of_memory(&mut self) {
        if let Some(memory) = self.memory.take() {
            for (number, held) in self.held.iter_mut().enumerate() {
                if std::mem::take(held) {
                    memory.unlock(number, 1);
                }
            }
        }
    }
}
