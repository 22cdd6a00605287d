//! What the writing thread does.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use parlance_domain::store::StoreError;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, params};
use tokio::sync::mpsc;

use super::ballast::Ballast;
use super::copier::{self, Copier};
use super::health::{Health, is_full};
use super::wiper::{Parting, Wiper};
use super::{GROUP_MAX, Job, Room, Tools, WRITING, Waiting, broken, checkpoint};
use crate::keyring::Mark;
use crate::seal::{Taken, Vault};
use crate::sqlite::apply::{Done, apply, refuses_first};
use crate::sqlite::encode::Encoded;
use crate::sqlite::sql;
use crate::sqlite::value::{Trouble, number, unavailable};

/// Pages in the write-ahead log from which on they are copied to the database: 4 MB.
const COPIED_PAGES: i32 = 1_000;

/// What became of a batch, before anybody is told.
type Applied = Result<Done, StoreError>;

/// What the thread works with.
pub(super) struct Desk {
    pub(super) db: Connection,
    pub(super) vault: Arc<Vault>,
    wiper: Wiper,
    pub(super) copier: Copier,
    pub(super) ballast: Ballast,
    /// Pages in the write-ahead log after the last commit.
    log_pages: Arc<AtomicI32>,
    /// How far the database records that the keyring has come.
    recorded: Cell<Option<Mark>>,
    pub(super) health: Arc<Health>,
}

impl Desk {
    pub(super) fn new(tools: Tools, health: Arc<Health>) -> io::Result<Self> {
        let Tools {
            writing: mut db,
            copying,
            vault,
            ballast,
        } = tools;
        health.set_short(!ballast.is_held());
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
            copier: Copier::start(copying, Arc::clone(&health))?,
            vault,
            ballast,
            log_pages,
            recorded: Cell::new(None),
            health,
        })
    }

    pub(super) fn work(self, mut jobs: mpsc::Receiver<Job>) {
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

    /// Has the write-ahead log copied when it has grown, so that it can be begun anew. Where the disk is
    /// full it must not grow at all.
    fn tend_log(&self) {
        let pages = self.log_pages.load(Ordering::Relaxed);
        let is_short = self.health.is_short();
        if self.health.is_broken() || pages < if is_short { 1 } else { COPIED_PAGES } {
            return;
        }
        if !self.copier.ask() && !is_short {
            return;
        }
        // The next commit sets it again; without one, nothing is to be done.
        self.log_pages.store(0, Ordering::Relaxed);
        if let Err(error) = copier::copy(&self.db) {
            self.health.failed(&error);
        }
    }

    /// Applies all batches of the group in one transaction and answers them.
    pub(super) fn commit_group(&self, group: &mut Vec<Waiting>) {
        let Ok(size) = u32::try_from(group.len()) else {
            return;
        };
        if size == 0 {
            return;
        }
        metrics::histogram!("parlance_store_batch_size").record(f64::from(size));
        if self.health.is_short() {
            refuse_growth(group);
        }
        match self.try_commit(group) {
            Ok(applied) => self.answer(group, applied),
            // One of them may be at fault: the others need not suffer.
            Err(_) if size > 1 && !self.health.is_broken() => {
                group.drain(..).for_each(|one| self.commit_one(one));
            }
            Err(trouble) => self.save(group, trouble),
        }
    }

    fn commit_one(&self, one: Waiting) {
        let mut one = vec![one];
        if self.health.is_short() {
            refuse_growth(&mut one);
        }
        match self.try_commit(&one) {
            Ok(applied) => self.answer(&mut one, applied),
            Err(trouble) => self.save(&mut one, trouble),
        }
    }

    /// Tries a single batch again that has failed, if it can have the room that is kept for deletes;
    /// otherwise tells its caller.
    fn save(&self, one: &mut Vec<Waiting>, trouble: Trouble) {
        let frees = one.iter().all(|(batch, _)| batch.frees());
        if !frees || !self.make_room(&trouble) {
            return fail(one, trouble);
        }
        match self.try_commit(one) {
            Ok(applied) => self.answer(one, applied),
            Err(trouble) => fail(one, trouble),
        }
    }

    /// Gives up the room that is kept for deletes, if that is what is missing. True if it has helped.
    fn make_room(&self, trouble: &Trouble) -> bool {
        let made = match trouble {
            Trouble::Driver(error) => is_full(error) && self.ballast.give_up(),
            Trouble::Refused(_) => false,
        };
        if made {
            self.health.set_short(true);
        }
        made
    }

    pub(super) fn try_commit(&self, batches: &[Waiting]) -> Result<Vec<Applied>, Trouble> {
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
                        answer.send(Ok(outcomes.into())).ok();
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

    pub(super) fn part(&self, parting: Parting) {
        if self.wiper.send(parting).is_err() {
            tracing::error!("the thread that destroys keys has ended: stopping at once");
            self.vault.end();
        }
    }

    pub(super) fn transact<T>(
        &self,
        room: Room,
        work: impl FnOnce(&Connection) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        if room == Room::Takes && self.health.is_short() {
            return Err(full().into());
        }
        let done = self.within(work);
        if let (Room::Frees, Err(trouble)) = (room, &done) {
            // For the next try: the work cannot be done twice.
            self.make_room(trouble);
        }
        done
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
    pub(super) fn failed(&self, error: rusqlite::Error) -> Trouble {
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
pub(in crate::sqlite) fn record(db: &Connection, mark: Mark) -> rusqlite::Result<()> {
    db.prepare_cached(sql::RECORD_MARK)?
        .execute(params![number(mark.epoch), mark.segments])?;
    Ok(())
}

fn full() -> StoreError {
    unavailable(
        WRITING,
        "the disk is full, and what room there is is kept for deletes",
    )
}

/// Refuses the batches that need room.
fn refuse_growth(group: &mut Vec<Waiting>) {
    for (_, answer) in group.extract_if(.., |(batch, _)| !batch.frees()) {
        // A caller that has gone needs no answer.
        answer.send(Err(full())).ok();
    }
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
