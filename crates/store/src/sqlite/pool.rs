//! The connections that read.

use std::sync::{Arc, Mutex, PoisonError};

use parlance_domain::store::StoreError;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use super::value::{Trouble, unavailable};

/// A few connections, lent to blocking threads one call at a time. They are never asked whether they
/// are alive: a file does not go away.
pub(super) struct Pool {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

/// A connection on loan. It comes back whatever happens, even if its caller has gone.
struct Loan {
    db: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Loan {
    fn drop(&mut self) {
        // Still in its transaction only if the work has panicked: then it is not used again.
        if let Some(db) = self.db.take().filter(Connection::is_autocommit) {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(db);
        }
    }
}

impl Pool {
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        let permits = Semaphore::new(connections.len());
        Self {
            idle: Arc::new(Mutex::new(connections)),
            permits: Arc::new(permits),
        }
    }

    /// Runs `work` on a blocking thread, in one read transaction: all it reads is of one instant.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        during: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|error| unavailable(during, error))?;
        let idle = Arc::clone(&self.idle);
        let db = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let loan = Loan {
            db,
            idle,
            _permit: permit,
        };
        spawn_blocking(move || match &loan.db {
            Some(db) => in_transaction(db, work).map_err(|trouble| trouble.told(during)),
            None => Err(StoreError::Unavailable {
                during,
                source: None,
            }),
        })
        .await
        .map_err(|error| unavailable(during, error))?
    }
}

fn in_transaction<T>(
    db: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    db.prepare_cached("BEGIN")?.execute([])?;
    let result = work(db);
    // Nothing was written, so it does not matter how it ends, but that it does.
    db.prepare_cached("ROLLBACK")?.execute([])?;
    result
}
