//! What is said while a turn runs is answered when that has ended.
//!
//! Invariant: one task answers in a conversation, so that nothing is answered twice, and it does not end
//! before all that has been said is answered. It is in memory only: what a server that ends has not answered
//! is read by the next turn there is.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::FutureExt;

use super::super::items::{Appended, ItemDraft};
use super::super::{Service, fault};
use super::{TurnDraft, TurnTarget};
use crate::fault::{Chain, Conflict, Error, Fault, Noun};
use crate::ids::{ConversationId, ConversationRef, TurnId};
use crate::model::{Cursor, Order, Principal, TurnQuery};
use crate::sync::Mutex;

/// Pause before a turn is looked for again that is recorded as running and does not run here: it has just
/// ended, or the store did not take its end.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The conversations in which something waits for an answer: up to which item, and how it is answered.
#[derive(Default)]
pub(in crate::service) struct Waiting {
    last: Mutex<BTreeMap<ConversationId, Asked>>,
}

/// What waits.
#[derive(Clone)]
struct Asked {
    /// Its last item.
    seq: u64,
    draft: TurnDraft,
}

impl Waiting {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<ConversationId, Asked>) -> T) -> T {
        work(&mut self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that this waits; true if nobody answers in that conversation yet.
    fn add(&self, conversation: ConversationId, asked: Asked) -> bool {
        self.with(|waiting| {
            let before = waiting.get(&conversation).map(|before| before.seq);
            if before.is_none_or(|before| before < asked.seq) {
                waiting.insert(conversation, asked);
            }
            before.is_none()
        })
    }

    fn get(&self, conversation: ConversationId) -> Option<Asked> {
        self.with(|waiting| waiting.get(&conversation).cloned())
    }

    /// Everything up to this item is answered, or will never be.
    fn settle(&self, conversation: ConversationId, seq: u64) {
        self.with(|waiting| {
            if waiting
                .get(&conversation)
                .is_some_and(|last| last.seq <= seq)
            {
                waiting.remove(&conversation);
            }
        });
    }
}

impl Service {
    /// Adds what is said to a conversation, and has it answered: at once, or after the turn that is running
    /// there. Several things that wait are answered by one turn. Nothing is answered as long as the
    /// conversation's agent is stopped. `draft` is the turn that answers; its target is set here.
    pub async fn say(
        &self,
        who: &Principal,
        of: ConversationRef,
        said: Vec<ItemDraft>,
        mut draft: TurnDraft,
    ) -> Result<Appended, Error> {
        let (service, who) = (self.clone(), who.clone());
        self.see_through(async move {
            let appended = service.append_items(&who, of, said).await?;
            let conversation = appended.conversation;
            draft.target = TurnTarget::Existing(conversation.into());
            if let Some(seq) = appended.items.last().map(|item| item.seq) {
                let asked = Asked { seq, draft };
                if service.inner.waiting.add(conversation, asked) {
                    service.clone().answer_all(who, conversation);
                }
            }
            Ok(appended)
        })
        .await
    }

    /// Answers until nothing waits any more, in a task of its own.
    fn answer_all(self, who: Principal, conversation: ConversationId) {
        self.tasks().clone().spawn(async move {
            while let Some(asked) = self.inner.waiting.get(conversation) {
                // After a defect, whose message the panic hook has written, what comes next is answered.
                let answered = AssertUnwindSafe(self.answer(&who, conversation, &asked));
                match answered.catch_unwind().await {
                    Ok(Ok(())) | Err(_) => {}
                    Ok(Err(error)) if error.fault == Fault::NotFound(Noun::Conversation) => {}
                    Ok(Err(error)) => {
                        tracing::warn!(error = %Chain(&error), "could not answer what was said");
                    }
                }
                self.inner.waiting.settle(conversation, asked.seq);
            }
        });
    }

    /// Sees to it that this is answered, unless it is already.
    async fn answer(
        &self,
        who: &Principal,
        conversation: ConversationId,
        asked: &Asked,
    ) -> Result<(), Error> {
        loop {
            let found = self.conversation(who, conversation.into()).await?;
            if !found.active || self.tasks().stopping().is_cancelled() {
                return Ok(());
            }
            if let Some(running) = found.running {
                self.wait_for(who, running).await;
                continue;
            }
            // Whatever was there when the newest turn began was read by its model.
            let newest = self.newest_turn(who, conversation).await?;
            if newest.is_some_and(|begun| begun > asked.seq) {
                return Ok(());
            }
            let mut draft = asked.draft.clone();
            draft.unread_after = newest;
            match self.start_turn(who, draft).await {
                Err(Error {
                    fault: Fault::Conflict(Conflict::ConversationBusy),
                    ..
                }) => {}
                started => {
                    started?.end().await;
                    return Ok(());
                }
            }
        }
    }

    /// Waits until a turn has ended.
    async fn wait_for(&self, who: &Principal, turn: TurnId) {
        match self.inner.turns.reader(who, turn) {
            Some(mut reader) => {
                reader.end().await;
            }
            // Whether the server is to stop is asked anyway.
            None => {
                self.tasks().pause(LOOK_AGAIN).await;
            }
        }
    }

    /// Where the newest turn began, if there is any.
    async fn newest_turn(
        &self,
        who: &Principal,
        conversation: ConversationId,
    ) -> Result<Option<u64>, Error> {
        let query = TurnQuery {
            order: Order::NewestFirst,
            cursor: Cursor::default(),
            conversation: Some(conversation.into()),
            app: None,
            rows_max: 1,
        };
        let page = self.store().turn_page(who, &query).await.map_err(fault)?;
        Ok(page.rows.first().map(|turn| turn.first_seq))
    }
}
