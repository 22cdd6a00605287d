//! The thread that copies the write-ahead log to the database.
//!
//! A copy takes as long as the log is, and a connection of its own can make it while others write. What
//! they have written meanwhile is little; the writer copies that itself, and only when all is copied can
//! the log be begun anew. `SQLite` syncs the database with that last copy alone, and whoever syncs waits
//! for all that was written before: so this thread syncs what it has copied.
//!
//! Invariant: no failure of the disk is kept to itself. The writer learns of it before its next commit.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::Health;
use crate::keyring::disk::File;

/// How often a copy is repeated at once: each leaves what was written during the one before.
const ROUNDS: usize = 2;

/// Nothing is to be done.
const IDLE: u8 = 0;
/// The thread copies, or is about to.
const COPYING: u8 = 1;
/// It has copied what was there when it began.
const COPIED: u8 = 2;

/// Somebody who waits for a copy, or nobody.
type Waiting = Option<oneshot::Sender<()>>;

/// What the thread works with.
pub(in crate::sqlite) struct Copying {
    /// A connection of its own.
    pub(in crate::sqlite) db: Connection,
    /// The database's file. The system ends all locks of a process on a file when it closes any of its
    /// handles, so this one is closed with the store.
    pub(in crate::sqlite) file: Box<dyn File>,
}

/// The thread as the writer sees it.
pub(super) struct Copier {
    // Taken only when it ends.
    queue: Option<mpsc::Sender<Waiting>>,
    state: Arc<AtomicU8>,
    thread: Option<JoinHandle<()>>,
}

impl Copier {
    pub(super) fn start(tools: Copying, health: Arc<Health>) -> io::Result<Self> {
        let (queue, requests) = mpsc::channel();
        let state = Arc::new(AtomicU8::new(IDLE));
        let copied = Arc::clone(&state);
        let thread = Builder::new()
            .name("parlance-copier".to_owned())
            .spawn(move || work(&tools, &health, &requests, &copied))?;
        Ok(Self {
            queue: Some(queue),
            state,
            thread: Some(thread),
        })
    }

    /// Begins a copy unless one is on its way. True if one has ended since the last call: then what is
    /// left is little.
    pub(super) fn ask(&self) -> bool {
        let was = self
            .state
            .compare_exchange(IDLE, COPYING, Ordering::AcqRel, Ordering::Acquire);
        match was {
            Ok(_) => {
                self.send(None);
                false
            }
            Err(state) => {
                state == COPIED && {
                    self.state.store(IDLE, Ordering::Release);
                    true
                }
            }
        }
    }

    /// Begins a copy, and tells when it has ended, well or not.
    pub(super) fn ask_and_tell(&self, ended: oneshot::Sender<()>) {
        self.send(Some(ended));
    }

    fn send(&self, waiting: Waiting) {
        // Where the thread is gone, the log grows until the next start. It was logged.
        if let Some(queue) = &self.queue {
            queue.send(waiting).ok();
        }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        drop(self.queue.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if ended.is_some_and(|ended| ended.is_err()) {
            tracing::error!("the thread that copies the write-ahead log has panicked");
        }
    }
}

fn work(tools: &Copying, health: &Health, requests: &mpsc::Receiver<Waiting>, state: &AtomicU8) {
    while let Ok(waiting) = requests.recv() {
        for _ in 0..ROUNDS {
            if !health.is_broken() {
                copy_and_sync(tools, health);
            }
        }
        match waiting {
            // A caller that has gone needs no answer.
            Some(ended) => drop(ended.send(())),
            None => state.store(COPIED, Ordering::Release),
        }
    }
}

fn copy_and_sync(tools: &Copying, health: &Health) {
    if let Err(error) = copy(&tools.db) {
        return health.failed(&error);
    }
    if let Err(error) = tools.file.sync() {
        // Nobody knows now what the disk holds.
        tracing::error!(error = %error, "the database could not be synced");
        health.breaks();
    }
}

/// Copies as much of the log as no reader needs, and waits for nobody.
pub(super) fn copy(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}
