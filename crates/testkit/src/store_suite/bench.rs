//! What the cases work with.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use parlance_domain::clock::{Clock, Timestamp};
use parlance_domain::ids::{AppId, ConversationId, ConversationRef, Id, IdSource, ItemId, TurnId};
use parlance_domain::limits::PURGE_INLINE_ITEMS_MAX;
use parlance_domain::model::{
    Conversation, ConversationQuery, Cursor, Item, ItemContent, ItemQuery, NewItem, Order, Page,
    Principal, ProjectId, Realm, Sort, Turn, TurnState, Usage,
};
use parlance_domain::store::{Batch, Outcome, Store, StoreError, Write};

use crate::clock::ManualClock;
use crate::samples;

/// More items than a delete removes by itself: the rest is swept.
pub(super) const MANY: usize = 65;
const _: () = assert!(
    PURGE_INLINE_ITEMS_MAX == 64,
    "there are as many items as the name says"
);

/// What a turn costs that [`Bench::finish`] ends.
pub(super) const USAGE: Usage = Usage {
    input_tokens: 3,
    cached_tokens: 2,
    output_tokens: 5,
    reasoning_tokens: 4,
};

/// A store with a clock and ids of its own.
pub struct Bench {
    pub store: Arc<dyn Store>,
    pub clock: Arc<ManualClock>,
    pub ids: IdSource,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Bench {
    /// Puts a store on the bench. `keep` is dropped after it: a temporary directory, perhaps.
    pub fn new(store: impl Store, keep: impl Any + Send + Sync) -> Self {
        let clock = Arc::new(ManualClock::default());
        let ids = samples::ids(Arc::<ManualClock>::clone(&clock));
        Self {
            store: Arc::new(store),
            clock,
            ids,
            _keep: Box::new(keep),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A millisecond passes.
    pub fn tick(&self) {
        self.clock.advance(Duration::from_millis(1));
    }

    pub fn id<I: Id>(&self) -> I {
        self.ids.next()
    }

    pub fn item(&self, content: ItemContent) -> NewItem {
        samples::item(&self.ids, content)
    }

    /// `count` questions.
    pub fn questions(&self, count: usize) -> Vec<NewItem> {
        let question = |n| self.item(samples::question(&format!("question {n}")));
        (0..count).map(question).collect()
    }

    pub async fn apply(&self, who: &Principal, write: Write) -> Result<Outcome, StoreError> {
        let outcomes = self.store.apply(who, &Batch::of(write)).await?;
        assert_eq!(outcomes.len(), 1, "a batch of one write has one outcome");
        Ok(outcomes[0].clone())
    }

    /// Makes a conversation.
    pub async fn make(&self, who: &Principal) -> ConversationId {
        self.make_in(who, samples::app(1)).await
    }

    pub async fn make_in(&self, who: &Principal, app: AppId) -> ConversationId {
        let new = samples::conversation(&self.ids, app, self.now());
        let id = new.id;
        self.apply(who, Write::Create(Box::new(new))).await.unwrap();
        id
    }

    /// Makes `count` conversations, a millisecond between them.
    pub async fn make_some(&self, who: &Principal, count: usize) -> Vec<ConversationId> {
        let mut made = Vec::new();
        for _ in 0..count {
            made.push(self.make(who).await);
            self.tick();
        }
        made
    }

    pub async fn append(
        &self,
        who: &Principal,
        conversation: ConversationId,
        items: Vec<NewItem>,
    ) -> Result<Outcome, StoreError> {
        let at = self.now();
        let write = Write::Append {
            conversation,
            items,
            at,
        };
        self.apply(who, write).await
    }

    /// A conversation with so many questions, and their ids.
    pub async fn make_with(&self, who: &Principal, count: usize) -> (ConversationId, Vec<ItemId>) {
        let conversation = self.make(who).await;
        let items = self.questions(count);
        let ids = items.iter().map(|item| item.id).collect();
        self.append(who, conversation, items).await.unwrap();
        (conversation, ids)
    }

    pub async fn remove(
        &self,
        who: &Principal,
        conversation: ConversationId,
        items: Vec<ItemId>,
    ) -> Result<Outcome, StoreError> {
        let at = self.now();
        let write = Write::RemoveItems {
            conversation,
            items,
            at,
        };
        self.apply(who, write).await
    }

    /// The delete of a conversation now, requested a little before.
    pub fn deletion(&self, conversation: ConversationRef) -> Write {
        let at = self.now();
        Write::Delete {
            conversation,
            receipt: self.id(),
            requested_at: at.earlier(Duration::from_millis(1)),
            at,
        }
    }

    pub async fn delete(
        &self,
        who: &Principal,
        conversation: ConversationId,
    ) -> Result<Outcome, StoreError> {
        self.apply(who, self.deletion(conversation.into())).await
    }

    pub async fn start(
        &self,
        who: &Principal,
        conversation: ConversationId,
        input: Vec<NewItem>,
    ) -> Result<TurnId, StoreError> {
        let turn = self.id();
        let write = Write::StartTurn {
            conversation,
            turn,
            app: samples::app(1),
            record: Box::new(samples::record("begun")),
            input,
            at: self.now(),
        };
        self.apply(who, write).await.map(|_| turn)
    }

    /// Begins a turn that stands alone, with one question, in the realm of lone turns.
    pub async fn ask(&self, who: &Principal, app: AppId) -> TurnId {
        let new = samples::conversation(&self.ids, app, self.now());
        let turn = TurnId::from_bits(new.id.bits());
        let start = Write::StartTurn {
            conversation: new.id,
            turn,
            app,
            record: Box::new(samples::record("alone")),
            input: self.questions(1),
            at: self.now(),
        };
        let batch = Batch {
            require: vec![],
            writes: vec![Write::Create(Box::new(new)), start],
        };
        let who = who.in_realm(Realm::LoneTurns);
        self.store.apply(&who, &batch).await.unwrap();
        turn
    }

    /// One turn of the principal's.
    pub async fn turn(&self, who: &Principal, turn: TurnId) -> Option<Turn> {
        self.store.turn(who, turn.into()).await.unwrap()
    }

    pub async fn forget(
        &self,
        who: &Principal,
        conversation: ConversationId,
        turn: TurnId,
    ) -> Result<Outcome, StoreError> {
        let write = Write::RemoveTurn { conversation, turn };
        self.apply(who, write).await
    }

    pub async fn finish(
        &self,
        who: &Principal,
        conversation: ConversationId,
        turn: TurnId,
        output: Vec<NewItem>,
    ) -> Result<Outcome, StoreError> {
        let write = Write::FinishTurn {
            conversation,
            turn,
            state: TurnState::Completed,
            usage: USAGE,
            record: None,
            output,
            at: self.now(),
        };
        self.apply(who, write).await
    }

    pub async fn read(&self, who: &Principal, id: ConversationId) -> Option<Conversation> {
        self.store.conversation(who, id.into()).await.unwrap()
    }

    pub async fn page(&self, who: &Principal, of: ConversationId, query: &ItemQuery) -> Page<Item> {
        self.store.items(who, of.into(), query).await.unwrap()
    }

    /// The numbers of a page's items, and whether there are more.
    pub async fn seqs(
        &self,
        who: &Principal,
        of: ConversationId,
        query: &ItemQuery,
    ) -> (Vec<u64>, bool) {
        let page = self.page(who, of, query).await;
        let seqs = page.rows.iter().map(|item| item.seq).collect();
        (seqs, page.has_more)
    }

    /// All items, oldest first.
    pub async fn all_items(&self, who: &Principal, of: ConversationId) -> Vec<Item> {
        let query = ItemQuery::first(Order::OldestFirst, 1_000);
        self.page(who, of, &query).await.rows
    }

    /// The ids of a page of conversations, and whether there are more.
    pub async fn listed(
        &self,
        who: &Principal,
        query: &ConversationQuery,
    ) -> (Vec<ConversationId>, bool) {
        let page = self.store.conversations(who, query).await.unwrap();
        let ids = page.rows.iter().map(|row| row.id).collect();
        (ids, page.has_more)
    }

    /// Sweeps until nothing is left, and tells how often.
    pub async fn sweep(&self, forget_before: Timestamp) -> u32 {
        let mut sweeps = 1;
        while self.store.sweep(forget_before).await.unwrap() {
            sweeps += 1;
            assert!(sweeps < 10_000, "a sweep comes to an end");
        }
        sweeps
    }
}

/// The first page of all conversations.
pub(super) fn first(sort: Sort, order: Order, rows_max: u32) -> ConversationQuery {
    ConversationQuery {
        sort,
        order,
        cursor: Cursor::default(),
        app: None,
        rows_max,
    }
}

/// A principal of another project.
pub(super) fn elsewhere(user: &str) -> Principal {
    Principal {
        project: ProjectId(2),
        ..samples::principal(user)
    }
}

/// A store's refusal without what it carries, so that two can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NoConversation,
    NoItem,
    NoTurn,
    NoAnchor,
    NoKey,
    NoHold,
    Held,
    IdClash,
    StaleItemId(ItemId),
    DuplicateItem,
    TurnRunning,
    Changed,
    NameTaken,
    FixedRoot,
}

/// The refusal that an error is. Panics if the store has failed instead.
pub fn refusal(error: &StoreError) -> Refusal {
    match error {
        StoreError::NoConversation => Refusal::NoConversation,
        StoreError::NoItem => Refusal::NoItem,
        StoreError::NoTurn => Refusal::NoTurn,
        StoreError::NoAnchor => Refusal::NoAnchor,
        StoreError::NoKey => Refusal::NoKey,
        StoreError::NoHold => Refusal::NoHold,
        StoreError::Held => Refusal::Held,
        StoreError::IdClash => Refusal::IdClash,
        StoreError::StaleItemId { last } => Refusal::StaleItemId(*last),
        StoreError::DuplicateItem => Refusal::DuplicateItem,
        StoreError::TurnRunning => Refusal::TurnRunning,
        StoreError::Changed => Refusal::Changed,
        StoreError::NameTaken => Refusal::NameTaken,
        StoreError::FixedRoot => Refusal::FixedRoot,
        StoreError::Unavailable { .. } | StoreError::Corrupt { .. } => {
            panic!("the store has failed: {error:?}")
        }
    }
}

/// Asserts that something was refused, and why.
#[track_caller]
pub(super) fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>, why: Refusal) {
    match result {
        Ok(done) => panic!("expected {why:?}, got {done:?}"),
        Err(error) => assert_eq!(refusal(&error), why),
    }
}
