//! Reading the fields of a JSON object, with errors that say which and why.

use parlance_domain::{Error, Reason};
use serde_json::{Map, Value};

/// The fields of one object. Their names in errors are `prefix` + the field's.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    map: &'a Map<String, Value>,
    prefix: &'a str,
}

impl<'a> Fields<'a> {
    /// The fields of a body.
    pub(crate) fn of(map: &'a Map<String, Value>) -> Self {
        Self { map, prefix: "" }
    }

    /// The fields of an object inside; `prefix` ends with a dot.
    pub(crate) fn inside(map: &'a Map<String, Value>, prefix: &'a str) -> Self {
        Self { map, prefix }
    }

    /// The name of a field in errors.
    pub(crate) fn name(&self, field: &str) -> String {
        format!("{}{field}", self.prefix)
    }

    /// An error about a field.
    pub(crate) fn error(&self, field: &str, why: Reason) -> Error {
        Error::invalid(self.name(field), why)
    }

    /// A field that is there and not null.
    pub(crate) fn get(&self, field: &str) -> Option<&'a Value> {
        self.map.get(field).filter(|value| !value.is_null())
    }

    /// Whether a field is there, even as null.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.map.contains_key(field)
    }

    /// A string, if there is one.
    pub(crate) fn string(&self, field: &str) -> Result<Option<&'a str>, Error> {
        self.typed(field, "a string", Value::as_str)
    }

    /// A string that must be there.
    pub(crate) fn required_string(&self, field: &str) -> Result<&'a str, Error> {
        self.string(field)?
            .ok_or_else(|| self.error(field, Reason::Missing))
    }

    /// A truth value, if there is one.
    pub(crate) fn boolean(&self, field: &str) -> Result<Option<bool>, Error> {
        self.typed(field, "a boolean", Value::as_bool)
    }

    /// A whole number, if there is one.
    pub(crate) fn integer(&self, field: &str) -> Result<Option<i64>, Error> {
        self.typed(field, "an integer", Value::as_i64)
    }

    /// A list, if there is one.
    pub(crate) fn array(&self, field: &str) -> Result<Option<&'a Vec<Value>>, Error> {
        self.typed(field, "an array", Value::as_array)
    }

    /// An object, if there is one.
    pub(crate) fn object(&self, field: &str) -> Result<Option<&'a Map<String, Value>>, Error> {
        self.typed(field, "an object", Value::as_object)
    }

    /// Pairs of strings, if there are any; their values must be strings.
    pub(crate) fn pairs(&self, field: &str) -> Result<Option<Vec<(String, String)>>, Error> {
        let Some(object) = self.object(field)? else {
            return Ok(None);
        };
        let pair = |(key, value): (&String, &Value)| {
            let wrong = || Reason::WrongType {
                expected: "a string",
                got: kind(value),
            };
            let text = value
                .as_str()
                .ok_or_else(|| self.error(&format!("{field}.{key}"), wrong()))?;
            Ok((key.clone(), text.to_owned()))
        };
        object.iter().map(pair).collect::<Result<_, _>>().map(Some)
    }

    fn typed<T>(
        &self,
        field: &str,
        expected: &'static str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        let wrong = || {
            self.error(
                field,
                Reason::WrongType {
                    expected,
                    got: kind(value),
                },
            )
        };
        read(value).ok_or_else(wrong).map(Some)
    }
}

/// What a value is, in words.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "an integer",
        Value::Number(_) => "a decimal",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
