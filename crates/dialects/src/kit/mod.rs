//! What every dialect needs: routes as data, one way in, one way out.

pub(crate) mod body;
pub(crate) mod dispatch;
pub(crate) mod fields;
pub(crate) mod mount;
pub(crate) mod raw;
pub(crate) mod reply;
pub(crate) mod route;
pub(crate) mod sse;

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::response::Response;
use http::{HeaderMap, Method};
use parlance_domain::fault::CredentialProblem;
use parlance_domain::{AppId, ConversationRef, Error, Fault, ReceiptId, Timestamp};

pub(crate) use route::{Call, Params, Query, Route};

/// One vendor's way of speaking.
pub(crate) trait Dialect: Send + Sync + Sized + 'static {
    /// Metrics label, log field, kind of key.
    const NAME: &'static str;
    /// The paths that are this dialect's alone, as axum patterns. `{app}` in one is the name of the app that
    /// is meant, in place of the key's own.
    const MOUNTS: &'static [&'static str];
    /// The first segments of its paths at the root, which it may share with others.
    const ROOT: &'static [&'static str];
    /// What its keys begin with.
    const KEY_PREFIX: &'static str;
    /// The permissions that its keys can be narrowed to.
    const SCOPES: &'static [&'static str] = &[];

    /// All routes, by their paths at the root.
    fn routes() -> Vec<Route>;

    /// The credential that a request carries; none if it carries none.
    fn credential(headers: &HeaderMap) -> Result<Option<&str>, CredentialProblem>;

    /// The vendor's answer to a fault. Total: every fault has a face in every dialect.
    fn render(fault: &Fault, context: &Context) -> Response;

    /// Adds what every answer of the vendor's carries.
    fn decorate(_response: &mut Response, _context: &Context) {}

    /// Reads a conversation's id in the dialect's form.
    fn conversation(id: &str) -> Option<ConversationRef>;

    /// Writes an app's id in the dialect's form.
    fn app(id: AppId) -> String;

    /// A `curl` line that creates and deletes a conversation.
    fn example(example: &Example<'_>) -> String;
}

/// What an example is made of.
#[derive(Clone, Copy, Debug)]
pub struct Example<'a> {
    /// `http://host:port`, without a slash at the end.
    pub base: &'a str,
    /// The key.
    pub key: &'a str,
    /// The key's app.
    pub app: AppId,
}

/// A dialect as data.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Its name: kind of key, metrics label, log field.
    pub name: &'static str,
    /// What its keys begin with.
    pub key_prefix: &'static str,
    /// The paths that are this dialect's alone.
    pub mounts: &'static [&'static str],
    /// The permissions that its keys can be narrowed to; empty if there are none.
    pub scopes: &'static [&'static str],
    /// Reads a conversation's id in the dialect's form.
    pub conversation: fn(&str) -> Option<ConversationRef>,
    /// Writes an app's id in the dialect's form.
    pub app: fn(AppId) -> String,
    /// A `curl` line that creates and deletes a conversation.
    pub example: fn(&Example<'_>) -> String,
    root: &'static [&'static str],
    routes: fn() -> Vec<Route>,
    credential: fn(&HeaderMap) -> Result<Option<&str>, CredentialProblem>,
    render: fn(&Fault, &Context) -> Response,
    decorate: fn(&mut Response, &Context),
}

/// A route as the tests over all routes see it.
#[derive(Clone, Debug)]
pub struct RouteInfo {
    /// The method.
    pub method: Method,
    /// The path at the root, with its parameters in braces.
    pub path: &'static str,
    /// The operation's name in metrics and logs.
    pub operation: &'static str,
    /// Whether a key is needed.
    pub keyed: bool,
    /// The permission that a key needs.
    pub scope: Option<&'static str>,
}

impl Entry {
    pub(crate) const fn of<D: Dialect>() -> Self {
        Self {
            name: D::NAME,
            key_prefix: D::KEY_PREFIX,
            mounts: D::MOUNTS,
            scopes: D::SCOPES,
            conversation: D::conversation,
            app: D::app,
            example: D::example,
            root: D::ROOT,
            routes: D::routes,
            credential: D::credential,
            render: D::render,
            decorate: D::decorate,
        }
    }

    /// All routes, for tests that go over every one.
    pub fn route_table(&self) -> Vec<RouteInfo> {
        (self.routes)().iter().map(Route::info).collect()
    }
}

/// What an operator can set of HTTP.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Largest body, in bytes.
    pub body_bytes_max: usize,
    /// Longest pause while a body arrives.
    pub body_pause_max: Duration,
    /// Origins that browsers may call from; `*` is any.
    pub cors_origins: Vec<String>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            body_bytes_max: 16 << 20,
            body_pause_max: Duration::from_secs(30),
            cors_origins: Vec::new(),
        }
    }
}

/// One request, as far as answers depend on it.
#[derive(Debug)]
pub(crate) struct Context {
    /// The request's own number; `x-request-id` says it in hexadecimal.
    pub(crate) request: u128,
    /// When it came.
    pub(crate) at: Timestamp,
    /// Its method.
    pub(crate) method: Method,
    /// Its path, as the client wrote it.
    pub(crate) path: String,
    /// The parameters in its path.
    pub(crate) params: Params,
    /// The receipt that the answer names: of what this request has erased, or finds erased.
    pub(crate) receipt: OnceLock<ReceiptId>,
    /// Whether its connection is to be closed with the answer.
    pub(crate) closing: AtomicBool,
}

/// Why a handler does not answer as asked.
pub(crate) enum Failure {
    /// A fault, which the dialect renders.
    Error(Error),
    /// An answer that only this dialect knows, already rendered.
    Answer(Box<Response>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Error(fault.into())
    }
}

impl From<Response> for Failure {
    fn from(response: Response) -> Self {
        Self::Answer(Box::new(response))
    }
}

/// What a handler gives.
pub(crate) type Reply = Result<Response, Failure>;

#[cfg(test)]
mod tests;
