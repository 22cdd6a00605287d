//! The turns that are running in this process, and how to stop them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use tokio_util::sync::CancellationToken;

use super::log::{Log, Reader, Teller};
use crate::ids::{AppId, ConversationId, Id, Ref, TurnId};
use crate::model::{Principal, ProjectId, User};
use crate::sync::Mutex;

/// The turns that are running in this process.
#[derive(Default)]
pub(in crate::service) struct Registry {
    running: Mutex<Turns>,
}

#[derive(Default)]
struct Turns {
    by_id: BTreeMap<TurnId, Running>,
    /// By the conversations that they read and are not stored in.
    readers: BTreeSet<(ConversationId, TurnId)>,
}

/// Whose turn it is, and how to stop it.
struct Running {
    owner: Principal,
    app: AppId,
    token: CancellationToken,
    log: Arc<Log>,
    /// The conversations that it reads and is not stored in.
    reads: Vec<ConversationId>,
    /// Whether it is stored, somewhere else.
    is_stored: bool,
}

impl Running {
    /// Stops it, and nothing of it is told any more.
    fn forget(&self) {
        self.log.forget();
        self.token.cancel();
    }

    /// What it reads is deleted. Nothing of that is sent any more; what it has said until then is its own,
    /// unless it is kept nowhere.
    fn lose_source(&self) {
        if self.is_stored {
            self.token.cancel();
        } else {
            self.forget();
        }
    }

    /// Whether `who` may stop it: the same rule that says who sees a conversation.
    fn belongs_to(&self, who: &Principal) -> bool {
        self.owner.project == who.project
            && self.owner.user == who.user
            && who.app.is_none_or(|app| app == self.app)
    }
}

impl Registry {
    fn with<T>(&self, work: impl FnOnce(&mut Turns) -> T) -> T {
        work(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn enter(
        &self,
        turn: TurnId,
        owner: Principal,
        app: AppId,
        reads: Vec<ConversationId>,
        is_stored: bool,
    ) -> (CancellationToken, Teller) {
        let (token, (log, teller)) = (CancellationToken::new(), Log::new());
        let entry = Running {
            owner,
            app,
            token: token.clone(),
            log,
            reads,
            is_stored,
        };
        self.with(|turns| {
            let reads = entry.reads.iter().map(|of| (*of, turn));
            turns.readers.extend(reads);
            turns.by_id.insert(turn, entry);
        });
        (token, teller)
    }

    /// Its id was taken, and it has another now.
    pub(super) fn rename(&self, turn: TurnId, now: TurnId) {
        if turn != now {
            self.with(|turns| {
                if let Some(entry) = turns.by_id.remove(&turn) {
                    for of in &entry.reads {
                        turns.readers.remove(&(*of, turn));
                        turns.readers.insert((*of, now));
                    }
                    turns.by_id.insert(now, entry);
                }
            });
        }
    }

    pub(super) fn leave(&self, turn: TurnId) {
        self.with(|turns| {
            let entry = turns.by_id.remove(&turn);
            for of in entry.into_iter().flat_map(|entry| entry.reads) {
                turns.readers.remove(&(of, turn));
            }
        });
    }

    /// Stops a turn whose conversation is deleted, if it runs here: nothing of it is told any more.
    pub(in crate::service) fn forget(&self, turn: TurnId) {
        self.with(|turns| {
            if let Some(turn) = turns.by_id.get(&turn) {
                turn.forget();
            }
        });
    }

    /// Stops all turns that read a conversation which is deleted, and are not stored in it.
    pub(in crate::service) fn forget_readers(&self, of: ConversationId) {
        let every = (of, TurnId::from_bits(0))..=(of, TurnId::from_bits(u128::MAX));
        self.with(|turns| {
            for (_, turn) in turns.readers.range(every) {
                if let Some(turn) = turns.by_id.get(turn) {
                    turn.lose_source();
                }
            }
        });
    }

    /// Stops all turns of a user that are stored nowhere: those that are end with where they are.
    pub(in crate::service) fn forget_unstored(&self, project: ProjectId, user: &User) {
        self.with(|turns| {
            for turn in turns.by_id.values() {
                let is_theirs =
                    turn.owner.project == project && turn.owner.user.as_ref() == Some(user);
                if is_theirs && !turn.is_stored {
                    turn.forget();
                }
            }
        });
    }

    /// Stops the turn of this name that is the principal's.
    pub(super) fn stop(&self, who: &Principal, turn: Ref<TurnId>) {
        let named = TurnId::from_bits(turn.low())..=TurnId::from_bits(turn.high());
        self.with(|turns| {
            for (_, turn) in turns.by_id.range(named) {
                if turn.belongs_to(who) {
                    turn.token.cancel();
                }
            }
        });
    }

    /// A reader of a turn that runs here and is the principal's.
    pub(super) fn reader(&self, who: &Principal, turn: TurnId) -> Option<Reader> {
        self.with(|turns| {
            let found = turns.by_id.get(&turn)?;
            found.belongs_to(who).then(|| found.log.reader())
        })
    }

    /// How many there are.
    #[cfg(feature = "models")]
    pub(super) fn len(&self) -> usize {
        self.with(|turns| turns.by_id.len())
    }
}
