//! Erasing many conversations: what an operator orders, and what a project's retention does by itself.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::conversations::Deleted;
use super::{ATTEMPTS_MAX, Service, fault};
use crate::clock::Timestamp;
use crate::erasing::{Erasable, ErasePlace, EraseQuery};
use crate::fault::{Conflict, Error, Fault};
use crate::ids::{ConversationId, ConversationRef, KeyId};
use crate::model::{HoldScope, ProjectId, User};
use crate::store::{AdminWrite, Left, Outcome, StoreError};

/// Conversations that one transaction erases: few enough that other writers wait for a few milliseconds
/// at most.
const ERASED_AT_ONCE: usize = 32;
/// What is left to others between two transactions: as long as the last one took, within these bounds.
/// Where the disk is slow, or busy with others, less is asked of it.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// Conversations that are looked for at once.
const FOUND_AT_ONCE: u32 = 1_000;

/// What is to be erased.
#[derive(Clone, Debug)]
pub struct EraseOrder {
    /// The tenant.
    pub project: ProjectId,
    /// Whose; whoever's, if none.
    pub user: Option<User>,
    /// Only what has not changed for so long. With a user and without this, whatever else is the user's
    /// is erased as well: keys that speak for the user are revoked, and forget the name.
    pub unchanged_for: Option<Duration>,
}

/// What was erased so far, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Conversations.
    pub conversations: u64,
    /// Keys that were revoked.
    pub keys: u64,
    /// Conversations that a hold covers: they are left.
    pub held_conversations: u64,
    /// Keys that a hold covers: they are left.
    pub held_keys: u64,
}

impl Tally {
    /// Whether a hold has kept anything.
    pub const fn is_held(&self) -> bool {
        self.held_conversations > 0 || self.held_keys > 0
    }
}

/// An erasure of many. It goes on as often as it is asked to, and holds nothing in between, so that whatever
/// stops it leaves nothing half done: the same order goes on where it was.
pub struct Erasure {
    service: Service,
    what: EraseQuery,
    step: Step,
    /// What was found and is next.
    found: VecDeque<ConversationId>,
    /// How long the last transaction took, until its keys were destroyed.
    took: Duration,
    tally: Tally,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The keys.
    Keys,
    /// The conversations after this place. `any` tells whether any was erased since the last beginning.
    Conversations {
        after: Option<ErasePlace>,
        any: bool,
    },
    Done,
}

impl Service {
    /// Begins to erase.
    pub fn erase(&self, order: &EraseOrder) -> Erasure {
        let what = self.query(order);
        Erasure {
            service: self.clone(),
            step: match (&what.user, what.unchanged_since) {
                (Some(_), None) => Step::Keys,
                (Some(_), Some(_)) | (None, _) => Step::start(),
            },
            what,
            found: VecDeque::new(),
            took: Duration::ZERO,
            tally: Tally::default(),
        }
    }

    /// What an order would erase now.
    pub async fn count_erasable(&self, order: &EraseOrder) -> Result<Tally, Error> {
        let what = self.query(order);
        let mut tally = Tally::default();
        let mut after = None;
        loop {
            let page = self.store().erasable(&what, after, FOUND_AT_ONCE).await;
            let page = page.map_err(fault)?;
            for one in &page {
                tally.count(one.is_held);
            }
            let Some(last) = page.last() else {
                break;
            };
            after = Some(last.place);
        }
        if let (Some(user), None) = (&what.user, what.unchanged_since) {
            let keys = self.keys_of(what.project, user).await?;
            let keys = u64::try_from(keys.len()).unwrap_or(u64::MAX);
            if self.holds_user(what.project, user).await? {
                tally.held_keys = keys;
            } else {
                tally.keys = keys;
            }
        }
        Ok(tally)
    }

    /// The living conversation of the project that is meant, whoever's it is; none if there is none.
    pub async fn located(
        &self,
        project: ProjectId,
        of: ConversationRef,
    ) -> Result<Option<Erasable>, Error> {
        self.store().located(project, of).await.map_err(fault)
    }

    fn query(&self, order: &EraseOrder) -> EraseQuery {
        EraseQuery {
            project: order.project,
            user: order.user.clone(),
            unchanged_since: order.unchanged_for.map(|age| self.now().earlier(age)),
        }
    }

    /// Whether a hold covers all that is a user's.
    async fn holds_user(&self, project: ProjectId, user: &User) -> Result<bool, Error> {
        let holds = self.holds(project).await?;
        Ok(holds.iter().any(|hold| match &hold.covers {
            Some(HoldScope::User(own)) => own == user,
            Some(HoldScope::Project) => true,
            Some(HoldScope::Conversation(_)) | None => false,
        }))
    }

    /// The keys that speak for a user.
    async fn keys_of(&self, project: ProjectId, user: &User) -> Result<Vec<KeyId>, Error> {
        let keys = self.keys(project).await?.into_iter();
        let own = keys.filter(|key| key.user.as_ref() == Some(user));
        Ok(own.map(|key| key.id).collect())
    }
}

impl Tally {
    const fn count(&mut self, is_held: bool) {
        if is_held {
            self.held_conversations += 1;
        } else {
            self.conversations += 1;
        }
    }
}

