//! Dify's words for every fault: always `code`, `message`, `status`.
//!
//! Sources: `api/libs/external_api.py`, `api/controllers/service_api/app/error.py` and
//! `openapi_chatflow.json`; for HTTP's own errors the texts of werkzeug 3.1, for values those of
//! pydantic 2.12 as it writes them with its links switched off.

use std::time::Duration;

use axum::response::Response;
use http::StatusCode;
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use parlance_domain::fault::{Conflict, CredentialProblem, MalformedBody};
use parlance_domain::{Fault, Noun, Reason};
use serde_json::json;

use super::answer;
use crate::kit::{Context, reply};

/// What is wrong with a value, or with a request as a whole.
pub(super) const INVALID_PARAM: &str = "invalid_param";
pub(super) const BAD_REQUEST: &str = "bad_request";
pub(super) const NOT_FOUND: &str = "not_found";
pub(super) const INTERNAL: &str = "internal_server_error";
const REQUEST_FAILED: &str = "completion_request_error";
/// Dify's text for everything that is not the client's doing.
pub(super) const INTERNAL_TEXT: &str = "Internal server error.";
/// Dify's text for a conversation that is not there, or is not the caller's.
pub(super) const NO_CONVERSATION: &str = "Conversation Not Exists.";
const NO_URL: &str = "The requested URL was not found on the server. If you entered the URL \
    manually please check your spelling and try again.";
const NOT_JSON: &str =
    "The browser (or proxy) sent a request that this server could not understand.";
const SLOW: &str = "The server closed the network connection because the browser didn't finish the \
    request within the specified time.";
/// When to come back to a conversation that is still answering: a guess, since nobody knows.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// The parts of an error body.
struct Face {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Face {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, NOT_FOUND, message)
    }
}

/// An error that only this dialect knows.
pub(super) fn envelope(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({"code": code, "message": message, "status": status.as_u16()});
    answer::json(status, &body)
}

/// The answer to a fault.
pub(super) fn render(fault: &Fault, context: &Context) -> Response {
    let face = face(fault, context);
    let mut response = envelope(face.status, face.code, &face.message);
    let headers = response.headers_mut();
    if let Fault::Busy { retry_after }
    | Fault::UpstreamBusy {
        retry_after: Some(retry_after),
    } = fault
    {
        reply::retry_after(headers, *retry_after);
    } else if face.status == StatusCode::TOO_MANY_REQUESTS {
        reply::retry_after(headers, BUSY_WAIT);
    }
    if face.status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer realm=\"api\"");
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn face(fault: &Fault, context: &Context) -> Face {
    match fault {
        Fault::Invalid { field, why } => invalid(field, why, context),
        Fault::MalformedBody(why) => Face::bad(BAD_REQUEST, malformed(why)),
        Fault::Unsupported { feature } => Face::bad(
            INVALID_PARAM,
            format!("Not supported by this server: {feature}."),
        ),
        Fault::Unauthenticated(problem) => Face::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            unauthenticated(*problem),
        ),
        Fault::Forbidden { scope } => Face::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("This key lacks the permission {scope}."),
        ),
        Fault::WrongMode => Face::bad(
            "not_chat_app",
            "Please check if your app mode matches the right API route.",
        ),
        Fault::NotFound(noun) => missing(*noun),
        Fault::Conflict(conflict) => clash(*conflict),
        Fault::NoSuchRoute => Face::missing(NO_URL),
        Fault::MethodNotAllowed => Face::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "The method is not allowed for the requested URL.",
        ),
        Fault::BodyTooLarge { bytes_max } => Face::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request_entity_too_large",
            format!("The data value transmitted exceeds the capacity limit of {bytes_max} bytes."),
        ),
        Fault::BodyTimeout => Face::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", SLOW),
        Fault::Busy { .. } => busy(),
        Fault::NoToolOutput { .. } => {
            Face::bad(INVALID_PARAM, "The output of a called tool is missing.")
        }
        Fault::ContextTooLong { .. } => Face::bad(
            INVALID_PARAM,
            "Query or prefix prompt is too long, you can reduce the prefix prompt, or shrink the max \
             token, or switch to a llm with a larger token limit size.",
        ),
        Fault::UpstreamBusy { .. } => Face::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_error",
            "The model's server is at its limit. Please try again later.",
        ),
        Fault::UpstreamRefused { said: Some(said) } => Face::bad(REQUEST_FAILED, said.as_str()),
        Fault::UpstreamRefused { said: None } | Fault::UpstreamDown => {
            Face::bad(REQUEST_FAILED, "Completion request failed.")
        }
        Fault::StoreDown => Face::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable",
            "The server is temporarily unable to service your request. Please try again later.",
        ),
        Fault::Cancelled => Face::bad(INVALID_PARAM, "The task was stopped."),
        Fault::Internal => Face::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL, INTERNAL_TEXT),
    }
}

fn busy() -> Face {
    Face::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_requests",
        "Too many requests. Please try again later.",
    )
}

fn clash(conflict: Conflict) -> Face {
    let message = match conflict {
        Conflict::ConversationBusy => return busy(),
        Conflict::DuplicateItem => "The message exists already.",
        Conflict::NotRunning => "The conversation is not running.",
        Conflict::Contended => "The conversation was changed by other requests. Please try again.",
        Conflict::Held => {
            "The conversation is under a legal hold, and cannot be deleted or changed until the hold \
             is removed."
        }
    };
    Face::new(StatusCode::CONFLICT, "conflict", message)
}

