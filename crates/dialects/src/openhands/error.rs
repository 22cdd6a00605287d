//! FastAPI's words for every fault: `{"detail": ...}`.
//!
//! Sources: recordings of OpenHands 0.53.0; for what that never answers, the same form.

use axum::response::Response;
use http::StatusCode;
use parlance_domain::fault::{Conflict, MalformedBody};
use parlance_domain::{Fault, Noun, Reason};
use serde_json::{Value, json};

use crate::kit::{Context, reply};

/// The answer to a fault.
pub(super) fn render(fault: &Fault, context: &Context) -> Response {
    let (status, detail) = match fault {
        Fault::Busy { retry_after } => return busy(*retry_after),
        Fault::Invalid { field, why } => invalid(field, why),
        Fault::MalformedBody(why) => malformed(why),
        Fault::Unsupported { feature } => (
            StatusCode::NOT_IMPLEMENTED,
            format!("Not supported by this server: {feature}").into(),
        ),
        Fault::Unauthenticated(_) => (StatusCode::UNAUTHORIZED, "Unauthorized".into()),
        Fault::Forbidden { .. } => (StatusCode::FORBIDDEN, "Forbidden".into()),
        Fault::WrongMode => (
            StatusCode::BAD_REQUEST,
            "This key's app does not hold conversations".into(),
        ),
        Fault::NotFound(noun) => (StatusCode::NOT_FOUND, missing(*noun, context).into()),
        Fault::Conflict(conflict) => (StatusCode::CONFLICT, clash(*conflict, context).into()),
        Fault::NoSuchRoute => (StatusCode::NOT_FOUND, "Not Found".into()),
        Fault::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed".into()),
        Fault::BodyTooLarge { bytes_max } => (
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("The body is larger than the limit of {bytes_max} bytes").into(),
        ),
        Fault::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "Request Timeout".into()),
        Fault::NoToolOutput { .. } => (
            StatusCode::BAD_REQUEST,
            "The output of a called tool is missing".into(),
        ),
        Fault::ContextTooLong { tokens_max } => (
            StatusCode::BAD_REQUEST,
            format!("The messages are longer than the {tokens_max} tokens that the model can read")
                .into(),
        ),
        Fault::UpstreamBusy { retry_after } => return busy(retry_after.unwrap_or(BUSY_PAUSE)),
        Fault::UpstreamRefused { said } => {
            let said = said.as_deref();
            let said = said.unwrap_or("The model's server refused the request");
            (StatusCode::BAD_GATEWAY, said.into())
        }
        Fault::UpstreamDown => (
            StatusCode::BAD_GATEWAY,
            "The model cannot be reached at the moment".into(),
        ),
        Fault::StoreDown => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Service Unavailable".into(),
        ),
        Fault::Cancelled => (StatusCode::CONFLICT, "The agent was stopped".into()),
        Fault::Internal => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal Server Error".into(),
        ),
    };
    reply::value(status, &json!({"detail": detail}))
}

/// When to try again where the model's server has not said.
const BUSY_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// The one error that has no `detail`.
fn busy(retry_after: std::time::Duration) -> Response {
    let body = json!({"message": "Too many requests"});
    let mut response = reply::value(StatusCode::TOO_MANY_REQUESTS, &body);
    reply::retry_after(response.headers_mut(), retry_after);
    response
}

/// Requests are checked before the domain sees them, so this is for what slips through.
fn invalid(field: &str, why: &Reason) -> (StatusCode, Value) {
    let said = match why {
        Reason::Missing => "it is required".to_owned(),
        Reason::WrongType { expected, got } => format!("expected {expected}, got {got}"),
        Reason::TooLong { max, .. } => format!("it has more than {max} characters"),
        Reason::Blank => "it is blank".to_owned(),
        Reason::TooMany { max, .. } => format!("it has more than {max} elements"),
        Reason::AboveMax { max, .. } => format!("it is above {max}"),
        Reason::BelowMin { min, .. } => format!("it is below {min}"),
        Reason::NotOneOf { allowed, .. } => format!("it is not one of {}", allowed.join(", ")),
        Reason::Malformed { expected } => format!("it is not {expected}"),
        Reason::Exclusive { with } => format!("it excludes {with}"),
        Reason::ForeignUser => "this key speaks for another user".to_owned(),
        Reason::NotSupported { what } => format!("{what} is not supported by this server"),
    };
    let problem = json!({
        "type": "value_error", "loc": ["body", field], "msg": format!("Value error, {said}"),
        "input": null, "ctx": {"error": {}},
    });
    (StatusCode::UNPROCESSABLE_ENTITY, json!([problem]))
}

fn malformed(why: &MalformedBody) -> (StatusCode, Value) {
    let problem = match why {
        MalformedBody::NotUtf8 => {
            let said = "There was an error parsing the body";
            return (StatusCode::BAD_REQUEST, said.into());
        }
        MalformedBody::Absent => json!({
            "type": "missing", "loc": ["body"], "msg": "Field required", "input": null,
        }),
        MalformedBody::NotJson { at } => json!({
            "type": "json_invalid", "loc": ["body", at], "msg": "JSON decode error", "input": {},
            "ctx": {"error": "Expecting value"},
        }),
        MalformedBody::NotObject => json!({
            "type": "dict_type", "loc": ["body"], "msg": "Input should be a valid dictionary",
            "input": null,
        }),
    };
    (StatusCode::UNPROCESSABLE_ENTITY, json!([problem]))
}

fn missing(noun: Noun, context: &Context) -> String {
    match noun {
        Noun::Conversation => {
            let id = context.params.get("conversation_id");
            format!("Conversation {id} not found")
        }
        Noun::AnchorConversation => "Invalid page_id".to_owned(),
        Noun::Item | Noun::AnchorItem => "Event not found".to_owned(),
        Noun::Turn | Noun::PreviousTurn | Noun::App => "Not Found".to_owned(),
    }
}

fn clash(conflict: Conflict, context: &Context) -> String {
    let id = context.params.get("conversation_id");
    match conflict {
        Conflict::NotRunning => format!("Conversation {id} is not running"),
        Conflict::ConversationBusy => format!("Conversation {id} is busy"),
        Conflict::DuplicateItem => "Event already exists".to_owned(),
        Conflict::Contended => "The conversation was changed by other requests".to_owned(),
        Conflict::Held => format!("Conversation {id} is under a legal hold"),
    }
}
