//! Legal holds: added, listed, removed, each with an event in the log of receipts.

use super::{Service, fault};
use crate::fault::Error;
use crate::ids::{ConversationRef, HoldId, Id};
use crate::model::{Hold, HoldEntry, HoldScope, ProjectId, User};
use crate::receipt_log::{Covered, Event, Happening};
use crate::secret::Secret;
use crate::store::{AdminWrite, StoreError};

/// What an operator wants to be kept.
#[derive(Clone, Debug)]
pub enum HoldTarget {
    /// One conversation, whoever's it is.
    Conversation(ConversationRef),
    /// All that is a user's.
    User(User),
    /// The whole project.
    Project,
}

/// A hold that was added.
#[derive(Clone, Debug)]
pub struct AddedHold {
    /// Its id.
    pub id: HoldId,
    /// The salt with which the log of receipts names what it covers; none for a whole project.
    pub salt: Option<Secret>,
}

impl Service {
    /// Adds a hold. From then on what it covers is not deleted. None if there is no such conversation.
    pub async fn add_hold(
        &self,
        project: ProjectId,
        target: HoldTarget,
        note: Option<Secret>,
    ) -> Result<Option<AddedHold>, Error> {
        let id: HoldId = self.new_id();
        let covers = match target {
            HoldTarget::Conversation(of) => {
                let found = self.store().located(project, of).await.map_err(fault)?;
                let Some(found) = found else {
                    return Ok(None);
                };
                HoldScope::Conversation(found.place.id)
            }
            HoldTarget::User(user) => HoldScope::User(user),
            HoldTarget::Project => HoldScope::Project,
        };
        let covered = self.covered(id, &covers);
        let salt = match covered {
            Covered::Conversation(_) | Covered::User(_) => {
                Some(self.inner.ports.notary.hold_salt(id))
            }
            Covered::Project => None,
        };
        let event = self.event(Happening::HoldAdded {
            hold: id,
            project,
            covers: covered,
        });
        let hold = Hold {
            id,
            project,
            covers,
            note,
            added_at: event.at,
        };
        let write = AdminWrite::AddHold { hold, event };
        match self.store().administer(&write).await {
            Ok(()) => Ok(Some(AddedHold { id, salt })),
            Err(StoreError::NoConversation) => Ok(None),
            Err(error) => Err(fault(error)),
        }
    }

    /// Removes a hold. False if the project has none of that id.
    pub async fn remove_hold(&self, project: ProjectId, hold: HoldId) -> Result<bool, Error> {
        let event = self.event(Happening::HoldRemoved { hold, project });
        let write = AdminWrite::RemoveHold {
            project,
            hold,
            event,
        };
        match self.store().administer(&write).await {
            Ok(()) => Ok(true),
            Err(StoreError::NoHold) => Ok(false),
            Err(error) => Err(fault(error)),
        }
    }

    /// All holds of a project, oldest first.
    pub async fn holds(&self, project: ProjectId) -> Result<Vec<HoldEntry>, Error> {
        self.store().holds(project).await.map_err(fault)
    }

    /// What the log of receipts calls what a hold covers.
    fn covered(&self, hold: HoldId, covers: &HoldScope) -> Covered {
        let notary = &self.inner.ports.notary;
        match covers {
            HoldScope::Conversation(id) => {
                Covered::Conversation(notary.hold_subject(hold, &id.bits().to_be_bytes()))
            }
            HoldScope::User(user) => {
                Covered::User(notary.hold_subject(hold, user.expose().as_bytes()))
            }
            HoldScope::Project => Covered::Project,
        }
    }

    fn event(&self, what: Happening) -> Event {
        Event {
            id: self.new_id(),
            at: self.now(),
            what,
        }
    }
}
