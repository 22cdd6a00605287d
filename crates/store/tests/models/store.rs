//! The store in memory, with every call in a task of its own, and a diary of what it did.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use parlance_domain::clock::Timestamp;
use parlance_domain::erasing::{Erasable, ErasePlace, EraseQuery, Erasing};
use parlance_domain::ids::{AppId, ConversationId, ConversationRef, ReceiptId, Ref, TurnId};
use parlance_domain::model::{
    App, Conversation, ConversationQuery, Due, HoldEntry, Item, ItemQuery, ItemRef, KeyDigest,
    KeyRecord, Page, Principal, Project, ProjectId, ReceiptEntry, ReceiptRecord, Turn, TurnQuery,
};
use parlance_domain::receipt_log::{Event, LogHead, LoggedBatch, NewBatch, NewCheckpoint};
use parlance_domain::store::{
    AdminWrite, Batch, Outcome, ReceiptLog, RootRenewal, Store, StoreError, Write,
};
use parlance_store::Memory;
use tokio::sync::oneshot;

/// Something that was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Deleted(ConversationId),
    Finished(TurnId),
}

/// The store. Clones are one.
#[derive(Clone, Default)]
pub(crate) struct Diarist {
    memory: Arc<Memory>,
    diary: Arc<Mutex<Vec<Entry>>>,
    /// How many ends of turns are still refused, as by a disk that is full.
    refusals: Arc<AtomicUsize>,
}

/// Does something in a task of its own, which ends whether or not anybody waits for it.
async fn apart<T, F>(work: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    let (tell, told) = oneshot::channel();
    drop(shuttle::future::spawn(async move {
        drop(tell.send(work.await));
    }));
    told.await.unwrap()
}

impl Diarist {
    /// Lets the store refuse the next ends of turns.
    pub(crate) fn refuse(&self, count: usize) {
        self.refusals.store(count, Ordering::SeqCst);
    }

    /// What was committed, in its order.
    pub(crate) fn diary(&self) -> Vec<Entry> {
        self.diary.lock().unwrap().clone()
    }

    /// How often the conversation was deleted.
    pub(crate) fn deletions(&self, of: ConversationId) -> usize {
        let deleted = |entry: &&Entry| **entry == Entry::Deleted(of);
        self.diary.lock().unwrap().iter().filter(deleted).count()
    }

    async fn commit(&self, who: &Principal, batch: &Batch) -> Result<Vec<Outcome>, StoreError> {
        let finish = |write: &Write| matches!(write, Write::FinishTurn { .. });
        let refusals = self.refusals.load(Ordering::SeqCst);
        if refusals > 0 && batch.writes.iter().any(finish) {
            self.refusals.store(refusals - 1, Ordering::SeqCst);
            return Err(StoreError::Unavailable {
                during: "writing",
                source: None,
            });
        }
        let outcomes = self.memory.apply(who, batch).await?;
        let mut diary = self.diary.lock().unwrap();
        for write in &batch.writes {
            if let Write::FinishTurn { turn, .. } = write {
                diary.push(Entry::Finished(*turn));
            }
        }
        diary.extend(outcomes.iter().filter_map(deleted));
        Ok(outcomes)
    }
}

fn deleted(outcome: &Outcome) -> Option<Entry> {
    match outcome {
        Outcome::Deleted { conversation, .. } => Some(Entry::Deleted(*conversation)),
        Outcome::Done | Outcome::Added { .. } | Outcome::Left(_) => None,
    }
}

#[async_trait]
impl Store for Diarist {
    async fn conversation(
        &self,
        who: &Principal,
        id: ConversationRef,
    ) -> Result<Option<Conversation>, StoreError> {
        let (memory, who) = (Arc::clone(&self.memory), who.clone());
        apart(async move { memory.conversation(&who, id).await }).await
    }

    async fn conversations(
        &self,
        who: &Principal,
        query: &ConversationQuery,
    ) -> Result<Page<Conversation>, StoreError> {
        let memory = Arc::clone(&self.memory);
        let (who, query) = (who.clone(), query.clone());
        apart(async move { memory.conversations(&who, &query).await }).await
    }

    async fn items(
        &self,
        who: &Principal,
        of: ConversationRef,
        query: &ItemQuery,
    ) -> Result<Page<Item>, StoreError> {
        let memory = Arc::clone(&self.memory);
        let (who, query) = (who.clone(), query.clone());
        apart(async move { memory.items(&who, of, &query).await }).await
    }

    async fn item(
        &self,
        who: &Principal,
        of: ConversationRef,
        item: &ItemRef,
    ) -> Result<Item, StoreError> {
        let memory = Arc::clone(&self.memory);
        let (who, item) = (who.clone(), item.clone());
        apart(async move { memory.item(&who, of, &item).await }).await
    }

    async fn turns(
        &self,
        who: &Principal,
        of: ConversationRef,
        turns: &[TurnId],
    ) -> Result<Vec<Turn>, StoreError> {
        let memory = Arc::clone(&self.memory);
        let (who, turns) = (who.clone(), turns.to_owned());
        apart(async move { memory.turns(&who, of, &turns).await }).await
    }

    async fn turn(&self, who: &Principal, turn: Ref<TurnId>) -> Result<Option<Turn>, StoreError> {
        let (memory, who) = (Arc::clone(&self.memory), who.clone());
        apart(async move { memory.turn(&who, turn).await }).await
    }

