//! Which key belongs to which conversation, as far as it was needed lately.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use parlance_domain::ConversationId;

use crate::keyring::KeyRef;

/// Which key each of the latest conversations has, so that a write need not read it first. A hint:
/// whether the conversation is there and whose it is, the write finds out.
#[derive(Default)]
pub(super) struct References {
    known: Mutex<BTreeMap<ConversationId, KeyRef>>,
}

/// Most conversations whose keys' names are remembered; past it, all are forgotten at once.
const REFERENCES_MAX: usize = 65_536;

impl References {
    pub(super) fn get(&self, conversation: ConversationId) -> Option<KeyRef> {
        self.lock().get(&conversation).copied()
    }

    pub(super) fn put(&self, conversation: ConversationId, key: KeyRef) {
        let mut known = self.lock();
        if known.len() >= REFERENCES_MAX {
            known.clear();
        }
        known.insert(conversation, key);
    }

    pub(super) fn forget(&self, conversation: ConversationId) {
        self.lock().remove(&conversation);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ConversationId, KeyRef>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
