//! `echo`: repeats what it is told, and says that it is no model. It needs nothing, so that
//! everything can be tried at once.

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use parlance_domain::Usage;
use parlance_domain::upstream::{Model, ModelError, ModelEvent, ModelRequest, ModelStream};

/// What every answer begins with.
pub const PREAMBLE: &str = "[echo, not a model] You said: ";

/// The built-in stand-in for a model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

#[async_trait]
impl Model for Echo {
    async fn answer(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let said = request
            .messages
            .last()
            .map(|message| message.text.as_str())
            .unwrap_or_default();
        let answer = format!("{PREAMBLE}{said}");
        let words = |text: &str| u64::try_from(text.split_whitespace().count()).unwrap_or(u64::MAX);
        let usage = Usage {
            input_tokens: request
                .messages
                .iter()
                .map(|message| words(&message.text))
                .sum(),
            output_tokens: words(&answer),
        };
        let pieces: Vec<String> = answer.split_inclusive(' ').map(str::to_owned).collect();
        let pieces = stream::iter(pieces).map(|piece| Ok(ModelEvent::Text(piece)));
        Ok(pieces
            .chain(stream::iter([Ok(ModelEvent::Usage(usage))]))
            .boxed())
    }
}

#[cfg(test)]
mod tests;
