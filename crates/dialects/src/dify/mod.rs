//! Dify's Chatflow App API.
//!
//! Sources: langgenius/dify 1.16.0 @ 1835e8ef (behaviour); langgenius/dify-docs
//! `openapi_chatflow.json` @ 7ccb166c (schemas); the `dify-client` packages of npm 2.3.2 and PyPI
//! 0.1.10 (what clients send).

mod answer;
mod caller;
mod convert;
mod error;
mod handlers;
mod message;
mod run;
mod stream;

use axum::response::Response;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use parlance_domain::fault::CredentialProblem;
use parlance_domain::{AppId, ConversationRef, Fault, Id};

use crate::kit::{Context, Dialect, Example, Route, reply};

/// The release whose behaviour this is: what `X-Version` and the index say.
const SERVER_VERSION: &str = "1.16.0";

/// The dialect of Dify.
pub(crate) struct Dify;

impl Dialect for Dify {
    const NAME: &'static str = "dify";
    const MOUNTS: &'static [&'static str] = &["/dify"];
    const ROOT: &'static [&'static str] = &["v1"];
    const KEY_PREFIX: &'static str = "app-";

    fn routes() -> Vec<Route> {
        handlers::routes()
    }

    /// A header without a space counts as none, as Dify has it; the scheme is in any case.
    fn credential(headers: &HeaderMap) -> Result<Option<&str>, CredentialProblem> {
        let header =
            reply::single(headers, "authorization").map_err(|_| CredentialProblem::BadScheme)?;
        let header = header.map(HeaderValue::to_str);
        let Some((scheme, key)) = header
            .transpose()
            .map_err(|_| CredentialProblem::BadScheme)?
            .and_then(|text| text.split_once(' '))
        else {
            return Ok(None);
        };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(CredentialProblem::BadScheme);
        }
        Ok(Some(key.trim()))
    }

    fn render(fault: &Fault, context: &Context) -> Response {
        error::render(fault, context)
    }

    fn decorate(response: &mut Response, context: &Context) {
        let headers = response.headers_mut();
        let mut set = |name, value| headers.insert(HeaderName::from_static(name), value);
        set("x-version", HeaderValue::from_static(SERVER_VERSION));
        set("x-env", HeaderValue::from_static("PRODUCTION"));
        // Dify's trace ids are OpenTelemetry's: 32 hexadecimal digits.
        if let Ok(id) = HeaderValue::try_from(format!("{:032x}", context.request)) {
            set("x-trace-id", id);
        }
    }

    fn conversation(id: &str) -> Option<ConversationRef> {
        convert::uuid(id)
    }

    fn app(id: AppId) -> String {
        id.dashed()
    }

    fn example(example: &Example<'_>) -> String {
        let Example { base, key, .. } = example;
        let headers =
            format!("-H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'");
        format!(
            "id=$(curl -s -X POST {base}/dify/v1/chat-messages {headers} \
             -d '{{\"query\":\"Hello\",\"inputs\":{{}},\"user\":\"me\"}}' | \
             sed -n 's/.*\"conversation_id\": *\"\\([^\"]*\\)\".*/\\1/p') && \
             curl -s -w '%{{http_code}}\\n' -X DELETE {base}/dify/v1/conversations/$id {headers} \
             -d '{{\"user\":\"me\"}}'"
        )
    }
}

#[cfg(test)]
mod tests;
