//! Models that say what the tests need.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use parlance_domain::Usage;
use parlance_domain::upstream::{
    FinishReason, Model, ModelError, ModelEvent, ModelMessage, ModelPart, ModelRequest,
    ModelStream, RefusalText,
};
use tokio::sync::Notify;

use crate::app::TestApp;

/// A model that says two words and then waits, or breaks off.
#[derive(Clone)]
pub(crate) enum Stumbling {
    Waits(Arc<Notify>),
    Breaks,
}

#[async_trait]
impl Model for Stumbling {
    async fn answer(&self, _request: ModelRequest) -> Result<ModelStream, ModelError> {
        let words = ["Well, ", "well"].map(|word| Ok(ModelEvent::Text(word.to_owned())));
        let words = stream::iter(words);
        Ok(match self.clone() {
            Self::Waits(go_on) => {
                let more = stream::once(async move {
                    go_on.notified().await;
                    Ok(ModelEvent::Text(".".to_owned()))
                });
                words.chain(more).boxed()
            }
            Self::Breaks => words
                .chain(stream::iter([Err(ModelError::Down(None))]))
                .boxed(),
        })
    }
}

/// A server whose model waits, and what lets it go on.
pub(crate) async fn waiting() -> (TestApp, Arc<Notify>) {
    let go_on = Arc::new(Notify::new());
    let model = Stumbling::Waits(Arc::clone(&go_on));
    let app = TestApp::with_model(Arc::new(model)).await;
    (app, go_on)
}

/// The turn that all dialects' `turn.http` show: thoughts, an answer in three pieces, and what it cost. Asked
/// to fail, its server refuses in words of its own.
pub(crate) struct Scripted;

#[async_trait]
impl Model for Scripted {
    async fn answer(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        if said_last(&request) == "Fail." {
            let said = Some(RefusalText {
                message: "The question is \"too long\".".to_owned(),
                code: Some("context_length_exceeded".to_owned()),
            });
            return Err(ModelError::Refused { status: 400, said });
        }
        let thought = ["Short waves ", "scatter."].map(|it| ModelEvent::Reasoning(it.to_owned()));
        let said = ["Blue ", "scatters “most”", ".\n"].map(|it| ModelEvent::Text(it.to_owned()));
        let usage = Usage {
            input_tokens: 12,
            cached_tokens: 4,
            output_tokens: 9,
            reasoning_tokens: 3,
        };
        let end = [
            ModelEvent::Usage(usage),
            ModelEvent::Finished(FinishReason::Complete),
        ];
        let events = thought.into_iter().chain(said).chain(end);
        Ok(stream::iter(events.map(Ok).collect::<Vec<_>>()).boxed())
    }
}

/// A model that tells what it was given to read: the instructions, then what was said, one to a line.
pub(crate) struct Telling;

#[async_trait]
impl Model for Telling {
    async fn answer(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let instructions = request.instructions.iter().cloned();
        let read = instructions.chain(request.messages.iter().map(text));
        let told = ModelEvent::Text(read.collect::<Vec<_>>().join("\n"));
        Ok(stream::iter([Ok(told)]).boxed())
    }
}

/// The same, once it is let go on.
pub(crate) struct Patient(pub(crate) Arc<Notify>);

#[async_trait]
impl Model for Patient {
    async fn answer(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let go_on = Arc::clone(&self.0);
        let told = Telling.answer(request).await?;
        let wait = stream::once(async move {
            go_on.notified().await;
            Ok(ModelEvent::Text(String::new()))
        });
        Ok(wait.chain(told).boxed())
    }
}

fn said_last(request: &ModelRequest) -> String {
    request.messages.last().map(text).unwrap_or_default()
}

fn text(message: &ModelMessage) -> String {
    match message {
        ModelMessage::Said { parts, .. } | ModelMessage::ToolOutput { parts, .. } => {
            let text = |part: &ModelPart| match part {
                ModelPart::Text(text) => text.clone(),
                other @ (ModelPart::Image { .. }
                | ModelPart::File { .. }
                | ModelPart::Audio { .. }) => format!("{other:?}"),
            };
            parts.iter().map(text).collect()
        }
        ModelMessage::Called(call) => format!("{}({})", call.name, call.arguments),
    }
}
