//! The log as the one process writes it that owns the store.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parlance_domain::Timestamp;

use super::{Erased, FILE, Line};
use crate::keyring::disk::{self, Disk, File};

/// The log's end.
pub(crate) struct ErasureLog {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    store: [u8; 16],
    /// None until this process has written something, and after a failure: nobody knows then what the disk
    /// holds of the last lines, so that they are begun anew.
    open: Option<Open>,
}

struct Open {
    file: Box<dyn File>,
    end: u64,
    /// The time of the last line.
    last: Timestamp,
}

impl ErasureLog {
    /// The log of this store in its data directory. Nothing is opened yet.
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path, store: [u8; 16]) -> Self {
        Self {
            disk,
            path: dir.join(FILE),
            store,
            open: None,
        }
    }

    /// Whether there is a file.
    pub(crate) fn exists(&self) -> io::Result<bool> {
        self.disk.exists(&self.path)
    }

    /// The time of the last line that this process has written; none if there is none, or it is not known
    /// to be durable.
    pub(crate) fn last(&self) -> Option<Timestamp> {
        self.open.as_ref().map(|open| open.last)
    }

    /// Appends what was erased, and makes it durable. Waits for the disk. After an error all of it is to be
    /// said again.
    pub(crate) fn append(&mut self, now: Timestamp, erased: &[Erased]) -> io::Result<()> {
        self.write(now, erased.iter().copied().map(Line::Erased))
    }

    /// Says that all is there that was erased before `now`.
    pub(crate) fn note_until(&mut self, now: Timestamp) -> io::Result<()> {
        self.write(now, std::iter::once(Line::Until(now)))
    }

    fn write(&mut self, now: Timestamp, lines: impl Iterator<Item = Line>) -> io::Result<()> {
        let mut text = String::new();
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin(now, &mut text)?,
        };
        for line in lines {
            text.push_str(&line.text());
        }
        disk::write(&*open.file, text.as_bytes(), open.end)?;
        open.file.sync()?;
        open.end = open
            .end
            .saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        open.last = now;
        self.open = Some(open);
        Ok(())
    }

    /// Opens the file, and writes into `text` what comes first.
    fn begin(&self, now: Timestamp, text: &mut String) -> io::Result<Open> {
        let file = self.disk.open(&self.path, true)?;
        // Each time: that there is a name already does not say that it is durable.
        if let Some(folder) = self.path.parent() {
            self.disk.sync_dir(folder)?;
        }
        let end = file.len()?;
        if end > 0 {
            // What is before may be torn, or be lost when the power goes, up to the last byte.
            text.push('\n');
        }
        let store = self.store;
        text.push_str(&Line::Began { store, at: now }.text());
        Ok(Open {
            file,
            end,
            last: now,
        })
    }
}
