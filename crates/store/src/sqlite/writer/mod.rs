//! The one thread that writes.
//!
//! It takes all batches that are waiting, applies them in one transaction, and answers their callers
//! when that is committed: one sync for all of them.
//!
//! Invariant: nobody is told that something is done before the commit has returned, and after a
//! commit that failed for the disk's sake nothing is written any more.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use parlance_domain::fault::Chain;
use parlance_domain::store::{Outcome, StoreError};
use rusqlite::{Connection, ErrorCode, params};
use tokio::sync::{mpsc, oneshot};

use super::apply::{Done, apply, refuses_first};
use super::encode::Encoded;
use super::open::BUSY_TIMEOUT;
use super::sql;
use super::value::{Trouble, number, unavailable};
use crate::keyring::{KeyRef, Mark};
use crate::seal::{Taken, Vault};

/// Batches that one transaction takes.
const GROUP_MAX: usize = 256;
/// Jobs that may wait; callers beyond them wait for a place.
const QUEUE_MAX: usize = 1_024;

/// How long an emptying of the WAL waits for readers.
const CHECKPOINT_PATIENCE: Duration = Duration::from_millis(5);

const WRITING: &str = "writing";

/// What became of a batch, before anybody is told.
type Applied = Result<Done, StoreError>;
/// What its caller is told.
type Told = Result<Vec<Outcome>, StoreError>;

/// A batch and its caller.
type Waiting = (Encoded, oneshot::Sender<Told>);

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
    broken: Arc<AtomicBool>,
    failing: Arc<AtomicBool>,
}

impl Writer {
    /// Starts the thread. It ends when it is told to, or when nobody can send any more.
    pub(super) fn start(db: Connection, vault: Arc<Vault>) -> io::Result<(Self, JoinHandle<()>)> {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let broken = Arc::new(AtomicBool::new(false));
        let failing = Arc::new(AtomicBool::new(false));
        let desk = Desk {
            db,
            vault,
            recorded: Cell::new(None),
            broken: Arc::clone(&broken),
            failing: Arc::clone(&failing),
        };
        let thread = Builder::new()
            .name("parlance-store".to_owned())
            .spawn(move || desk.work(jobs))?;
        Ok((
            Self {
                queue,
                broken,
                failing,
            },
            thread,
        ))
    }

