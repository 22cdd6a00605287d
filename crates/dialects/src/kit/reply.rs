//! Answers.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use parlance_domain::{Error, Fault};
use serde::Serialize;

use super::Reply;

/// 200 with `body` as JSON.
pub(crate) fn ok<T: Serialize + ?Sized>(body: &T) -> Reply {
    json(StatusCode::OK, body)
}

/// `body` as JSON.
pub(crate) fn json<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Reply {
    let bytes =
        serde_json::to_vec(body).map_err(|error| Error::caused_by(Fault::Internal, error))?;
    Ok(bytes_of(status, "application/json", bytes))
}

/// `value` as JSON; for trees, which always have a text.
pub(crate) fn value(status: StatusCode, value: &serde_json::Value) -> Response {
    bytes_of(status, "application/json", value.to_string())
}

/// Bytes of a type.
pub(crate) fn bytes_of(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Nothing but a status.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A header that says how long to wait, in whole seconds, rounded up, and at least one.
pub(crate) fn retry_after(headers: &mut HeaderMap, wait: std::time::Duration) {
    headers.insert(
        http::header::RETRY_AFTER,
        HeaderValue::from(
            wait.as_millis()
                .div_ceil(1_000)
                .max(1)
                .try_into()
                .unwrap_or(u64::MAX),
        ),
    );
}

/// The value of a header. One that is given twice has to say the same twice: otherwise whoever adds a
/// header on the way, a proxy for instance, and the client could mean different things.
pub(crate) fn single<'a>(
    headers: &'a HeaderMap,
    name: &str,
) -> Result<Option<&'a HeaderValue>, Repeated> {
    let mut values = headers.get_all(name).into_iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if values.all(|other| other == first) {
        Ok(Some(first))
    } else {
        Err(Repeated)
    }
}

/// A header is given twice, with different values.
#[derive(Debug)]
pub(crate) struct Repeated;

/// The credential of an `Authorization: Bearer` header, the scheme in any case.
pub(crate) fn bearer(
    headers: &HeaderMap,
) -> Result<Option<&str>, parlance_domain::fault::CredentialProblem> {
    use parlance_domain::fault::CredentialProblem::BadScheme;
    let Some(header) = single(headers, "authorization").map_err(|_| BadScheme)? else {
        return Ok(None);
    };
    let text = header.to_str().map_err(|_| BadScheme)?;
    let (scheme, token) = text.split_once(' ').ok_or(BadScheme)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(BadScheme);
    }
    Ok(Some(token))
}
