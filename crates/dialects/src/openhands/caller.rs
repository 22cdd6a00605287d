//! Who asks, and which conversation is meant.

use http::StatusCode;
use parlance_domain::{Conversation, ConversationRef, Error, Fault, Noun, Principal};
use serde_json::json;

use crate::kit::{Call, Failure, reply};

/// Longest conversation id in a path, in characters.
const ID_CHARS_MAX: usize = 100;

/// The principal of a request: it comes from the key alone.
pub(super) fn principal(call: &Call) -> Result<Principal, Error> {
    call.access.principal("user_id", None)
}

/// The conversation that the path names, as the client wrote it.
pub(super) struct Named<'a> {
    /// The text, for answers that repeat it.
    pub(super) text: &'a str,
    /// What it can mean; none if it can mean nothing of ours.
    pub(super) id: Option<ConversationRef>,
}

/// Reads the id in the path.
///
/// Source: `validate_conversation_id` of OpenHands 0.55; 0.53 answers 500 to some of these.
pub(super) fn named(call: &Call) -> Result<Named<'_>, Failure> {
    let text = call.param("conversation_id");
    let refuse = |said: &str| {
        let body = json!({"detail": format!("Conversation ID {said}")});
        Err(reply::value(StatusCode::BAD_REQUEST, &body).into())
    };
    if text.chars().count() > ID_CHARS_MAX {
        return refuse("is too long");
    }
    if text.contains('\0') {
        return refuse("contains invalid characters");
    }
    if text.contains("..") || text.contains(['/', '\\']) {
        return refuse("contains invalid path characters");
    }
    if text.contains(|character| character < ' ') {
        return refuse("contains control characters");
    }
    let id = ConversationRef::from_hex(text);
    Ok(Named { text, id })
}

impl Named<'_> {
    /// What can be meant, or the fault of naming nothing.
    pub(super) fn id(&self) -> Result<ConversationRef, Error> {
        self.id
            .ok_or_else(|| Fault::NotFound(Noun::Conversation).into())
    }

    /// The conversation.
    pub(super) async fn find(&self, call: &Call, who: &Principal) -> Result<Conversation, Error> {
        call.service.conversation(who, self.id()?).await
    }
}

/// Turns the fault of a missing conversation into none.
pub(super) fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.fault == Fault::NotFound(Noun::Conversation) => Ok(None),
        Err(error) => Err(error),
    }
}
