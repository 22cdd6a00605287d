//! Who asks: the key's project and app, and the `user` that the request names.
//!
//! Order of checks as in Dify (`api/controllers/service_api/wraps.py`): the body is JSON, the user,
//! the app's mode; only then everything else.

use std::borrow::Cow;

use parlance_domain::{Error, Fault, Principal, Reason, User};
use serde_json::{Map, Value};

use crate::kit::Call;
use crate::kit::fields::kind;

/// The user that a request without one has. Named outright, it means the same.
pub(super) const DEFAULT_USER: &str = "DEFAULT-USER";
const FIELD: &str = "user";

/// The principal of a request that names its user in the query.
pub(super) fn of_query(call: &Call) -> Result<Principal, Error> {
    principal(call, call.query.filled(FIELD))
}

/// The principal of a request that names its user in the body.
pub(super) fn of_body(call: &Call, body: &Map<String, Value>) -> Result<Principal, Error> {
    principal(call, text(body)?.as_deref())
}

/// The same where Dify insists on a user. A key that is bound to one has said it already.
pub(super) fn required(call: &Call, body: &Map<String, Value>) -> Result<Principal, Error> {
    let user = text(body)?;
    if user.is_none() && call.access.key.user.is_none() {
        return Err(Error::invalid(FIELD, Reason::Missing));
    }
    principal(call, user.as_deref())
}

fn principal(call: &Call, user: Option<&str>) -> Result<Principal, Error> {
    let user = match user.filter(|user| *user != DEFAULT_USER) {
        Some(user) => User::parse(user).map_err(|why| Error::invalid(FIELD, why))?,
        None => None,
    };
    let who = call.access.principal(FIELD, user)?;
    if !call.access.app.mode.has_conversations() {
        return Err(Fault::WrongMode.into());
    }
    Ok(Principal {
        app: Some(call.access.app.id),
        ..who
    })
}

/// The user as text. Numbers and truth values are written as Python writes them, since Dify passes
/// whatever came through `str()`.
fn text(body: &Map<String, Value>) -> Result<Option<Cow<'_, str>>, Error> {
    let text = match body.get(FIELD) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => Cow::Borrowed(text.as_str()),
        Some(Value::Number(number)) => Cow::Owned(number.to_string()),
        Some(Value::Bool(true)) => Cow::Borrowed("True"),
        Some(Value::Bool(false)) => Cow::Borrowed("False"),
        Some(other @ (Value::Array(_) | Value::Object(_))) => {
            let why = Reason::WrongType {
                expected: "a string",
                got: kind(other),
            };
            return Err(Error::invalid(FIELD, why));
        }
    };
    Ok((!text.is_empty()).then_some(text))
}
