//! Bodies, as FastAPI reads them.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::validate::Problems;
use super::validate::json::{Bad, parse};
use crate::kit::{Call, Failure, reply};

/// The body of a request; none if it is empty or null. A body that does not say that it is JSON is
/// a string.
pub(super) fn given(call: &Call) -> Result<Option<Value>, Failure> {
    read(&call.headers, &call.body)
}

/// Fails if the body should be JSON and is not. FastAPI finds that out before it looks at the key.
pub(super) fn check(headers: &HeaderMap, body: &[u8]) -> Result<(), Failure> {
    read(headers, body).map(drop)
}

/// The body of a request that must be JSON, whatever it says that it is.
pub(super) fn json(call: &Call) -> Result<Value, Failure> {
    parse(&call.body).map_err(|bad| refuse(&bad))
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<Option<Value>, Failure> {
    if body.is_empty() {
        return Ok(None);
    }
    if !is_json(headers) {
        return Ok(Some(String::from_utf8_lossy(body).into()));
    }
    let value = parse(body).map_err(|bad| refuse(&bad))?;
    Ok(Some(value).filter(|value| !value.is_null()))
}

/// Whether a body is JSON, which one without a type is as well.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(CONTENT_TYPE) else {
        return true;
    };
    let content_type = content_type.to_str().unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

fn refuse(bad: &Bad) -> Failure {
    match bad {
        Bad::Syntax { at, said } => Problems::not_json(*at, said).answer().into(),
        Bad::Unreadable => {
            let body = json!({"detail": "There was an error parsing the body"});
            reply::value(StatusCode::BAD_REQUEST, &body).into()
        }
    }
}
