mod answers;
mod asked;
mod failures;
mod others;
mod pure;

use std::sync::Arc;

use futures_util::StreamExt;
use parlance_domain::json::Json;
use parlance_domain::upstream::{
    AnswerFormat, FinishReason, FunctionTool, ModelEvent, ModelMessage, ModelOptions, ModelPart,
    ToolCall, ToolChoice,
};
use parlance_domain::{Clock, IdSource, Role, Timestamp, Usage};
use parlance_model_server::{End, ModelServer, Script, Step};
use serde_json::{Value, json};

use super::*;

/// 2026-11-22T10:00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
}

fn client() -> Client {
    let clock: Arc<dyn Clock> = Arc::new(Still);
    let ids = Arc::new(IdSource::new(Arc::clone(&clock), [7; 32]));
    let client = Client::new(clock, ids, false).expect("a client");
    client.retrying_after(Duration::from_millis(1))
}

fn model_at(url: &str, change: impl FnOnce(&mut Server)) -> OpenAiChat {
    let mut server = Server {
        url: BaseUrl::parse(url).expect("an URL"),
        key: Some(Secret::new("hush")),
        name: "real-name".to_owned(),
        patience: Patience::default(),
        output_limit: OutputLimit::MaxTokens,
    };
    change(&mut server);
    OpenAiChat::new(client(), server).expect("a model")
}

fn model(server: &ModelServer) -> OpenAiChat {
    model_at(&server.url(), |_| {})
}

/// One that waits so long, in milliseconds.
fn patient(server: &ModelServer, first_byte: u64, idle: u64) -> OpenAiChat {
    model_at(&server.url(), |server| {
        server.patience = Patience {
            first_byte: Duration::from_millis(first_byte),
            idle: Duration::from_millis(idle),
        };
    })
}

fn asks(text: &str) -> ModelRequest {
    ModelRequest {
        model: "name-here".to_owned(),
        instructions: None,
        messages: vec![ModelMessage::text(Role::User, text)],
        options: ModelOptions::default(),
    }
}

type Said = Vec<Result<ModelEvent, ModelError>>;

/// All that a model says.
async fn said(model: &OpenAiChat, request: &ModelRequest) -> Result<Said, ModelError> {
    Ok(model.answer(request).await?.collect().await)
}

/// All that a model says to a script, where nothing goes wrong.
async fn says(script: Script) -> Vec<ModelEvent> {
    let server = ModelServer::start().await;
    server.script(script);
    let events = said(&model(&server), &asks("go")).await.expect("an answer");
    let events = events.into_iter().map(|event| event.expect("an event"));
    events.collect()
}

/// How an answer to a script ends, and what was said before.
async fn breaks(script: Script) -> (Vec<ModelEvent>, ModelError) {
    let server = ModelServer::start().await;
    server.script(script);
    let events = said(&model(&server), &asks("go")).await.expect("an answer");
    let mut before = Vec::new();
    for event in events {
        match event {
            Ok(event) => before.push(event),
            Err(error) => return (before, error),
        }
    }
    panic!("nothing went wrong: {before:?}");
}

fn text(text: &str) -> ModelEvent {
    ModelEvent::Text(text.to_owned())
}

fn call(call_id: &str, name: &str) -> ModelEvent {
    ModelEvent::ToolCall {
        call_id: call_id.to_owned(),
        name: name.to_owned(),
    }
}

fn arguments(piece: &str) -> ModelEvent {
    ModelEvent::Arguments(piece.to_owned())
}

/// What was said, without usage.
fn but_usage(events: Vec<ModelEvent>) -> Vec<ModelEvent> {
    let is_usage = |event: &ModelEvent| matches!(event, ModelEvent::Usage(_));
    events
        .into_iter()
        .filter(|event| !is_usage(event))
        .collect()
}

const COMPLETE: ModelEvent = ModelEvent::Finished(FinishReason::Complete);
