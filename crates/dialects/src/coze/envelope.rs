//! What every answer of Coze's is wrapped in.
//!
//! Invariant: `detail.logid` and the header `X-Tt-Logid` are the same on every answer. Some of the
//! vendor's examples leave `detail` out; its schema does not.

use axum::response::Response;
use http::StatusCode;
use parlance_domain::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::kit::{Context, Reply, reply};

/// A good answer. A key without a value is left out.
#[derive(Serialize)]
struct Envelope<'a, T> {
    code: u32,
    msg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<T>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    place: Option<&'a Place>,
    detail: Detail,
}

#[derive(Serialize)]
struct Detail {
    logid: String,
}

/// Where a page of messages lies; it stands beside the messages, not around them.
#[derive(Serialize)]
pub(super) struct Place {
    /// The first message's id, empty if there is none: the SDKs do not take null.
    pub(super) first_id: String,
    /// The last message's id, empty if there is none.
    pub(super) last_id: String,
    /// Whether there are messages beyond.
    pub(super) has_more: bool,
}

impl<T> Envelope<'_, T> {
    fn empty(context: &Context) -> Self {
        Self {
            code: 0,
            msg: "",
            data: None,
            message: None,
            place: None,
            detail: Detail {
                logid: log_id(context),
            },
        }
    }
}

/// Done, with a result.
pub(super) fn data<T: Serialize>(context: &Context, data: T) -> Reply {
    reply::ok(&Envelope {
        data: Some(data),
        ..Envelope::empty(context)
    })
}

/// Done, without a result. Never an empty body: cozepy takes that for a failure.
pub(super) fn done(context: &Context) -> Reply {
    reply::ok(&Envelope::<()>::empty(context))
}

/// Done, with the result of `message/modify`, which alone stands under `message`.
pub(super) fn message<T: Serialize>(context: &Context, message: T) -> Reply {
    reply::ok(&Envelope {
        message: Some(message),
        ..Envelope::empty(context)
    })
}

/// A page of messages.
pub(super) fn page<T: Serialize>(context: &Context, rows: T, place: &Place) -> Reply {
    reply::ok(&Envelope {
        data: Some(rows),
        place: Some(place),
        ..Envelope::empty(context)
    })
}

/// A failure.
pub(super) fn failure(context: &Context, status: StatusCode, code: u32, msg: &str) -> Response {
    let body = json!({"code": code, "msg": msg, "detail": {"logid": log_id(context)}});
    reply::value(status, &body)
}

/// The log id of a request in the vendor's form of 34 characters: the time to the second in UTC, and
/// the last 80 bits of the request's own number.
pub(super) fn log_id(context: &Context) -> String {
    let number = context.request & ((1 << 80) - 1);
    format!("{}{number:020X}", compact(context.at))
}

/// `20240708143040`. The clock cannot show a time that has no such form.
fn compact(at: Timestamp) -> String {
    let time = jiff::Timestamp::from_second(at.seconds()).unwrap_or_default();
    time.strftime("%Y%m%d%H%M%S").to_string()
}
