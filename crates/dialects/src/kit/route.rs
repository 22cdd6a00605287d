//! Routes as data, and what a handler is called with.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use parlance_domain::fault::MalformedBody;
use parlance_domain::service::{Access, Deleted};
use parlance_domain::{
    ConversationId, ConversationRef, Error, Fault, Id, Noun, Principal, Realm, ReceiptId, Ref,
    Service, TurnId,
};
use serde_json::{Map, Value};

use super::{Context, Failure, Reply, RouteInfo};

/// Checks a request's headers and body.
type Check = fn(&HeaderMap, &[u8]) -> Result<(), Failure>;
type Pending = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// What answers a route.
#[derive(Clone)]
pub(super) enum Handler {
    /// For whoever has a key.
    Keyed(Arc<dyn Fn(Call) -> Pending + Send + Sync>),
    /// For everybody.
    Open(Arc<dyn Fn(Service) -> Pending + Send + Sync>),
}

/// One method on one path.
#[derive(Clone)]
pub(crate) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) operation: &'static str,
    pub(super) scopes: &'static [&'static str],
    pub(super) before_key: Option<Check>,
    pub(super) handler: Handler,
}

impl Route {
    /// A route that needs a key. `operation` is its name in metrics and logs: `conversation.create`.
    pub(crate) fn keyed<H, F>(
        method: Method,
        path: &'static str,
        operation: &'static str,
        handler: H,
    ) -> Self
    where
        H: Fn(Call) -> F + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        let handler = Handler::Keyed(Arc::new(move |call| Box::pin(handler(call))));
        Self::new(method, path, operation, handler)
    }

    /// A route that anybody may call, and that touches nobody's data.
    pub(crate) fn open<H, F>(
        method: Method,
        path: &'static str,
        operation: &'static str,
        handler: H,
    ) -> Self
    where
        H: Fn(Service) -> F + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        let handler = Handler::Open(Arc::new(move |service| Box::pin(handler(service))));
        Self::new(method, path, operation, handler)
    }

    fn new(method: Method, path: &'static str, operation: &'static str, handler: Handler) -> Self {
        Self {
            method,
            path,
            operation,
            scopes: &[],
            before_key: None,
            handler,
        }
    }

    /// The same route for keys that have all these permissions.
    pub(crate) fn needs(mut self, scopes: &'static [&'static str]) -> Self {
        self.scopes = scopes;
        self
    }

    /// The same route, where the vendor says what is wrong with a body before it says that there is
    /// no key.
    pub(crate) fn before_key(mut self, check: Check) -> Self {
        self.before_key = Some(check);
        self
    }

    pub(super) fn info(&self) -> RouteInfo {
        RouteInfo {
            method: self.method.clone(),
            path: self.path,
            operation: self.operation,
            keyed: matches!(self.handler, Handler::Keyed(_)),
            scope: self.scopes.first().copied(),
        }
    }

    /// Whether a path has the form of this route's, parameters being any one segment.
    pub(super) fn has_path(&self, path: &str) -> bool {
        let mut ours = self.path.split('/');
        let mut theirs = path.split('/');
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(our), Some(their)) if our == their => {}
                (Some(our), Some(their)) if our.starts_with('{') && !their.is_empty() => {}
                _ => return false,
            }
        }
    }
}

/// A request with a key, as a handler sees it.
pub(crate) struct Call {
    /// The use-cases.
    pub(crate) service: Service,
    /// What the key gives.
    pub(crate) access: Arc<Access>,
    /// The request itself.
    pub(crate) context: Arc<Context>,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The query.
    pub(crate) query: Query,
    /// The body, whole.
    pub(crate) body: Bytes,
}

