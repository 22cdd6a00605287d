//! The thread that destroys keys.
//!
//! A commit's sync and a wipe's go to different files, so that the next commit need not wait for the
//! keys of what the last one has deleted. Who deletes waits for both; everybody else for the first
//! alone.
//!
//! Invariant: whoever deletes is told after the wipe has returned. Batches are handed over in the order
//! of their commits, and answered in it.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use parlance_domain::fault::Chain;
use parlance_domain::store::Outcome;
use tokio::sync::mpsc;

use super::{Answer, Told, Wiped};
use crate::keyring::{InUse, KeyRef};
use crate::seal::Vault;
use crate::sqlite::value::unavailable;

const RENEWING: &str = "renewing the root key";
const UNRENEWED: &str =
    "what was deleted is deleted, but the root key could not be renewed with it";

/// Deletions that one sync is for, and that may wait for it. The writer waits where there are more.
const WAITING_MAX: usize = 1_024;

/// What is committed and is told to its caller when its keys are destroyed.
pub(super) struct Parting {
    /// The keys; none for a caller that waits only for those before.
    pub(super) erased: Vec<KeyRef>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) answer: Answer,
}

/// The thread has ended, though not everything is done.
pub(super) struct Ended;

/// The thread as the writer sees it.
pub(super) struct Wiper {
    // Taken only when it ends.
    queue: Option<mpsc::Sender<Parting>>,
    thread: Option<JoinHandle<()>>,
}

impl Wiper {
    pub(super) fn start(vault: Arc<Vault>) -> io::Result<Self> {
        let (queue, partings) = mpsc::channel(WAITING_MAX);
        let thread = Builder::new()
            .name("parlance-wiper".to_owned())
            .spawn(move || work(&vault, partings))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Has the keys destroyed, and then tells the caller. Not for a thread that runs tasks. An error
    /// means that the thread has ended.
    pub(super) fn send(&self, parting: Parting) -> Result<(), Ended> {
        let queue = self.queue.as_ref().ok_or(Ended)?;
        queue.blocking_send(parting).map_err(|_| Ended)
    }
}

impl Drop for Wiper {
    /// Waits until everything is destroyed that was handed over.
    fn drop(&mut self) {
        drop(self.queue.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if ended.is_some_and(|ended| ended.is_err()) {
            tracing::error!("the thread that destroys keys has panicked");
        }
    }
}

fn work(vault: &Vault, mut partings: mpsc::Receiver<Parting>) {
    let mut waiting: Vec<Parting> = Vec::with_capacity(WAITING_MAX);
    let mut erased: Vec<KeyRef> = Vec::new();
    while partings.blocking_recv_many(&mut waiting, WAITING_MAX) > 0 {
        erased.extend(waiting.iter().flat_map(|parting| &parting.erased));
        let mut in_use = vault.wipe(&erased).unwrap_or_else(|error| {
            // The tombstones are committed, and the next start wipes what they leave. Going on would
            // mean to answer that keys are destroyed which may not be.
            tracing::error!(error = %Chain(&error), "keys could not be destroyed: stopping at once");
            vault.end()
        });
        erased.clear();
        let renewed = vault.after_wipe();
        if let Err(error) = &renewed {
            tracing::error!(error = %Chain(error), "the root key was not renewed with a delete");
        }
        for parting in waiting.drain(..) {
            let own = |used: &mut InUse| parting.erased.contains(&used.key);
            let done = Told {
                in_use: in_use.extract_if(.., own).collect(),
                outcomes: parting.outcomes,
                wiped: match renewed {
                    Ok(true) => Wiped::AndRenewed,
                    Ok(false) | Err(_) => Wiped::Alone,
                },
            };
            // Its keys are gone, and not as they were to go: that is not what was asked for.
            let told = match &renewed {
                Err(_) if !parting.erased.is_empty() => Err(unavailable(RENEWING, UNRENEWED)),
                Ok(_) | Err(_) => Ok(done),
            };
            // A caller that has gone needs no answer.
            parting.answer.send(told).ok();
        }
    }
}
