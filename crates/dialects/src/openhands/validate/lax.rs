//! Numbers and truth values as pydantic reads them where it is not strict: also from text.

use serde_json::{Number, Value};

/// More digits than this are not read (CPython's own limit).
const DIGITS_MAX: usize = 4_300;

/// What is wrong with something that should be a whole number or a truth value: the error's type and
/// its message.
pub(in crate::openhands) type Wrong = (&'static str, &'static str);

const INT_TYPE: Wrong = ("int_type", "Input should be a valid integer");
const INT_PARSING: Wrong = (
    "int_parsing",
    "Input should be a valid integer, unable to parse string as an integer",
);
const INT_SIZE: Wrong = (
    "int_parsing_size",
    "Unable to parse input string as an integer, exceeded maximum size",
);
const INT_FRACTION: Wrong = (
    "int_from_float",
    "Input should be a valid integer, got a number with a fractional part",
);
const BOOL_TYPE: Wrong = ("bool_type", "Input should be a valid boolean");
const BOOL_PARSING: Wrong = (
    "bool_parsing",
    "Input should be a valid boolean, unable to interpret input",
);

/// A whole number in text: spaces around it, a sign, single underscores between digits and zeros
/// after a point are fine. What does not fit becomes the nearest that does.
pub(in crate::openhands) fn integer(text: &str) -> Result<i64, Wrong> {
    if text.len() > DIGITS_MAX {
        return Err(INT_SIZE);
    }
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = match digits.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        Some(_) => return Err(INT_PARSING),
        None => digits,
    };
    let group = |group: &str| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit());
    if !digits.split('_').all(group) {
        return Err(INT_PARSING);
    }
    let digits = digits.replace('_', "");
    let number = digits.parse().unwrap_or(i64::MAX);
    Ok(if negative { -number } else { number })
}

/// A whole number in JSON.
pub(super) fn json_integer(value: &Value) -> Result<(), Wrong> {
    match value {
        Value::Bool(_) => Ok(()),
        Value::String(text) => integer(text).map(drop),
        Value::Number(number) if is_whole(number) => Ok(()),
        Value::Number(_) => Err(INT_FRACTION),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(INT_TYPE),
    }
}

/// A truth value in text.
pub(in crate::openhands) fn boolean(text: &str) -> Result<bool, Wrong> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Ok(true),
        "0" | "false" | "f" | "no" | "n" | "off" => Ok(false),
        _ => Err(BOOL_PARSING),
    }
}

/// A truth value in JSON.
pub(in crate::openhands) fn json_boolean(value: &Value) -> Result<bool, Wrong> {
    match value {
        Value::Bool(truth) => Ok(*truth),
        Value::String(text) => boolean(text),
        Value::Number(number) if !is_whole(number) => Err(BOOL_TYPE),
        Value::Number(number) => match number.as_f64() {
            Some(0.0) => Ok(false),
            Some(1.0) => Ok(true),
            _ => Err(BOOL_PARSING),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Err(BOOL_TYPE),
    }
}

fn is_whole(number: &Number) -> bool {
    number.is_i64()
        || number.is_u64()
        || number
            .as_f64()
            .is_some_and(|float| float.is_finite() && float.fract() == 0.0)
}