    async fn turn_page(
        &self,
        who: &Principal,
        query: &TurnQuery,
    ) -> Result<Page<Turn>, StoreError> {
        let memory = Arc::clone(&self.memory);
        let (who, query) = (who.clone(), query.clone());
        apart(async move { memory.turn_page(&who, &query).await }).await
    }

    async fn apply(&self, who: &Principal, batch: &Batch) -> Result<Vec<Outcome>, StoreError> {
        let own = self.clone();
        let (who, batch) = (who.clone(), batch.clone());
        apart(async move { own.commit(&who, &batch).await }).await
    }

    async fn erase(
        &self,
        project: ProjectId,
        of: ConversationRef,
        receipt: ReceiptId,
        at: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let own = self.clone();
        apart(async move {
            let outcome = own.memory.erase(project, of, receipt, at).await?;
            own.diary.lock().unwrap().extend(deleted(&outcome));
            Ok(outcome)
        })
        .await
    }

    async fn key(&self, digest: &KeyDigest) -> Result<Option<KeyRecord>, StoreError> {
        self.memory.key(digest).await
    }

    async fn projects(&self) -> Result<Vec<Project>, StoreError> {
        self.memory.projects().await
    }

    async fn apps(&self, project: ProjectId) -> Result<Vec<App>, StoreError> {
        self.memory.apps(project).await
    }

    async fn app(&self, project: ProjectId, id: AppId) -> Result<Option<App>, StoreError> {
        self.memory.app(project, id).await
    }

    async fn keys(&self, project: ProjectId) -> Result<Vec<KeyRecord>, StoreError> {
        self.memory.keys(project).await
    }

    async fn administer(&self, write: &AdminWrite) -> Result<(), StoreError> {
        self.memory.administer(write).await
    }

    async fn fail_running_turns(&self, at: Timestamp) -> Result<u64, StoreError> {
        self.memory.fail_running_turns(at).await
    }

    async fn renew_root(&self) -> Result<RootRenewal, StoreError> {
        self.memory.renew_root().await
    }

    async fn sweep(&self, forget_before: Timestamp) -> Result<bool, StoreError> {
        self.memory.sweep(forget_before).await
    }

    async fn receipts_to_sign(&self, count_max: u32) -> Result<Vec<Due>, StoreError> {
        let memory = Arc::clone(&self.memory);
        apart(async move { memory.receipts_to_sign(count_max).await }).await
    }

    async fn receipt_of(
        &self,
        who: &Principal,
        of: ConversationRef,
    ) -> Result<Option<ReceiptId>, StoreError> {
        let (memory, who) = (Arc::clone(&self.memory), who.clone());
        apart(async move { memory.receipt_of(&who, of).await }).await
    }

    async fn receipts(
        &self,
        project: ProjectId,
        after: Option<ReceiptId>,
        count_max: u32,
    ) -> Result<Vec<ReceiptEntry>, StoreError> {
        self.memory.receipts(project, after, count_max).await
    }

    async fn receipt(&self, id: ReceiptId) -> Result<Option<ReceiptRecord>, StoreError> {
        self.memory.receipt(id).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.memory.ping().await
    }
}

#[async_trait]
impl Erasing for Diarist {
    async fn located(
        &self,
        project: ProjectId,
        of: ConversationRef,
    ) -> Result<Option<Erasable>, StoreError> {
        let memory = Arc::clone(&self.memory);
        apart(async move { memory.located(project, of).await }).await
    }

    async fn erasable(
        &self,
        what: &EraseQuery,
        after: Option<ErasePlace>,
        count_max: u32,
    ) -> Result<Vec<Erasable>, StoreError> {
        let (memory, what) = (Arc::clone(&self.memory), what.clone());
        apart(async move { memory.erasable(&what, after, count_max).await }).await
    }

    async fn erase_some(
        &self,
        what: &EraseQuery,
        which: &[(ConversationId, ReceiptId)],
        at: Timestamp,
    ) -> Result<Vec<Outcome>, StoreError> {
        let (own, what, which) = (self.clone(), what.clone(), which.to_owned());
        apart(async move {
            let outcomes = own.memory.erase_some(&what, &which, at).await?;
            let mut diary = own.diary.lock().unwrap();
            diary.extend(outcomes.iter().filter_map(deleted));
            Ok(outcomes)
        })
        .await
    }

    async fn holds(&self, project: ProjectId) -> Result<Vec<HoldEntry>, StoreError> {
        self.memory.holds(project).await
    }
}

#[async_trait]
impl ReceiptLog for Diarist {
    async fn record_event(&self, event: Event) -> Result<(), StoreError> {
        self.memory.record_event(event).await
    }

    async fn log_head(&self) -> Result<LogHead, StoreError> {
        let memory = Arc::clone(&self.memory);
        apart(async move { memory.log_head().await }).await
    }

    async fn append_to_log(&self, batch: NewBatch) -> Result<(), StoreError> {
        let memory = Arc::clone(&self.memory);
        apart(async move { memory.append_to_log(batch).await }).await
    }

    async fn keep_checkpoint(&self, checkpoint: NewCheckpoint) -> Result<(), StoreError> {
        let memory = Arc::clone(&self.memory);
        apart(async move { memory.keep_checkpoint(checkpoint).await }).await
    }

    async fn logged(&self, first: u64, entries_max: u32) -> Result<Vec<LoggedBatch>, StoreError> {
        self.memory.logged(first, entries_max).await
    }
}
