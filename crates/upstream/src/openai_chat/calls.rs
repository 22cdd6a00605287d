//! Calls of tools, one after the other, whatever order their pieces come in.

use parlance_domain::limits::{ANSWER_BYTES_MAX, ANSWER_ITEMS_MAX};
use parlance_domain::upstream::ModelEvent;
use serde::de::IgnoredAny;

use super::failure::Cause;
use super::wire::CallPiece;

/// The calls of one answer.
#[derive(Default)]
pub(super) struct Calls {
    all: Vec<Call>,
    /// The place of the one that is being told; all before it are complete.
    front: usize,
    /// What was said while a call was not complete; it comes after all of them.
    held: Vec<ModelEvent>,
    bytes: usize,
}

#[derive(Default)]
struct Call {
    index: Option<u32>,
    id: Option<String>,
    name: Option<String>,
    arguments: String,
    begun: bool,
    /// Bytes of the arguments that have been told.
    told: usize,
    /// Bytes of the arguments when it was last looked at whether they are whole.
    looked_at: usize,
}

impl Calls {
    /// Takes a piece of a call, and tells what can be told. `new_id` names calls that have no id.
    pub(super) fn take(
        &mut self,
        piece: CallPiece,
        new_id: &dyn Fn() -> String,
        tell: &mut impl FnMut(ModelEvent),
    ) -> Result<(), Cause> {
        let place = self.place_of(&piece)?;
        let is_told = place < self.front;
        let function = piece.function.unwrap_or_default();
        let arguments = function.arguments.unwrap_or_default();
        self.grow(arguments.len())?;
        if is_told {
            // Space after what is whole changes nothing.
            return if arguments.trim().is_empty() {
                Ok(())
            } else {
                Err(Cause::Nonsense("more of a call that was complete"))
            };
        }
        if let Some(call) = self.all.get_mut(place) {
            let given = |text: Option<String>| text.filter(|text| !text.is_empty());
            call.index = call.index.or(piece.index);
            call.id = call.id.take().or(given(piece.id));
            call.name = call.name.take().or(given(function.name));
            call.arguments.push_str(&arguments);
        }
        self.tell(new_id, tell);
        Ok(())
    }

    /// Takes something else that is said: at once, unless a call is not complete.
    pub(super) fn say(
        &mut self,
        event: ModelEvent,
        text_bytes: usize,
        tell: &mut impl FnMut(ModelEvent),
    ) -> Result<(), Cause> {
        while self.all.get_mut(self.front).is_some_and(Call::is_whole) {
            self.front += 1;
        }
        if self.front == self.all.len() {
            tell(event);
        } else {
            self.grow(text_bytes)?;
            self.held.push(event);
        }
        Ok(())
    }

    /// Tells all that is left: nothing more comes.
    pub(super) fn finish(
        &mut self,
        new_id: &dyn Fn() -> String,
        tell: &mut impl FnMut(ModelEvent),
    ) -> Result<(), Cause> {
        while let Some(call) = self.all.get_mut(self.front) {
            call.tell(new_id, tell);
            if !call.begun {
                return Err(Cause::Nonsense("a call of a function without a name"));
            }
            self.front += 1;
        }
        self.held.drain(..).for_each(tell);
        Ok(())
    }

    /// The place of the call that a piece belongs to.
    fn place_of(&mut self, piece: &CallPiece) -> Result<usize, Cause> {
        let id = piece.id.as_deref().filter(|id| !id.is_empty());
        let function = piece.function.as_ref();
        let name = function.and_then(|function| function.name.as_deref());
        let names = name.is_some_and(|name| !name.is_empty());
        let mut calls = self.all.iter();
        let known = match (piece.index, id) {
            (Some(index), _) => calls.rposition(|call| call.index == Some(index)),
            (None, Some(id)) => calls.rposition(|call| call.id.as_deref() == Some(id)),
            (None, None) if names => None,
            (None, None) => self.all.len().checked_sub(1),
        };
        // Some servers give all calls the same index: another id with a name is another call.
        let is_other =
            |call: &Call| names && id.is_some() && call.id.is_some() && call.id.as_deref() != id;
        let known = known.filter(|place| !self.all.get(*place).is_some_and(is_other));
        if let Some(known) = known {
            return Ok(known);
        }
        if self.all.len() >= ANSWER_ITEMS_MAX {
            return Err(Cause::Nonsense("too many calls"));
        }
        self.all.push(Call::default());
        Ok(self.all.len() - 1)
    }

    fn tell(&mut self, new_id: &dyn Fn() -> String, tell: &mut impl FnMut(ModelEvent)) {
        let last = self.all.len().saturating_sub(1);
        while let Some(call) = self.all.get_mut(self.front) {
            call.tell(new_id, tell);
            if self.front == last || !call.is_whole() {
                return;
            }
            self.front += 1;
        }
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Cause> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > ANSWER_BYTES_MAX {
            return Err(Cause::Nonsense("calls that are too long"));
        }
        Ok(())
    }
}

impl Call {
    fn tell(&mut self, new_id: &dyn Fn() -> String, tell: &mut impl FnMut(ModelEvent)) {
        if !self.begun {
            let Some(name) = &self.name else {
                return;
            };
            self.begun = true;
            let call_id = self.id.get_or_insert_with(new_id).clone();
            tell(ModelEvent::ToolCall {
                call_id,
                name: name.clone(),
            });
        }
        let rest = self.arguments.get(self.told..).unwrap_or_default();
        if !rest.is_empty() {
            tell(ModelEvent::Arguments(rest.to_owned()));
            self.told = self.arguments.len();
        }
    }

    /// Whether it has begun and its arguments are a whole JSON value, to which nothing can be added.
    fn is_whole(&mut self) -> bool {
        if !self.begun || self.looked_at == self.arguments.len() {
            return false;
        }
        self.looked_at = self.arguments.len();
        // A number might go on; objects, which arguments are, cannot.
        self.arguments.trim_end().ends_with('}')
            && serde_json::from_str::<IgnoredAny>(&self.arguments).is_ok()
    }
}
