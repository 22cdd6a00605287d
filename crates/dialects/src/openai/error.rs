//! OpenAI's words for every fault. The body always has all four keys.
//!
//! Sources: recorded traces (`Conversations/error_*`), and the live forms listed by praxis-proxy/ai
//! and in public probes; texts that nobody has recorded follow the same patterns.

use axum::response::Response;
use http::{HeaderValue, StatusCode};
use parlance_domain::fault::{Conflict, CredentialProblem, MalformedBody};
use parlance_domain::{Error, Fault, Noun, Reason};
use serde_json::{Value, json};

use crate::kit::fields::kind;
use crate::kit::{Context, Failure, reply};

const INVALID_REQUEST: &str = "invalid_request_error";
const NOT_JSON: &str = "Invalid body: failed to parse JSON value. Please check the value to ensure \
    it is valid JSON. (Common errors include trailing commas, missing closing brackets, missing \
    quotation marks, etc.)";
const NO_KEY: &str = "You didn't provide an API key. You need to provide your API key in an \
    Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
const HELD: &str = "The conversation is under a legal hold. What is in it cannot be deleted or changed \
    until the hold is removed.";
const LOCKED: &str = "Another process is currently operating on this conversation. Please retry in \
    a few seconds.";

const TOO_LONG: &str = "Your input exceeds the context window of this model. Please adjust your \
    input and try again.";
/// What is said where a model does not answer.
pub(super) const REFUSED: &str = "The model's server refused the request.";
/// The same, where it has too much to do.
pub(super) const MODEL_BUSY: &str = "The model's server is at its limit. Please retry later.";
/// The same, where it cannot be reached or broke off.
pub(super) const MODEL_DOWN: &str = "The model cannot be reached at the moment.";
/// What is said of our own defects.
pub(super) const INTERNAL: &str =
    "The server had an error while processing your request. Sorry about that!";
const UNAVAILABLE: &str = "The server is temporarily unable to process your request.";

/// The parts of an error body.
pub(super) struct Face {
    status: StatusCode,
    kind: &'static str,
    message: String,
    param: Option<String>,
    code: Option<&'static str>,
}

impl From<Face> for Failure {
    fn from(face: Face) -> Self {
        answer(&face).into()
    }
}

impl Face {
    /// An error of the client's, without `param` and `code`.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// An error of this status, without `param` and `code`.
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let kind = if status.is_server_error() {
            "server_error"
        } else {
            INVALID_REQUEST
        };
        Self {
            status,
            kind,
            message: message.into(),
            param: None,
            code: None,
        }
    }

    /// The same with a code.
    pub(super) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// The same about a field.
    pub(super) fn param(mut self, param: &str) -> Self {
        self.param = Some(param.to_owned());
        self
    }

    fn kind(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }
}

/// The answer to a fault.
pub(super) fn render(fault: &Fault, context: &Context) -> Response {
    let mut response = answer(&face(fault, context));
    if let Fault::Busy { retry_after: wait }
    | Fault::UpstreamBusy {
        retry_after: Some(wait),
    } = fault
    {
        reply::retry_after(response.headers_mut(), *wait);
    }
    if matches!(fault, Fault::Conflict(Conflict::Held)) {
        // The vendor's SDKs try every 409 again, unless they are told that it is of no use.
        let never = HeaderValue::from_static("false");
        response.headers_mut().insert("x-should-retry", never);
    }
    response
}

/// The failure where an item that the body names is not there.
pub(super) fn item_missing(error: Error, id: &str) -> Failure {
    if error.fault == Fault::NotFound(Noun::Item) {
        return answer(&Face::new(StatusCode::NOT_FOUND, item_not_found(id))).into();
    }
    error.into()
}

/// The failure where the model that a request names is not there.
pub(super) fn model_missing(error: Error, name: Option<&str>) -> Failure {
    match name {
        Some(name) if error.fault == Fault::NotFound(Noun::App) => {
            no_model(format!("The model '{name}' does not exist.")).into()
        }
        _ => error.into(),
    }
}

