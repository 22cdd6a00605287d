//! A model that says what a question tells it to.
//!
//! A question that begins with `script: ` goes on with a JSON array of steps, such as
//! `[{"text":"Hel"},{"text":"lo"},{"finish":"length"}]`. Any other is echoed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use parlance_domain::upstream::{
    FinishReason, Model, ModelError, ModelEvent, ModelMessage, ModelPart, ModelRequest,
    ModelStream, RefusalText,
};
use parlance_domain::{Role, Usage};
use parlance_upstream::Echo;
use serde::Deserialize;
use tokio::sync::Semaphore;

/// The model. All clones are one.
#[derive(Clone, Default)]
pub(crate) struct Directed {
    asked: Arc<Mutex<Vec<ModelRequest>>>,
    gates: Arc<Mutex<BTreeMap<String, Arc<Semaphore>>>>,
}

/// What it does next.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Text(String),
    Refusal(String),
    Reasoning(String),
    /// A call's id and the function's name.
    Call(String, String),
    Arguments(String),
    /// Tokens read, those read before, tokens written, those thought.
    Usage(u64, u64, u64, u64),
    /// `length` or `content_filter`.
    Finish(String),
    /// It waits until this gate is opened.
    Gate(String),
    /// Its server has too much to do, for so many seconds.
    Busy(u64),
    /// Its server refuses, with these words.
    Refuse(String),
    /// It breaks off.
    Down,
}

impl Directed {
    /// Lets one answer through that waits at this gate, or will.
    pub(crate) fn open(&self, gate: &str) {
        self.gate(gate).add_permits(1);
    }

    /// What it was asked last.
    pub(crate) fn last_asked(&self) -> ModelRequest {
        self.asked
            .lock()
            .unwrap()
            .last()
            .cloned()
            .expect("it was asked")
    }

    fn gate(&self, name: &str) -> Arc<Semaphore> {
        let mut gates = self.gates.lock().unwrap();
        let closed = || Arc::new(Semaphore::new(0));
        Arc::clone(gates.entry(name.to_owned()).or_insert_with(closed))
    }

    async fn step(&self, step: Step) -> Result<ModelEvent, ModelError> {
        Ok(match step {
            Step::Text(text) => ModelEvent::Text(text),
            Step::Refusal(text) => ModelEvent::Refusal(text),
            Step::Reasoning(text) => ModelEvent::Reasoning(text),
            Step::Call(call_id, name) => ModelEvent::ToolCall { call_id, name },
            Step::Arguments(text) => ModelEvent::Arguments(text),
            Step::Usage(input_tokens, cached_tokens, output_tokens, reasoning_tokens) => {
                ModelEvent::Usage(Usage {
                    input_tokens,
                    cached_tokens,
                    output_tokens,
                    reasoning_tokens,
                })
            }
            Step::Finish(why) if why == "length" => ModelEvent::Finished(FinishReason::Length),
            Step::Finish(_) => ModelEvent::Finished(FinishReason::ContentFilter),
            Step::Gate(name) => {
                let gate = self.gate(&name);
                gate.acquire().await.expect("no gate is removed").forget();
                // Says nothing, and so makes no event.
                ModelEvent::Text(String::new())
            }
            Step::Busy(seconds) => {
                return Err(ModelError::Busy {
                    retry_after: Some(Duration::from_secs(seconds)),
                });
            }
            Step::Refuse(message) => {
                return Err(ModelError::Refused {
                    status: 400,
                    said: Some(RefusalText {
                        message,
                        code: None,
                    }),
                });
            }
            Step::Down => return Err(ModelError::Down(None)),
        })
    }
}

#[async_trait]
impl Model for Directed {
    async fn answer(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        self.asked.lock().unwrap().push(request.clone());
        let said = request
            .messages
            .iter()
            .rev()
            .find_map(|message| match message {
                ModelMessage::Said {
                    role: Role::User,
                    parts,
                } => Some(parts.iter().filter_map(text).collect::<String>()),
                ModelMessage::Said { .. }
                | ModelMessage::Called(_)
                | ModelMessage::ToolOutput { .. } => None,
            });
        let after_tools = matches!(
            request.messages.last(),
            Some(ModelMessage::ToolOutput { .. })
        );
        let script = said
            .as_deref()
            .and_then(|said| said.strip_prefix("script: "));
        let Some(script) = script.filter(|_| !after_tools) else {
            return Echo.answer(request).await;
        };
        let steps: Vec<Step> = serde_json::from_str(script).expect("a script");
        let this = self.clone();
        let events = stream::iter(steps).then(move |step| {
            let this = this.clone();
            async move { this.step(step).await }
        });
        Ok(events.boxed())
    }
}

fn text(part: &ModelPart) -> Option<&str> {
    match part {
        ModelPart::Text(text) => Some(text),
        ModelPart::Image { .. } | ModelPart::File { .. } | ModelPart::Audio { .. } => None,
    }
}
