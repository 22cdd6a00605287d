//! The data directory: one process owns it.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use parlance_store::backup::finish_restore;
use ring::digest;

/// Readable and writable by its owner alone.
const MODE_DIR: u32 = 0o700;
const MODE_FILE: u32 = 0o600;
const SOCKET_NAME: &str = "control.sock";
/// Longest path that a Unix socket can have on every system, without the end.
const SOCKET_PATH_BYTES_MAX: usize = 100;
/// Where a socket is if its path would be too long. Always the same, whatever the environment says:
/// the server's and the command's may differ.
const TEMPORARY: &str = "/tmp";
/// The store's file.
const DATABASE_NAME: &str = "parlance.db";

/// A data directory, whoever owns it now.
#[derive(Clone, Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
}

/// Held by the one process that may write; let go when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _directory: File,
}

impl DataDir {
    /// Opens the directory, or makes it.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(MODE_DIR)
            .create(path);
        made.with_context(|| format!("could not make the data directory `{}`", path.display()))?;
        let dir = Self::open(path)?;
        fs::set_permissions(&dir.path, Permissions::from_mode(MODE_DIR)).with_context(|| {
            format!(
                "could not keep others out of the data directory `{}`",
                path.display()
            )
        })?;
        Ok(dir)
    }

    /// Opens the directory, which must be there.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let path = path.canonicalize().with_context(|| {
            format!(
                "there is no data directory `{0}`; `parlance serve --data {0}` makes one",
                path.display()
            )
        })?;
        Ok(Self { path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a store has been made in it.
    pub(crate) fn has_store(&self) -> bool {
        self.path.join(DATABASE_NAME).exists()
    }

    /// Takes the directory, and finishes a restore that was cut off in it; none if another process has it.
    pub(crate) fn lock(&self) -> anyhow::Result<Option<Lock>> {
        let directory = File::open(&self.path)
            .with_context(|| format!("could not open `{}`", self.path.display()))?;
        match directory.try_lock() {
            Ok(()) => {
                finish_restore(&self.path).with_context(|| {
                    format!("could not finish a restore in `{}`", self.path.display())
                })?;
                Ok(Some(Lock {
                    _directory: directory,
                }))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("could not lock `{}`", self.path.display()))
            }
        }
    }

    /// Where the owner listens for commands: in the directory, or where that path would be too long
    /// for a socket, in a directory of the owner's among the temporary files.
    pub(crate) fn socket(&self) -> anyhow::Result<PathBuf> {
        let path = self.path.join(SOCKET_NAME);
        if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            return Ok(path);
        }
        let digest = digest::digest(&digest::SHA256, self.path.as_os_str().as_bytes());
        let bits = digest
            .as_ref()
            .iter()
            .take(8)
            .fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        let folder = Path::new(TEMPORARY).join(format!("parlance-{bits:016x}"));
        match DirBuilder::new().mode(MODE_DIR).create(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error)
                    .with_context(|| format!("could not make `{}`", folder.display()));
            }
            _ => self.check_owner(&folder)?,
        }
        Ok(folder.join(SOCKET_NAME))
    }

    /// Anybody can make a directory among the temporary files; commands carry secrets.
    fn check_owner(&self, folder: &Path) -> anyhow::Result<()> {
        let read = |path: &Path| {
            fs::symlink_metadata(path)
                .with_context(|| format!("could not look at `{}`", path.display()))
        };
        let (ours, theirs) = (read(&self.path)?, read(folder)?);
        let private = theirs.is_dir() && theirs.mode() & 0o777 == MODE_DIR;
        if !private || theirs.uid() != ours.uid() {
            bail!(
                "`{}` belongs to somebody else: remove it, or use a shorter data directory",
                folder.display()
            );
        }
        Ok(())
    }
}

/// Keeps everybody but the owner from a file.
pub(crate) fn make_private(path: &Path) -> anyhow::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(MODE_FILE))
        .with_context(|| format!("could not keep others out of `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_is_private_and_has_one_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = DataDir::create(&folder.path().join("data")).expect("a data directory");
        assert_eq!(
            fs::metadata(dir.path()).expect("metadata").mode() & 0o777,
            MODE_DIR
        );
        let lock = dir.lock().expect("a lock");
        assert!(lock.is_some());
        assert!(dir.lock().expect("an answer").is_none());
        drop(lock);
        assert!(dir.lock().expect("an answer").is_some());
    }

    #[test]
    fn a_long_path_has_its_socket_elsewhere_always_in_the_same_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = DataDir::create(&folder.path().join("d".repeat(150))).expect("a directory");
        let socket = dir.socket().expect("a path");
        assert!(socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX);
        assert_eq!(socket, dir.socket().expect("a path"));
        let folder = socket.parent().expect("a folder");
        fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("permissions");
        assert!(
            dir.socket().is_err(),
            "a folder that others can enter is refused"
        );
        fs::remove_dir(folder).expect("removed");
    }
}
