//! An answer on its way: status, headers, and frames that may wait, break or fall silent.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use serde_json::{Map, Value, json};

use super::Shared;
use super::script::{End, Script, Step, text_of};

/// When every answer was made, in seconds since 1970.
pub(super) const CREATED: u64 = 1_700_000_000;
const SSE: &str = "text/event-stream; charset=utf-8";
const JSON: &str = "application/json";

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An answer that is decided.
pub(super) struct Reply {
    hold: Option<String>,
    hang_up: bool,
    status: u16,
    content_type: &'static str,
    headers: Vec<(String, String)>,
    pieces: VecDeque<Piece>,
}

/// What an answer does next.
enum Piece {
    Bytes(Bytes),
    Gate(String),
    Pause(Duration),
    Break,
    Silence,
}

impl Reply {
    fn of(script: &Script, content_type: &'static str, pieces: VecDeque<Piece>) -> Self {
        let status = script.status.unwrap_or(200);
        let headers = script.headers.clone().into_iter().collect();
        let mut reply = Self {
            hold: script.hold.clone(),
            hang_up: script.hang_up,
            status,
            content_type,
            headers,
            pieces,
        };
        if status != 200 {
            let error = script
                .error
                .clone()
                .unwrap_or_else(|| scripted_error(status));
            let error = json!({"error": error}).to_string();
            reply.content_type = JSON;
            reply.pieces = VecDeque::from([Piece::Bytes(error.into())]);
        }
        reply
    }

    /// The answer to a chat.
    pub(super) fn chat(script: &Script, question: &Value, number: usize) -> Self {
        let answer = Answer::of(script, question, number);
        if question["stream"] == true && !script.whole {
            let wants_usage = question["stream_options"]["include_usage"] == true;
            return Self::of(script, SSE, answer.frames(script, wants_usage));
        }
        let mut pieces: VecDeque<_> = answer.steps.iter().filter_map(waiting).collect();
        pieces.push_back(Piece::Bytes(answer.whole().to_string().into()));
        pieces.extend(ending(script.end));
        Self::of(script, JSON, pieces)
    }

    /// JSON.
    pub(super) fn plain(script: &Script, body: impl FnOnce() -> Value) -> Self {
        let body = Piece::Bytes(body().to_string().into());
        Self::of(script, JSON, VecDeque::from([body]))
    }

    /// Sound.
    pub(super) fn sound(script: &Script, sound: String) -> Self {
        let mut pieces = VecDeque::from([Piece::Bytes(sound.into())]);
        pieces.extend(ending(script.end));
        Self::of(script, "audio/mpeg", pieces)
    }

    /// Begins to answer. An error closes the connection.
    pub(super) async fn begin(self, shared: Arc<Shared>) -> io::Result<Response<Body>> {
        let heard = Heard {
            shared,
            to_the_end: false,
        };
        if let Some(gate) = &self.hold {
            heard.pass(gate).await;
        }
        if self.hang_up {
            return Err(io::Error::other("the script hangs up"));
        }
        let mut response = Response::builder()
            .status(self.status)
            .header("content-type", self.content_type);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        let body = stream::unfold((self.pieces, heard), next);
        let body = StreamBody::new(body).boxed_unsync();
        response.body(body).map_err(io::Error::other)
    }
}

type Coming = (VecDeque<Piece>, Heard);

async fn next((mut pieces, mut heard): Coming) -> Option<(io::Result<Frame<Bytes>>, Coming)> {
    loop {
        let Some(piece) = pieces.pop_front() else {
            heard.to_the_end = true;
            return None;
        };
        // What came before goes out first, by itself.
        tokio::task::yield_now().await;
        match piece {
            Piece::Bytes(bytes) => return Some((Ok(Frame::data(bytes)), (pieces, heard))),
            Piece::Gate(gate) => heard.pass(&gate).await,
            Piece::Pause(time) => tokio::time::sleep(time).await,
            Piece::Break => {
                let broken = io::Error::other("the script breaks off");
                return Some((Err(broken), (pieces, heard)));
            }
            Piece::Silence => std::future::pending().await,
        }
    }
}

/// Notices when an answer is not heard to its end.
struct Heard {
    shared: Arc<Shared>,
    to_the_end: bool,
}

impl Heard {
    async fn pass(&self, gate: &str) {
        self.shared.gate(gate).acquire().await.unwrap().forget();
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        if !self.to_the_end {
            self.shared.given_up.send_modify(|count| *count += 1);
        }
    }
}

/// What a model says.
struct Answer {
    head: Map<String, Value>,
    steps: Vec<Step>,
    message: Map<String, Value>,
    finish_reason: String,
    usage: Value,
}

impl Answer {
    fn of(script: &Script, question: &Value, number: usize) -> Self {
        let steps = script.all_steps();
        let mut message = Map::from_iter([
            ("role".to_owned(), json!("assistant")),
            ("content".to_owned(), Value::Null),
        ]);
        for step in &steps {
            if let Step::Delta(delta) = step {
                add(&mut message, delta);
            }
        }
        let own = if message.contains_key("tool_calls") {
            "tool_calls"
        } else {
            "stop"
        };
        let finish_reason = script.finish_reason.clone();
        let usage = script.usage.clone();
        Self {
            head: Map::from_iter([
                ("id".to_owned(), json!(format!("chatcmpl-{number}"))),
                ("created".to_owned(), json!(CREATED)),
                ("model".to_owned(), question["model"].clone()),
            ]),
            finish_reason: finish_reason.unwrap_or_else(|| own.to_owned()),
            usage: usage.unwrap_or_else(|| counted(question, &message)),
            message,
            steps,
        }
    }

