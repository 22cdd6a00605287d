//! Coze's words for every fault.
//!
//! A business error is HTTP 200 with a code: coze-java reports the HTTP status instead of the code
//! where it is another, and cozepy and coze-go read the code alone. Statuses of their own have only
//! credentials (401, as the cloud answers everywhere but on `/v3/chat`), what is no call at all (404, 405, 408, 413)
//! and what is the server's fault. The codes are those of the vendor's table; 700012006 and the texts
//! about credentials, unknown paths and missing resources were seen on the cloud.

use axum::response::Response;
use http::{Method, StatusCode};
use parlance_domain::fault::{Conflict, MalformedBody};
use parlance_domain::{Fault, Noun, Reason, TurnFailure};

use super::envelope;
use crate::kit::{Context, reply};

const BAD_PARAMETER: u32 = 4000;
const BAD_META_DATA: u32 = 4003;
const TOO_MANY_MESSAGES: u32 = 4004;
const HISTORY_NEEDED: u32 = 4007;
const BAD_BOT: u32 = 4006;
const SYSTEM_LIMIT: u32 = 4009;
const MODEL_FAILED: u32 = 4013;
const NO_ANSWER: u32 = 4014;
const CHAT_RUNNING: u32 = 4016;
const NO_PERMISSION: u32 = 4101;
const NOT_CANCELABLE: u32 = 4104;
const NOT_FOUND: u32 = 4200;
const DUPLICATE: u32 = 4201;
const INTERNAL: u32 = 5000;
const TOKEN_INVALID: u32 = 700_012_006;
const CHAT: &str = "/v3/chat";
const TOKEN_INCORRECT: &str = "The token you entered is incorrect. Please check your token and try \
    again. For more information, refer to https://coze.cn/docs/developer_guides/authentication";

/// What a stream says in the end whose conversation was deleted meanwhile.
pub(super) const DELETED: (u32, &str) = (NOT_FOUND, "The conversation was deleted.");
/// What a stream says in the end that has got lost.
pub(super) const LOST: (u32, &str) = (INTERNAL, "Internal server error.");

/// Why a chat failed: the code, and words for where the model's server has none.
pub(super) const fn failure(why: TurnFailure) -> (u32, &'static str) {
    match why {
        TurnFailure::Interrupted => (INTERNAL, "The server was stopped before the chat ended."),
        TurnFailure::Upstream => (MODEL_FAILED, "The model did not answer, or broke off."),
        TurnFailure::Busy => (
            SYSTEM_LIMIT,
            "The model is at its limit. Please try again later.",
        ),
        TurnFailure::Refused => (MODEL_FAILED, "The model refused the request."),
        TurnFailure::TooLong => (NO_ANSWER, "The answer was longer than allowed."),
        TurnFailure::Internal => LOST,
    }
}

/// The answer to a chat that is neither streamed nor kept: nobody could ever read it.
pub(super) fn history_needed(context: &Context) -> Response {
    let msg = "When stream is false, auto_save_history must be true.";
    envelope::failure(context, StatusCode::OK, HISTORY_NEEDED, msg)
}

/// The answer where a chat that is over should be canceled.
pub(super) fn not_cancelable(context: &Context) -> Response {
    let msg = "The chat cannot be canceled: it is not in progress.";
    envelope::failure(context, StatusCode::OK, NOT_CANCELABLE, msg)
}

/// The answer where outputs of tools are given to a chat that does not wait for any.
pub(super) fn no_action_required(context: &Context) -> Response {
    let msg = "The chat does not require an action: its bot has no plugins that clients run.";
    envelope::failure(context, StatusCode::OK, BAD_PARAMETER, msg)
}

/// The parts of an error.
struct Face {
    status: StatusCode,
    code: u32,
    msg: String,
}

impl Face {
    /// A business error.
    fn new(code: u32, msg: impl Into<String>) -> Self {
        Self {
            status: StatusCode::OK,
            code,
            msg: msg.into(),
        }
    }

    fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

/// The answer to a fault.
pub(super) fn render(fault: &Fault, context: &Context) -> Response {
    let face = face(fault, context);
    let mut response = envelope::failure(context, face.status, face.code, &face.msg);
    if let Fault::Busy { retry_after }
    | Fault::UpstreamBusy {
        retry_after: Some(retry_after),
    } = fault
    {
        reply::retry_after(response.headers_mut(), *retry_after);
    }
    response
}

/// The status and the code of a fault.
#[cfg(test)]
pub(super) fn face_of(fault: &Fault, context: &Context) -> (StatusCode, u32) {
    let face = face(fault, context);
    (face.status, face.code)
}

fn face(fault: &Fault, context: &Context) -> Face {
    match fault {
        Fault::Invalid { field, why } => Face::new(code(field, why), invalid(field, why)),
        Fault::MalformedBody(why) => Face::new(BAD_PARAMETER, malformed(why)),
        Fault::Unsupported { feature } => Face::new(
            BAD_PARAMETER,
            format!("This server does not support {feature}."),
        ),
        Fault::Unauthenticated(_) if is_chat(context) => Face::new(NO_PERMISSION, TOKEN_INCORRECT),
        Fault::Unauthenticated(_) => {
            Face::new(TOKEN_INVALID, "access token invalid").status(StatusCode::UNAUTHORIZED)
        }
        Fault::Forbidden { scope } => Face::new(
            NO_PERMISSION,
            format!("The token does not have the permission {scope} that this API requires."),
        ),
        Fault::WrongMode => Face::new(BAD_BOT, "The bot does not hold conversations."),
        Fault::NotFound(noun) => Face::new(NOT_FOUND, missing(*noun)),
        Fault::Conflict(conflict) => clash(*conflict),
        Fault::NoSuchRoute => {
            Face::new(BAD_PARAMETER, no_endpoint(context)).status(StatusCode::NOT_FOUND)
        }
        Fault::MethodNotAllowed => {
            Face::new(BAD_PARAMETER, no_endpoint(context)).status(StatusCode::METHOD_NOT_ALLOWED)
        }
        Fault::BodyTooLarge { bytes_max } => Face::new(
            BAD_PARAMETER,
            format!("The request body is larger than the limit of {bytes_max} bytes."),
        )
        .status(StatusCode::PAYLOAD_TOO_LARGE),
        Fault::BodyTimeout => Face::new(BAD_PARAMETER, "The request body did not arrive in time.")
            .status(StatusCode::REQUEST_TIMEOUT),
        Fault::Busy { .. } => Face::new(
            SYSTEM_LIMIT,
            "The server is at its limit. Please try again later.",
        )
        .status(StatusCode::TOO_MANY_REQUESTS),
        Fault::NoToolOutput { .. } => {
            Face::new(BAD_PARAMETER, "The output of a called tool is missing.")
        }
        Fault::ContextTooLong { tokens_max } => Face::new(
            BAD_PARAMETER,
            format!(
                "The messages are longer than the {tokens_max} tokens that the model can read."
            ),
        ),
        Fault::UpstreamRefused { said } => {
            let said = said.as_deref().unwrap_or(failure(TurnFailure::Refused).1);
            Face::new(MODEL_FAILED, said).status(StatusCode::BAD_GATEWAY)
        }
        Fault::UpstreamBusy { .. } => Face::new(
            SYSTEM_LIMIT,
            "The model is at its limit. Please try again later.",
        )
        .status(StatusCode::TOO_MANY_REQUESTS),
        Fault::UpstreamDown => {
            Face::new(MODEL_FAILED, "The model cannot be reached at the moment.")
                .status(StatusCode::BAD_GATEWAY)
        }
        Fault::StoreDown => Face::new(
            INTERNAL,
            "The server cannot process the request at the moment. Please try again later.",
        )
        .status(StatusCode::SERVICE_UNAVAILABLE),
        Fault::Cancelled => Face::new(NO_ANSWER, "The chat was canceled."),
        Fault::Internal => {
            Face::new(INTERNAL, "Internal server error.").status(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// Whether a request is one of `POST /v3/chat`, where the cloud answers a wrong token with 200.
fn is_chat(context: &Context) -> bool {
    context.method == Method::POST && context.path.ends_with(CHAT)
}

/// `meta_data` has a code of its own for its limits, wherever in a body it stands.
fn code(field: &str, why: &Reason) -> u32 {
    if field == "additional_messages" && matches!(why, Reason::TooMany { .. }) {
        return TOO_MANY_MESSAGES;
    }
    let typed = matches!(why, Reason::WrongType { .. });
    if !typed && field.split('.').any(|part| part == "meta_data") {
        BAD_META_DATA
    } else {
        BAD_PARAMETER
    }
}

fn invalid(field: &str, why: &Reason) -> String {
    let said = match why {
        Reason::Missing => "it is required".to_owned(),
        Reason::WrongType { expected, got } => format!("expected {expected}, got {got}"),
        Reason::TooLong { max, got } => format!("at most {max} characters, got {got}"),
        Reason::Blank => "it must not be empty".to_owned(),
        Reason::TooMany { max, got } => format!("at most {max} entries, got {got}"),
        Reason::AboveMax { max, got } => format!("at most {max}, got {got}"),
        Reason::BelowMin { min, got } => format!("at least {min}, got {got}"),
        Reason::NotOneOf { got, allowed } => {
            format!("expected one of {}, got {got}", allowed.join(", "))
        }
        Reason::Malformed { expected } => format!("expected {expected}"),
        Reason::Exclusive { with } => format!("it cannot be combined with {with}"),
        Reason::ForeignUser => "the token speaks for another user".to_owned(),
        Reason::NotSupported { what } => format!("{what} is not supported by this server"),
    };
    format!("Invalid request parameter {field}: {said}.")
}

fn malformed(why: &MalformedBody) -> String {
    match why {
        MalformedBody::Absent => "The request body is required.".to_owned(),
        MalformedBody::NotJson { at } => {
            format!("The request body is not valid JSON, from character {at} on.")
        }
        MalformedBody::NotObject => "The request body must be a JSON object.".to_owned(),
        MalformedBody::NotUtf8 => "The request body is not valid UTF-8.".to_owned(),
    }
}

/// One text for what does not exist, is deleted or is somebody else's: none can be told apart.
fn missing(noun: Noun) -> String {
    let named = match noun {
        Noun::Conversation | Noun::AnchorConversation => "conversation_id",
        Noun::Item | Noun::AnchorItem => "message_id",
        Noun::Turn | Noun::PreviousTurn => "chat_id",
        Noun::App => "bot_id",
    };
    format!(
        "Requested resource {named} does not exist. Ensure that it is the correct resource \
         identifier and that this account created it."
    )
}

fn clash(conflict: Conflict) -> Face {
    match conflict {
        Conflict::ConversationBusy => Face::new(
            CHAT_RUNNING,
            "The conversation already has a running chat. Please try again when it has ended.",
        ),
        Conflict::DuplicateItem => Face::new(DUPLICATE, "The message exists already."),
        Conflict::NotRunning => Face::new(BAD_PARAMETER, "The conversation is not running."),
        Conflict::Contended => Face::new(
            SYSTEM_LIMIT,
            "Other requests keep changing the conversation. Please try again.",
        ),
        // The table has no code for a state that forbids something; nobody has this permission now.
        Conflict::Held => Face::new(
            NO_PERMISSION,
            "The conversation is under a legal hold. It and its messages cannot be deleted or \
             modified until the hold is removed.",
        ),
    }
}

fn no_endpoint(context: &Context) -> String {
    format!(
        "The requested API endpoint {} {} does not exist. Please verify the URL and try again.",
        context.method, context.path
    )
}
