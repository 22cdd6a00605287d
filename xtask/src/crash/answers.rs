//! What an answer says.

use serde_json::Value;

use super::calls::Call;
use super::dialect::{Dialect, Name, bits};
use super::journal::Deed;
use super::load::Came;
use crate::http::{Asked, find};

/// What a stream of Dify's says when the answer is stored.
const STORED: &[u8] = b"\"message_end\"";
/// The same for one of OpenAI's.
pub(super) const RESPONDED: &[u8] = b"event: response.completed\n";

/// Whether a stream tells that its answer is stored.
pub(super) fn is_stored(bytes: &[u8]) -> bool {
    find(bytes, STORED).is_some() || find(bytes, RESPONDED).is_some()
}

/// Whether an answer says that it is done.
pub(super) fn is_good(dialect: Dialect, came: &Came) -> bool {
    let Came::Asked(Asked::Whole(answer)) = came else {
        return false;
    };
    if answer.status != 200 && answer.status != 204 {
        return false;
    }
    let body = &answer.body;
    match dialect {
        Dialect::OpenAi => !body.starts_with(b"event: ") || is_stored(body),
        Dialect::Dify => !body.starts_with(b"data: ") || is_stored(body),
        Dialect::Coze => body.starts_with(b"{\"code\":0,"),
        Dialect::OpenHands => body != b"false" && body != b"null",
    }
}

/// The ids that an answer tells.
pub(super) fn ids(call: &Call, body: &[u8]) -> Vec<u128> {
    let value = || serde_json::from_slice::<Value>(body).unwrap_or_default();
    match (call.dialect, call.deeds.first()) {
        (Dialect::OpenAi, Some(Deed::Add(_))) => {
            let value = value();
            let rows = value.get("data").and_then(Value::as_array);
            let ids = rows.into_iter().flatten().filter_map(|row| row.get("id"));
            ids.filter_map(|id| bits(id.as_str()?)).collect()
        }
        (Dialect::Coze, Some(Deed::Clear)) => {
            let id = value()
                .pointer("/data/id")
                .and_then(Value::as_str)
                .map(str::to_owned);
            id.and_then(|id| id.parse().ok()).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// The id of a conversation that was made, where the answer tells it.
pub(super) fn name(dialect: Dialect, came: &Came) -> Option<Name> {
    let body = match came {
        Came::Asked(Asked::Whole(answer)) if is_good(dialect, came) => &answer.body,
        Came::Asked(Asked::Broken(bytes)) => bytes,
        Came::Asked(Asked::Whole(_)) | Came::Left => return None,
    };
    let key = match dialect {
        Dialect::OpenAi | Dialect::Coze => "\"id\"",
        Dialect::Dify | Dialect::OpenHands => "\"conversation_id\"",
    };
    let text = String::from_utf8_lossy(body);
    let (_, rest) = text.split_once(key)?;
    // A text that is cut off is none.
    let mut parts = rest.split('"');
    let (_, id, _) = (parts.next()?, parts.next()?, parts.next()?);
    match dialect {
        Dialect::Coze => id.parse().ok().map(Name::partial),
        Dialect::OpenAi | Dialect::Dify | Dialect::OpenHands => bits(id).map(Name::of),
    }
}
