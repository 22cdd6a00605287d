//! An open file.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

use crate::content::{BLOCK, Content};
use crate::disk::{Disk, World, error, narrow, widen};
use crate::fault::{Fault, What};

/// An open file.
pub struct File {
    pub(crate) disk: Disk,
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
    pub(crate) process: u64,
}

/// What a call is let do with its file, and what goes wrong with it.
type Opened<'a> = (MutexGuard<'a, World>, Option<Fault>);

impl File {
    /// The disk that it is on.
    pub(crate) const fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The name that it was opened by.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn call(&self, what: What) -> io::Result<Opened<'_>> {
        if self.disk.world().process != self.process {
            return Err(io::Error::other("the process has ended"));
        }
        self.disk.call(what, &self.path)
    }

    /// Reads at an offset; fewer bytes than asked for are no error, none are the end.
    pub fn read(&self, to: &mut [u8], at: u64) -> io::Result<usize> {
        let (world, fault) = self.call(What::Read)?;
        if let Some(error) = fault.and_then(error) {
            return Err(error);
        }
        let now = world.files.get(&self.number).map_or(&[][..], Content::now);
        let from = now.get(narrow(at)..).unwrap_or_default();
        let mut length = from.len().min(to.len());
        if fault == Some(Fault::Short) {
            length = length.div_ceil(2);
        }
        if let (Some(to), Some(from)) = (to.get_mut(..length), from.get(..length)) {
            to.copy_from_slice(from);
        }
        Ok(length)
    }

    /// Writes at an offset; fewer bytes than given are no error.
    pub fn write(&self, from: &[u8], at: u64) -> io::Result<usize> {
        let (mut world, fault) = self.call(What::Write)?;
        let world = &mut *world;
        let Some(content) = world.files.get_mut(&self.number) else {
            return Err(ErrorKind::NotFound.into());
        };
        let at = narrow(at);
        let failed = fault.and_then(error);
        let mut length = match fault {
            Some(Fault::Short) => from.len().div_ceil(2),
            Some(_) => world.chance.index(from.len() + 1),
            None => from.len(),
        };
        let before = content.blocks();
        if let Some(free) = world.room {
            let room = (before + free) * BLOCK;
            length = length.min(room.saturating_sub(at));
            if length == 0 && !from.is_empty() && failed.is_none() {
                return Err(ErrorKind::StorageFull.into());
            }
        }
        content.write(at, from.get(..length).unwrap_or_default());
        if let Some(free) = &mut world.room {
            *free -= content.blocks() - before;
        }
        failed.map_or(Ok(length), Err)
    }

    /// Makes all that was written durable.
    pub fn sync(&self) -> io::Result<()> {
        let (mut world, fault) = self.call(What::Sync)?;
        let world = &mut *world;
        let Some(content) = world.files.get_mut(&self.number) else {
            return Err(ErrorKind::NotFound.into());
        };
        let name = self.path.to_string_lossy();
        match fault.and_then(error) {
            // What is on its way when the power goes, the reboot decides.
            Some(error) if world.off => Err(error),
            Some(error) => {
                content.fail_to_sync(&mut world.chance);
                Err(error)
            }
            None if world.ignored.iter().any(|end| name.ends_with(end)) => Ok(()),
            None => {
                content.sync();
                Ok(())
            }
        }
    }

    /// Cuts the file off, or makes it longer by zeros.
    pub fn resize(&self, length: u64) -> io::Result<()> {
        let (mut world, fault) = self.call(What::Resize)?;
        let world = &mut *world;
        if let Some(error) = fault.and_then(error) {
            return Err(error);
        }
        match world.files.get_mut(&self.number) {
            Some(content) => {
                let before = content.blocks();
                content.resize(narrow(length));
                let freed = before.saturating_sub(content.blocks());
                world.free(freed);
                Ok(())
            }
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    /// The file's length in bytes.
    pub fn len(&self) -> io::Result<u64> {
        let (world, fault) = self.call(What::Measure)?;
        if let Some(error) = fault.and_then(error) {
            return Err(error);
        }
        let content = world.files.get(&self.number);
        Ok(content.map_or(0, |content| widen(content.now().len())))
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|length| length == 0)
    }

    /// Does something with the file's locks, where they are still its own.
    pub(crate) fn locks<T>(&self, work: impl FnOnce(&mut crate::lock::Locks) -> T) -> Option<T> {
        let mut world = self.disk.world();
        if world.process != self.process {
            return None;
        }
        let content = world.files.get_mut(&self.number)?;
        Some(work(&mut content.locks))
    }
}
