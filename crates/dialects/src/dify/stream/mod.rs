//! Turns what happens in a turn into the events of Dify's stream: a pure state machine.
//!
//! The flow is Dify's smallest, start -> llm -> answer; its model's node tells what the model thinks apart
//! from the answer (`reasoning_format: separated`). Order as since 1.13.1, `message_end` before
//! `workflow_finished`; where Dify's reader stops too early to see what its documentation promises
//! (the `error` after a failure, the `message_end` after a stop), the documentation is followed.
//!
//! Invariant: the first frame is a ping, `message` comes between `workflow_started` and
//! `message_end`, and after the ending nothing comes any more.

use parlance_domain::service::{PieceKind, TurnEnd, TurnEvent};
use parlance_domain::{ItemKind, ItemType, Timestamp, TurnFailure, Usage};
use serde_json::{Map, Value, json};

use super::error;
use super::run::{self, Ending, LLM, Timing};
use crate::kit::sse::json_text;

/// What is sent first, and after each silence.
pub(super) const PING: &str = "event: ping\n\n";

/// What a run is known by.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// The conversation.
    pub(super) conversation: String,
    /// The message: its question's item.
    pub(super) message: String,
    /// The turn: both the task and the workflow run.
    pub(super) task: String,
    /// The app, whose flow this is.
    pub(super) workflow: String,
    /// The executions of the nodes, in the flow's order.
    pub(super) nodes: [String; 3],
    /// The app's model.
    pub(super) model: String,
    /// The user, as the client names it.
    pub(super) user: String,
}

/// One node of the flow.
#[derive(Clone, Copy, Debug)]
enum Node {
    Start,
    Llm,
    Answer,
}

impl Node {
    const fn id(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Llm => LLM,
            Self::Answer => "answer",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Start => "Start",
            Self::Llm => "LLM",
            Self::Answer => "Answer",
        }
    }

    /// Its place in the flow, from 1.
    const fn index(self) -> u32 {
        match self {
            Self::Start => 1,
            Self::Llm => 2,
            Self::Answer => 3,
        }
    }
}

/// What a node has to show for itself when it is finished.
struct Outcome {
    inputs: Value,
    process_data: Value,
    outputs: Value,
    error: Option<String>,
    usage: Option<Usage>,
    since: Timestamp,
}

/// The encoder of one run.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    names: Names,
    /// When the message was made, in seconds: the `created_at` of every event.
    created_at: i64,
    /// The flow's inputs, `sys.` variables included.
    inputs: Value,
    timing: Timing,
    /// The event of a piece of the answer, up to the piece.
    before: String,
    over: bool,
}

/// What the event of a piece of the answer ends with.
const AFTER: &str = ",\"from_variable_selector\":[\"llm\",\"text\"]}\n\n";

impl Encoder {
    /// An encoder for a run that begins at `started`. `created_at` is its message's.
    pub(super) fn new(names: Names, created_at: i64, started: Timestamp, inputs: Value) -> Self {
        let mut encoder = Self {
            names,
            created_at,
            inputs,
            timing: Timing::new(started),
            before: String::new(),
            over: false,
        };
        let message = encoder.event("message", json!({"id": encoder.names.message}));
        let open = message.trim_end().trim_end_matches('}');
        encoder.before = format!("{open},\"answer\":");
        encoder
    }

    /// Whether the ending has been written.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// What is known as soon as the run begins.
    pub(super) fn begin(&self) -> String {
        let at = self.timing.started;
        let started = json!({
            "id": self.names.task,
            "workflow_id": self.names.workflow,
            "inputs": self.inputs,
            "created_at": at.seconds(),
            "reason": "initial",
        });
        let start = Outcome {
            inputs: self.inputs.clone(),
            process_data: json!({}),
            outputs: self.inputs.clone(),
            error: None,
            usage: None,
            since: at,
        };
        [
            PING.to_owned(),
            self.workflow_event("workflow_started", &started),
            self.node_started(Node::Start, at),
            self.node_finished(Node::Start, &start, at),
            self.node_started(Node::Llm, at),
        ]
        .concat()
    }

