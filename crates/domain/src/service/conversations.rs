//! Making, reading, changing and deleting conversations.

use super::items::ItemDraft;
use super::{Service, fault};
use crate::clock::Timestamp;
use crate::fault::{Error, Fault, Noun};
use crate::ids::{AppId, ConversationId, ConversationRef, ReceiptId, SectionId};
use crate::model::first_section;
use crate::model::{
    Conversation, ConversationQuery, Extras, Metadata, NewConversation, Page, Principal, ProjectId,
};
use crate::store::{Batch, Outcome, StoreError, Write};

/// A conversation that a client wants.
#[derive(Clone, Debug)]
pub struct ConversationDraft {
    /// The app that it is made with.
    pub app: AppId,
    /// Its title.
    pub title: Option<String>,
    /// Its metadata.
    pub metadata: Metadata,
    /// What the dialect keeps with it.
    pub extras: Extras,
    /// Whether its agent is started.
    pub active: bool,
    /// Its first items.
    pub items: Vec<ItemDraft>,
}

impl ConversationDraft {
    /// An empty conversation with this app.
    pub fn new(app: AppId) -> Self {
        Self {
            app,
            title: None,
            metadata: Metadata::default(),
            extras: Extras::new(),
            active: false,
            items: Vec::new(),
        }
    }
}

/// What is known of a delete when it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The conversation that is gone.
    pub conversation: ConversationId,
    /// When it became unreachable.
    pub at: Timestamp,
    /// The receipt, which is signed a moment later.
    pub receipt: ReceiptId,
}

impl Service {
    /// Makes a conversation.
    pub async fn create_conversation(
        &self,
        who: &Principal,
        draft: ConversationDraft,
    ) -> Result<Conversation, Error> {
        let new = self.draft_conversation(draft);
        let mut batch = Batch::of(Write::Create(Box::new(new)));
        self.apply(who, &mut batch).await.map_err(fault)?;
        match batch.writes.pop() {
            Some(Write::Create(new)) => Ok(made(*new)),
            _ => Err(Fault::Internal.into()),
        }
    }

    pub(super) fn draft_conversation(&self, draft: ConversationDraft) -> NewConversation {
        NewConversation {
            id: self.new_id(),
            app: draft.app,
            title: draft.title,
            metadata: draft.metadata,
            extras: draft.extras,
            active: draft.active,
            items: self.draft_items(draft.items),
            at: self.now(),
        }
    }

    /// The conversation.
    pub async fn conversation(
        &self,
        who: &Principal,
        id: ConversationRef,
    ) -> Result<Conversation, Error> {
        let found = self.store().conversation(who, id).await.map_err(fault)?;
        found.ok_or_else(|| Fault::NotFound(Noun::Conversation).into())
    }

    /// A page of the principal's conversations.
    pub async fn conversations(
        &self,
        who: &Principal,
        query: &ConversationQuery,
    ) -> Result<Page<Conversation>, Error> {
        self.store().conversations(who, query).await.map_err(fault)
    }

    /// Gives a conversation another title, or none, and reads it back.
    pub async fn rename_conversation(
        &self,
        who: &Principal,
        id: ConversationRef,
        title: Option<String>,
    ) -> Result<Conversation, Error> {
        let conversation = self.whole_id(who, id).await?;
        self.change(
            who,
            Write::SetTitle {
                conversation,
                title,
                at: self.now(),
            },
        )
        .await?;
        self.conversation(who, conversation.into()).await
    }

    /// Replaces a conversation's metadata and reads it back.
    pub async fn set_metadata(
        &self,
        who: &Principal,
        id: ConversationRef,
        metadata: Metadata,
    ) -> Result<Conversation, Error> {
        let conversation = self.whole_id(who, id).await?;
        self.change(
            who,
            Write::SetMetadata {
                conversation,
                metadata,
                at: self.now(),
            },
        )
        .await?;
        self.conversation(who, conversation.into()).await
    }

