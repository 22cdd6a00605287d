//! What operators erase, and what they keep from being erased.

use async_trait::async_trait;
use parlance_domain::erasing::{Erasable, ErasePlace, EraseQuery, Erasing};
use parlance_domain::model::{HoldEntry, HoldScope, Principal, ProjectId, User};
use parlance_domain::store::{Left, Outcome, StoreError};
use parlance_domain::{ConversationId, ConversationRef, ReceiptId, Timestamp};

use super::{Living, Memory, State, apply};

impl State {
    /// Whether a hold covers a conversation, or without one, all that is a user's.
    pub(super) fn holds(
        &self,
        project: ProjectId,
        conversation: Option<ConversationId>,
        owner: Option<&User>,
    ) -> bool {
        let own = self.holds.values().filter(|hold| hold.project == project);
        own.into_iter().any(|hold| match &hold.covers {
            HoldScope::Conversation(id) => Some(*id) == conversation,
            HoldScope::User(user) => Some(user) == owner,
            HoldScope::Project => true,
        })
    }
}

/// Whether a living conversation is to be erased.
fn is_meant(what: &EraseQuery, living: &Living) -> bool {
    let whose = what.user.is_none() || what.user == living.owner.user;
    let since = what.unchanged_since;
    whose && since.is_none_or(|since| living.conversation.updated_at < since)
}

#[async_trait]
impl Erasing for Memory {
    async fn located(
        &self,
        project: ProjectId,
        of: ConversationRef,
    ) -> Result<Option<Erasable>, StoreError> {
        let state = self.state();
        let mut living = state.living.iter();
        let found = living.find(|((own, id), _)| *own == project && of.names(*id));
        Ok(found.map(|((_, id), living)| Erasable {
            place: ErasePlace {
                app: None,
                updated_at: living.conversation.updated_at,
                id: *id,
            },
            is_held: state.holds(project, Some(*id), living.owner.user.as_ref()),
        }))
    }

    async fn erasable(
        &self,
        what: &EraseQuery,
        after: Option<ErasePlace>,
        count_max: u32,
    ) -> Result<Vec<Erasable>, StoreError> {
        let state = self.state();
        let own = state
            .living
            .iter()
            .filter(|((project, _), living)| *project == what.project && is_meant(what, living));
        let mut all: Vec<Erasable> = own
            .map(|((project, id), living)| Erasable {
                place: ErasePlace {
                    app: what.user.as_ref().map(|_| living.conversation.app),
                    updated_at: living.conversation.updated_at,
                    id: *id,
                },
                is_held: state.holds(*project, Some(*id), living.owner.user.as_ref()),
            })
            .filter(|one| after.is_none_or(|after| one.place > after))
            .collect();
        all.sort_by_key(|one| one.place);
        all.truncate(usize::try_from(count_max).unwrap_or(usize::MAX));
        Ok(all)
    }

    async fn erase_some(
        &self,
        what: &EraseQuery,
        which: &[(ConversationId, ReceiptId)],
        at: Timestamp,
    ) -> Result<Vec<Outcome>, StoreError> {
        let mut state = self.state();
        let mut changed = state.clone();
        let mut outcomes = Vec::new();
        for (id, receipt) in which {
            outcomes.push(erase(&mut changed, what, *id, *receipt, at)?);
        }
        *state = changed;
        Ok(outcomes)
    }

    async fn holds(&self, project: ProjectId) -> Result<Vec<HoldEntry>, StoreError> {
        let state = self.state();
        let own = state.holds.values().filter(|hold| hold.project == project);
        let entry = |hold: &parlance_domain::Hold| HoldEntry {
            id: hold.id,
            covers: Some(hold.covers.clone()),
            note: hold.note.clone(),
            added_at: hold.added_at,
        };
        Ok(own.map(entry).collect())
    }
}

fn erase(
    state: &mut State,
    what: &EraseQuery,
    id: ConversationId,
    receipt: ReceiptId,
    at: Timestamp,
) -> Result<Outcome, StoreError> {
    let found = state.living.get(&(what.project, id));
    let Some(living) = found.filter(|living| is_meant(what, living)) else {
        return Ok(Outcome::Left(Left::NotThere));
    };
    let who = Principal {
        project: what.project,
        user: living.owner.user.clone(),
        app: None,
        realm: living.owner.realm,
    };
    match apply::delete(state, &who, id.into(), (receipt, at, at)) {
        Err(StoreError::Held) => Ok(Outcome::Left(Left::Held)),
        done => done,
    }
}
