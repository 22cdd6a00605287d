//! The one thread that writes.
//!
//! It takes all batches that are waiting, applies them in one transaction, and answers their callers
//! when that is committed: one sync for all of them. What waits for keys to be destroyed goes on to the
//! [`wiper`] before it is answered, and the write-ahead log is copied by the [`copier`].
//!
//! Invariant: nobody is told that something is done before the commit has returned, and after a
//! commit that failed for the disk's sake nothing is written any more.

mod ballast;
mod copier;
mod desk;
mod health;
mod wiper;

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use parlance_domain::store::{Outcome, StoreError};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub(super) use self::ballast::Ballast;
pub(super) use self::copier::Copying;
use self::desk::Desk;
pub(super) use self::desk::record;
use self::health::Health;
use self::wiper::Parting;
use super::encode::Encoded;
use super::open::BUSY_TIMEOUT;
use super::value::{Trouble, unavailable};
use crate::keyring::{InUse, KeyRef};
use crate::seal::Vault;

/// Batches that one transaction takes.
const GROUP_MAX: usize = 256;
/// Jobs that may wait; callers beyond them wait for a place.
const QUEUE_MAX: usize = 1_024;

/// How long an emptying of the WAL waits for readers.
const CHECKPOINT_PATIENCE: Duration = Duration::from_millis(5);

/// How long a delete waits for those who are using its key: a little longer than the largest page takes.
const USERS_PATIENCE: Duration = Duration::from_millis(100);
/// How often it looks.
const USERS_PAUSE: Duration = Duration::from_millis(1);

const WRITING: &str = "writing";

/// What a transaction does to the room on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It makes room in the end, or takes next to none.
    Frees,
    /// It takes some for good. Refused where the disk is full.
    Takes,
}

/// What a batch's caller is told, if all went well.
struct Told {
    outcomes: Vec<Outcome>,
    /// Destroyed keys that somebody was using when they were.
    in_use: Vec<InUse>,
    /// What became of the keys of all that was deleted before.
    wiped: Wiped,
}

/// What became of keys that were to be destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wiped {
    /// They are.
    Alone,
    /// And the root was renewed since.
    AndRenewed,
}

impl From<Vec<Outcome>> for Told {
    fn from(outcomes: Vec<Outcome>) -> Self {
        Self {
            outcomes,
            in_use: Vec::new(),
            wiped: Wiped::Alone,
        }
    }
}

/// Where a batch's caller waits.
type Answer = oneshot::Sender<Result<Told, StoreError>>;

/// A batch and its caller.
type Waiting = (Encoded, Answer);

/// Work that does not share its transaction.
type Alone = Box<dyn FnOnce(&Desk) + Send>;

enum Job {
    Batch(Waiting),
    Alone(Alone),
    Close,
}

/// The writer as its callers see it.
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    health: Arc<Health>,
}

/// What the writer works with.
pub(super) struct Tools {
    /// The connection that writes transactions.
    pub(super) writing: Connection,
    /// What copies the write-ahead log.
    pub(super) copying: Copying,
    /// Where keys are destroyed.
    pub(super) vault: Arc<Vault>,
    /// What is kept for deletes.
    pub(super) ballast: Ballast,
}

impl Writer {
    /// Starts the thread. It ends when it is told to, or when nobody can send any more.
    pub(super) fn start(tools: Tools) -> io::Result<(Self, JoinHandle<()>)> {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let health = Arc::new(Health::default());
        let desk = Desk::new(tools, Arc::clone(&health))?;
        let thread = Builder::new()
            .name("parlance-store".to_owned())
            .spawn(move || desk.work(jobs))?;
        Ok((Self { queue, health }, thread))
    }

