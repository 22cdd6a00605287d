//! Whether the database can be worked with.

use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Error, ErrorCode};

/// What the threads of a store know of their disk.
#[derive(Default)]
pub(in crate::sqlite) struct Health {
    broken: AtomicBool,
    failing: AtomicBool,
}

impl Health {
    /// Whether a failure has ended all writing.
    pub(in crate::sqlite) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Whether the last write failed for the database's sake, a full disk's for instance.
    pub(in crate::sqlite) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    pub(super) fn works(&self) {
        // Written only where it changes: it stands beside what every caller reads.
        if self.is_failing() {
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
        let fatal = matches!(
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
