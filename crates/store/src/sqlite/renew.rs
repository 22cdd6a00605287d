//! Makes sure that a disk has what can be read from it.
//!
//! Where a sync has failed, the system keeps in memory what it could not write, and takes it for written:
//! the next sync succeeds and changes nothing. The process that saw the failure writes no more, but the
//! next one reads the log out of that memory, finds it whole, and would add to it what is lost with it
//! when the power goes. So it writes first, once more, what it has read.

use std::io;
use std::path::Path;

use crate::keyring::disk::{self, Disk};

/// Bytes that are written at once.
const PIECE: usize = 1 << 18;

/// Writes the write-ahead log again as it is, and syncs it. For a log that nobody has opened.
pub(super) fn log(disk: &dyn Disk, database: &Path) -> io::Result<()> {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    let file = match disk.open(Path::new(&path), false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let length = file.len()?;
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < length {
        let left = usize::try_from(length - at).unwrap_or(PIECE);
        let piece = piece.get_mut(..left.min(PIECE)).unwrap_or_default();
        disk::read(&*file, piece, at)?;
        disk::write(&*file, piece, at)?;
        at = at.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
    }
    if length > 0 {
        file.sync()?;
    }
    Ok(())
}

/// Makes the names of the database's files durable. SQLite tries to, and does not look at what comes of
/// it.
pub(super) fn names(disk: &dyn Disk, database: &Path) -> io::Result<()> {
    match database.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => disk.sync_dir(folder),
        _ => disk.sync_dir(Path::new(".")),
    }
}
