//! Canonical JSON (RFC 8785): one text for one value, so that it can be signed.
//!
//! Invariant: no number but whole ones within the 53 bits that every reader of JSON keeps, so that
//! their text is the one that the standard gives. Keys are sorted as UTF-8, which is the standard's
//! order (UTF-16) for all that are ASCII; no others are written or read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde_json::Value;

/// The largest number that every reader of JSON keeps exactly.
const INTEGER_MAX: i64 = (1 << 53) - 1;

/// A value that has a canonical text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Canonical {
    /// `null`.
    Null,
    /// A whole number. One beyond 53 bits is written as the nearest that has no more.
    Integer(i64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// An object. The keys are ASCII.
    Object(BTreeMap<Cow<'static, str>, Self>),
}

/// A text is not the canonical one of any value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not canonical JSON")]
pub struct NotCanonical;

impl Canonical {
    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// An object of these members.
    pub fn object(members: impl IntoIterator<Item = (&'static str, Self)>) -> Self {
        let members = members.into_iter();
        Self::Object(
            members
                .map(|(key, value)| (Cow::Borrowed(key), value))
                .collect(),
        )
    }

    /// A number, if it has no more than 53 bits.
    pub fn count(count: u64) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(INTEGER_MAX))
    }

    /// Reads a text that is canonical byte for byte.
    pub fn read(text: &str) -> Result<Self, NotCanonical> {
        let value: Value = serde_json::from_str(text).map_err(|_| NotCanonical)?;
        let read = Self::of(value).ok_or(NotCanonical)?;
        // Order, spaces, escapes, repeated keys and the form of numbers are all in the text.
        if read.to_string() == text {
            Ok(read)
        } else {
            Err(NotCanonical)
        }
    }

    fn of(value: Value) -> Option<Self> {
        Some(match value {
            Value::Null => Self::Null,
            Value::Number(number) => Self::Integer(number.as_i64()?),
            Value::String(text) => Self::Text(text),
            Value::Array(values) => {
                let values = values.into_iter().map(Self::of);
                Self::List(values.collect::<Option<_>>()?)
            }
            Value::Object(members) => {
                let member = |(key, value): (String, Value)| {
                    let value = key.is_ascii().then(|| Self::of(value))??;
                    Some((Cow::Owned(key), value))
                };
                Self::Object(members.into_iter().map(member).collect::<Option<_>>()?)
            }
            Value::Bool(_) => return None,
        })
    }

    /// The member of an object.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.get(key),
            Self::Null | Self::Integer(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// Takes a member out of an object.
    pub fn remove(&mut self, key: &str) -> Option<Self> {
        match self {
            Self::Object(members) => members.remove(key),
            Self::Null | Self::Integer(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// Puts a member into an object; into anything else, nothing.
    pub fn insert(&mut self, key: &'static str, value: Self) {
        if let Self::Object(members) = self {
            members.insert(Cow::Borrowed(key), value);
        }
    }

    /// The string, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Integer(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// The number, if it is one.
    pub const fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Null | Self::Text(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// The number, if it is one that counts something.
    pub fn as_count(&self) -> Option<u64> {
        u64::try_from(self.as_integer()?).ok()
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(values) => Some(values),
            Self::Null | Self::Integer(_) | Self::Text(_) | Self::Object(_) => None,
        }
    }
}

impl fmt::Display for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Integer(number) => {
                write!(f, "{}", (*number).clamp(-INTEGER_MAX, INTEGER_MAX))
            }
            Self::Text(text) => string(f, text),
            Self::List(values) => {
                f.write_char('[')?;
                for (at, value) in values.iter().enumerate() {
                    separate(f, at)?;
                    value.fmt(f)?;
                }
                f.write_char(']')
            }
            Self::Object(members) => {
                f.write_char('{')?;
                for (at, (key, value)) in members.iter().enumerate() {
                    separate(f, at)?;
                    string(f, key)?;
                    f.write_char(':')?;
                    value.fmt(f)?;
                }
                f.write_char('}')
            }
        }
    }
}

fn separate(f: &mut fmt::Formatter<'_>, at: usize) -> fmt::Result {
    if at > 0 {
        f.write_char(',')?;
    }
    Ok(())
}

/// Escapes what must be escaped, in the one form that the standard allows (section 3.2.2.2). What need
/// not be is written in one piece: it is nearly all there is.
fn string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for piece in text.split_inclusive(is_special) {
        let mut plain = piece.chars();
        match plain.next_back().filter(|c| is_special(*c)) {
            None => f.write_str(piece)?,
            Some(special) => {
                f.write_str(plain.as_str())?;
                escaped(f, special)?;
            }
        }
    }
    f.write_char('"')
}

