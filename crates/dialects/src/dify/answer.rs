//! JSON as Dify writes it: Python's `json.dumps`, with a space after each comma and colon and all
//! but ASCII escaped.

use std::io::{self, Write};

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

use crate::kit::reply;

/// An answer as flask-restx writes it, with a newline at the end.
pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    let mut text = dumps(body);
    text.push(b'\n');
    reply::bytes_of(status, "application/json", text)
}

/// 200 with `body`.
pub(super) fn ok(body: &Value) -> Response {
    json(StatusCode::OK, body)
}

/// The answer to a blocking chat request, which Dify writes past flask-restx
/// (`api/libs/helper.py`, `compact_generate_response`): without the newline.
pub(super) fn blocking(body: &Value) -> Response {
    reply::bytes_of(
        StatusCode::OK,
        "application/json; charset=utf-8",
        dumps(body),
    )
}

fn dumps(value: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    match value.serialize(&mut Serializer::with_formatter(&mut text, Python)) {
        Ok(()) => text,
        // Writing a tree to memory does not fail; were it to, the plain form says the same.
        Err(_) => value.to_string().into_bytes(),
    }
}

/// Python's default separators and escapes.
struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        separate(to, first)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, to: &mut W, first: bool) -> io::Result<()> {
        separate(to, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, to: &mut W) -> io::Result<()> {
        to.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        to: &mut W,
        text: &str,
    ) -> io::Result<()> {
        if text.is_ascii() {
            return to.write_all(text.as_bytes());
        }
        for unit in text.encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => to.write_all(&[byte])?,
                Ok(_) | Err(_) => write!(to, "\\u{unit:04x}")?,
            }
        }
        Ok(())
    }
}

fn separate<W: ?Sized + Write>(to: &mut W, first: bool) -> io::Result<()> {
    if first { Ok(()) } else { to.write_all(b", ") }
}
