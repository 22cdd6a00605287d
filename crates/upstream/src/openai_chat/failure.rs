//! Why a model's server did not answer. Its words may quote content, and reqwest's may name URLs: neither
//! comes into a cause.

use std::borrow::Cow;
use std::time::Duration;

use parlance_domain::upstream::{ModelError, RefusalText};
use serde_json::Value;

/// Most characters of a server's words that are passed on.
const WORDS_CHARS_MAX: usize = 2_000;

/// What was wrong, for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    #[error("the connection to the model's server failed")]
    Connection(#[source] reqwest::Error),
    #[error("the model's server answered with status {0}")]
    Status(u16),
    #[error("the model's server does not take the key that is configured for it: status {0}")]
    Key(u16),
    #[error("the model's server sent what makes no sense: {0}")]
    Nonsense(&'static str),
    #[error("the model's server broke off")]
    BrokenOff,
    #[error("the model's server reported an error of its own")]
    Reported,
    #[error("the request could not be written")]
    Unwritable,
}

impl From<Cause> for ModelError {
    fn from(cause: Cause) -> Self {
        Self::Down(Some(Box::new(cause)))
    }
}

/// A failed connection, without its URL.
pub(super) fn connection(error: reqwest::Error) -> ModelError {
    Cause::Connection(error.without_url()).into()
}

/// What a status means that is no success; `body` is what came with it.
pub(super) fn of_status(status: u16, retry_after: Option<Duration>, body: &[u8]) -> ModelError {
    match status {
        // Our own key, and what we have not paid for: no matter of the client's.
        401..=403 => Cause::Key(status).into(),
        429 => ModelError::Busy { retry_after },
        503 if retry_after.is_some() => ModelError::Busy { retry_after },
        408 => Cause::Status(status).into(),
        400..=499 => refusal(status, &serde_json::from_slice(body).unwrap_or_default()),
        _ => Cause::Status(status).into(),
    }
}

/// What an error means that a server reports where an answer should be. `error` is JSON.
pub(super) fn reported(error: &str) -> ModelError {
    let error = serde_json::from_str(error).unwrap_or_default();
    let number = |name: &str| error_field(&error, name).and_then(Value::as_u64);
    let status = number("code").or_else(|| number("status"));
    let status = status.and_then(|status| u16::try_from(status).ok());
    let status = status.filter(|status| (400..=599).contains(status));
    let is = |name: &str, word: &str| error_field(&error, name).is_some_and(|value| value == word);
    let status = match status {
        Some(status) => status,
        None if is("code", "rate_limit_exceeded") => 429,
        None if is("type", "invalid_request_error") || is("type", "BadRequestError") => 400,
        None => return Cause::Reported.into(),
    };
    let meant = of_status(status, None, &[]);
    if matches!(meant, ModelError::Refused { .. }) {
        return refusal(status, &error);
    }
    meant
}

/// What a server says of a request. Some say so of our own key, and quote it: that is no matter of the
/// client's.
fn refusal(status: u16, error: &Value) -> ModelError {
    let is = |name: &str, word: &str| error_field(error, name).is_some_and(|value| value == word);
    if is("code", "invalid_api_key") || is("type", "authentication_error") {
        return Cause::Key(status).into();
    }
    let said = words(error);
    ModelError::Refused { status, said }
}

/// The field of an error, be it the error itself or around it.
fn error_field<'a>(error: &'a Value, name: &str) -> Option<&'a Value> {
    let inner = error.get("error").and_then(|inner| inner.get(name));
    inner.or_else(|| error.get(name))
}

/// The words of an error: OpenAI's `{error: {message, code}}`, and what others make of it.
fn words(error: &Value) -> Option<RefusalText> {
    let text = |name: &str| error_field(error, name).and_then(Value::as_str);
    let bare = error.get("error").and_then(Value::as_str);
    let message = text("message").or(bare).or_else(|| text("detail"))?;
    let message: String = message.chars().take(WORDS_CHARS_MAX).collect();
    Some(RefusalText {
        message,
        code: text("code").map(str::to_owned),
    })
}

/// A refusal of our own, before the server was asked.
pub(super) fn refused(message: impl Into<Cow<'static, str>>) -> ModelError {
    ModelError::Refused {
        status: 400,
        said: Some(RefusalText {
            message: message.into().into_owned(),
            code: None,
        }),
    }
}
