//! The server API of OpenHands 0.53 ("V0"): conversations of an agent, their events and their
//! trajectory.
//!
//! Sources: the published OpenAPI document of 0.53.0; recordings of `openhands-ai` 0.53.0 with
//! CLI runtime; its code at tag 0.53.0; for ids in paths the rule of 0.55.
//!
//! An event's id is the item's sequence number. What other dialects add are messages, which are
//! message actions here; events that are no messages are kept for this dialect alone.

mod body;
mod caller;
mod convert;
mod error;
mod event;
mod handlers;
mod page;
mod validate;
mod wire;

use axum::response::Response;
use http::header::{CACHE_CONTROL, EXPIRES, HeaderMap, HeaderValue, PRAGMA};
use parlance_domain::fault::CredentialProblem;
use parlance_domain::{AppId, ConversationRef, Fault, Id};

use crate::kit::{Context, Dialect, Example, Route, reply};

/// The dialect of OpenHands.
pub(crate) struct OpenHands;

/// Its name, under which it keeps what only it can show.
const NAME: &str = "openhands";
/// The version that it speaks.
const VERSION: &str = "0.53.0";

impl Dialect for OpenHands {
    const NAME: &'static str = NAME;
    const MOUNTS: &'static [&'static str] = &["/openhands"];
    const ROOT: &'static [&'static str] = &["api", "alive", "health", "server_info"];
    const KEY_PREFIX: &'static str = "oh-";

    fn routes() -> Vec<Route> {
        handlers::routes()
    }

    fn credential(headers: &HeaderMap) -> Result<Option<&str>, CredentialProblem> {
        // Only this header counts: `Authorization` is for OpenHands's closed cloud.
        reply::single(headers, "x-session-api-key")
            .map_err(|_| CredentialProblem::BadScheme)?
            .map(|key| key.to_str().map_err(|_| CredentialProblem::BadScheme))
            .transpose()
    }

    fn render(fault: &Fault, context: &Context) -> Response {
        error::render(fault, context)
    }

    fn decorate(response: &mut Response, _context: &Context) {
        const NEVER: &str = "no-cache, no-store, must-revalidate, max-age=0";
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(NEVER));
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        headers.insert(EXPIRES, HeaderValue::from_static("0"));
    }

    fn conversation(id: &str) -> Option<ConversationRef> {
        ConversationRef::from_hex(id)
    }

    fn app(id: AppId) -> String {
        id.hex()
    }

    fn example(example: &Example<'_>) -> String {
        let Example { base, key, .. } = example;
        format!(
            "id=$(curl -s -X POST {base}/openhands/api/conversations -H 'X-Session-API-Key: {key}' \
             -H 'Content-Type: application/json' -d '{{\"initial_user_msg\":\"Hello\"}}' | \
             sed -n 's/.*\"conversation_id\":\"\\([^\"]*\\)\".*/\\1/p') && \
             curl -s -X DELETE {base}/openhands/api/conversations/$id \
             -H 'X-Session-API-Key: {key}'"
        )
    }
}
