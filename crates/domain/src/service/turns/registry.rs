//! The turns that are running in this process, and how to stop them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use tokio_util::sync::CancellationToken;

use super::log::{Log, Reader, Teller};
use crate::ids::{AppId, Id, Ref, TurnId};
use crate::model::Principal;
use crate::sync::Mutex;

/// The turns that are running in this process.
#[derive(Default)]
pub(in crate::service) struct Registry {
    running: Mutex<BTreeMap<TurnId, Running>>,
}

/// Whose turn it is, and how to stop it.
struct Running {
    owner: Principal,
    app: AppId,
    token: CancellationToken,
    log: Arc<Log>,
}

impl Running {
    /// Whether `who` may stop it: the same rule that says who sees a conversation.
    fn belongs_to(&self, who: &Principal) -> bool {
        self.owner.project == who.project
            && self.owner.user == who.user
            && who.app.is_none_or(|app| app == self.app)
    }
}

impl Registry {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<TurnId, Running>) -> T) -> T {
        work(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn enter(
        &self,
        turn: TurnId,
        owner: Principal,
        app: AppId,
    ) -> (CancellationToken, Teller) {
        let (token, (log, teller)) = (CancellationToken::new(), Log::new());
        let entry = Running {
            owner,
            app,
            token: token.clone(),
            log,
        };
        self.with(|running| running.insert(turn, entry));
        (token, teller)
    }

    /// Its id was taken, and it has another now.
    pub(super) fn rename(&self, turn: TurnId, now: TurnId) {
        if turn != now {
            self.with(|running| {
                if let Some(entry) = running.remove(&turn) {
                    running.insert(now, entry);
                }
            });
        }
    }

    pub(super) fn leave(&self, turn: TurnId) {
        self.with(|running| running.remove(&turn));
    }

    /// Stops a turn whose conversation is deleted, if it runs here: nothing of it is told any more.
    pub(in crate::service) fn forget(&self, turn: TurnId) {
        self.with(|running| {
            if let Some(turn) = running.get(&turn) {
                turn.log.forget();
                turn.token.cancel();
            }
        });
    }

    /// Stops the turn of this name that is the principal's.
    pub(super) fn stop(&self, who: &Principal, turn: Ref<TurnId>) {
        let named = TurnId::from_bits(turn.low())..=TurnId::from_bits(turn.high());
        self.with(|running| {
            for (_, turn) in running.range(named) {
                if turn.belongs_to(who) {
                    turn.token.cancel();
                }
            }
        });
    }

    /// A reader of a turn that runs here and is the principal's.
    pub(super) fn reader(&self, who: &Principal, turn: TurnId) -> Option<Reader> {
        self.with(|running| {
            let found = running.get(&turn)?;
            found.belongs_to(who).then(|| found.log.reader())
        })
    }

    /// How many there are.
    #[cfg(feature = "models")]
    pub(super) fn len(&self) -> usize {
        self.with(|running| running.len())
    }
}
