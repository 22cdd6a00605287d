//! All that can be read of a store, so that two can be compared.

use std::collections::BTreeMap;

use parlance_domain::model::{
    App, Conversation, ConversationQuery, Cursor, HoldEntry, Item, ItemQuery, KeyRecord, Order,
    Principal, Project, ReceiptState, Sort, Turn, TurnQuery,
};
use parlance_domain::receipt_log::ProvenEntry;
use parlance_domain::store::{Store, StoreError};
use parlance_domain::{ConversationId, ReceiptId, Timestamp};
use parlance_testkit::samples::PROJECT;
use parlance_testkit::store_suite::{Refusal, refusal};

use super::client::World;

/// More rows than any run makes.
const ROWS_MAX: u32 = 1_000;

/// What a store says.
#[derive(Debug, PartialEq)]
pub(super) struct View {
    lists: Vec<Vec<Conversation>>,
    turns: Vec<Vec<Turn>>,
    conversations: BTreeMap<ConversationId, One>,
    receipts: Vec<(ReceiptId, ReceiptState, Timestamp, Option<ProvenEntry>)>,
    projects: Vec<Project>,
    apps: Vec<App>,
    keys: Vec<KeyRecord>,
    found: Vec<Option<KeyRecord>>,
    holds: Vec<HoldEntry>,
}

/// What a store says of one conversation to its principal.
#[derive(Debug, PartialEq)]
struct One {
    conversation: Option<Conversation>,
    items: Result<Vec<Item>, Refusal>,
    turns: Result<Vec<Turn>, Refusal>,
    receipt: Option<ReceiptId>,
}

impl View {
    /// Reads all that the world may have made.
    pub(super) async fn of(store: &dyn Store, world: &World) -> Result<Self, StoreError> {
        let (mut lists, mut turns) = (Vec::new(), Vec::new());
        for who in world.principals() {
            lists.push(list(store, who).await?);
            turns.push(list_turns(store, who).await?);
        }
        let mut conversations = BTreeMap::new();
        for (id, who) in world.conversations() {
            conversations.insert(id, One::of(store, world, who, id).await?);
        }
        let mut receipts = Vec::new();
        for entry in store.receipts(PROJECT, None, ROWS_MAX).await? {
            let record = store.receipt(entry.id).await?;
            let json = record.and_then(|record| record.proven);
            receipts.push((entry.id, entry.state, entry.tombstoned_at, json));
        }
        let mut found = Vec::new();
        for digest in world.digests() {
            found.push(store.key(digest).await?);
        }
        Ok(Self {
            lists,
            turns,
            conversations,
            receipts,
            projects: store.projects().await?,
            apps: store.apps(PROJECT).await?,
            keys: store.keys(PROJECT).await?,
            found,
            holds: store.holds(PROJECT).await?,
        })
    }

    /// In what the two differ, for a report: names of things, and no more than needed.
    pub(super) fn difference(&self, other: &Self) -> String {
        let mut text = String::new();
        let mut part = |name: &str, same: bool, one: String, two: String| {
            if !same {
                text += &format!("{name}:\n  store {one}\n  model {two}\n");
            }
        };
        part(
            "lists",
            self.lists == other.lists,
            format!("{:?}", self.lists),
            format!("{:?}", other.lists),
        );
        part(
            "turns",
            self.turns == other.turns,
            format!("{:?}", self.turns),
            format!("{:?}", other.turns),
        );
        for (id, one) in &self.conversations {
            let two = other.conversations.get(id);
            part(
                "conversation",
                Some(one) == two,
                format!("{one:?}"),
                format!("{two:?}"),
            );
        }
        part(
            "receipts",
            self.receipts == other.receipts,
            format!("{:?}", self.receipts),
            format!("{:?}", other.receipts),
        );
        part(
            "administration",
            (
                &self.projects,
                &self.apps,
                &self.keys,
                &self.found,
                &self.holds,
            ) == (
                &other.projects,
                &other.apps,
                &other.keys,
                &other.found,
                &other.holds,
            ),
            format!("{:?} {:?} {:?}", self.apps, self.keys, self.holds),
            format!("{:?} {:?} {:?}", other.apps, other.keys, other.holds),
        );
        text
    }
}

async fn list(store: &dyn Store, who: &Principal) -> Result<Vec<Conversation>, StoreError> {
    let query = ConversationQuery {
        sort: Sort::Created,
        order: Order::OldestFirst,
        cursor: Cursor::default(),
        app: None,
        rows_max: ROWS_MAX,
    };
    let page = store.conversations(who, &query).await?;
    assert!(!page.has_more, "a run makes few conversations");
    Ok(page.rows)
}

async fn list_turns(store: &dyn Store, who: &Principal) -> Result<Vec<Turn>, StoreError> {
    let query = TurnQuery {
        order: Order::OldestFirst,
        cursor: Cursor::default(),
        conversation: None,
        app: None,
        rows_max: ROWS_MAX,
    };
    Ok(store.turn_page(who, &query).await?.rows)
}

/// A refusal is something to compare, a failure is not.
fn said<T>(result: Result<T, StoreError>) -> Result<Result<T, Refusal>, StoreError> {
    match result {
        Err(error @ (StoreError::Unavailable { .. } | StoreError::Corrupt { .. })) => Err(error),
        Err(error) => Ok(Err(refusal(&error))),
        Ok(value) => Ok(Ok(value)),
    }
}

impl One {
    async fn of(
        store: &dyn Store,
        world: &World,
        who: &Principal,
        id: ConversationId,
    ) -> Result<Self, StoreError> {
        let query = ItemQuery::first(Order::OldestFirst, ROWS_MAX);
        let items = said(store.items(who, id.into(), &query).await)?;
        let mut turns = said(store.turns(who, id.into(), world.turns(id)).await)?;
        if let Ok(turns) = &mut turns {
            turns.sort_by_key(|turn| turn.id);
        }
        Ok(Self {
            conversation: store.conversation(who, id.into()).await?,
            items: items.map(|page| page.rows),
            turns,
            receipt: store.receipt_of(who, id.into()).await?,
        })
    }
}
