//! The model that real stores are compared with. It keeps everything in maps under one lock and reads
//! by looking at all of it, so that there is little to get wrong. For tests only.

mod apply;
mod holds;
mod list;
mod receipts;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use parlance_domain::clock::Timestamp;
use parlance_domain::ids::{
    AppId, ConversationId, ConversationRef, HoldId, ItemId, KeyId, ReceiptId, Ref, TurnId,
};
use parlance_domain::model::{
    App, Conversation, ConversationQuery, Due, Hold, Item, ItemQuery, ItemRef, KeyDigest,
    KeyRecord, Page, Principal, Project, ProjectId, Realm, ReceiptEntry, ReceiptRecord, Turn,
    TurnFailure, TurnQuery, TurnState, User,
};
use parlance_domain::receipt_log::Event;
use parlance_domain::store::{AdminWrite, Batch, Outcome, RootRenewal, Store, StoreError};

use receipts::{Log, Receipt};

/// A store in memory.
#[derive(Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    projects: BTreeMap<ProjectId, Project>,
    apps: BTreeMap<(ProjectId, AppId), App>,
    keys: BTreeMap<(ProjectId, KeyId), (KeyDigest, KeyRecord)>,
    living: BTreeMap<(ProjectId, ConversationId), Living>,
    deleted: BTreeMap<(ProjectId, ConversationId), Tombstone>,
    holds: BTreeMap<(ProjectId, HoldId), Hold>,
    receipts: BTreeMap<(ProjectId, ReceiptId), Receipt>,
    /// What waits to be stated, in the order in which it was recorded.
    events: Vec<Event>,
    log: Log,
}

/// Whose a conversation is, and for what.
#[derive(Clone, PartialEq, Eq)]
struct Owner {
    user: Option<User>,
    realm: Realm,
}

impl Owner {
    fn of(who: &Principal) -> Self {
        Self {
            user: who.user.clone(),
            realm: who.realm,
        }
    }
}

/// A conversation with all that is in it.
#[derive(Clone)]
struct Living {
    owner: Owner,
    conversation: Conversation,
    last_item: Option<ItemId>,
    items: BTreeMap<u64, Item>,
    turns: BTreeMap<TurnId, Turn>,
}

/// What is remembered of a deleted conversation.
#[derive(Clone)]
struct Tombstone {
    owner: Owner,
    app: AppId,
    updated_at: Timestamp,
    deleted_at: Timestamp,
    receipt: ReceiptId,
}

impl State {
    /// The conversation that the principal means.
    fn find(&self, who: &Principal, of: ConversationRef) -> Option<&Living> {
        self.living
            .iter()
            .filter(|((project, id), _)| *project == who.project && of.names(*id))
            .map(|(_, living)| living)
            .find(|living| sees(who, &living.owner, living.conversation.app))
    }

    fn needed(&self, who: &Principal, of: ConversationRef) -> Result<&Living, StoreError> {
        self.find(who, of).ok_or(StoreError::NoConversation)
    }
}

/// Whether the principal sees what belongs to `owner` and was made with `app`.
fn sees(who: &Principal, owner: &Owner, app: AppId) -> bool {
    Owner::of(who) == *owner && who.app.is_none_or(|own| own == app)
}

