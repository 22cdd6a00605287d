//! Canonical JSON (RFC 8785): one text for one value, so that it can be signed.
//!
//! Invariant: no number but whole ones within the 53 bits that every reader of JSON keeps, so that
//! their text is the one that the standard gives. Keys are sorted as UTF-8, which is the standard's
//! order (UTF-16) for all that are plain words.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

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
    /// An object. The keys are words of the program's own.
    Object(BTreeMap<&'static str, Self>),
}

impl Canonical {
    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// An object of these members.
    pub fn object<const N: usize>(members: [(&'static str, Self); N]) -> Self {
        Self::Object(BTreeMap::from(members))
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

/// Escapes what must be escaped, in the one form that the standard allows (section 3.2.2.2).
fn string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\u{8}' => f.write_str("\\b")?,
            '\t' => f.write_str("\\t")?,
            '\n' => f.write_str("\\n")?,
            '\u{c}' => f.write_str("\\f")?,
            '\r' => f.write_str("\\r")?,
            c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
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
    fn what_is_written_is_json() {
        let value = Canonical::object([("a", Canonical::text("\u{1}\"\n"))]);
        let read: serde_json::Value = serde_json::from_str(&value.to_string()).unwrap_or_default();
        assert_eq!(read, serde_json::json!({"a": "\u{1}\"\n"}));
    }
}
