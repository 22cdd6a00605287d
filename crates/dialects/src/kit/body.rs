//! Reading a body, within a size and without long pauses.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use parlance_domain::fault::MalformedBody;
use parlance_domain::{Error, Fault};
use tokio::time::Instant;

use super::HttpOptions;

/// Room that is made for a body at once, however long it says it is.
const FIRST_ROOM_BYTES: usize = 64 << 10;

/// Bytes a second that a body has to come with, on the whole, once the longest pause is over.
const RATE_MIN: usize = 16 << 10;
/// Most bytes that are read of a body that nobody will look at, so that the connection can be kept.
const DRAINED_BYTES_MAX: usize = 64 << 10;
/// How long that may take.
const DRAINING_MAX: Duration = Duration::from_millis(500);

/// Reads what is left of a body that nobody will look at. False if that is too much, or takes too
/// long: then the connection cannot be used again.
pub(super) async fn drain(mut body: Body) -> bool {
    let draining = async {
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > DRAINED_BYTES_MAX {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(DRAINING_MAX, draining)
        .await
        .unwrap_or(false)
}

/// The whole body.
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    options: &HttpOptions,
) -> Result<Bytes, Error> {
    let too_large = || {
        let bytes_max = u64::try_from(options.body_bytes_max).unwrap_or(u64::MAX);
        Error::from(Fault::BodyTooLarge { bytes_max })
    };
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if announced == Some(0_usize) {
        return Ok(Bytes::new());
    }
    if announced.is_some_and(|length| length > options.body_bytes_max) {
        return Err(too_large());
    }
    let mut whole = BytesMut::new();
    let since = Instant::now();
    loop {
        // A client may pause, but not trickle: what has come so far has to be worth the time.
        let earned = Duration::from_secs(u64::try_from(whole.len() / RATE_MIN).unwrap_or(u64::MAX));
        let deadline = since + options.body_pause_max + earned;
        let pause = options
            .body_pause_max
            .min(deadline.saturating_duration_since(Instant::now()));
        let frame = tokio::time::timeout(pause, body.frame()).await;
        let Some(frame) = frame.map_err(|_| Error::from(Fault::BodyTimeout))? else {
            return Ok(whole.freeze());
        };
        // It breaks off, or its framing makes no sense.
        let malformed = Fault::MalformedBody(MalformedBody::NotJson { at: whole.len() });
        let frame = frame.map_err(|error| Error::caused_by(malformed, error))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if whole.len() + data.len() > options.body_bytes_max {
            return Err(too_large());
        }
        if whole.is_empty() {
            if announced == Some(data.len()) {
                return Ok(data);
            }
            whole.reserve(announced.unwrap_or(data.len()).min(FIRST_ROOM_BYTES));
        }
        whole.extend_from_slice(&data);
    }
}
