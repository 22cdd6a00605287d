//! How a store ends: what is waiting is written, and its threads are waited for.

use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use super::Sqlite;
use super::vault::Filler;

impl Sqlite {
    /// Writes what is waiting and the log of erasures, empties the WAL and ends the writer. Later writes are
    /// refused.
    pub async fn close(&self) {
        self.close_log().await;
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
        let thread = self.take_thread();
        let filler = self.take_filler();
        let vault = Arc::clone(&self.vault);
        let ended = tokio::task::spawn_blocking(move || {
            join(thread);
            drop(filler);
            vault.end_renewals();
        })
        .await;
        if ended.is_err() {
            tracing::error!("the end of the writing thread could not be awaited");
        }
    }

    fn take_filler(&self) -> Option<Filler> {
        self.filler
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn take_thread(&self) -> Option<JoinHandle<()>> {
        self.thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        drop(self.writer.take());
        join(self.take_thread());
        drop(self.take_filler());
        self.vault.end_renewals();
    }
}

fn join(thread: Option<JoinHandle<()>>) {
    let ended = thread.map_or(Ok(()), JoinHandle::join);
    if ended.is_err() {
        tracing::error!("the writing thread has panicked");
    }
}