    /// Whether a failed commit has ended all writing.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Whether the last write failed for the database's sake, a full disk's for instance.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    /// Applies a batch, together with whatever else is waiting.
    pub(super) async fn apply(&self, batch: Encoded) -> Result<Vec<Outcome>, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Batch((batch, answer))).await?;
        answered
            .await
            .map_err(|error| unavailable(WRITING, error))?
    }

    /// Does `work` in a transaction of its own.
    pub(super) async fn transact<T: Send + 'static>(
        &self,
        during: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.alone(during, move |desk| desk.transact(during, work))
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
        if self.is_broken() {
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

fn broken(during: &'static str) -> StoreError {
    unavailable(
        during,
        "an earlier commit failed, so nothing more is written until a restart",
    )
}

/// What the thread works with.
struct Desk {
    db: Connection,
    vault: Arc<Vault>,
    /// How far the database records that the keyring has come.
    recorded: Cell<Option<Mark>>,
    broken: Arc<AtomicBool>,
    failing: Arc<AtomicBool>,
}

impl Desk {
    fn work(self, mut jobs: mpsc::Receiver<Job>) {
        let mut waiting = Vec::with_capacity(GROUP_MAX);
        let mut group = Vec::with_capacity(GROUP_MAX);
        while jobs.blocking_recv_many(&mut waiting, GROUP_MAX) > 0 {
            for job in waiting.drain(..) {
                match job {
                    Job::Batch(batch) => group.push(batch),
                    Job::Alone(work) => {
                        self.commit_group(&mut group);
                        work(&self);
                    }
                    // What is waiting is still done; whoever comes later is told.
                    Job::Close => jobs.close(),
                }
            }
            self.commit_group(&mut group);
        }
        // Readers that are still open do no harm; the next start does it otherwise.
        if let Err(error) = checkpoint(&self.db) {
            tracing::warn!(error = %error, "the WAL could not be emptied at the end");
        }
    }

    /// Applies all batches of the group in one transaction and answers them.
    fn commit_group(&self, group: &mut Vec<Waiting>) {
        let Ok(size) = u32::try_from(group.len()) else {
            return;
        };
        if size == 0 {
            return;
        }
        metrics::histogram!("parlance_store_batch_size").record(f64::from(size));
        match self.try_commit(group) {
            Ok(applied) => self.answer(group, applied),
            // One of them may be at fault: the others need not suffer.
            Err(_) if size > 1 && !self.is_broken() => {
                for one in group.drain(..) {
                    let mut one = vec![one];
                    match self.try_commit(&one) {
                        Ok(applied) => self.answer(&mut one, applied),
                        Err(trouble) => fail(&mut one, trouble),
                    }
                }
            }
            Err(trouble) => fail(group, trouble),
        }
    }

    fn try_commit(&self, batches: &[Waiting]) -> Result<Vec<Applied>, Trouble> {
        let mark = self.unrecorded(batches);
        let applied = self.within(|db| {
            if let Some(mark) = mark {
                record(db, mark)?;
            }
            let applied = batches.iter().map(|(batch, _)| savepoint(db, batch));
            applied.collect()
        })?;
        if mark.is_some() {
            self.recorded.set(mark);
        }
        Ok(applied)
    }

    /// How far the keyring has come, if keys are used that the database does not know it to have. It
    /// is recorded together with them, so that an older keyring is noticed at the next start.
    fn unrecorded(&self, batches: &[Waiting]) -> Option<Mark> {
        let mark = self.vault.keyring()?.mark();
        let uses_keys = batches.iter().any(|(batch, _)| !batch.taken.is_empty());
        (uses_keys && self.recorded.get() != Some(mark)).then_some(mark)
    }

    /// Destroys the keys of what was deleted, with one sync for all of them, and then tells everybody
    /// what has become of their batches.
    fn answer(&self, group: &mut Vec<Waiting>, applied: Vec<Applied>) {
        let done = applied.iter().filter_map(|applied| applied.as_ref().ok());
        let erased: Vec<KeyRef> = done.flat_map(|done| done.erased.iter().copied()).collect();
        if let Err(error) = self.vault.wipe(&erased) {
            // The tombstones are committed, and the next start wipes what they leave. Going on would
            // mean to answer that keys are destroyed which may not be.
            tracing::error!(error = %Chain(&error), "keys could not be destroyed: stopping at once");
            self.vault.end();
        }
        for ((mut batch, answer), applied) in group.drain(..).zip(applied) {
            if applied.is_ok() {
                batch.taken.iter_mut().for_each(Taken::keep);
            }
            // A caller that has gone needs no answer.
            answer.send(applied.map(|done| done.outcomes)).ok();
        }
    }

    fn transact<T>(
        &self,
        during: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        self.within(work).map_err(|trouble| trouble.told(during))
    }

    /// Begins, works, commits; takes everything back if any of it fails.
    fn within<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        if self.is_broken() {
            return Err(broken(WRITING).into());
        }
        let db = &self.db;
        let run = || {
            db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            let done = work(db)?;
            db.prepare_cached("COMMIT")?.execute([])?;
            self.failing.store(false, Ordering::Release);
            Ok(done)
        };
        run().map_err(|trouble| match trouble {
            Trouble::Driver(error) => self.failed(error),
            Trouble::Refused(refusal) => {
                self.take_back();
                Trouble::Refused(refusal)
            }
        })
    }

    /// Cleans up after a failure of the database, and judges whether it can be worked with on.
    fn failed(&self, error: rusqlite::Error) -> Trouble {
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
            self.broken.store(true, Ordering::Release);
        }
        self.failing.store(true, Ordering::Release);
        self.take_back();
        Trouble::Driver(error)
    }

    fn take_back(&self) {
        if !self.db.is_autocommit() && self.db.execute_batch("ROLLBACK").is_err() {
            self.broken.store(true, Ordering::Release);
        }
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }
}

/// Notes how far the keyring has come.
pub(super) fn record(db: &Connection, mark: Mark) -> rusqlite::Result<()> {
    db.prepare_cached(sql::RECORD_MARK)?
        .execute(params![number(mark.epoch), mark.segments])?;
    Ok(())
}

fn fail(group: &mut Vec<Waiting>, trouble: Trouble) {
    let mut told = Some(trouble.told(WRITING));
    for (_, answer) in group.drain(..) {
        let told = told.take().unwrap_or(StoreError::Unavailable {
            during: WRITING,
            source: None,
        });
        answer.send(Err(told)).ok();
    }
}

/// Applies one batch. A refusal takes back what the batch has done, and only that; a failure of the
/// database is everybody's.
fn savepoint(db: &Connection, batch: &Encoded) -> Result<Applied, Trouble> {
    let guarded = !refuses_first(batch);
    if guarded {
        db.prepare_cached("SAVEPOINT batch")?.execute([])?;
    }
    let result = match apply(db, batch) {
        Ok(done) => Ok(done),
        Err(Trouble::Refused(refusal)) => {
            if guarded {
                db.prepare_cached("ROLLBACK TO batch")?.execute([])?;
            }
            Err(refusal)
        }
        Err(Trouble::Driver(error)) => return Err(Trouble::Driver(error)),
    };
    if guarded {
        db.prepare_cached("RELEASE batch")?.execute([])?;
    }
    Ok(result)
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
