//! OpenAI's Conversations and Responses APIs, models and chat completions, and Azure AI Foundry's, which is the
//! same wire with other paths and credentials, an isolation header, and lists of conversations and of responses.
//!
//! Sources: openai/openai-openapi `openapi.yaml` @ f85dbe22; `openai` for Python 3.54.0 and for Node
//! 7.5.0; recorded traces of October 2025; Azure/azure-rest-api-specs, Foundry data plane.

mod caller;
mod convert;
mod error;
mod handlers;
mod item;
mod responses;

use axum::response::Response;
use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use parlance_domain::fault::CredentialProblem;
use parlance_domain::{AppId, ConversationRef, Fault, Id};

use crate::kit::{Context, Dialect, Example, Route, reply};

/// The dialect of OpenAI and Azure.
pub(crate) struct OpenAi;

impl Dialect for OpenAi {
    const NAME: &'static str = "openai";
    const MOUNTS: &'static [&'static str] = &[
        "/openai",
        "/api/projects/{project}/openai",
        "/api/projects/{project}/agents/{app}/endpoint/protocols/openai",
    ];
    const ROOT: &'static [&'static str] = &["v1"];
    const KEY_PREFIX: &'static str = "sk-";

    fn routes() -> Vec<Route> {
        // Azure's older endpoint form leaves `v1` out and says `api-version` in the query.
        let mut routes = handlers::routes!("/v1");
        routes.extend(handlers::routes!(""));
        routes.push(Route::keyed(
            POST,
            "/deployments/{deployment}/chat/completions",
            "chat.complete",
            handlers::chat::complete,
        ));
        routes
    }

    fn credential(headers: &HeaderMap) -> Result<Option<&str>, CredentialProblem> {
        match reply::single(headers, "api-key").map_err(|_| CredentialProblem::BadScheme)? {
            Some(key) => key
                .to_str()
                .map(Some)
                .map_err(|_| CredentialProblem::BadScheme),
            None => reply::bearer(headers),
        }
    }

    fn render(fault: &Fault, context: &Context) -> Response {
        error::render(fault, context)
    }

    fn decorate(response: &mut Response, context: &Context) {
        // Azure's SDKs read this one, OpenAI's the `x-request-id` that the kit sets.
        if let Ok(id) = HeaderValue::try_from(format!("{:032x}", context.request)) {
            response
                .headers_mut()
                .insert(HeaderName::from_static("apim-request-id"), id);
        }
    }

    fn conversation(id: &str) -> Option<ConversationRef> {
        ConversationRef::from_hex(id.strip_prefix(convert::CONVERSATION_PREFIX)?)
    }

    fn app(id: AppId) -> String {
        format!("app_{}", id.hex())
    }

    fn example(example: &Example<'_>) -> String {
        let Example { base, key, .. } = example;
        format!(
            "id=$(curl -s -X POST {base}/openai/v1/conversations -H 'Authorization: Bearer {key}' | \
             sed -n 's/.*\"id\":\"\\([^\"]*\\)\".*/\\1/p') && \
             curl -s -X DELETE {base}/openai/v1/conversations/$id -H 'Authorization: Bearer {key}'"
        )
    }
}

/// The methods of the routes, short.
const GET: Method = Method::GET;
const POST: Method = Method::POST;
const DELETE: Method = Method::DELETE;

#[cfg(test)]
mod tests;