impl Memory {
    /// A second store that is the same so far.
    #[cfg(test)]
    pub(crate) fn fork(&self) -> Self {
        let state = self.state().clone();
        Self {
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for Memory {
    async fn conversation(
        &self,
        who: &Principal,
        id: ConversationRef,
    ) -> Result<Option<Conversation>, StoreError> {
        let state = self.state();
        Ok(state
            .find(who, id)
            .map(|living| living.conversation.clone()))
    }

    async fn conversations(
        &self,
        who: &Principal,
        query: &ConversationQuery,
    ) -> Result<Page<Conversation>, StoreError> {
        list::conversations(&self.state(), who, query)
    }

    async fn items(
        &self,
        who: &Principal,
        of: ConversationRef,
        query: &ItemQuery,
    ) -> Result<Page<Item>, StoreError> {
        Ok(list::items(self.state().needed(who, of)?, query))
    }

    async fn item(
        &self,
        who: &Principal,
        of: ConversationRef,
        item: &ItemRef,
    ) -> Result<Item, StoreError> {
        let state = self.state();
        let mut items = state.needed(who, of)?.items.values();
        let found = items.find(|candidate| item.names(candidate));
        found.cloned().ok_or(StoreError::NoItem)
    }

    async fn turns(
        &self,
        who: &Principal,
        of: ConversationRef,
        turns: &[TurnId],
    ) -> Result<Vec<Turn>, StoreError> {
        let state = self.state();
        let own = state.needed(who, of)?.turns.values();
        Ok(own
            .filter(|turn| turns.contains(&turn.id))
            .cloned()
            .collect())
    }

    async fn turn(&self, who: &Principal, turn: Ref<TurnId>) -> Result<Option<Turn>, StoreError> {
        let all = list::turns(&self.state(), who);
        Ok(all.into_iter().find(|own| turn.names(own.id)))
    }

    async fn turn_page(
        &self,
        who: &Principal,
        query: &TurnQuery,
    ) -> Result<Page<Turn>, StoreError> {
        list::turn_page(&self.state(), who, query)
    }

    async fn apply(&self, who: &Principal, batch: &Batch) -> Result<Vec<Outcome>, StoreError> {
        let mut state = self.state();
        let mut changed = state.clone();
        let outcomes = apply::apply(&mut changed, who, batch)?;
        *state = changed;
        Ok(outcomes)
    }

    async fn erase(
        &self,
        project: ProjectId,
        of: ConversationRef,
        receipt: ReceiptId,
        at: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let mut state = self.state();
        let mut found = state.living.iter();
        let found = found.find(|((own, id), _)| *own == project && of.names(*id));
        let (_, living) = found.ok_or(StoreError::NoConversation)?;
        let who = Principal {
            project,
            user: living.owner.user.clone(),
            app: None,
            realm: living.owner.realm,
        };
        apply::delete(&mut state, &who, of, (receipt, at, at))
    }

    async fn key(&self, digest: &KeyDigest) -> Result<Option<KeyRecord>, StoreError> {
        let state = self.state();
        let mut keys = state.keys.values();
        let found = keys.find(|(own, _)| own == digest);
        Ok(found.map(|(_, key)| key.clone()))
    }

    async fn projects(&self) -> Result<Vec<Project>, StoreError> {
        Ok(self.state().projects.values().cloned().collect())
    }

    async fn apps(&self, project: ProjectId) -> Result<Vec<App>, StoreError> {
        let state = self.state();
        let apps = state.apps.values().filter(|app| app.project == project);
        Ok(apps.cloned().collect())
    }

    async fn app(&self, project: ProjectId, id: AppId) -> Result<Option<App>, StoreError> {
        Ok(self.state().apps.get(&(project, id)).cloned())
    }

    async fn keys(&self, project: ProjectId) -> Result<Vec<KeyRecord>, StoreError> {
        let state = self.state();
        let keys = state.keys.values().map(|(_, key)| key);
        Ok(keys.filter(|key| key.project == project).cloned().collect())
    }

    async fn administer(&self, write: &AdminWrite) -> Result<(), StoreError> {
        apply::administer(&mut self.state(), write)
    }

    async fn fail_running_turns(&self, at: Timestamp) -> Result<u64, StoreError> {
        let mut failed = 0;
        for living in self.state().living.values_mut() {
            let Some(running) = living.conversation.running.take() else {
                continue;
            };
            failed += 1;
            if let Some(turn) = living.turns.get_mut(&running) {
                turn.state = TurnState::Failed(TurnFailure::Interrupted);
                turn.finished_at = Some(at);
                turn.output_seq = Some(living.conversation.next_seq);
            }
        }
        Ok(failed)
    }

    async fn sweep(&self, forget_before: Timestamp) -> Result<bool, StoreError> {
        self.state()
            .deleted
            .retain(|_, tombstone| tombstone.deleted_at >= forget_before);
        Ok(false)
    }

    async fn receipts_to_sign(&self, count_max: u32) -> Result<Vec<Due>, StoreError> {
        Ok(receipts::due(&self.state(), count_max))
    }

    async fn renew_root(&self) -> Result<RootRenewal, StoreError> {
        // Nothing is sealed.
        Err(StoreError::FixedRoot)
    }

    async fn receipt_of(
        &self,
        who: &Principal,
        of: ConversationRef,
    ) -> Result<Option<ReceiptId>, StoreError> {
        let state = self.state();
        let mut deleted = state.deleted.iter();
        let found = deleted.find(|((project, id), tombstone)| {
            *project == who.project && of.names(*id) && sees(who, &tombstone.owner, tombstone.app)
        });
        Ok(found.map(|(_, tombstone)| tombstone.receipt))
    }

    async fn receipts(
        &self,
        project: ProjectId,
        after: Option<ReceiptId>,
        count_max: u32,
    ) -> Result<Vec<ReceiptEntry>, StoreError> {
        Ok(receipts::list(&self.state(), project, after, count_max))
    }

    async fn receipt(&self, id: ReceiptId) -> Result<Option<ReceiptRecord>, StoreError> {
        Ok(receipts::one(&self.state(), id))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
