//! Turns that are stored: reading, following, stopping and forgetting them.

use super::super::conversations::Deleted;
use super::super::{ATTEMPTS_MAX, Service, fault, missing_instead};
use super::TurnStream;
use crate::clock::Timestamp;
use crate::fault::{Conflict, Error, Fault, Noun};
use crate::ids::{ConversationId, Id, Ref, TurnId};
use crate::model::{Item, ItemQuery, Page, Principal, SeqRange, Turn, TurnQuery, TurnState};
use crate::store::Write;

/// The two halves of a turn's items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// What was asked.
    Input,
    /// What was answered.
    Output,
}

impl Service {
    /// One turn of the principal's, in a conversation or alone.
    pub async fn turn(&self, who: &Principal, turn: Ref<TurnId>) -> Result<Turn, Error> {
        let found = self.store().turn(who, turn).await.map_err(fault)?;
        found.ok_or_else(|| Fault::NotFound(Noun::Turn).into())
    }

    /// A page of the principal's turns.
    pub async fn turn_page(&self, who: &Principal, query: &TurnQuery) -> Result<Page<Turn>, Error> {
        self.store().turn_page(who, query).await.map_err(fault)
    }

    /// A page of what a turn was asked or has answered: what is still there of it. The query's `turn`, and
    /// where it looks, are set here.
    pub async fn turn_items(
        &self,
        who: &Principal,
        turn: &Turn,
        half: Half,
        query: &ItemQuery,
    ) -> Result<Page<Item>, Error> {
        let within = match (half, turn.output_seq) {
            (Half::Input, None) => SeqRange::ALL,
            (Half::Input, Some(0)) | (Half::Output, None) => return Ok(Page::default()),
            (Half::Input, Some(output)) => SeqRange {
                first: turn.first_seq,
                last: output - 1,
            },
            (Half::Output, Some(output)) => SeqRange {
                first: output,
                ..SeqRange::ALL
            },
        };
        let query = ItemQuery {
            within,
            turn: Some(turn.id),
            settled: false,
            ..query.clone()
        };
        let who = who.in_realm(turn.realm());
        let page = self.items(&who, turn.conversation.into(), &query).await;
        page.map_err(lost)
    }

    /// What a turn says, from its beginning on, if it is running here.
    pub fn follow_turn(&self, who: &Principal, turn: &Turn) -> Option<TurnStream> {
        let reader = self.inner.turns.reader(who, turn.id)?;
        Some(TurnStream {
            turn: turn.id,
            conversation: Some(turn.conversation),
            input: Vec::new(),
            model: turn.record.model.clone(),
            started_at: turn.started_at,
            reader,
        })
    }

    /// How many turns are running here.
    #[cfg(feature = "models")]
    pub fn running_turns(&self) -> usize {
        self.inner.turns.len()
    }

    /// Stops a turn, if it runs here and is the principal's. Nobody is told which: for dialects whose
    /// clients name a turn without its conversation.
    pub fn stop_turn(&self, who: &Principal, turn: Ref<TurnId>) {
        self.inner.turns.stop(who, turn);
    }

    /// Stops a turn if it runs, and tells how it stands once it has ended.
    pub async fn cancel_turn(&self, who: &Principal, turn: Ref<TurnId>) -> Result<Turn, Error> {
        let found = self.turn(who, turn).await?;
        if found.state != TurnState::Running {
            return Ok(found);
        }
        let reader = self.inner.turns.reader(who, found.id);
        self.inner.turns.stop(who, found.id.into());
        if let Some(mut reader) = reader {
            reader.end().await;
        }
        self.turn(who, found.id.into()).await
    }

    /// Forgets a turn, having stopped it. One that stands alone is erased with all its items, and has a
    /// receipt; the items of one in a conversation stay there. `requested_at` is when the request came.
    pub async fn delete_turn(
        &self,
        who: &Principal,
        turn: Ref<TurnId>,
        requested_at: Timestamp,
    ) -> Result<Option<Deleted>, Error> {
        let found = self.turn(who, turn).await?;
        if found.stands_alone() {
            let who = who.in_realm(found.realm());
            let conversation = ConversationId::from_bits(found.id.bits());
            let deleted = self
                .delete_conversation(&who, conversation.into(), requested_at)
                .await;
            return deleted.map(Some).map_err(lost);
        }
        // Another may begin each time that one is stopped.
        for _ in 0..ATTEMPTS_MAX {
            self.cancel_turn(who, found.id.into()).await?;
            let write = Write::RemoveTurn {
                conversation: found.conversation,
                turn: found.id,
            };
            match self.change(who, write).await {
                Err(Error {
                    fault: Fault::Conflict(Conflict::ConversationBusy),
                    ..
                }) => {}
                result => return result.map(|_| None).map_err(lost),
            }
        }
        Err(Fault::Conflict(Conflict::ConversationBusy).into())
    }
}

/// A conversation that went away meanwhile took the turn with it.
fn lost(error: Error) -> Error {
    missing_instead(error, Noun::Turn)
}
