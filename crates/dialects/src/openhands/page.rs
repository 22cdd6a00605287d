//! `page_id`: where the next page of conversations begins.
//!
//! OpenHands counts rows there, so that rows shift when something is made or deleted. Here it marks
//! a place in the order: a version, then the id that the page comes after.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use parlance_domain::{ConversationId, ConversationRef, Id};
use serde_json::json;

use crate::kit::{Failure, Query, reply};

const VERSION: u8 = 1;

/// The token of the page that comes after a conversation.
pub(super) fn token(after: ConversationId) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(after.bits().to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The conversation that the wanted page comes after; none for the first page.
pub(super) fn after(query: &Query) -> Result<Option<ConversationRef>, Failure> {
    let Some(token) = query.filled("page_id") else {
        return Ok(None);
    };
    let Some(after) = read(token) else {
        let body = json!({"detail": "Invalid page_id"});
        return Err(reply::value(StatusCode::BAD_REQUEST, &body).into());
    };
    Ok(Some(after.into()))
}

fn read(token: &str) -> Option<ConversationId> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (version, bits) = bytes.split_first()?;
    let bits = bits.try_into().ok().filter(|_| *version == VERSION)?;
    Some(ConversationId::from_bits(u128::from_be_bytes(bits)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ConversationId, Id, read, token};

    proptest! {
        #[test]
        fn a_token_is_read_back(bits: u128) {
            let id = ConversationId::from_bits(bits);
            prop_assert_eq!(read(&token(id)), Some(id));
        }

        #[test]
        fn nothing_else_is_a_token(text in "[A-Za-z0-9_=-]{0,22}") {
            prop_assert_eq!(read(&text), None);
        }
    }
}
