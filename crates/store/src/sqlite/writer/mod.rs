//! The one thread that writes.
//!
//! It takes all batches that are waiting, applies them in one transaction, and answers their callers
//! when that is committed: one sync for all of them. What waits for keys to be destroyed goes on to the
//! [`wiper`] before it is answered, and the write-ahead log is copied by the [`copier`].
//!
//! Invariant: nobody is told that something is done before the commit has returned, and after a
//! commit that failed for the disk's sake nothing is written any more.

mod copier;
mod health;
mod wiper;

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use parlance_domain::store::{Outcome, StoreError};
use rusqlite::hooks::Wal;
use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};

use self::copier::Copier;
use self::health::Health;
use self::wiper::{Parting, Wiper};

use super::apply::{Done, apply, refuses_first};
use super::encode::Encoded;
use super::open::BUSY_TIMEOUT;
use super::sql;
use super::value::{Trouble, number, unavailable};
use crate::keyring::Mark;
use crate::seal::{Taken, Vault};

/// Batches that one transaction takes.
const GROUP_MAX: usize = 256;
/// Jobs that may wait; callers beyond them wait for a place.
const QUEUE_MAX: usize = 1_024;

/// Pages in the write-ahead log from which on they are copied to the database: 4 MB.
const COPIED_PAGES: i32 = 1_000;
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
    health: Arc<Health>,
}

/// The connections that write.
pub(super) struct Connections {
    /// Writes transactions.
    pub(super) writing: Connection,
    /// Copies the write-ahead log.
    pub(super) copying: Connection,
}

impl Writer {
    /// Starts the thread. It ends when it is told to, or when nobody can send any more.
    pub(super) fn start(
        connections: Connections,
        vault: Arc<Vault>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let health = Arc::new(Health::default());
        let desk = Desk::new(connections, vault, Arc::clone(&health))?;
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

    /// Returns when the keys of all are destroyed that was deleted before the call.
    pub(super) async fn wiped(&self) -> Result<(), StoreError> {
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
        told.map(drop)
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
    wiper: Wiper,
    copier: Copier,
    /// Pages in the write-ahead log after the last commit.
    log_pages: Arc<AtomicI32>,
    /// How far the database records that the keyring has come.
    recorded: Cell<Option<Mark>>,
    health: Arc<Health>,
}

impl Desk {
    fn new(connections: Connections, vault: Arc<Vault>, health: Arc<Health>) -> io::Result<Self> {
        let mut db = connections.writing;
        let log_pages = Arc::new(AtomicI32::new(0));
        let seen = Arc::clone(&log_pages);
        db.wal_hook(Some(move |_: &mut Wal, pages| {
            seen.store(pages, Ordering::Relaxed);
            Ok(())
        }))
        .map_err(io::Error::other)?;
        Ok(Self {
            db,
            wiper: Wiper::start(Arc::clone(&vault))?,
            copier: Copier::start(connections.copying, Arc::clone(&health))?,
            vault,
            log_pages,
            recorded: Cell::new(None),
            health,
        })
    }

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
            self.tend_log();
        }
        // Readers that are still open do no harm; the next start does it otherwise.
        if let Err(error) = checkpoint(&self.db) {
            tracing::warn!(error = %error, "the WAL could not be emptied at the end");
        }
    }

    /// Has the write-ahead log copied when it has grown, so that it can be begun anew.
    fn tend_log(&self) {
        let is_long = self.log_pages.load(Ordering::Relaxed) >= COPIED_PAGES;
        if !is_long || self.health.is_broken() || !self.copier.ask() {
            return;
        }
        // The next commit sets it again; without one, nothing is to be done.
        self.log_pages.store(0, Ordering::Relaxed);
        if let Err(error) = copier::copy(&self.db) {
            self.health.failed(&error);
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
            Err(_) if size > 1 && !self.health.is_broken() => {
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

    /// Tells everybody what has become of their batches; those that have deleted something when its keys
    /// are destroyed.
    fn answer(&self, group: &mut Vec<Waiting>, applied: Vec<Applied>) {
        for ((mut batch, answer), applied) in group.drain(..).zip(applied) {
            match applied {
                Ok(Done { outcomes, erased }) => {
                    batch.taken.iter_mut().for_each(Taken::keep);
                    if erased.is_empty() {
                        // A caller that has gone needs no answer.
                        answer.send(Ok(outcomes)).ok();
                        continue;
                    }
                    self.part(Parting {
                        erased,
                        outcomes,
                        answer,
                    });
                }
                Err(refusal) => drop(answer.send(Err(refusal))),
            }
        }
    }

    fn part(&self, parting: Parting) {
        if self.wiper.send(parting).is_err() {
            tracing::error!("the thread that destroys keys has ended: stopping at once");
            self.vault.end();
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
        if self.health.is_broken() {
            return Err(broken(WRITING).into());
        }
        let db = &self.db;
        let run = || {
            db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            let done = work(db)?;
            db.prepare_cached("COMMIT")?.execute([])?;
            self.health.works();
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
        self.health.failed(&error);
        self.take_back();
        Trouble::Driver(error)
    }

    fn take_back(&self) {
        if !self.db.is_autocommit() && self.db.execute_batch("ROLLBACK").is_err() {
            self.health.breaks();
        }
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
