//! The keyring on a disk that fails when it is told to.

use std::io;
use std::path::Path;

use super::disk::{self, Disk, File};

/// The mode of every file there.
const MODE: u32 = 0o600;

impl Disk for parlance_faultdisk::Disk {
    fn open(&self, path: &Path, make: bool) -> io::Result<Box<dyn File>> {
        Ok(Box::new(self.open(path, make)?))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.exists(path)
    }

    fn peek(&self, path: &Path, to: &mut [u8]) -> io::Result<u32> {
        match disk::read(&self.open(path, false)?, to, 0) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
            _ => Ok(MODE),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.remove(path)
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.make_folder(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.sync_folder(path)
    }
}

impl File for parlance_faultdisk::File {
    fn pread(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read(to, offset)
    }

    fn pwrite(&self, from: &[u8], offset: u64) -> io::Result<usize> {
        self.write(from, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.len()
    }
}

impl super::Keyring {
    /// Where a slot stands in its file, counted in slots.
    pub(crate) fn place_of(&self, slot: u32) -> Option<u64> {
        let segment = self.segment_with(slot).ok()?;
        Some(segment.place_of(slot))
    }
}