    /// What is known of the disk.
    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// Applies a batch, together with whatever else is waiting.
    pub(super) async fn apply(&self, batch: Encoded) -> Result<Vec<Outcome>, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Batch((batch, answer))).await?;
        let told = answered
            .await
            .map_err(|error| unavailable(WRITING, error))??;
        unused(&told.in_use).await;
        Ok(told.outcomes)
    }

    /// Does `work` in a transaction of its own.
    pub(super) async fn transact<T: Send + 'static>(
        &self,
        room: Room,
        during: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.alone(during, move |desk| {
            let done = desk.transact(room, work);
            done.map_err(|trouble| trouble.told(during))
        })
        .await
    }

    /// Does `work` in a transaction of its own, and has the key destroyed that it gives, if it does.
    pub(super) async fn transact_wiping(
        &self,
        room: Room,
        during: &'static str,
        work: impl FnOnce(&Connection) -> Result<Option<KeyRef>, Trouble> + Send + 'static,
    ) -> Result<(), StoreError> {
        let (answer, wiped) = oneshot::channel();
        let removed = self.alone(during, move |desk| {
            let done = desk.transact(room, work);
            let removed = done.map_err(|trouble| trouble.told(during))?;
            if let Some(key) = removed {
                desk.part(Parting {
                    erased: vec![key],
                    outcomes: Vec::new(),
                    answer,
                });
            }
            Ok(removed)
        });
        if removed.await?.is_none() {
            return Ok(());
        }
        let told = wiped.await.map_err(|error| unavailable(during, error))??;
        unused(&told.in_use).await;
        Ok(())
    }

    /// Keeps room for deletes again, if there is enough.
    pub(super) async fn restore_ballast(&self) -> Result<(), StoreError> {
        self.alone("keeping room for deletes", |desk| {
            desk.ballast.restore();
            desk.health.set_short(!desk.ballast.is_held());
            Ok(())
        })
        .await
    }

    /// Does `work` outside of any transaction.
    pub(super) async fn outside<T: Send + 'static>(
        &self,
        during: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.alone(during, move |desk| {
            work(&desk.db).map_err(|error| desk.failed(error).told(during))
        })
        .await
    }

    /// Returns when the keys of all are destroyed that was deleted before the call.
    pub(super) async fn wiped(&self) -> Result<Wiped, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job = Job::Alone(Box::new(move |desk: &Desk| {
            desk.part(Parting {
                erased: Vec::new(),
                outcomes: Vec::new(),
                answer,
            });
        }));
        self.send(job).await?;
        let told = answered
            .await
            .map_err(|error| unavailable(WRITING, error))?;
        told.map(|told| told.wiped)
    }

    /// Empties the write-ahead log. False if a reader was in the way: then it should be tried again.
    pub(super) async fn empty_log(&self) -> Result<bool, StoreError> {
        const EMPTYING: &str = "emptying the write-ahead log";
        let (ended, copied) = oneshot::channel();
        // First most of it, while others write.
        let job = Job::Alone(Box::new(move |desk: &Desk| desk.copier.ask_and_tell(ended)));
        self.send(job).await?;
        copied.await.map_err(|error| unavailable(EMPTYING, error))?;
        self.outside(EMPTYING, checkpoint).await
    }

    async fn alone<T: Send + 'static>(
        &self,
        during: &'static str,
        work: impl FnOnce(&Desk) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job = Job::Alone(Box::new(move |desk: &Desk| {
            // A caller that has gone needs no answer.
            answer.send(work(desk)).ok();
        }));
        self.send(job).await?;
        answered.await.map_err(|error| unavailable(during, error))?
    }

    /// Lets the thread end when it has done what is waiting.
    pub(super) async fn close(&self) {
        // If it cannot be sent, the thread has ended already.
        self.queue.send(Job::Close).await.ok();
    }

    async fn send(&self, job: Job) -> Result<(), StoreError> {
        if self.health.is_broken() {
            return Err(broken(WRITING));
        }
        self.queue
            .send(job)
            .await
            .map_err(|_| StoreError::Unavailable {
                during: WRITING,
                source: None,
            })
    }
}

/// Waits a little until nobody uses these keys any more. Whoever does has begun before the delete.
async fn unused(keys: &[InUse]) {
    let began = Instant::now();
    while keys.iter().any(InUse::is_used) {
        if began.elapsed() > USERS_PATIENCE {
            tracing::warn!("a destroyed key is still used for what was begun before");
            return;
        }
        tokio::time::sleep(USERS_PAUSE).await;
    }
}

fn broken(during: &'static str) -> StoreError {
    unavailable(
        during,
        "an earlier commit failed, so nothing more is written until a restart",
    )
}

/// Copies the whole WAL to the database and empties the file. False if a reader was in the way: it is
/// waited for only a little, because all writers wait as well.
pub(super) fn checkpoint(db: &Connection) -> rusqlite::Result<bool> {
    db.busy_timeout(CHECKPOINT_PATIENCE)?;
    let busy = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    db.busy_timeout(BUSY_TIMEOUT)?;
    busy.map(|busy: i64| busy == 0)
}

#[cfg(test)]
mod tests;
