//! Operators: many conversations at once, holds, and the users of keys.

use parlance_domain::erasing::{EraseQuery, Erasing};
use parlance_domain::ids::{ConversationId, HoldId, ReceiptId};
use parlance_domain::model::{Hold, HoldScope};
use parlance_domain::secret::Secret;
use parlance_domain::store::AdminWrite;
use parlance_testkit::samples::{self, PROJECT};

use super::client::{Act, CANARY, World};
use super::run::{Answer, Run, Violation, refused_if};

/// Conversations and the receipts that they are to have.
pub(super) type Chosen = Vec<(ConversationId, ReceiptId)>;

impl World {
    /// Some of the latest conversations, of everybody or of one user.
    pub(super) fn erasure(&mut self) -> Act {
        let user = self.principals()[0].user.clone();
        let what = EraseQuery {
            project: PROJECT,
            user: user.filter(|_| self.chance.one_in(2)),
            unchanged_since: None,
        };
        let count = self.chance.index(4);
        let some = self.conversations().map(|(id, _)| id);
        let some: Vec<ConversationId> = some.collect();
        let latest = some.iter().rev().take(count);
        let chosen = latest.map(|id| (*id, self.ids.next())).collect();
        Act::Erase(what, chosen)
    }

    /// A hold begins or ends.
    pub(super) fn holding(&mut self) -> AdminWrite {
        let at = self.now();
        let event = samples::happening(&self.ids, at);
        // Most are removed soon, so that something can be deleted.
        if self.chance.index(3) < self.holds.len() {
            let at = self.chance.index(self.holds.len());
            let hold = self.holds.swap_remove(at);
            let project = PROJECT;
            return AdminWrite::RemoveHold {
                project,
                hold,
                event,
            };
        }
        let id: HoldId = self.ids.next();
        self.holds.push(id);
        let user = self.principals()[0].user.clone();
        let last = self.conversations().last().map(|(id, _)| id);
        let covers = match (self.chance.index(3), user, last) {
            (0, Some(user), _) => HoldScope::User(user),
            (1, _, Some(last)) => HoldScope::Conversation(last),
            _ => HoldScope::Project,
        };
        let hold = Hold {
            id,
            project: PROJECT,
            covers,
            note: Some(Secret::new(format!("{CANARY} of a note"))),
            added_at: at,
        };
        AdminWrite::AddHold { hold, event }
    }
}

impl Run {
    pub(super) async fn erase(
        &mut self,
        what: &EraseQuery,
        chosen: &Chosen,
    ) -> Result<bool, Violation> {
        let was_lost = self.is_lost();
        let at = self.world.now();
        let erased = self.store()?.erase_some(what, chosen, at).await;
        let answer = self.judge(erased)?;
        refused_if(was_lost, &answer)?;
        if let Answer::Done(outcomes) = &answer {
            self.are_wiped(outcomes)?;
        }
        self.learn(was_lost, &answer, async |model| {
            model.erase_some(what, chosen, at).await
        })
        .await
    }
}
