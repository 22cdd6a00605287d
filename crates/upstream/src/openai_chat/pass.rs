//! A request of chat completions that is passed on as it came.

use bytes::Bytes;
use parlance_domain::json::Json;
use parlance_domain::upstream::{ModelError, RawAnswer};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::body::Body;
use super::client::content_type;
use super::failure::{self, Cause};
use super::{CHAT, OpenAiChat, retry};

#[derive(Deserialize)]
struct Question<'a> {
    #[serde(borrow)]
    model: &'a RawValue,
}

impl OpenAiChat {
    /// As [`parlance_domain::upstream::Model::chat`]. What a server answers is given back whatever its
    /// status, except where it does not take our key.
    pub async fn chat(&self, body: &Json) -> Result<RawAnswer, ModelError> {
        let question = Bytes::from(renamed(body.text(), &self.server.name)?);
        let patience = self.server.patience;
        let is_the_clients = |status| matches!(status, 200..=299 | 400 | 404..=599);
        let response = self
            .client
            .ask(
                patience,
                || self.post(CHAT, question.clone()),
                is_the_clients,
            )
            .await?;
        Ok(RawAnswer {
            status: response.status().as_u16(),
            content_type: content_type(&response).map(str::to_owned),
            retry_after: retry::retry_after(response.headers(), self.client.clock.now()),
            body: Body::new(response, patience).into_stream(),
        })
    }
}

/// The same JSON with another model. Everything else stays as it was written.
pub(super) fn renamed(text: &str, name: &str) -> Result<String, ModelError> {
    // The error of serde_json may quote content; the words here may not.
    let refused = |_| failure::refused("the body has to be an object with one `model`");
    let question: Question<'_> = serde_json::from_str(text).map_err(refused)?;
    let old = question.model.get();
    // A borrowed value is a part of the text.
    let begin = old.as_ptr().addr() - text.as_ptr().addr();
    let (before, rest) = text.split_at_checked(begin).ok_or(Cause::Unwritable)?;
    let after = rest.get(old.len()..).ok_or(Cause::Unwritable)?;
    let name = serde_json::to_string(name).map_err(|_| Cause::Unwritable)?;
    Ok([before, &name, after].concat())
}
