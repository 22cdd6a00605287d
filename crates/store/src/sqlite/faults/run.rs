//! One run: processes that work, are hit by faults, end, and are started again on what they left.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::mpsc;
use std::task::Poll;

use parlance_domain::ConversationId;
use parlance_domain::clock::Timestamp;
use parlance_domain::fault::Chain;
use parlance_domain::model::{Due, Principal};
use parlance_domain::store::{AdminWrite, Batch, Outcome, ReceiptLog, Store, StoreError, Write};
use parlance_faultdisk::{Chance, Disk, Fault, Fired, NAME, Unsynced, What};
use parlance_testkit::samples::{PROJECT, notary};
use parlance_testkit::store_suite::{Refusal, refusal};
use rusqlite::{Connection, OpenFlags};

use super::super::{FILE, Sqlite, vault};
use super::client::{Act, World};
use super::machine::{Machine, survives};
use crate::erasures;
use crate::keyring::KeyRef;
use crate::memory::Memory;

/// What was promised and did not hold.
pub(super) type Violation = String;

/// What a caller was told.
#[derive(Debug)]
pub(super) enum Answer<T> {
    Done(T),
    Refused(Refusal),
    /// It may have been done or not.
    Unknown,
}

/// How often things have happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) runs: u64,
    pub(super) cuts: u64,
    pub(super) faults: u64,
    pub(super) ends: u64,
    pub(super) kills: u64,
    pub(super) broken: u64,
    pub(super) starts: u64,
    pub(super) acts: u64,
}

impl Counts {
    pub(super) const fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.cuts += other.cuts;
        self.faults += other.faults;
        self.ends += other.ends;
        self.kills += other.kills;
        self.broken += other.broken;
        self.starts += other.starts;
        self.acts += other.acts;
    }
}

/// A run.
pub(super) struct Run {
    pub(super) machine: Machine,
    pub(super) chance: Chance,
    pub(super) world: World,
    pub(super) store: Option<Sqlite>,
    /// Somebody who reads for a long time.
    reader: Option<Connection>,
    /// What may be in the store: one that the clients know for certain, or some of which it is one.
    pub(super) models: Vec<Memory>,
    /// The keys of all conversations that were ever there.
    pub(super) keys: BTreeMap<ConversationId, KeyRef>,
    pub(super) counts: Counts,
    /// What was done, for whoever looks for the reason of a violation.
    pub(super) story: Option<Vec<String>>,
}

impl Run {
    /// A run: the first seed decides what clients do, the second one what happens to them.
    pub(super) fn new(clients: u64, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        Self {
            machine: Machine::new(chance.number()),
            world: World::new(clients),
            chance,
            store: None,
            reader: None,
            models: vec![Memory::default()],
            keys: BTreeMap::new(),
            counts: Counts {
                runs: 1,
                ..Counts::default()
            },
            story: None,
        }
    }

    pub(super) const fn disk(&self) -> &Disk {
        &self.machine.disk
    }

    pub(super) fn store(&self) -> Result<&Sqlite, Violation> {
        self.store.as_ref().ok_or_else(|| "no process".to_owned())
    }

    /// Whether no more can come of this process but refusals.
    pub(super) fn is_over(&self) -> bool {
        self.disk().is_off() || self.is_broken()
    }

    pub(super) fn is_broken(&self) -> bool {
        let writer = self.store.as_ref().and_then(|store| store.writer.as_ref());
        writer.is_none_or(|writer| writer.health().is_broken())
    }