fn no_model(message: impl Into<String>) -> Face {
    Face::new(StatusCode::NOT_FOUND, message)
        .param("model")
        .code("model_not_found")
}

/// A field that the vendor does not have. Live form of OpenAI's.
pub(super) fn unknown_parameter(field: &str) -> Failure {
    Face::bad(format!("Unknown parameter: '{field}'."))
        .param(field)
        .code("unknown_parameter")
        .into()
}

/// A value of another type than the one expected, in words: `a string`.
pub(super) fn wrong_type(field: &str, expected: &str, got: &Value) -> Failure {
    let got = kind(got);
    Face::bad(format!(
        "Invalid type for '{field}': expected {expected}, but got {got} instead."
    ))
    .param(field)
    .code("invalid_type")
    .into()
}

/// A number that need not be whole and is below `min` or above `max`.
pub(super) fn decimal_out_of_range(field: &str, (min, max): (f64, f64), got: f64) -> Failure {
    let (which, sign, bound, code) = if got < min {
        ("below minimum", ">=", min, "decimal_below_min_value")
    } else {
        ("above maximum", "<=", max, "decimal_above_max_value")
    };
    Face::bad(format!(
        "Invalid '{field}': decimal {which} value. Expected a value {sign} {bound}, but got {got} \
         instead."
    ))
    .param(field)
    .code(code)
    .into()
}

/// The failure where an item that a response's input names is not kept anywhere that it can name. The vendor's
/// text, quoted in many public repositories.
pub(super) fn item_not_kept(id: &str) -> Failure {
    let said = format!(
        "Item with id '{id}' not found. Items are not persisted when `store` is set to false. Try again with \
         `store` set to true, or remove this item from your input."
    );
    Face::new(StatusCode::NOT_FOUND, said).param("input").into()
}

/// The failure where an item of a response's input has an id that another has already. The vendor's text, likewise.
pub(super) fn duplicate_input() -> Failure {
    let said =
        "Duplicate item found in input. Remove duplicate items from your input and try again.";
    Face::bad(said).param("input").into()
}

/// The failure where somebody waits for a response, and so has no need to cancel it.
pub(super) fn not_in_background() -> Failure {
    Face::bad("Cannot cancel a synchronous response.").into()
}

/// The failure where the conversation or response that a body names as `id` is not there.
pub(super) fn context_missing(error: Error, id: &str) -> Failure {
    if error.fault == Fault::NotFound(Noun::Conversation) {
        return Face::new(StatusCode::NOT_FOUND, conversation_not_found(id)).into();
    }
    if let Fault::NotFound(Noun::Turn | Noun::PreviousTurn) = error.fault {
        let said = format!("Previous response with id '{id}' not found.");
        return previous_not_found(said).into();
    }
    error.into()
}

/// The failure of a response that was deleted while it was waited for.
pub(super) fn response_missing(id: &str) -> Failure {
    Face::new(StatusCode::NOT_FOUND, response_not_found(id)).into()
}

/// The failure of a response that the server's end cut short.
pub(super) fn interrupted() -> Failure {
    Face::new(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE).into()
}

fn previous_not_found(message: impl Into<String>) -> Face {
    Face::bad(message)
        .param("previous_response_id")
        .code("previous_response_not_found")
}

fn conversation_not_found(id: &str) -> String {
    format!("Conversation with id '{id}' not found.")
}

fn response_not_found(id: &str) -> String {
    format!("Response with id '{id}' not found.")
}

fn item_not_found(id: &str) -> String {
    format!("Item with id '{id}' not found in conversation.")
}

fn answer(face: &Face) -> Response {
    let body = json!({"error": {
        "message": face.message, "type": face.kind, "param": face.param, "code": face.code,
    }});
    reply::value(face.status, &body)
}

