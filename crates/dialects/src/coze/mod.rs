//! Coze's OpenAPI: conversations, their messages, chats (v3), and who the caller is.
//!
//! Sources: coze-dev/coze-sdk-gen `coze-openapi.yaml` and its copies of the vendor's pages @ 5db2f95;
//! `cozepy` 0.20.0 and `@coze/api` 1.3.9, whose requests and parsers were measured; the table of error
//! codes in the vendor's documentation. coze-studio, the open-source server, breaks the contracts of
//! the vendor's own SDKs in many places and is no model here.

mod ask;
mod call;
mod caller;
mod chat;
mod convert;
mod envelope;
mod error;
mod handlers;
mod message;
mod stream;

use axum::response::Response;
use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use parlance_domain::fault::CredentialProblem;
use parlance_domain::{AppId, ConversationRef, Fault, Id};

use crate::kit::{Context, Dialect, Example, Route, reply};

/// The dialect of Coze.
pub(crate) struct Coze;

impl Dialect for Coze {
    const NAME: &'static str = "coze";
    const MOUNTS: &'static [&'static str] = &["/coze"];
    const ROOT: &'static [&'static str] = &["v1", "v3"];
    const KEY_PREFIX: &'static str = "pat_";
    // The vendor's `x-coze-permission` of every endpoint that is or will be served.
    const SCOPES: &'static [&'static str] = &[
        "createConversation",
        "retrieveConversation",
        "listConversation",
        "editConversation",
        "createMessage",
        "listMessage",
        "retrieveMessage",
        "modifyMessage",
        "deleteMessage",
        "feedback",
        "chat",
        "getChat",
        "cancelChat",
        "submitToolChat",
        "uploadFile",
        "retrieveFile",
        "getMetadata",
        "listBot",
        "getPublishedBot",
        "listWorkspace",
        "readVariable",
        "updateVariable",
        "run",
        "createSpeech",
        "createTranscription",
        "listVoice",
    ];

    fn routes() -> Vec<Route> {
        let mut routes = handlers::conversations::routes();
        routes.extend(handlers::messages::routes());
        routes.extend(handlers::chats::routes());
        routes.extend(handlers::users::routes());
        routes
    }

    fn credential(headers: &HeaderMap) -> Result<Option<&str>, CredentialProblem> {
        reply::bearer(headers)
    }

    fn render(fault: &Fault, context: &Context) -> Response {
        error::render(fault, context)
    }

    fn decorate(response: &mut Response, context: &Context) {
        // cozepy reads the log id from the header alone.
        if let Ok(id) = HeaderValue::try_from(envelope::log_id(context)) {
            response
                .headers_mut()
                .insert(HeaderName::from_static("x-tt-logid"), id);
        }
    }

    fn conversation(id: &str) -> Option<ConversationRef> {
        ConversationRef::from_decimal(id)
    }

    fn app(id: AppId) -> String {
        convert::decimal(id)
    }

    fn example(example: &Example<'_>) -> String {
        let Example { base, key, app } = example;
        format!(
            "id=$(curl -s -X POST {base}/coze/v1/conversation/create \
             -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \
             -d '{{\"bot_id\":\"{}\"}}' | \
             sed -n 's/.*\"data\":{{\"id\":\"\\([0-9]*\\)\".*/\\1/p') && \
             curl -s -X DELETE {base}/coze/v1/conversations/$id -H 'Authorization: Bearer {key}'",
            app.decimal()
        )
    }
}

/// The methods of the routes, short.
const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;

#[cfg(test)]
mod tests;
