//! A server of the form that models' servers have, which says what tests tell it to: chat completions
//! in pieces and whole, embeddings, speech and transcriptions, on the loopback.
//!
//! What it answers is decided, in this order, by a `[[script: {...}]]` in what the user says last, by the
//! queue of [`ModelServer::script`], and by `default`. A user's text may hold several scripts: the
//! second is for the question that follows the first answer, as in a loop of tool calls.
//!
//! Other processes reach the same over HTTP: `POST /scripts`, `POST /gates/NAME`, `GET /requests`,
//! `DELETE /requests`.
//!
//! Invariant: the same question is answered the same; nothing here asks the machine for time or chance, and
//! a pause is only ever a script's.
//!
//! `cargo xtask model-server` starts one alone.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say so at once"
)]

mod default;
mod script;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

pub use script::{End, Script, ScriptedCall, Step};
use wire::Reply;

/// A model's server that is told what to say. Ends when it is dropped.
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    // Dropped with the server, and all its connections with it.
    accepting: JoinSet<()>,
}

/// A request that the server has got.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: Bytes,
}

impl Request {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[derive(Default)]
struct Shared {
    scripts: Mutex<VecDeque<Script>>,
    requests: Mutex<Vec<Request>>,
    gates: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    asked: watch::Sender<usize>,
    given_up: watch::Sender<usize>,
    connections: watch::Sender<usize>,
}

impl ModelServer {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        Self::start_on(0).await.unwrap()
    }

    /// Starts one on this port of the loopback; 0 is any that is free.
    pub async fn start_on(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Says what the next answer is that nothing else decides.
    pub fn script(&self, script: Script) {
        locked(&self.shared.scripts).push_back(script);
    }

    /// Lets one answer through that waits at this gate, or the next that comes to it.
    pub fn open(&self, gate: &str) {
        self.shared.gate(gate).add_permits(1);
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        locked(&self.shared.requests).clone()
    }

    /// The last request. There has to be one.
    pub fn last_request(&self) -> Request {
        locked(&self.shared.requests).last().cloned().unwrap()
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        *self.shared.connections.borrow()
    }

    /// Waits until there have been so many requests.
    pub async fn asked(&self, count: usize) {
        reached(&self.shared.asked, count).await;
    }

    /// Waits until so many answers were not heard to their end.
    pub async fn given_up(&self, count: usize) {
        reached(&self.shared.given_up, count).await;
    }

    /// Serves for ever.
    pub async fn serve(mut self) {
        while self.accepting.join_next().await.is_some() {}
    }
}

async fn reached(count: &watch::Sender<usize>, wanted: usize) {
    let mut count = count.subscribe();
    count.wait_for(|count| *count >= wanted).await.unwrap();
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl Shared {
    fn gate(&self, name: &str) -> Arc<Semaphore> {
        let mut gates = locked(&self.gates);
        let gate = gates.entry(name.to_owned());
        Arc::clone(gate.or_insert_with(|| Arc::new(Semaphore::new(0))))
    }

    /// What to answer to a question.
    fn script_for(&self, question: &Value) -> Result<Script, String> {
        if let Some(script) = script::in_text(question)? {
            return Ok(script);
        }
        let queued = locked(&self.scripts).pop_front();
        Ok(queued.unwrap_or_else(|| default::answer(question)))
    }

    /// What to answer to a request that is no chat.
    fn queued(&self) -> Script {
        locked(&self.scripts).pop_front().unwrap_or_default()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    shared.connections.send_modify(|count| *count += 1);
                    connections.spawn(converse(stream, Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(|request| answer(Arc::clone(&shared), request));
    // Clients go away, and scripts break off.
    drop(
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

/// Answers a request. An error closes the connection.
async fn answer(
    shared: Arc<Shared>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<wire::Body>, io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let (method, path) = (head.method.as_str().to_owned(), head.uri.path().to_owned());
    if !path.starts_with("/v1/") {
        return Ok(control(&shared, &method, &path, &body));
    }
    let header = |(name, value): (&hyper::http::HeaderName, &hyper::http::HeaderValue)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    };
    let request = Request {
        method,
        path,
        headers: head.headers.iter().map(header).collect(),
        body,
    };
    let number = {
        let mut requests = locked(&shared.requests);
        requests.push(request.clone());
        requests.len()
    };
    let reply = reply(&shared, &request, number);
    shared
        .asked
        .send_modify(|count| *count = number.max(*count));
    match reply {
        Ok(reply) => reply.begin(shared).await,
        Err(message) => Ok(wire::refusal(400, &message)),
    }
}

/// What to answer to a request of the API.
fn reply(shared: &Shared, request: &Request, number: usize) -> Result<Reply, String> {
    let question = request.json();
    let reply = match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/v1/chat/completions") => {
            if !question["messages"].is_array() {
                return Err("`messages` is missing".to_owned());
            }
            Reply::chat(&shared.script_for(&question)?, &question, number)
        }
        ("POST", "/v1/embeddings") => {
            Reply::plain(&shared.queued(), || default::embeddings(&question))
        }
        ("POST", "/v1/audio/speech") => Reply::sound(&shared.queued(), default::speech(&question)),
        ("POST", "/v1/audio/transcriptions") => {
            let script = shared.queued();
            Reply::plain(&script, || json!({"text": default::transcript(&script)}))
        }
        ("GET", "/v1/models") => Reply::plain(&Script::default(), || {
            json!({"object": "list", "data": [
                {"id": "scripted", "object": "model", "created": wire::CREATED, "owned_by": "tests"}
            ]})
        }),
        (method, path) => return Err(format!("there is no {method} {path} here")),
    };
    Ok(reply)
}

/// What tests in other processes have done.
fn control(shared: &Shared, method: &str, path: &str, body: &Bytes) -> hyper::Response<wire::Body> {
    let done = match (method, path) {
        ("POST", "/scripts") => match serde_json::from_slice(body) {
            Ok(script) => {
                locked(&shared.scripts).push_back(script);
                json!({})
            }
            Err(error) => return wire::refusal(400, &error.to_string()),
        },
        ("GET", "/requests") => {
            let requests = locked(&shared.requests);
            let show = |request: &Request| {
                let headers = serde_json::to_value(&request.headers).unwrap();
                json!({"method": request.method, "path": request.path, "headers": headers,
                    "body": request.json()})
            };
            Value::Array(requests.iter().map(show).collect())
        }
        ("DELETE", "/requests") => {
            locked(&shared.requests).clear();
            json!({})
        }
        ("POST", path) if path.starts_with("/gates/") => {
            let name = path.trim_start_matches("/gates/");
            shared.gate(name).add_permits(1);
            json!({})
        }
        (method, path) => {
            return wire::refusal(404, &format!("there is no {method} {path} here"));
        }
    };
    wire::json(200, &done)
}

#[cfg(test)]
mod tests;
