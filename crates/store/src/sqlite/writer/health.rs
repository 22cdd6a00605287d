//! Whether the database can be worked with.

use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Error, ErrorCode, ffi};

/// What the threads of a store know of their disk.
#[derive(Default)]
pub(in crate::sqlite) struct Health {
    broken: AtomicBool,
    failing: AtomicBool,
    short: AtomicBool,
}

impl Health {
    /// Whether a failure has ended all writing.
    pub(in crate::sqlite) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Whether the last write failed for the database's sake, or those are refused that need room.
    pub(in crate::sqlite) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire) || self.is_short()
    }

    /// Whether the disk has no room but what was kept for deletes.
    pub(in crate::sqlite) fn is_short(&self) -> bool {
        self.short.load(Ordering::Acquire)
    }

    pub(super) fn set_short(&self, short: bool) {
        self.short.store(short, Ordering::Release);
    }

    pub(super) fn works(&self) {
        // Written only where it changes: it stands beside what every caller reads.
        if self.failing.load(Ordering::Acquire) {
            self.failing.store(false, Ordering::Release);
        }
    }

    pub(super) fn breaks(&self) {
        self.broken.store(true, Ordering::Release);
    }

    /// Judges a failure of the database.
    pub(super) fn failed(&self, error: &Error) {
        tracing::error!(error = %error, "the database failed");
        // After a failed sync nobody knows what the disk holds. A full disk is harmless: its
        // transaction has left nothing.
        let fatal = !is_full(error)
            && matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::SystemIoFailure
                        | ErrorCode::DatabaseCorrupt
                        | ErrorCode::NotADatabase
                        | ErrorCode::ReadOnly
                        | ErrorCode::CannotOpen
                )
            );
        if fatal {
            self.breaks();
        }
        self.failing.store(true, Ordering::Release);
    }
}

/// Whether the disk has no room.
pub(super) fn is_full(error: &Error) -> bool {
    let code = error.sqlite_error();
    // The second is about the memory that connections share through a file.
    code.is_some_and(|error| {
        error.code == ErrorCode::DiskFull || error.extended_code == ffi::SQLITE_IOERR_SHMSIZE
    })
}
