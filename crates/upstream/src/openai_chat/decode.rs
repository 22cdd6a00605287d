//! From chunks of an answer to what the model says.

use std::collections::VecDeque;
use std::sync::Arc;

use parlance_domain::IdSource;
use parlance_domain::upstream::{FinishReason, ModelError, ModelEvent};

use super::calls::Calls;
use super::failure::{self, Cause};
use super::wire::{Chunk, Delta};

/// What ends a stream.
const DONE: &[u8] = b"[DONE]";
/// Random bytes in the id of a call that has none.
const CALL_ID_BYTES: usize = 12;

/// Decodes one answer.
pub(super) struct Decoder {
    calls: Calls,
    ids: Arc<IdSource>,
    /// What can be given out.
    pub(super) ready: VecDeque<ModelEvent>,
    /// Whether it was said why the model has stopped.
    has_reason: bool,
    /// Whether it was said that nothing more comes.
    pub(super) is_done: bool,
}

impl Decoder {
    pub(super) fn new(ids: Arc<IdSource>) -> Self {
        Self {
            calls: Calls::default(),
            ids,
            ready: VecDeque::new(),
            has_reason: false,
            is_done: false,
        }
    }

    /// Takes the data of an event.
    pub(super) fn event(&mut self, data: &[u8]) -> Result<(), ModelError> {
        match data.trim_ascii() {
            b"" => Ok(()),
            DONE => {
                self.is_done = true;
                self.finish()
            }
            data => self.chunk(data, |choice| choice.delta),
        }
    }

    /// Takes a whole answer.
    pub(super) fn whole(&mut self, body: &[u8]) -> Result<(), ModelError> {
        self.chunk(body, |choice| choice.message)?;
        self.is_done = true;
        self.finish()
    }

    /// The bytes have ended.
    pub(super) fn end(&mut self) -> Result<(), ModelError> {
        if !self.has_reason && !self.is_done {
            return Err(Cause::BrokenOff.into());
        }
        self.finish()
    }

    fn chunk(
        &mut self,
        data: &[u8],
        said: impl Fn(super::wire::Choice) -> Option<Delta>,
    ) -> Result<(), ModelError> {
        // What serde_json finds wrong may quote content.
        let nonsense = Cause::Nonsense("an event that is no part of an answer");
        let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else {
            return Err(nonsense.into());
        };
        if let Some(error) = chunk.error.filter(|error| error.get() != "null") {
            return Err(failure::reported(error.get()));
        }
        if chunk
            .object
            .is_some_and(|object| object.get() == "\"error\"")
        {
            return Err(failure::reported(&String::from_utf8_lossy(data)));
        }
        if chunk.choices.is_none() && chunk.usage.is_none() {
            return Err(nonsense.into());
        }
        for mut choice in chunk.choices.unwrap_or_default() {
            // Only one was asked for.
            if choice.index != 0 {
                continue;
            }
            let reason = choice.finish_reason.take();
            if let Some(delta) = said(choice) {
                self.delta(delta)?;
            }
            if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
                self.reason(&reason)?;
            }
        }
        if let Some(usage) = chunk.usage {
            self.ready.push_back(ModelEvent::Usage(usage.into()));
        }
        Ok(())
    }

    fn delta(&mut self, delta: Delta) -> Result<(), Cause> {
        // Servers that are between two names of the field send both, with the same text.
        let reasoning = delta.reasoning_content.or(delta.reasoning);
        self.say(reasoning, ModelEvent::Reasoning)?;
        self.say(delta.content, ModelEvent::Text)?;
        self.say(delta.refusal, ModelEvent::Refusal)?;
        let (ids, ready) = (&self.ids, &mut self.ready);
        let mut tell = |event| ready.push_back(event);
        for piece in delta.tool_calls.into_iter().flatten() {
            self.calls.take(piece, &|| new_call_id(ids), &mut tell)?;
        }
        Ok(())
    }

    fn say(&mut self, text: Option<String>, event: fn(String) -> ModelEvent) -> Result<(), Cause> {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(());
        };
        let (bytes, ready) = (text.len(), &mut self.ready);
        self.calls
            .say(event(text), bytes, &mut |event| ready.push_back(event))
    }

    fn reason(&mut self, reason: &str) -> Result<(), ModelError> {
        let reason = match reason {
            "length" => FinishReason::Length,
            "content_filter" => FinishReason::ContentFilter,
            // vLLM and OpenRouter, where something went wrong.
            "abort" | "error" => return Err(Cause::BrokenOff.into()),
            _ => FinishReason::Complete,
        };
        self.finish()?;
        if !std::mem::replace(&mut self.has_reason, true) {
            self.ready.push_back(ModelEvent::Finished(reason));
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ModelError> {
        let (ids, ready) = (&self.ids, &mut self.ready);
        let finished = self
            .calls
            .finish(&|| new_call_id(ids), &mut |event| ready.push_back(event));
        finished.map_err(ModelError::from)
    }
}

fn new_call_id(ids: &IdSource) -> String {
    let mut bytes = [0; CALL_ID_BYTES];
    ids.fill_random(&mut bytes);
    let hex = bytes.iter().map(|byte| format!("{byte:02x}"));
    format!("call_{}", hex.collect::<String>())
}
