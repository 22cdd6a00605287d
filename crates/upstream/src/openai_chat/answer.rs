//! An answer on its way.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use parlance_domain::IdSource;
use parlance_domain::upstream::{ModelError, ModelEvent, ModelStream};
use reqwest::Response;

use super::Patience;
use super::body::{Body, WHOLE_BYTES_MAX};
use super::client::content_type;
use super::decode::Decoder;
use super::failure::Cause;
use super::sse::{Events, TooLarge};

impl From<TooLarge> for ModelError {
    fn from(_: TooLarge) -> Self {
        Cause::Nonsense("an event that is too long").into()
    }
}

struct Answer {
    body: Body,
    events: Events,
    decoder: Decoder,
    /// What went wrong; it comes after what was said before.
    failed: Option<ModelError>,
    is_over: bool,
}

/// What the model says, piece by piece; whole, where its server answers whole.
pub(super) async fn read(
    response: Response,
    patience: Patience,
    ids: Arc<IdSource>,
) -> Result<ModelStream, ModelError> {
    let is_whole = content_type(&response).is_some_and(|is| is.starts_with("application/json"));
    let mut decoder = Decoder::new(ids);
    let body = Body::new(response, patience);
    if is_whole {
        decoder.whole(&body.whole(WHOLE_BYTES_MAX).await?)?;
        let events: Vec<_> = decoder.ready.into_iter().map(Ok).collect();
        return Ok(stream::iter(events).boxed());
    }
    let answer = Answer {
        body,
        events: Events::default(),
        decoder,
        failed: None,
        is_over: false,
    };
    let next = |mut answer: Answer| async {
        let event = answer.next().await?;
        Some((event, answer))
    };
    Ok(stream::unfold(answer, next).boxed())
}

impl Answer {
    async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        loop {
            if let Some(event) = self.decoder.ready.pop_front() {
                return Some(Ok(event));
            }
            if let Some(error) = self.failed.take() {
                self.is_over = true;
                return Some(Err(error));
            }
            if self.is_over {
                return None;
            }
            if self.decoder.is_done {
                self.body.drain().await;
                self.is_over = true;
                return None;
            }
            if let Err(error) = self.read_on().await {
                self.failed = Some(error);
            }
        }
    }

    /// Reads the next piece.
    async fn read_on(&mut self) -> Result<(), ModelError> {
        let Some(piece) = self.body.next().await? else {
            self.is_over = true;
            if let Some(data) = self.events.last()? {
                self.decoder.event(data)?;
            }
            return self.decoder.end();
        };
        let mut rest = &*piece;
        while let Some(data) = self.events.next(&mut rest)? {
            self.decoder.event(data)?;
        }
        Ok(())
    }
}
