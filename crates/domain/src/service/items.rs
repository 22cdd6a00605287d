//! Adding, reading, changing and removing items.

use super::{ATTEMPTS_MAX, Service, fault};
use crate::fault::{Conflict, Error, Fault};
use crate::ids::{ConversationId, ConversationRef, ItemId, SectionId, TurnId};
use crate::model::{
    Conversation, Item, ItemContent, ItemQuery, ItemRef, NewItem, Page, Principal, Turn,
};
use crate::store::{Batch, Outcome, Require, StoreError, Write};

/// An item that a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemDraft {
    /// The id that the client chose for it.
    pub alias: Option<String>,
    /// What it says.
    pub content: ItemContent,
}

impl From<ItemContent> for ItemDraft {
    fn from(content: ItemContent) -> Self {
        Self {
            alias: None,
            content,
        }
    }
}

/// Items that were added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The conversation.
    pub conversation: ConversationId,
    /// The items, in their order.
    pub items: Vec<Item>,
}

impl Service {
    pub(super) fn draft_items(&self, drafts: Vec<ItemDraft>) -> Vec<NewItem> {
        let new = |draft: ItemDraft| NewItem {
            id: self.new_id(),
            alias: draft.alias,
            content: draft.content,
        };
        drafts.into_iter().map(new).collect()
    }

    /// Adds items at the end of a conversation, all or none.
    pub async fn append_items(
        &self,
        who: &Principal,
        id: ConversationRef,
        drafts: Vec<ItemDraft>,
    ) -> Result<Appended, Error> {
        let conversation = self.whole_id(who, id).await?;
        let items = self.draft_items(drafts);
        let mut batch = Batch::of(Write::Append {
            conversation,
            items,
            at: self.now(),
        });
        let outcomes = self.apply(who, &mut batch).await.map_err(fault)?;
        match (outcomes.into_iter().next(), batch.writes.pop()) {
            (Some(Outcome::Added { first_seq, section }), Some(Write::Append { items, .. })) => {
                Ok(Appended {
                    conversation,
                    items: added(items, first_seq, section, None),
                })
            }
            _ => Err(Fault::Internal.into()),
        }
    }

    /// A page of a conversation's items.
    pub async fn items(
        &self,
        who: &Principal,
        of: ConversationRef,
        query: &ItemQuery,
    ) -> Result<Page<Item>, Error> {
        self.store().items(who, of, query).await.map_err(fault)
    }

    /// One item.
    pub async fn item(
        &self,
        who: &Principal,
        of: ConversationRef,
        item: &ItemRef,
    ) -> Result<Item, Error> {
        self.store().item(who, of, item).await.map_err(fault)
    }

    /// Those of `turns` that the conversation has.
    pub async fn turns(
        &self,
        who: &Principal,
        of: ConversationRef,
        turns: &[TurnId],
    ) -> Result<Vec<Turn>, Error> {
        self.store().turns(who, of, turns).await.map_err(fault)
    }

    /// Changes what an item says: `edit` makes the new content from the old, and may be called again
    /// if somebody else changes the item meanwhile.
    pub async fn edit_item(
        &self,
        who: &Principal,
        of: ConversationRef,
        item: &ItemRef,
        edit: impl Fn(&Item) -> Result<ItemContent, Error> + Send + Sync,
    ) -> Result<Item, Error> {
        let conversation = self.whole_id(who, of).await?;
        for _ in 0..ATTEMPTS_MAX {
            let read = self.item(who, conversation.into(), item).await?;
            let (content, at) = (edit(&read)?, self.now());
            let require = Require::ItemAsRead {
                conversation,
                item: read.id,
                modified_at: read.modified_at,
            };
            let write = Write::ReplaceItem {
                conversation,
                item: read.id,
                content: content.clone(),
                at,
            };
            let batch = Batch {
                require: vec![require],
                writes: vec![write],
            };
            match self.store().apply(who, &batch).await {
                Ok(_) => {
                    return Ok(Item {
                        content,
                        modified_at: Some(at),
                        ..read
                    });
                }
                Err(StoreError::Changed) => {}
                Err(error) => return Err(fault(error)),
            }
        }
        Err(Fault::Conflict(Conflict::Contended).into())
    }

    /// Removes one item, and tells what it was.
    pub async fn remove_item(
        &self,
        who: &Principal,
        of: ConversationRef,
        item: &ItemRef,
    ) -> Result<Item, Error> {
        let conversation = self.whole_id(who, of).await?;
        let read = self.item(who, conversation.into(), item).await?;
        self.remove_items(who, conversation, vec![read.id]).await?;
        Ok(read)
    }

    /// Removes items, all or none.
    pub async fn remove_items(
        &self,
        who: &Principal,
        conversation: ConversationId,
        items: Vec<ItemId>,
    ) -> Result<(), Error> {
        let write = Write::RemoveItems {
            conversation,
            items,
            at: self.now(),
        };
        self.change(who, write).await.map(drop)
    }

    /// A conversation with the page of its items that `query` asks for.
    pub async fn conversation_with_items(
        &self,
        who: &Principal,
        id: ConversationRef,
        query: &ItemQuery,
    ) -> Result<(Conversation, Page<Item>), Error> {
        let conversation = self.conversation(who, id).await?;
        let items = self.items(who, conversation.id.into(), query).await?;
        Ok((conversation, items))
    }
}

/// The items that a write has added.
fn added(
    items: Vec<NewItem>,
    first_seq: u64,
    section: SectionId,
    turn: Option<TurnId>,
) -> Vec<Item> {
    let item = |(new, seq): (NewItem, u64)| Item {
        id: new.id,
        seq,
        section,
        turn,
        modified_at: None,
        alias: new.alias,
        content: new.content,
    };
    items.into_iter().zip(first_seq..).map(item).collect()
}