fn face(fault: &Fault, context: &Context) -> Face {
    match fault {
        Fault::Invalid { field, why } => invalid(field, why),
        Fault::MalformedBody(why) => malformed(why),
        Fault::Unsupported { feature } => Face::new(
            StatusCode::BAD_REQUEST,
            format!("Not supported by this server: {feature}."),
        )
        .code("unsupported_value"),
        Fault::Unauthenticated(problem) => unauthenticated(*problem),
        Fault::Forbidden { scope } => Face::new(
            StatusCode::FORBIDDEN,
            format!(
                "You have insufficient permissions for this operation. Missing scopes: {scope}."
            ),
        )
        .code("insufficient_permissions"),
        Fault::WrongMode => Face::new(
            StatusCode::BAD_REQUEST,
            "This key's app does not hold conversations.",
        )
        .code("wrong_app_mode"),
        Fault::NotFound(noun) => missing(*noun, context),
        Fault::Conflict(conflict) => clash(*conflict),
        Fault::NoSuchRoute => Face::new(StatusCode::NOT_FOUND, invalid_url(context)),
        Fault::MethodNotAllowed => Face::new(StatusCode::METHOD_NOT_ALLOWED, invalid_url(context)),
        Fault::BodyTooLarge { bytes_max } => Face::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("Invalid body: it is larger than the limit of {bytes_max} bytes."),
        ),
        Fault::BodyTimeout => Face::new(
            StatusCode::REQUEST_TIMEOUT,
            "Invalid body: it did not arrive in time.",
        ),
        Fault::Busy { .. } => Face::new(
            StatusCode::TOO_MANY_REQUESTS,
            "Rate limit reached. Please retry later.",
        )
        .kind("requests")
        .code("rate_limit_exceeded"),
        Fault::NoToolOutput { call_id } => {
            let said = format!("No tool output found for function call {call_id}.");
            Face::bad(said).param("input")
        }
        Fault::ContextTooLong { .. } => Face::bad(TOO_LONG)
            .param("input")
            .code("context_length_exceeded"),
        Fault::UpstreamRefused { said } => Face::bad(said.as_deref().unwrap_or(REFUSED)),
        Fault::UpstreamBusy { .. } => Face::new(StatusCode::TOO_MANY_REQUESTS, MODEL_BUSY)
            .kind("requests")
            .code("rate_limit_exceeded"),
        Fault::UpstreamDown => Face::new(StatusCode::BAD_GATEWAY, MODEL_DOWN),
        Fault::StoreDown => Face::new(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE),
        Fault::Cancelled => {
            Face::new(StatusCode::BAD_REQUEST, "The response was cancelled.").code("cancelled")
        }
        Fault::Internal => Face::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL),
    }
}

fn invalid(field: &str, why: &Reason) -> Face {
    let (said, code) = match why {
        Reason::Missing => (
            format!("Missing required parameter: '{field}'."),
            "missing_required_parameter",
        ),
        Reason::WrongType { expected, got } => (
            format!("Invalid type for '{field}': expected {expected}, but got {got} instead."),
            "invalid_type",
        ),
        Reason::NotOneOf { got, allowed } => (
            format!(
                "Invalid value: '{got}'. Supported values are: {}.",
                enumerate(allowed)
            ),
            "invalid_value",
        ),
        Reason::Malformed { expected } => (
            format!("Invalid '{field}'. Expected {expected}."),
            "invalid_value",
        ),
        Reason::Exclusive { with } => (
            format!(
                "Mutually exclusive parameters. Ensure you are only providing one of: '{field}' \
                 or '{with}'."
            ),
            "mutually_exclusive_parameters",
        ),
        Reason::NotSupported { what } => (
            format!("Invalid '{field}': {what} is not supported by this server."),
            "unsupported_value",
        ),
        Reason::ForeignUser => (
            format!("Invalid '{field}': this key speaks for another user."),
            "invalid_value",
        ),
        Reason::TooMany { max, got } => too_many(field, *max, *got),
        Reason::TooLong { max, got } => (
            format!(
                "Invalid '{field}': string too long. Expected a string with maximum length {max}, \
                 but got a string with length {got} instead."
            ),
            "string_above_max_length",
        ),
        Reason::Blank => (
            format!(
                "Invalid '{field}': empty string. Expected a string with minimum length 1, but \
                 got an empty string instead."
            ),
            "empty_string",
        ),
        Reason::AboveMax { max, got } => out_of_range(field, "above maximum", "<=", *max, *got),
        Reason::BelowMin { min, got } => out_of_range(field, "below minimum", ">=", *min, *got),
    };
    Face::new(StatusCode::BAD_REQUEST, said)
        .code(code)
        .param(field)
}