    /// Whether nothing that a caller is told can be good news.
    pub(super) fn is_lost(&self) -> bool {
        self.is_over() || self.has_failed_to_sync()
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(what());
        }
    }

    /// Starts a process. One that ends at a fault is followed by another.
    pub(super) async fn start(&mut self) -> Result<(), Violation> {
        loop {
            self.counts.starts += 1;
            match self.machine.open() {
                Ok(store) if !self.disk().is_off() => self.store = Some(store),
                Ok(store) => {
                    drop(store);
                    self.restart()?;
                    continue;
                }
                Err(error) if self.disk().fired().is_empty() && !self.disk().is_full() => {
                    return Err(format!("it does not open: {}", Chain(&error)));
                }
                Err(error) => {
                    self.tell(|| format!("does not open: {}", Chain(&error)));
                    self.disk().make_room();
                    self.restart()?;
                    continue;
                }
            }
            let now = self.world.now();
            return self.act(&Act::EndTurns(now)).await;
        }
    }

    /// The process is gone. Where it was the power, the machine starts again; where it was not, it may.
    pub(super) fn restart(&mut self) -> Result<(), Violation> {
        self.drop_store();
        let fired = self.disk().fired();
        for fault in &fired {
            self.tell(|| format!("{fault:?}"));
        }
        self.counts.faults += u64::try_from(fired.len()).unwrap();
        let happened = |fault| fired.iter().any(|fired| fired.fault == fault);
        if happened(Fault::PowerCut) || (!happened(Fault::Kill) && self.chance.one_in(3)) {
            return self.cut(Unsynced::Torn);
        }
        self.counts.kills += 1;
        self.tell(|| "the process starts again".to_owned());
        self.disk().respawn();
        self.look_for_canaries()
    }

    /// Cuts the power now.
    pub(super) fn cut(&mut self, unsynced: Unsynced) -> Result<(), Violation> {
        self.drop_store();
        self.tell(|| format!("power cut: {unsynced:?}"));
        self.counts.cuts += 1;
        self.disk().make_room();
        self.disk().reboot(unsynced);
        self.look_for_canaries()
    }

    fn drop_store(&mut self) {
        self.reader = None;
        if self.store.is_some() && self.is_broken() && !self.disk().is_off() {
            self.counts.broken += 1;
        }
        // A process that is gone does not tidy up.
        self.disk().stop();
        self.store = None;
        self.counts.ends += u64::from(self.machine.has_ended());
    }

    /// Ends the process as it should end.
    pub(super) async fn close(&mut self) -> Result<(), Violation> {
        self.store()?.close().await;
        self.store = None;
        self.restart()
    }

    /// Whether a sync has failed since the process began, so that it may promise nothing any more. Not
    /// of a folder: that was synced at the start, and SQLite need not do it again. Nor of what nothing is
    /// promised by: the log of erasures is written again.
    fn has_failed_to_sync(&self) -> bool {
        let is_one = |fired: &Fired| {
            let is_sync = fired.call.what == What::Sync;
            let counts = !["ballast", erasures::FILE].contains(&fired.call.name.as_str());
            is_sync && counts && matches!(fired.fault, Fault::Fails(_))
        };
        self.disk().fired().iter().any(is_one)
    }

    /// Does something, and holds the answer against what may be in the store.
    pub(super) async fn act(&mut self, act: &Act) -> Result<(), Violation> {
        self.counts.acts += 1;
        self.tell(|| brief(act));
        let is_certain = match act {
            Act::Batches(batches) => self.batches(batches).await?,
            Act::Administer(write) => self.administer(write).await?,
            Act::Erase(what, chosen) => self.erase(what, chosen).await?,
            Act::EndTurns(at) => self.end_turns(*at).await?,
            Act::Sweep(before) => self.sweep(*before).await?,
            Act::EmptyLog => {
                let given = self.store()?.give_back().await;
                self.judge(given)?;
                let emptied = self.store()?.checkpoint_truncate().await;
                self.judge(emptied)?;
                true
            }
            Act::Sign => self.sign().await?,
            Act::Fill => {
                self.fill()?;
                true
            }
            Act::Log => {
                self.judge(self.store()?.log_erasures().await)?;
                true
            }
            Act::RenewRoot => {
                self.judge(self.store()?.renew_root().await)?;
                true
            }
            Act::Read => false,
            Act::Look => {
                self.look();
                true
            }
            Act::LookAway => {
                self.reader = None;
                true
            }
        };
        if !is_certain {
            // Where no key could be had, the thread that fills the keyring finds out why.
            self.fill()?;
        }
        if !is_certain && !self.is_lost() {
            self.compare().await?;
        }
        Ok(())
    }

    /// Judges a failure: without a fault there may be none.
    pub(super) fn judge<T>(&self, result: Result<T, StoreError>) -> Result<Answer<T>, Violation> {
        match result {
            Ok(done) => Ok(Answer::Done(done)),
            Err(error @ StoreError::Corrupt { .. }) => Err(format!("damaged: {error}")),
            Err(error @ StoreError::Unavailable { .. }) => {
                if self.disk().fired().is_empty() && !self.disk().is_full() {
                    return Err(format!("it fails without a fault: {}", Chain(&error)));
                }
                Ok(Answer::Unknown)
            }
            Err(refused) => Ok(Answer::Refused(refusal(&refused))),
        }
    }

    /// Keeps the models that agree with an answer, each with what it holds now. False if they cannot
    /// know it.
    pub(super) async fn learn<T: PartialEq + Debug>(
        &mut self,
        was_lost: bool,
        answer: &Answer<T>,
        apply: impl AsyncFn(&Memory) -> Result<T, StoreError>,
    ) -> Result<bool, Violation> {
        let mut left = Vec::new();
        let mut wanted = None;
        for model in std::mem::take(&mut self.models) {
            let after = model.fork();
            match (answer, apply(&after).await) {
                (Answer::Done(found), Ok(wanted)) if *found == wanted => left.push(after),
                (Answer::Refused(found), Err(error)) if *found == refusal(&error) => {
                    left.push(model);
                }
                (Answer::Unknown, Ok(_)) if !was_lost => left.extend([model, after]),
                (Answer::Unknown, _) => left.push(model),
                (_, other) => wanted = Some(other),
            }
        }
        self.tell(|| format!("{answer:?}"));
        if left.is_empty() {
            return Err(format!("it says {answer:?} instead of {wanted:?}"));
        }
        self.models = left;
        Ok(was_lost || !matches!(answer, Answer::Unknown))
    }

    async fn administer(&mut self, write: &AdminWrite) -> Result<bool, Violation> {
        let was_lost = self.is_lost();
        let answer = self.judge(self.store()?.administer(write).await)?;
        refused_if(was_lost, &answer)?;
        self.learn(was_lost, &answer, async |model| {
            model.administer(write).await
        })
        .await
    }

    async fn end_turns(&mut self, at: Timestamp) -> Result<bool, Violation> {
        let was_lost = self.is_lost();
        let answer = self.judge(self.store()?.fail_running_turns(at).await)?;
        self.learn(was_lost, &answer, async |model| {
            model.fail_running_turns(at).await
        })
        .await
    }

    async fn sweep(&mut self, before: Timestamp) -> Result<bool, Violation> {
        let was_lost = self.is_lost();
        let sweep = async |store: &dyn Store| {
            while store.sweep(before).await? {}
            Ok(())
        };
        let answer = self.judge(sweep(self.store()?).await)?;
        self.learn(was_lost, &answer, async |model| sweep(model).await)
            .await
    }

    async fn sign(&mut self) -> Result<bool, Violation> {
        let was_lost = self.is_lost();
        let Answer::Done(head) = self.judge(self.store()?.log_head().await)? else {
            return Ok(true);
        };
        let due = self.store()?.receipts_to_sign(100).await;
        let Answer::Done(due) = self.judge(due)? else {
            return Ok(true);
        };
        if due.is_empty() {
            return Ok(true);
        }
        for due in &due {
            if let Due::Erasure(erasure) = due {
                self.is_wiped(erasure.conversation)?;
            }
        }
        let batch = notary().state(&head, self.world.now(), &due);
        let batch = batch.map_err(|error| error.to_string())?;
        let answer = self.store()?.append_to_log(batch.clone()).await;
        let answer = self.judge(answer)?;
        self.learn(was_lost, &answer, async |model| {
            model.append_to_log(batch.clone()).await
        })
        .await
    }

    /// Begins to read, and does not end.
    fn look(&mut self) {
        let look = || -> rusqlite::Result<Connection> {
            let path = self.disk().root().join(FILE);
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let db = Connection::open_with_flags_and_vfs(path, flags, NAME)?;
            db.execute_batch("BEGIN; SELECT count(*) FROM conversations")?;
            Ok(db)
        };
        // Where it cannot, the store will not be able to, either.
        self.reader = look().ok();
    }

    fn fill(&self) -> Result<(), Violation> {
        let store = self.store()?;
        if let Some(keyring) = store.vault.keyring() {
            survives(|| {
                vault::fill_some(&store.vault, keyring);
            });
        }
        Ok(())
    }

    async fn batches(&mut self, batches: &[(Principal, Batch)]) -> Result<bool, Violation> {
        let was_lost = self.is_lost();
        let told = match batches {
            [(who, batch)] => vec![self.store()?.apply(who, batch).await],
            several => together(self.store()?, several).await,
        };
        let mut is_certain = true;
        for ((who, batch), told) in batches.iter().zip(told) {
            let answer = self.judge(told)?;
            refused_if(was_lost, &answer)?;
            is_certain &= self
                .learn(was_lost, &answer, async |model| {
                    model.apply(who, batch).await
                })
                .await?;
            if let Answer::Done(outcomes) = &answer {
                self.note(batch, outcomes)?;
            }
        }
        Ok(is_certain)
    }

    /// Notes the key of what was made, and looks for the keys of what was deleted.
    fn note(&mut self, batch: &Batch, outcomes: &[Outcome]) -> Result<(), Violation> {
        for write in &batch.writes {
            if let Write::Create(new) = write
                && let Some(key) = self.store()?.references.get((PROJECT, new.id))
            {
                self.keys.insert(new.id, key);
            }
        }
        self.are_wiped(outcomes)
    }

    /// Looks for the keys of what was deleted.
    pub(super) fn are_wiped(&self, outcomes: &[Outcome]) -> Result<(), Violation> {
        for outcome in outcomes {
            if let Outcome::Deleted { conversation, .. } = outcome {
                self.is_wiped(*conversation)?;
            }
        }
        Ok(())
    }
}

