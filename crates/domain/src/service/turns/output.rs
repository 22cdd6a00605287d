//! Puts together what a model says: items, each begun, said in pieces, and done.

use std::sync::Arc;

use super::log::{Begun, OutputKind, PieceKind, Teller};
use crate::ids::ItemId;
use crate::limits::{ANSWER_BYTES_MAX, ANSWER_ITEMS_MAX};
use crate::model::{Cutoff, ItemContent, NewItem, TurnFailure, TurnState, Usage};
use crate::upstream::{FinishReason, ModelEvent};

/// What a model has said so far.
#[derive(Default)]
pub(super) struct Output {
    pub(super) items: Vec<Arc<NewItem>>,
    pub(super) usage: Usage,
    /// Why the model has stopped, if it has said so.
    finish: Option<FinishReason>,
    open: Option<Open>,
    bytes: usize,
}

/// The item that is being said.
struct Open {
    id: ItemId,
    what: OutputKind,
    /// Its text, by the kind of the pieces: a message may be text and refusal.
    parts: Vec<(PieceKind, String)>,
}

/// Why nothing more is to be said.
pub(super) enum Stop {
    /// Nobody is to have it: its conversation is deleted.
    Forgotten,
    /// It is over in this state.
    Ended(TurnState),
}

impl Output {
    /// Takes what the model says, and tells it. `new_id` makes the ids of items.
    pub(super) fn take(
        &mut self,
        event: ModelEvent,
        teller: &Teller,
        new_id: impl Fn() -> ItemId,
    ) -> Result<(), Stop> {
        let (kind, text) = match event {
            ModelEvent::Usage(usage) => {
                self.usage = usage;
                return Ok(());
            }
            ModelEvent::Finished(reason) => {
                self.finish = Some(reason);
                return Ok(());
            }
            ModelEvent::ToolCall { call_id, name } => {
                let what = OutputKind::FunctionCall { call_id, name };
                return self.begin(what, teller, new_id());
            }
            ModelEvent::Text(text) => (PieceKind::Text, text),
            ModelEvent::Refusal(text) => (PieceKind::Refusal, text),
            ModelEvent::Reasoning(text) => (PieceKind::Reasoning, text),
            ModelEvent::Arguments(text) => (PieceKind::Arguments, text),
        };
        if text.is_empty() {
            return Ok(());
        }
        self.bytes = self.bytes.saturating_add(text.len());
        if self.bytes > ANSWER_BYTES_MAX {
            return Err(Stop::Ended(TurnState::Failed(TurnFailure::TooLong)));
        }
        match kind {
            PieceKind::Text | PieceKind::Refusal => {
                self.within(OutputKind::Message, teller, new_id)?;
            }
            PieceKind::Reasoning => self.within(OutputKind::Reasoning, teller, new_id)?,
            PieceKind::Arguments => {}
        }
        self.add(kind, &text, teller)
    }

    /// Has an item of this kind open.
    fn within(
        &mut self,
        what: OutputKind,
        teller: &Teller,
        new_id: impl Fn() -> ItemId,
    ) -> Result<(), Stop> {
        match &self.open {
            Some(open) if open.what == what => Ok(()),
            Some(_) | None => self.begin(what, teller, new_id()),
        }
    }

    fn begin(&mut self, what: OutputKind, teller: &Teller, id: ItemId) -> Result<(), Stop> {
        self.close(teller, true);
        if self.items.len() >= ANSWER_ITEMS_MAX {
            return Err(Stop::Ended(TurnState::Failed(TurnFailure::TooLong)));
        }
        let begun = Begun {
            index: self.items.len(),
            id,
            what: what.clone(),
        };
        self.open = Some(Open {
            id,
            what,
            parts: Vec::new(),
        });
        kept(teller.begin(begun))
    }

    fn add(&mut self, kind: PieceKind, text: &str, teller: &Teller) -> Result<(), Stop> {
        // Arguments of no call: the model's server makes no sense.
        let fits = |open: &&mut Open| {
            (kind == PieceKind::Arguments) == matches!(open.what, OutputKind::FunctionCall { .. })
        };
        let Some(open) = self.open.as_mut().filter(fits) else {
            return Err(Stop::Ended(TurnState::Failed(TurnFailure::Upstream)));
        };
        match open.parts.last_mut() {
            Some((last, said)) if *last == kind => said.push_str(text),
            _ => open.parts.push((kind, text.to_owned())),
        }
        kept(teller.piece(kind, text))
    }

    /// Ends what is still being said. It is whole unless the turn ended in another way than by itself.
    pub(super) fn finish(&mut self, teller: &Teller, state: TurnState) {
        self.close(teller, state == TurnState::Completed);
    }

    /// How a turn ends whose model has nothing more to say.
    pub(super) const fn state(&self) -> TurnState {
        match self.finish {
            None | Some(FinishReason::Complete) => TurnState::Completed,
            Some(FinishReason::Length) => TurnState::Incomplete(Cutoff::Length),
            Some(FinishReason::ContentFilter) => TurnState::Incomplete(Cutoff::ContentFilter),
        }
    }

    fn close(&mut self, teller: &Teller, is_whole: bool) {
        let Some(open) = self.open.take() else {
            return;
        };
        let item = Arc::new(NewItem {
            id: open.id,
            alias: None,
            content: open.content(is_whole),
        });
        self.items.push(Arc::clone(&item));
        teller.done(item);
    }
}

impl Open {
    fn content(&self, is_whole: bool) -> ItemContent {
        let whole = || self.parts.iter().map(|(_, text)| text.as_str());
        match &self.what {
            OutputKind::Message => {
                let part = |(kind, text): &(PieceKind, String)| {
                    (*kind == PieceKind::Refusal, text.clone())
                };
                let parts: Vec<_> = self.parts.iter().map(part).collect();
                ItemContent::answer(&parts, is_whole)
            }
            OutputKind::Reasoning => ItemContent::reasoning(&whole().collect::<String>()),
            OutputKind::FunctionCall { call_id, name } => {
                let arguments: String = whole().collect();
                ItemContent::function_call(call_id, name, &arguments, is_whole)
            }
        }
    }
}

const fn kept(is_kept: bool) -> Result<(), Stop> {
    if is_kept {
        Ok(())
    } else {
        Err(Stop::Forgotten)
    }
}
