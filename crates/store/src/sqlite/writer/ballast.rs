//! Room on the disk that is kept for deletes.
//!
//! A delete writes a little before it removes much, and a full disk has no room for the little. So a file
//! holds some, and is removed when a delete would fail. From then on nothing is taken that needs room
//! for good, until there is enough again to hold some back.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parlance_domain::fault::Chain;
use ring::rand::{SecureRandom, SystemRandom};

use crate::keyring::disk::{self, Disk};

/// The file's name in the data directory.
const FILE: &str = "ballast";
/// What is written at once. Random, so that no file system makes it smaller.
const BLOCK: usize = 1 << 20;

/// The file.
pub(in crate::sqlite) struct Ballast {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    bytes: u64,
    held: Cell<bool>,
}

impl Ballast {
    /// Holds so many bytes in this directory, as soon as there is room; 0 bytes are always held.
    pub(in crate::sqlite) fn new(disk: Arc<dyn Disk>, dir: &Path, bytes: u64) -> Self {
        let ballast = Self {
            disk,
            dir: dir.to_owned(),
            bytes,
            held: Cell::new(bytes == 0),
        };
        ballast.restore();
        ballast
    }

    fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// Whether the room is held.
    pub(super) fn is_held(&self) -> bool {
        self.held.get()
    }

    /// Gives the room back to the disk. True if that has made any.
    pub(super) fn give_up(&self) -> bool {
        if self.bytes == 0 || !self.held.replace(false) {
            return false;
        }
        // The room is there when the file system has noted that the file is gone.
        let removed = self.disk.remove(&self.path());
        if let Err(error) = removed.and_then(|()| self.disk.sync_dir(&self.dir)) {
            tracing::warn!(error = %Chain(&error), "the room that is kept for deletes cannot be used");
            return false;
        }
        tracing::warn!("the disk is full: until there is room again, only deletes are taken");
        true
    }

    /// Holds the room again, if there is enough.
    pub(super) fn restore(&self) {
        if self.is_held() {
            return;
        }
        match self.fill() {
            Ok(()) => self.held.set(true),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "there is no room to be kept for deletes");
                // What was written of it is in the way of others, until that is noted.
                let removed = self.disk.remove(&self.path());
                removed.and_then(|()| self.disk.sync_dir(&self.dir)).ok();
            }
        }
    }

    fn fill(&self) -> io::Result<()> {
        let file = self.disk.open(&self.path(), true)?;
        if file.len()? == self.bytes {
            return Ok(());
        }
        let mut block = vec![0; BLOCK];
        SystemRandom::new()
            .fill(&mut block)
            .map_err(|_| io::Error::other("the operating system gives no random bits"))?;
        let mut written = 0;
        while written < self.bytes {
            let left = usize::try_from(self.bytes - written).unwrap_or(BLOCK);
            let part = block.get(..left.min(BLOCK)).unwrap_or(&block);
            disk::write(&*file, part, written)?;
            written = written.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
        }
        // Only then it is certain that there was room.
        file.sync()
    }
}