fn too_many(field: &str, max: usize, got: usize) -> (String, &'static str) {
    if field == "metadata" {
        let said = format!(
            "Invalid 'metadata': too many properties. Expected an object with at most {max} \
             properties, but got an object with {got} properties instead."
        );
        return (said, "object_above_max_properties");
    }
    let said = format!(
        "Invalid '{field}': array too long. Expected an array with maximum length {max}, but got \
         an array with length {got} instead."
    );
    (said, "array_above_max_length")
}

fn out_of_range(
    field: &str,
    where_: &str,
    sign: &str,
    bound: i64,
    got: i64,
) -> (String, &'static str) {
    let said = format!(
        "Invalid '{field}': integer {where_} value. Expected a value {sign} {bound}, but got {got} \
         instead."
    );
    let code = if sign == "<=" {
        "integer_above_max_value"
    } else {
        "integer_below_min_value"
    };
    (said, code)
}

/// `'a', 'b', and 'c'`; two values without the comma.
fn enumerate(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [one, two] => format!("{one} and {two}"),
        [all @ .., last] => format!("{}, and {last}", all.join(", ")),
    }
}

fn malformed(why: &MalformedBody) -> Face {
    let bad = |message: &str| Face::new(StatusCode::BAD_REQUEST, message);
    match why {
        MalformedBody::NotJson { .. } | MalformedBody::NotUtf8 => {
            bad(NOT_JSON).code("invalid_json")
        }
        MalformedBody::NotObject => bad("Invalid body: expected an object.").code("invalid_type"),
        MalformedBody::Absent => {
            bad("Invalid body: it is required.").code("missing_required_parameter")
        }
    }
}

fn unauthenticated(problem: CredentialProblem) -> Face {
    match problem {
        CredentialProblem::Missing | CredentialProblem::BadScheme => {
            Face::new(StatusCode::UNAUTHORIZED, NO_KEY)
        }
        CredentialProblem::Unknown => {
            Face::new(StatusCode::UNAUTHORIZED, "Incorrect API key provided.")
                .code("invalid_api_key")
        }
    }
}

fn missing(noun: Noun, context: &Context) -> Face {
    let message = match noun {
        Noun::Conversation | Noun::AnchorConversation => {
            conversation_not_found(context.params.get("conversation_id"))
        }
        Noun::Item | Noun::AnchorItem => item_not_found(context.params.get("item_id")),
        Noun::Turn => response_not_found(context.params.get("response_id")),
        Noun::PreviousTurn => return previous_not_found("Previous response not found."),
        Noun::App => return no_model("The requested model does not exist."),
    };
    Face::new(StatusCode::NOT_FOUND, message)
}

fn clash(conflict: Conflict) -> Face {
    match conflict {
        Conflict::ConversationBusy => Face::new(StatusCode::BAD_REQUEST, LOCKED)
            .param("conversation")
            .code("conversation_locked"),
        Conflict::DuplicateItem => {
            Face::new(StatusCode::BAD_REQUEST, "Item already in conversation")
                .param("items")
                .code("item_already_in_conversation")
        }
        Conflict::NotRunning => {
            Face::new(StatusCode::CONFLICT, "The conversation is not running.").code("conflict")
        }
        Conflict::Contended => Face::new(
            StatusCode::CONFLICT,
            "The conversation was changed by other requests. Please retry.",
        )
        .code("conflict"),
        Conflict::Held => Face::new(StatusCode::CONFLICT, HELD).code("conflict"),
    }
}

fn invalid_url(context: &Context) -> String {
    format!("Invalid URL ({} {})", context.method, context.path)
}
