//! `echo`: repeats what it is told, and says that it is no model. It needs nothing, so that
//! everything can be tried at once.

mod chat;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use parlance_domain::Usage;
use parlance_domain::json::Json;
use parlance_domain::upstream::{
    EmbeddingRequest, Embeddings, Model, ModelError, ModelEvent, ModelInfo, ModelMessage,
    ModelPart, ModelRequest, ModelStream, RawAnswer, Speech, SpeechRequest, TranscriptionRequest,
};

/// What every answer begins with.
pub const PREAMBLE: &str = "[echo, not a model] You said: ";
/// Its name, everywhere.
pub const NAME: &str = "echo";

/// The built-in stand-in for a model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

#[async_trait]
impl Model for Echo {
    async fn answer(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let said = request.messages.last().map(text_of).unwrap_or_default();
        let answer = format!("{PREAMBLE}{said}");
        let read = request
            .messages
            .iter()
            .map(|message| words(&text_of(message)));
        let usage = usage(read.sum(), &answer);
        let pieces = pieces(&answer).into_iter().map(ModelEvent::Text);
        let events: Vec<_> = pieces.chain([ModelEvent::Usage(usage)]).map(Ok).collect();
        Ok(stream::iter(events).boxed())
    }

    fn models(&self) -> Vec<ModelInfo> {
        vec![ModelInfo {
            name: NAME.to_owned(),
            context_tokens: None,
        }]
    }

    async fn chat(&self, model: &str, body: Json) -> Result<RawAnswer, ModelError> {
        chat::answer(model, &body)
    }

    async fn embed(&self, _: EmbeddingRequest) -> Result<Embeddings, ModelError> {
        Err(ModelError::Unable)
    }

    async fn speak(&self, _: SpeechRequest) -> Result<Speech, ModelError> {
        Err(ModelError::Unable)
    }

    async fn transcribe(&self, _: TranscriptionRequest) -> Result<String, ModelError> {
        Err(ModelError::Unable)
    }
}

/// What it repeats of a message: the text in it.
fn text_of(message: &ModelMessage) -> String {
    let parts = match message {
        ModelMessage::Said { parts, .. } | ModelMessage::ToolOutput { parts, .. } => parts,
        ModelMessage::Called(_) => return String::new(),
    };
    let text = |part: &ModelPart| match part {
        ModelPart::Text(text) => Some(text.clone()),
        ModelPart::Image { .. } | ModelPart::File { .. } | ModelPart::Audio { .. } => None,
    };
    let texts: Vec<String> = parts.iter().filter_map(text).collect();
    texts.join("\n")
}

fn pieces(answer: &str) -> Vec<String> {
    answer.split_inclusive(' ').map(str::to_owned).collect()
}

/// Its tokens are words.
fn words(text: &str) -> u64 {
    u64::try_from(text.split_whitespace().count()).unwrap_or(u64::MAX)
}

fn usage(input_tokens: u64, answer: &str) -> Usage {
    Usage {
        input_tokens,
        output_tokens: words(answer),
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests;
