//! Server-sent events.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::StatusCode;

use super::reply;

/// A stream of frames, each already in its dialect's exact bytes. Nothing is added: no keep-alive
/// comments, which cozepy takes for a broken stream.
pub(crate) fn response(
    content_type: &'static str,
    frames: impl Stream<Item = Bytes> + Send + 'static,
) -> Response {
    let body = Body::from_stream(frames.map(Ok::<_, Infallible>));
    reply::bytes_of(StatusCode::OK, content_type, body)
}

/// A text as JSON, quotes included.
pub(crate) fn json_text(text: &str) -> String {
    // Writing to memory does not fail; were it to, the tree says the same.
    serde_json::to_string(text).unwrap_or_else(|_| serde_json::Value::from(text).to_string())
}