    fn chunk(&self, choices: &Value) -> Value {
        let mut chunk = self.head.clone();
        chunk.insert("object".to_owned(), json!("chat.completion.chunk"));
        chunk.insert("choices".to_owned(), choices.clone());
        Value::Object(chunk)
    }

    fn delta(&self, delta: &Value, finish_reason: Option<&str>) -> Piece {
        frame(&self.chunk(&json!([
            {"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason}
        ])))
    }

    fn frames(&self, script: &Script, wants_usage: bool) -> VecDeque<Piece> {
        let begun = json!({"role": "assistant", "content": ""});
        let mut pieces = VecDeque::from([self.delta(&begun, None)]);
        for step in &self.steps {
            pieces.extend(match step {
                Step::Delta(delta) => Some(self.delta(delta, None)),
                Step::Raw(bytes) => Some(Piece::Bytes(bytes.clone().into())),
                Step::Text(_) | Step::Gate(_) | Step::PauseMs(_) => waiting(step),
            });
        }
        if matches!(script.end, End::Done | End::NoDone) {
            pieces.push_back(self.delta(&json!({}), Some(&self.finish_reason)));
            if wants_usage {
                let mut chunk = self.chunk(&json!([]));
                chunk["usage"] = self.usage.clone();
                pieces.push_back(frame(&chunk));
            }
        }
        if matches!(script.end, End::Done | End::NoReason) {
            pieces.push_back(Piece::Bytes(Bytes::from_static(b"data: [DONE]\n\n")));
        }
        pieces.extend(ending(script.end));
        pieces
    }

    fn whole(&self) -> Value {
        let mut whole = self.head.clone();
        whole.insert("object".to_owned(), json!("chat.completion"));
        let choice = json!({"index": 0, "message": self.message, "logprobs": null,
            "finish_reason": self.finish_reason});
        whole.insert("choices".to_owned(), json!([choice]));
        whole.insert("usage".to_owned(), self.usage.clone());
        Value::Object(whole)
    }
}

/// Adds a piece to what it is a piece of.
fn add(whole: &mut Map<String, Value>, delta: &Value) {
    for (name, piece) in delta.as_object().into_iter().flatten() {
        if name == "tool_calls" {
            let calls = whole.entry("tool_calls").or_insert_with(|| json!([]));
            for call in piece.as_array().into_iter().flatten() {
                add_call(calls, call);
            }
        } else if let Some(piece) = piece.as_str() {
            let said = whole.entry(name.clone()).or_insert(Value::Null);
            *said = json!(format!("{}{piece}", said.as_str().unwrap_or_default()));
        } else {
            whole.insert(name.clone(), piece.clone());
        }
    }
}

fn add_call(calls: &mut Value, piece: &Value) {
    let index = usize::try_from(piece["index"].as_u64().unwrap_or(0)).unwrap();
    let calls = calls.as_array_mut().unwrap();
    while calls.len() <= index {
        calls.push(json!({"type": "function", "function": {"name": "", "arguments": ""}}));
    }
    let call = &mut calls[index];
    if !piece["id"].is_null() {
        call["id"] = piece["id"].clone();
    }
    for field in ["name", "arguments"] {
        let said = call["function"][field].as_str().unwrap_or_default();
        let more = piece["function"][field].as_str().unwrap_or_default();
        call["function"][field] = json!(format!("{said}{more}"));
    }
}

/// Tokens, as words.
fn counted(question: &Value, message: &Map<String, Value>) -> Value {
    let words = |text: &str| text.split_whitespace().count();
    let messages = question["messages"].as_array();
    let read = |message: &Value| words(&text_of(&message["content"]));
    let read: usize = messages.into_iter().flatten().map(read).sum();
    let said = |name: &str| message.get(name).map_or(0, |text| words(&text_of(text)));
    let calls = message
        .get("tool_calls")
        .map_or(0, |calls| words(&calls.to_string()));
    let thought = said("reasoning_content") + said("reasoning");
    let written = said("content") + said("refusal") + calls + thought;
    json!({"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thought}})
}

fn frame(value: &Value) -> Piece {
    Piece::Bytes(format!("data: {value}\n\n").into())
}

fn waiting(step: &Step) -> Option<Piece> {
    match step {
        Step::Gate(gate) => Some(Piece::Gate(gate.clone())),
        Step::PauseMs(time) => Some(Piece::Pause(Duration::from_millis(*time))),
        Step::Text(_) | Step::Delta(_) | Step::Raw(_) => None,
    }
}

const fn ending(end: End) -> Option<Piece> {
    match end {
        End::Disconnect => Some(Piece::Break),
        End::Silence => Some(Piece::Silence),
        End::Done | End::NoDone | End::NoReason | End::Nothing => None,
    }
}

fn scripted_error(status: u16) -> Value {
    json!({"message": format!("scripted failure {status}"), "type": "scripted", "param": null,
        "code": "scripted"})
}

/// An error in OpenAI's words.
pub(super) fn refusal(status: u16, message: &str) -> Response<Body> {
    let error = json!({"message": message, "type": "invalid_request_error", "param": null,
        "code": null});
    json(status, &json!({"error": error}))
}

/// JSON, whole.
pub(super) fn json(status: u16, value: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(value.to_string()));
    let body = body.map_err(|never| match never {}).boxed_unsync();
    Response::builder()
        .status(status)
        .header("content-type", JSON)
        .body(body)
        .unwrap()
}