impl Step {
    const fn start() -> Self {
        Self::Conversations {
            after: None,
            any: false,
        }
    }
}

impl Erasure {
    /// What was erased so far.
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Erases some more, and tells what; none when nothing is left. What is made meanwhile is erased as
    /// well. [`Fault::Cancelled`] if the server is asked to stop before all is done.
    pub async fn next(&mut self) -> Result<Option<Vec<Deleted>>, Error> {
        loop {
            let pause = self.took.clamp(PAUSE_MIN, PAUSE_MAX);
            if !self.service.tasks().pause(pause).await {
                return Err(Fault::Cancelled.into());
            }
            match self.step {
                Step::Keys => {
                    self.erase_keys().await?;
                    self.step = Step::start();
                }
                Step::Conversations { after, any } if self.found.is_empty() => {
                    self.find_some(after, any).await?;
                }
                Step::Conversations { after, .. } => {
                    let erased = self.erase_some().await?;
                    if !erased.is_empty() {
                        self.step = Step::Conversations { after, any: true };
                        return Ok(Some(erased));
                    }
                }
                Step::Done => return Ok(None),
            }
        }
    }

    /// Erases all of it.
    pub async fn finish(mut self) -> Result<Tally, Error> {
        while self.next().await?.is_some() {}
        Ok(self.tally)
    }

    async fn erase_keys(&mut self) -> Result<(), Error> {
        let Some(user) = self.what.user.clone() else {
            return Ok(());
        };
        let project = self.what.project;
        self.service.inner.turns.forget_unstored(project, &user);
        for key in self.service.keys_of(project, &user).await? {
            let write = AdminWrite::RetireKey {
                project,
                key,
                user: user.clone(),
                at: self.service.now(),
            };
            match self.service.store().administer(&write).await {
                Ok(()) => self.tally.keys += 1,
                Err(StoreError::Held) => self.tally.held_keys += 1,
                Err(error) => return Err(fault(error)),
            }
            self.service.inner.access.forget(key);
        }
        Ok(())
    }

    /// Finds what is next, if there is more.
    async fn find_some(&mut self, after: Option<ErasePlace>, any: bool) -> Result<(), Error> {
        if after.is_none() {
            self.tally.held_conversations = 0;
        }
        let store = self.service.store();
        let page = store.erasable(&self.what, after, FOUND_AT_ONCE).await;
        let page = page.map_err(fault)?;
        self.step = match page.last() {
            Some(last) => Step::Conversations {
                after: Some(last.place),
                any,
            },
            // Once more from the beginning, until there is nothing but what is held: some may have been
            // made since, or have come to lie before this place when a clock was set back.
            None if any => Step::start(),
            None => Step::Done,
        };
        for one in page {
            if one.is_held {
                self.tally.held_conversations += 1;
            } else {
                self.found.push_back(one.place.id);
            }
        }
        Ok(())
    }

    /// Erases the next few that were found.
    async fn erase_some(&mut self) -> Result<Vec<Deleted>, Error> {
        let few = self.found.len().min(ERASED_AT_ONCE);
        let few = self.found.drain(..few).collect();
        let began = Instant::now();
        let outcomes = self.service.erase_these(&self.what, few).await?;
        self.took = began.elapsed();
        let mut erased = Vec::new();
        for outcome in outcomes {
            match outcome {
                Ok(deleted) => {
                    self.tally.conversations += 1;
                    erased.push(deleted);
                }
                Err(Held) => self.tally.held_conversations += 1,
            }
        }
        Ok(erased)
    }
}

/// A hold has come to cover it.
struct Held;

impl Service {
    /// Erases these, whoever asks for it staying or not. Those that are gone already are left out.
    async fn erase_these(
        &self,
        what: &EraseQuery,
        which: Vec<ConversationId>,
    ) -> Result<Vec<Result<Deleted, Held>>, Error> {
        let (service, what) = (self.clone(), what.clone());
        self.see_through(async move {
            let at = service.now();
            let outcomes = service.erase_with_receipts(&what, &which, at).await?;
            let mut told = Vec::with_capacity(outcomes.len());
            for outcome in &outcomes {
                match outcome {
                    Outcome::Left(Left::NotThere) => {}
                    Outcome::Left(Left::Held) => told.push(Err(Held)),
                    Outcome::Deleted { .. } | Outcome::Done | Outcome::Added { .. } => {
                        told.push(Ok(service.deleted(outcome, at)?));
                    }
                }
            }
            Ok(told)
        })
        .await
    }

    async fn erase_with_receipts(
        &self,
        what: &EraseQuery,
        which: &[ConversationId],
        at: Timestamp,
    ) -> Result<Vec<Outcome>, Error> {
        for _ in 0..ATTEMPTS_MAX {
            let receipts = which.iter().map(|id| (*id, self.new_id()));
            let receipts: Vec<_> = receipts.collect();
            match self.store().erase_some(what, &receipts, at).await {
                Ok(outcomes) => return Ok(outcomes),
                Err(StoreError::IdClash) => {}
                Err(error) => return Err(fault(error)),
            }
        }
        Err(Fault::Conflict(Conflict::Contended).into())
    }
}
