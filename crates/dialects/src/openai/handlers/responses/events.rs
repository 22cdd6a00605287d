//! Responses that come as a stream of events.

use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use futures_util::{FutureExt, Stream, stream};
use parlance_domain::service::{TurnEvent, TurnStream};

use crate::kit::sse;
use crate::openai::responses::replay::Replay;
use crate::openai::responses::stream::{Encoder, KEEP_ALIVE};

const CONTENT_TYPE: &str = "text/event-stream; charset=utf-8";
/// Silence after which a sign of life is sent.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);
/// Bytes of frames that are put together while more is there already.
const CHUNK_BYTES: usize = 32 << 10;

/// The events of a turn as they come, those of before included.
pub(super) fn live(turn: TurnStream, mut encoder: Encoder) -> Response {
    let mut first = Vec::new();
    encoder.begin(&mut first);
    let state = (turn, encoder, Some(first));
    let frames = stream::unfold(state, async |(mut turn, mut encoder, first)| {
        let frames = match first {
            Some(first) if !first.is_empty() => first,
            Some(_) | None if encoder.is_over() => return None,
            Some(_) | None => more(&mut turn, &mut encoder).await,
        };
        Some((Bytes::from(frames), (turn, encoder, None)))
    });
    sse::response(CONTENT_TYPE, frames)
}

/// What comes next, together with all that is there already.
async fn more(turn: &mut TurnStream, encoder: &mut Encoder) -> Vec<u8> {
    let mut out = Vec::new();
    // Events that the client has already are left out, and make no frames.
    while out.is_empty() && !encoder.is_over() {
        let Ok(event) = tokio::time::timeout(KEEP_ALIVE_EVERY, turn.next()).await else {
            return KEEP_ALIVE.into();
        };
        take(event.as_ref(), encoder, &mut out);
    }
    while out.len() < CHUNK_BYTES && !encoder.is_over() {
        let Some(event) = turn.next().now_or_never() else {
            break;
        };
        take(event.as_ref(), encoder, &mut out);
    }
    out
}

fn take(event: Option<&TurnEvent>, encoder: &mut Encoder, out: &mut Vec<u8>) {
    match event {
        Some(event) => encoder.take(event, out),
        None => encoder.lost(out),
    }
}

/// The events of a response that is over.
pub(super) fn again(replay: Replay) -> Response {
    sse::response(CONTENT_TYPE, frames(replay))
}

fn frames(replay: Replay) -> impl Stream<Item = Bytes> + Send {
    stream::unfold(replay, async |mut replay| {
        let frames = replay.next()?;
        Some((frames, replay))
    })
}