/// What cannot be promised any more must not be.
pub(super) fn refused_if<T>(was_lost: bool, answer: &Answer<T>) -> Result<(), Violation> {
    match answer {
        Answer::Done(_) if was_lost => Err("it was written after a failure".to_owned()),
        Answer::Done(_) | Answer::Refused(_) | Answer::Unknown => Ok(()),
    }
}

/// Has several batches wait for the writer at the same time, so that it commits them together.
async fn together(
    store: &Sqlite,
    batches: &[(Principal, Batch)],
) -> Vec<Result<Vec<Outcome>, StoreError>> {
    for (who, batch) in batches {
        for conversation in super::super::encode::sealed_for(batch) {
            // Known before, so that no batch has to wait for a reader.
            drop(store.sealer_of(who, conversation).await);
        }
    }
    let (begun, has_begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let mut hold: Waiting<'_, ()> = Box::pin(async move {
        let work = move |_: &Connection| {
            begun.send(()).ok();
            released.recv().ok();
            Ok(())
        };
        store.writer()?.outside("being held", work).await
    });
    // Unless it is refused, the writer comes to it, or ends.
    if poll_fn(|context| Poll::Ready(hold.as_mut().poll(context).is_pending())).await {
        has_begun.recv().ok();
    }
    let mut release = Some(release);
    let mut all: Vec<(Waiting<'_, Vec<Outcome>>, Option<_>)> = Vec::new();
    for (who, batch) in batches {
        all.push((Box::pin(store.apply(who, batch)), None));
    }
    poll_fn(|context| {
        for (one, told) in all.iter_mut().filter(|(_, told)| told.is_none()) {
            if let Poll::Ready(answer) = one.as_mut().poll(context) {
                *told = Some(answer);
            }
        }
        // All of them are in the queue now.
        release.take();
        match all.iter().all(|(_, told)| told.is_some()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    all.into_iter().filter_map(|(_, told)| told).collect()
}

type Waiting<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + 'a>>;

/// An act in short: texts are long.
fn brief(act: &Act) -> String {
    let mut text = format!("{act:?}");
    while let Some(at) = text.find("xxxx") {
        let end = text[at..].find(|letter| letter != 'x').unwrap_or(0);
        text.replace_range(at..at + end.max(4), "");
    }
    text
}
