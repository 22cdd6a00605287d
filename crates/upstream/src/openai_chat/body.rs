//! What a server sends, as it comes, and not for longer than one wants to wait.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt};
use parlance_domain::upstream::ModelError;
use reqwest::Response;
use tokio::time::{Instant, Sleep, sleep};

use super::Patience;
use super::client::content_type;
use super::failure::{self, Cause};

/// Most bytes that are read where an answer has to be whole.
pub(super) const WHOLE_BYTES_MAX: usize = 32 << 20;
/// How long a connection is waited for that could be used again, once nothing more is to be said.
const DRAIN: Duration = Duration::from_millis(100);

/// The body of an answer. Dropping it ends the request.
pub(super) struct Body {
    response: Response,
    /// How long the next piece may take.
    limit: Duration,
    /// How long those after it may.
    idle: Duration,
    // Set again only when it goes off: a piece costs no timer.
    alarm: Pin<Box<Sleep>>,
}

impl Body {
    pub(super) fn new(response: Response, patience: Patience) -> Self {
        Self {
            response,
            limit: patience.first_byte,
            idle: patience.idle,
            alarm: Box::pin(sleep(patience.first_byte)),
        }
    }

    /// What it is.
    pub(super) fn content_type(&self) -> Option<&str> {
        content_type(&self.response)
    }

    /// The next piece; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ModelError> {
        let due = Instant::now() + self.limit;
        // An alarm that goes off early is set again; one that would go off late is of no use.
        if self.alarm.deadline() > due {
            self.alarm.as_mut().reset(due);
        }
        loop {
            tokio::select! {
                biased;
                piece = self.response.chunk() => {
                    self.limit = self.idle;
                    return piece.map_err(failure::connection);
                }
                () = self.alarm.as_mut() => {
                    if Instant::now() >= due {
                        return Err(ModelError::Silent(self.limit));
                    }
                    self.alarm.as_mut().reset(due);
                }
            }
        }
    }

    /// All of it, if it is not too much.
    pub(super) async fn whole(mut self, bytes_max: usize) -> Result<Bytes, ModelError> {
        let Some(first) = self.next().await? else {
            return Ok(Bytes::new());
        };
        let mut whole = BytesMut::from(first);
        while let Some(piece) = self.next().await? {
            whole.extend_from_slice(&piece);
            if whole.len() > bytes_max {
                return Err(Cause::Nonsense("an answer that is too long").into());
            }
        }
        Ok(whole.freeze())
    }

    /// Reads on to the end, if that is near, so that the connection can be used again.
    pub(super) async fn drain(&mut self) {
        let end = async { while let Ok(Some(_)) = self.response.chunk().await {} };
        // Where the end is not near the connection is closed, and that is all.
        drop(tokio::time::timeout(DRAIN, end).await);
    }

    /// The pieces.
    pub(super) fn into_stream(self) -> BoxStream<'static, Result<Bytes, ModelError>> {
        let next = |body: Option<Self>| async {
            let mut body = body?;
            match body.next().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(body))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        };
        stream::unfold(Some(self), next).boxed()
    }
}