    /// What an event says to clients; nothing, if there is nothing for them in it.
    pub(super) fn take(&mut self, event: &TurnEvent, at: Timestamp) -> String {
        match event {
            TurnEvent::Piece { kind, text } => match kind {
                PieceKind::Text | PieceKind::Refusal => {
                    self.timing.piece(at);
                    [&self.before, &json_text(text), AFTER].concat()
                }
                PieceKind::Reasoning => {
                    self.timing.piece(at);
                    self.reasoning(text, false)
                }
                PieceKind::Arguments => String::new(),
            },
            TurnEvent::Done(item) if item.content.kind == ItemKind::Typed(ItemType::REASONING) => {
                self.reasoning("", true)
            }
            TurnEvent::Begun(_) | TurnEvent::Done(_) => String::new(),
            TurnEvent::Ended(end) => self.end(end, at),
        }
    }

    fn reasoning(&self, text: &str, is_final: bool) -> String {
        let data = json!({
            "message_id": self.names.message,
            "reasoning": text,
            "node_id": LLM,
            "is_final": is_final,
        });
        self.event("reasoning_chunk", json!({"data": data}))
    }

    fn end(&mut self, end: &TurnEnd, at: Timestamp) -> String {
        self.over = true;
        match Ending::of(end) {
            Ending::Completed => self.completed(end, at),
            Ending::Failed(why) => self.failed(why, end, at),
            Ending::Stopped => [
                self.message_end(end, at),
                self.workflow_finished("stopped", end, Some("Stopped by the user."), 2, at),
            ]
            .concat(),
            Ending::Deleted => self.error(error::NOT_FOUND, 404, error::NO_CONVERSATION),
        }
    }

    fn failed(&self, why: TurnFailure, end: &TurnEnd, at: Timestamp) -> String {
        let why = run::failure(why, &self.names.model, end.error.as_deref());
        let message = format!("{}{why}", run::RUN_FAILED);
        let llm = self.llm(end, Some(why.clone()), at);
        [
            self.node_finished(Node::Llm, &llm, at),
            self.workflow_finished("failed", end, Some(&why), 2, at),
            self.error(error::INVALID_PARAM, 400, &message),
        ]
        .concat()
    }

    /// The end of a run that has got lost without one.
    pub(super) fn lost(&mut self) -> String {
        self.over = true;
        self.error(error::INTERNAL, 500, error::INTERNAL_TEXT)
    }

    fn completed(&self, end: &TurnEnd, at: Timestamp) -> String {
        let answer = Outcome {
            inputs: json!({}),
            process_data: json!({}),
            outputs: json!({"answer": end.text(), "files": []}),
            error: None,
            usage: None,
            since: at,
        };
        [
            self.node_finished(Node::Llm, &self.llm(end, None, at), at),
            self.node_started(Node::Answer, at),
            self.node_finished(Node::Answer, &answer, at),
            self.message_end(end, at),
            self.workflow_finished("succeeded", end, None, 3, at),
        ]
        .concat()
    }

    /// What the model's node has to show.
    fn llm(&self, end: &TurnEnd, error: Option<String>, at: Timestamp) -> Outcome {
        let outputs = json!({
            "text": end.text(),
            "reasoning_content": end.thought(),
            "usage": self.timing.usage(end.usage, at),
            "finish_reason": run::finish_reason(end),
            "files": [],
        });
        Outcome {
            inputs: json!({}),
            process_data: json!({"model_mode": "chat", "model_name": self.names.model}),
            outputs: if error.is_some() { json!({}) } else { outputs },
            error,
            usage: Some(end.usage),
            since: self.timing.started,
        }
    }