impl Call {
    /// A parameter of the path; the empty string if the route has none of that name.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.context.params.get(name)
    }

    /// Deletes a conversation, and has the answer name its receipt. Whoever has deleted it before,
    /// within a day, is told of the same receipt again, whatever else the dialect answers.
    pub(crate) async fn delete(
        &self,
        who: &Principal,
        conversation: ConversationRef,
    ) -> Result<Deleted, Error> {
        let requested_at = self.context.at;
        let deleted = self
            .service
            .delete_conversation(who, conversation, requested_at)
            .await;
        let receipt = match &deleted {
            Ok(deleted) => Some(deleted.receipt),
            Err(error) if error.fault == Fault::NotFound(Noun::Conversation) => {
                self.service.receipt_of(who, conversation).await?
            }
            Err(_) => None,
        };
        self.name_receipt(receipt);
        deleted
    }

    /// Forgets a turn. If it stood alone it is erased, and the answer names its receipt in the same way.
    pub(crate) async fn delete_turn(
        &self,
        who: &Principal,
        turn: Ref<TurnId>,
    ) -> Result<(), Error> {
        let requested_at = self.context.at;
        let deleted = self.service.delete_turn(who, turn, requested_at).await;
        let receipt = match &deleted {
            Ok(deleted) => deleted.map(|deleted| deleted.receipt),
            Err(error) if error.fault == Fault::NotFound(Noun::Turn) => match turn.whole() {
                Some(turn) => {
                    let who = who.in_realm(Realm::LoneTurns);
                    let conversation = ConversationId::from_bits(turn.bits());
                    self.service.receipt_of(&who, conversation.into()).await?
                }
                None => None,
            },
            Err(_) => None,
        };
        self.name_receipt(receipt);
        deleted.map(drop)
    }

    fn name_receipt(&self, receipt: Option<ReceiptId>) {
        if let Some(receipt) = receipt {
            self.context.receipt.get_or_init(|| receipt);
        }
    }

    /// The body as a JSON object. An empty body is an empty object.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, Error> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Map::new());
        }
        match parse(&self.body)? {
            Value::Object(object) => Ok(object),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Err(Fault::MalformedBody(MalformedBody::NotObject).into()),
        }
    }
}

/// Bodies over this are read beside the runtime's own threads, which others need meanwhile.
const LARGE_BODY_BYTES: usize = 128 << 10;

/// Runs work whose time grows with a body of so many bytes, where it holds up nobody else.
pub(crate) fn beside_runtime<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    match flavor {
        Ok(RuntimeFlavor::MultiThread) if bytes > LARGE_BODY_BYTES => {
            tokio::task::block_in_place(work)
        }
        _ => work(),
    }
}

/// Reads JSON.
pub(crate) fn parse(body: &[u8]) -> Result<Value, Error> {
    let text = std::str::from_utf8(body)
        .map_err(|_| Error::from(Fault::MalformedBody(MalformedBody::NotUtf8)))?;
    beside_runtime(text.len(), || parse_text(text))
}

fn parse_text(text: &str) -> Result<Value, Error> {
    if names_private_token(text) {
        return Err(Fault::MalformedBody(MalformedBody::NotJson { at: 0 }).into());
    }
    serde_json::from_str(text).map_err(|error| {
        let lines = text
            .split_inclusive('\n')
            .take(error.line().saturating_sub(1));
        let before: usize = lines.map(|line| line.chars().count()).sum();
        let at = before + error.column().saturating_sub(1);
        Fault::MalformedBody(MalformedBody::NotJson { at }).into()
    })
}

/// Whether a string in the text is one of the names by which `serde_json` hands numbers and raw values
/// to itself. An object with such a key would be taken for what it is not.
fn names_private_token(text: &str) -> bool {
    const PRIVATE: &str = "$serde_json::private::";
    if !text.contains(PRIVATE) && !text.contains("\\u") {
        return false;
    }
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('"') {
        let mut escaped = false;
        let end = after.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let Some((inside, next)) = end.and_then(|end| after.split_at_checked(end)) else {
            return false;
        };
        let plain = serde_json::from_str::<String>(&format!("\"{inside}\""));
        if plain.is_ok_and(|plain| plain.starts_with(PRIVATE)) {
            return true;
        }
        rest = next.strip_prefix('"').unwrap_or(next);
    }
    false
}

/// The parameters of a path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(pub(super) Vec<(String, String)>);

impl Params {
    /// The parameter of that name; the empty string if there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(param, _)| param == name);
        found.map_or("", |(_, value)| value)
    }
}

/// The pairs of a query, decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let owned =
            |(key, value): (Cow<'_, str>, Cow<'_, str>)| (key.into_owned(), value.into_owned());
        Self(pairs.map(owned).collect())
    }

    /// The last value of that name, even if it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The last value of that name; an empty one counts as none.
    pub(crate) fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// All values of that name and of `name[]`, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let is = |key: &str| key.strip_suffix("[]").unwrap_or(key) == name;
        self.0
            .iter()
            .filter(|(key, _)| is(key))
            .map(|(_, value)| value.as_str())
            .collect()
    }
}