    /// Starts or stops a conversation's agent.
    pub async fn set_active(
        &self,
        who: &Principal,
        conversation: ConversationRef,
        active: bool,
    ) -> Result<(), Error> {
        self.change(
            who,
            Write::SetActive {
                conversation,
                active,
            },
        )
        .await
        .map(drop)
    }

    /// Begins a new section, and tells which.
    pub async fn start_section(
        &self,
        who: &Principal,
        id: ConversationRef,
    ) -> Result<(ConversationId, SectionId), Error> {
        let conversation = self.whole_id(who, id).await?;
        let section = self.new_id();
        self.change(
            who,
            Write::StartSection {
                conversation,
                section,
                at: self.now(),
            },
        )
        .await?;
        Ok((conversation, section))
    }

    /// Deletes a conversation: from the answer on nothing of it can be read, and its running turn
    /// is stopped. `requested_at` is when the request for it came.
    pub async fn delete_conversation(
        &self,
        who: &Principal,
        conversation: ConversationRef,
        requested_at: Timestamp,
    ) -> Result<Deleted, Error> {
        let at = self.now();
        let delete = Write::Delete {
            conversation,
            receipt: self.new_id(),
            requested_at: requested_at.min(at),
            at,
        };
        let (service, who) = (self.clone(), who.clone());
        self.see_through(async move {
            let outcome = service.change(&who, delete).await?;
            service.deleted(&outcome, at)
        })
        .await
    }

    /// Deletes a conversation of the project, whoever's it is; none if there is none.
    pub async fn erase_conversation(
        &self,
        project: ProjectId,
        conversation: ConversationRef,
    ) -> Result<Option<Deleted>, Error> {
        let (at, receipt) = (self.now(), self.new_id());
        let service = self.clone();
        self.see_through(async move {
            let erased = service.store().erase(project, conversation, receipt, at);
            match erased.await {
                Ok(outcome) => service.deleted(&outcome, at).map(Some),
                Err(StoreError::NoConversation) => Ok(None),
                Err(error) => Err(fault(error)),
            }
        })
        .await
    }

    /// What is known of a delete, whose running turn is stopped here.
    pub(super) fn deleted(&self, outcome: &Outcome, at: Timestamp) -> Result<Deleted, Error> {
        match outcome {
            Outcome::Deleted {
                conversation,
                running,
                receipt,
            } => {
                if let Some(turn) = running {
                    self.inner.turns.forget(*turn);
                }
                self.inner.turns.forget_readers(*conversation);
                Ok(Deleted {
                    conversation: *conversation,
                    at,
                    receipt: *receipt,
                })
            }
            Outcome::Done | Outcome::Added { .. } | Outcome::Left(_) => Err(Fault::Internal.into()),
        }
    }

    /// The whole id that a client's reference names. Costs a read only where it is a prefix.
    pub(super) async fn whole_id(
        &self,
        who: &Principal,
        id: ConversationRef,
    ) -> Result<ConversationId, Error> {
        match id.whole() {
            Some(whole) => Ok(whole),
            None => self.conversation(who, id).await.map(|found| found.id),
        }
    }

    pub(super) async fn change(&self, who: &Principal, write: Write) -> Result<Outcome, Error> {
        let outcomes = self
            .apply(who, &mut Batch::of(write))
            .await
            .map_err(fault)?;
        outcomes
            .into_iter()
            .next()
            .ok_or_else(|| Fault::Internal.into())
    }
}

/// The conversation that a [`Write::Create`] has made.
fn made(new: NewConversation) -> Conversation {
    Conversation {
        id: new.id,
        app: new.app,
        updated_at: new.at,
        section: first_section(new.id),
        active: new.active,
        running: None,
        next_seq: u64::try_from(new.items.len()).unwrap_or(u64::MAX),
        title: new.title,
        metadata: new.metadata,
        extras: new.extras,
    }
}