    fn node_started(&self, node: Node, at: Timestamp) -> String {
        let mut data = self.node(node);
        data.extend(object(json!({
            "inputs": null,
            "inputs_truncated": false,
            "created_at": at.seconds(),
            "extras": {},
            "iteration_id": null,
            "loop_id": null,
            "agent_strategy": null,
        })));
        self.workflow_event("node_started", &Value::Object(data))
    }

    fn node_finished(&self, node: Node, outcome: &Outcome, at: Timestamp) -> String {
        let mut data = self.node(node);
        let metadata = outcome.usage.map_or_else(
            || json!({}),
            |usage| {
                json!({
                    "total_tokens": usage.total(),
                    "total_price": run::PRICE,
                    "currency": run::CURRENCY,
                })
            },
        );
        data.extend(object(json!({
            "inputs": outcome.inputs,
            "inputs_truncated": false,
            "process_data": outcome.process_data,
            "process_data_truncated": false,
            "outputs": outcome.outputs,
            "outputs_truncated": false,
            "status": if outcome.error.is_some() { "failed" } else { "succeeded" },
            "error": outcome.error,
            "elapsed_time": run::seconds(outcome.since, at),
            "execution_metadata": metadata,
            "created_at": outcome.since.seconds(),
            "finished_at": at.seconds(),
            "files": [],
            "iteration_id": null,
            "loop_id": null,
        })));
        self.workflow_event("node_finished", &Value::Object(data))
    }

    fn node(&self, node: Node) -> Map<String, Value> {
        let [start, llm, answer] = &self.names.nodes;
        let execution = match node {
            Node::Start => start,
            Node::Llm => llm,
            Node::Answer => answer,
        };
        object(json!({
            "id": execution,
            "node_id": node.id(),
            "node_type": node.id(),
            "title": node.title(),
            "index": node.index(),
            "predecessor_node_id": null,
        }))
    }

    fn message_end(&self, end: &TurnEnd, at: Timestamp) -> String {
        let message_end = json!({
            "id": self.names.message,
            "metadata": self.timing.metadata(end, at),
            "files": [],
        });
        self.event("message_end", message_end)
    }

    fn workflow_finished(
        &self,
        status: &str,
        end: &TurnEnd,
        error: Option<&str>,
        steps: u32,
        at: Timestamp,
    ) -> String {
        let outputs = match error {
            Some(_) => json!({}),
            None => json!({"answer": end.text(), "files": []}),
        };
        let data = json!({
            "id": self.names.task,
            "workflow_id": self.names.workflow,
            "status": status,
            "outputs": outputs,
            "error": error,
            "elapsed_time": self.timing.elapsed(at),
            "total_tokens": end.usage.total(),
            "total_steps": steps,
            "created_by": {"user": self.names.user},
            "created_at": self.timing.started.seconds(),
            "finished_at": at.seconds(),
            "exceptions_count": 0,
            "files": [],
        });
        self.workflow_event("workflow_finished", &data)
    }

    fn workflow_event(&self, event: &str, data: &Value) -> String {
        self.event(
            event,
            json!({"workflow_run_id": self.names.task, "data": data}),
        )
    }

    fn event(&self, event: &str, more: Value) -> String {
        let mut body = self.envelope(event);
        body.insert("task_id".to_owned(), self.names.task.as_str().into());
        body.extend(object(more));
        frame(body)
    }

    /// The one event without `task_id`.
    fn error(&self, code: &str, status: u16, message: &str) -> String {
        let mut body = self.envelope("error");
        body.extend(object(
            json!({"code": code, "status": status, "message": message}),
        ));
        frame(body)
    }

    fn envelope(&self, event: &str) -> Map<String, Value> {
        object(json!({
            "event": event,
            "conversation_id": self.names.conversation,
            "message_id": self.names.message,
            "created_at": self.created_at,
        }))
    }
}

/// One frame: compact JSON, characters as they are.
fn frame(body: Map<String, Value>) -> String {
    format!("data: {}\n\n", Value::Object(body))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

#[cfg(test)]
mod tests;
