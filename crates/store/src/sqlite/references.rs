//! Which key belongs to which conversation, as far as it was needed lately.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use parlance_domain::ConversationId;
use parlance_domain::model::ProjectId;

use crate::keyring::KeyRef;

/// Which key each of the latest conversations has, so that a write need not read it first. A hint:
/// whether the conversation is there and whose it is, the write finds out. Ids are a project's own, so
/// that the project is part of the name.
#[derive(Default)]
pub(super) struct References {
    known: Mutex<BTreeMap<Name, KeyRef>>,
}

/// A conversation's name among all projects'.
type Name = (ProjectId, ConversationId);

/// Most conversations whose keys' names are remembered; past it, all are forgotten at once.
const REFERENCES_MAX: usize = 65_536;

impl References {
    pub(super) fn get(&self, conversation: Name) -> Option<KeyRef> {
        self.lock().get(&conversation).copied()
    }

    pub(super) fn put(&self, conversation: Name, key: KeyRef) {
        let mut known = self.lock();
        if known.len() >= REFERENCES_MAX {
            known.clear();
        }
        known.insert(conversation, key);
    }

    pub(super) fn forget(&self, conversation: Name) {
        self.lock().remove(&conversation);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, KeyRef>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