const fn is_special(c: char) -> bool {
    matches!(c, '"' | '\\' | '\0'..='\u{1f}')
}

fn escaped(f: &mut fmt::Formatter<'_>, special: char) -> fmt::Result {
    match special {
        '"' => f.write_str("\\\""),
        '\\' => f.write_str("\\\\"),
        '\u{8}' => f.write_str("\\b"),
        '\t' => f.write_str("\\t"),
        '\n' => f.write_str("\\n"),
        '\u{c}' => f.write_str("\\f"),
        '\r' => f.write_str("\\r"),
        other => write!(f, "\\u{:04x}", u32::from(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_sorted_and_nothing_is_spaced() {
        let value = Canonical::object([
            (
                "b",
                Canonical::List(vec![Canonical::Integer(-1), Canonical::Null]),
            ),
            ("a", Canonical::object([])),
            ("B", Canonical::text("é")),
        ]);
        assert_eq!(value.to_string(), r#"{"B":"é","a":{},"b":[-1,null]}"#);
    }

    #[test]
    fn strings_are_escaped_as_the_standards_example_is() {
        // RFC 8785, section 3.2.2.
        let text = "\u{20ac}$\u{f}\nA'B\"\\\\\"/";
        let wanted = "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"";
        assert_eq!(Canonical::text(text).to_string(), wanted);
        let controls = Canonical::text("\u{8}\t\u{c}\r\u{1f}\u{7f}").to_string();
        assert_eq!(controls, "\"\\b\\t\\f\\r\\u001f\u{7f}\"");
    }

    #[test]
    fn numbers_stay_within_what_every_reader_keeps() {
        let text = |number| Canonical::Integer(number).to_string();
        assert_eq!(text(0), "0");
        assert_eq!(text(9_007_199_254_740_991), "9007199254740991");
        assert_eq!(text(i64::MAX), "9007199254740991");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let value = Canonical::object([
            ("a", Canonical::text("\u{1}\"\\\n\u{20ac}")),
            ("b", Canonical::List(vec![Canonical::Null])),
            ("c", Canonical::Integer(-INTEGER_MAX)),
            ("d", Canonical::object([("x", Canonical::Integer(0))])),
        ]);
        assert_eq!(Canonical::read(&value.to_string()), Ok(value));
    }

    #[test]
    fn a_text_that_is_not_the_canonical_one_is_not_read() {
        for text in [
            "",
            "{",
            " {}",
            "{} ",
            "{}\n",
            r#"{"a": 1}"#,
            r#"{"b":1,"a":2}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"\u0061":1}"#,
            r#"{"é":1}"#,
            r#""\/""#,
            r#""\u000A""#,
            r#""\u0008""#,
            r#""\ud83d\ude00""#,
            "01",
            "-0",
            "1.0",
            "1e2",
            "1.5",
            "9007199254740992",
            "99999999999999999999",
            "true",
            r#"{"$serde_json::private::Number":"1"}"#,
        ] {
            assert_eq!(Canonical::read(text), Err(NotCanonical), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_json() {
        let value = Canonical::object([("a", Canonical::text("\u{1}\"\n"))]);
        let read: Value = serde_json::from_str(&value.to_string()).unwrap_or_default();
        assert_eq!(read, serde_json::json!({"a": "\u{1}\"\n"}));
    }
}
