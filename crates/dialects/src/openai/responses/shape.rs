//! Reads the fields of a request with the errors that OpenAI gives, beyond those that every dialect has.

use parlance_domain::{Error, Reason};
use serde_json::{Map, Value};

use crate::kit::Failure;
use crate::kit::fields::Fields;
use crate::openai::error;

/// Refuses what none of `known` names. `prefix` stands before the names in errors.
pub(super) fn only(map: &Map<String, Value>, prefix: &str, known: &[&str]) -> Result<(), Failure> {
    match map.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(error::unknown_parameter(&format!("{prefix}{key}"))),
        None => Ok(()),
    }
}

/// A whole number of at least `min`, and of at most `max` if there is one.
pub(super) fn integer(
    fields: &Fields<'_>,
    field: &str,
    min: i64,
    max: Option<i64>,
) -> Result<Option<u64>, Failure> {
    let Some(got) = fields.integer(field)? else {
        return Ok(None);
    };
    if got < min {
        return Err(fields.error(field, Reason::BelowMin { min, got }).into());
    }
    if let Some(max) = max.filter(|max| got > *max) {
        return Err(fields.error(field, Reason::AboveMax { max, got }).into());
    }
    Ok(u64::try_from(got).ok())
}

/// A number within bounds, both included.
pub(super) fn decimal(
    fields: &Fields<'_>,
    field: &str,
    (min, max): (f64, f64),
) -> Result<Option<f64>, Failure> {
    let Some(value) = fields.get(field) else {
        return Ok(None);
    };
    let name = fields.name(field);
    let number = value.is_number().then(|| value.as_f64()).flatten();
    match number {
        Some(number) if (min..=max).contains(&number) => Ok(Some(number)),
        Some(number) => Err(error::decimal_out_of_range(&name, (min, max), number)),
        None => Err(error::wrong_type(&name, "a decimal", value)),
    }
}

/// One of the values that there are.
pub(super) fn one_of(
    fields: &Fields<'_>,
    field: &str,
    allowed: &'static [&'static str],
) -> Result<Option<&'static str>, Failure> {
    let Some(value) = fields.get(field) else {
        return Ok(None);
    };
    let Some(got) = value.as_str() else {
        let quoted: Vec<String> = allowed.iter().map(|value| format!("'{value}'")).collect();
        let expected = match quoted.split_last() {
            Some((last, [one])) => format!("one of {one} or {last}"),
            Some((last, rest)) => format!("one of {}, or {last}", rest.join(", ")),
            None => "nothing".to_owned(),
        };
        return Err(error::wrong_type(&fields.name(field), &expected, value));
    };
    if let Some(value) = allowed.iter().find(|value| **value == got) {
        return Ok(Some(value));
    }
    let got = got.to_owned();
    let why = Reason::NotOneOf { got, allowed };
    Err(fields.error(field, why).into())
}

/// A string of at most so many characters.
pub(super) fn string(
    fields: &Fields<'_>,
    field: &str,
    max: usize,
) -> Result<Option<String>, Failure> {
    let Some(text) = fields.string(field)? else {
        return Ok(None);
    };
    // A string has no more characters than bytes, so that few have to be counted.
    if text.len() > max {
        let got = text.chars().count();
        if got > max {
            return Err(fields.error(field, Reason::TooLong { max, got }).into());
        }
    }
    Ok(Some(text.to_owned()))
}

/// A list; `expected` says of what.
pub(super) fn array<'a>(
    fields: &Fields<'a>,
    field: &str,
    expected: &str,
) -> Result<Option<&'a Vec<Value>>, Failure> {
    match fields.get(field) {
        None => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list)),
        Some(other) => Err(error::wrong_type(&fields.name(field), expected, other)),
    }
}

/// What OpenAI has and Parlance does not.
pub(super) fn unsupported(field: impl Into<String>, what: impl Into<String>) -> Failure {
    let what = what.into();
    Error::invalid(field, Reason::NotSupported { what }).into()
}
