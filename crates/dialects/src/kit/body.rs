//! Reading a body, within a size and without long pauses.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use parlance_domain::{Error, Fault};

use super::HttpOptions;

/// Room that is made for a body at once, however long it says it is.
const FIRST_ROOM_BYTES: usize = 64 << 10;

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
    loop {
        let frame = tokio::time::timeout(options.body_pause_max, body.frame()).await;
        let Some(frame) = frame.map_err(|_| Error::from(Fault::BodyTimeout))? else {
            return Ok(whole.freeze());
        };
        // A body that breaks off has no reader left; what is answered does not matter.
        let frame = frame.map_err(|error| Error::caused_by(Fault::BodyTimeout, error))?;
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