fn missing(noun: Noun) -> Face {
    match noun {
        Noun::Conversation => Face::missing(NO_CONVERSATION),
        Noun::AnchorConversation => Face::missing("Last Conversation Not Exists."),
        Noun::Item => Face::missing("Message Not Exists."),
        Noun::AnchorItem => Face::missing("First Message Not Exists."),
        Noun::Turn | Noun::PreviousTurn => Face::missing("Task Not Exists."),
        Noun::App => Face::bad(
            "app_unavailable",
            "App unavailable, please check your app configurations.",
        ),
    }
}

fn malformed(why: &MalformedBody) -> &'static str {
    match why {
        MalformedBody::NotJson { .. } | MalformedBody::NotUtf8 => NOT_JSON,
        MalformedBody::NotObject => "The request body must be a JSON object.",
        MalformedBody::Absent => "The request body must not be empty.",
    }
}

fn unauthenticated(problem: CredentialProblem) -> &'static str {
    match problem {
        CredentialProblem::Missing => {
            "Authorization header must be provided and start with 'Bearer'"
        }
        CredentialProblem::BadScheme => "Authorization scheme must be 'Bearer'",
        CredentialProblem::Unknown => "Access token is invalid",
    }
}

/// The user and an empty question are checked by Dify's own code, everything else by pydantic.
fn invalid(field: &str, why: &Reason, context: &Context) -> Face {
    let message = match (field, why) {
        ("user", Reason::Missing) => "Arg user must be provided.".to_owned(),
        ("user", Reason::ForeignUser) => "Arg user must be the user of this API key.".to_owned(),
        ("user", Reason::TooLong { max, .. }) => {
            format!("Arg user must have at most {max} characters.")
        }
        ("user", Reason::WrongType { .. }) => "Arg user must be a string.".to_owned(),
        ("query", Reason::Blank) => "query is required".to_owned(),
        _ => return Face::bad(INVALID_PARAM, validation(field, why, context)),
    };
    Face::bad(INVALID_PARAM, message)
}

/// One error in the form of pydantic's. It names the input only where that is a number.
fn validation(field: &str, why: &Reason, context: &Context) -> String {
    let (said, kind) = match why {
        Reason::Missing => ("Field required".to_owned(), "missing".to_owned()),
        Reason::WrongType { expected, got } => wrong_type(expected, got),
        Reason::TooLong { max, .. } => (
            format!("String should have at most {max} characters"),
            "string_too_long, input_type=str".to_owned(),
        ),
        Reason::Blank => (
            format!("Value error, {field} is required when auto_generate is false"),
            "value_error, input_type=dict".to_owned(),
        ),
        Reason::TooMany { max, got } => (
            format!("List should have at most {max} items, not {got}"),
            "too_long, input_type=list".to_owned(),
        ),
        Reason::AboveMax { max, got } => (
            format!("Input should be less than or equal to {max}"),
            format!("less_than_equal, input_value='{got}', input_type=str"),
        ),
        Reason::BelowMin { min, got } => (
            format!("Input should be greater than or equal to {min}"),
            format!("greater_than_equal, input_value='{got}', input_type=str"),
        ),
        Reason::NotOneOf { allowed, .. } => (
            format!("Input should be {}", enumerate(allowed)),
            "literal_error, input_type=str".to_owned(),
        ),
        Reason::Malformed { expected } if *expected == "an integer" => (
            "Input should be a valid integer, unable to parse string as an integer".to_owned(),
            "int_parsing, input_type=str".to_owned(),
        ),
        Reason::Malformed { expected } => (
            format!("Value error, {field} must be {}", plain(expected)),
            "value_error, input_type=str".to_owned(),
        ),
        Reason::Exclusive { with } => (
            format!("Value error, {field} and {with} exclude each other"),
            "value_error".to_owned(),
        ),
        Reason::NotSupported { what } => (
            format!("Value error, {what} is not supported by this server"),
            "value_error".to_owned(),
        ),
        Reason::ForeignUser => (
            "Value error, the API key is another user's".to_owned(),
            "value_error".to_owned(),
        ),
    };
    let schema = schema(context);
    format!("1 validation error for {schema}\n{field}\n  {said} [type={kind}]")
}

/// `a UUID` as Dify says it: `a valid UUID`.
fn plain(expected: &str) -> String {
    match expected.strip_prefix("a ") {
        Some(noun) => format!("a valid {noun}"),
        None => expected.to_owned(),
    }
}

/// Python's names for what is expected and what came.
fn wrong_type(expected: &str, got: &str) -> (String, String) {
    let (said, kind) = match expected {
        "a string" => ("Input should be a valid string", "string_type"),
        "a boolean" => ("Input should be a valid boolean", "bool_type"),
        "an integer" => ("Input should be a valid integer", "int_type"),
        "an array" => ("Input should be a valid list", "list_type"),
        _ => ("Input should be a valid dictionary", "dict_type"),
    };
    let input = match got {
        "a string" => "str",
        "a boolean" => "bool",
        "an integer" => "int",
        "a decimal" => "float",
        "an array" => "list",
        "an object" => "dict",
        _ => "NoneType",
    };
    (said.to_owned(), format!("{kind}, input_type={input}"))
}

/// `'a', 'b' or 'c'`.
fn enumerate(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} or {last}", all.join(", ")),
    }
}

/// Dify's name for what a route reads.
fn schema(context: &Context) -> &'static str {
    match context.path.rsplit('/').next() {
        Some("conversations") => "ConversationListQuery",
        Some("messages") => "MessageListQuery",
        Some("name") => "ConversationRenamePayload",
        Some("chat-messages") => "ChatRequestPayload",
        _ => "Payload",
    }
}
