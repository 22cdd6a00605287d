//! The few things that are done with files, so that tests can make each of them fail.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Where files are.
pub(crate) trait Disk: Send + Sync {
    /// Opens a file for reading and writing, as it is; `make` makes an empty one if there is none.
    fn open(&self, path: &Path, make: bool) -> io::Result<Box<dyn File>>;

    /// Whether there is a file or directory of this name.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Fills `to` with the beginning of a file, as far as there is one. Gives the file's mode.
    fn peek(&self, path: &Path, to: &mut [u8]) -> io::Result<u32>;

    /// Gives a file another name, in place of one that may have it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory that is its owner's alone, unless it is there.
    fn make_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

/// An open file.
pub(crate) trait File: Send + Sync {
    /// Reads at an offset; fewer bytes than asked for are no error, none are the end.
    fn pread(&self, to: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at an offset; fewer bytes than given are no error.
    fn pwrite(&self, from: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes all that was written durable.
    fn sync(&self) -> io::Result<()>;

    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;
}

/// Fills `to` from `offset` on.
pub(crate) fn read(file: &dyn File, mut to: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !to.is_empty() {
        match file.pread(to, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                to = to.get_mut(count..).unwrap_or_default();
                offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of `from` from `offset` on.
pub(crate) fn write(file: &dyn File, mut from: &[u8], mut offset: u64) -> io::Result<()> {
    while !from.is_empty() {
        match file.pwrite(from, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                from = from.get(count..).unwrap_or_default();
                offset = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The machine's file system.
pub(crate) struct Machine;

impl Disk for Machine {
    fn open(&self, path: &Path, make: bool) -> io::Result<Box<dyn File>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(make)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        Ok(Box::new(file))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn peek(&self, path: &Path, to: &mut [u8]) -> io::Result<u32> {
        let file = fs::File::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        match read(&file, to, 0) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
            _ => Ok(mode),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }
}

impl File for fs::File {
    fn pread(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_at(to, offset)
    }

    fn pwrite(&self, from: &[u8], offset: u64) -> io::Result<usize> {
        self.write_at(from, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
