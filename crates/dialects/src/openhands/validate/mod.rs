//! Validation in FastAPI's words: what a body or a query should be, as data, and every deviation in
//! one 422 body.
//!
//! The wording and the order are those of pydantic 2.11 behind FastAPI 0.116, which OpenHands 0.53
//! runs on; the tests hold what those two answer to the same bodies.

pub(super) mod json;
pub(super) mod lax;

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::kit::{Failure, Query, reply};

use lax::Wrong;

/// Most problems that one answer names: a list of a million wrong values must not make an answer of
/// a hundred million bytes.
const PROBLEMS_MAX: usize = 100;

/// What a value should be.
#[derive(Clone, Copy)]
pub(super) enum Schema {
    /// Anything.
    Any,
    /// A string.
    Text,
    /// A string of so many characters.
    TextOf {
        /// At least.
        min: usize,
        /// At most.
        max: usize,
    },
    /// A string that obeys a rule. The rule says what is wrong.
    Ruled(fn(&str) -> Result<(), String>),
    /// A whole number.
    Integer,
    /// A truth value.
    Boolean,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A list.
    List(&'static Self),
    /// An object with any keys.
    Dict(&'static Self),
    /// An object.
    Model(&'static Model),
    /// A string that obeys a rule, something empty, or what the other schema says.
    TextOr(fn(&str) -> Result<(), String>, &'static Self),
    /// An object whose one interesting field may be given alone, as a string.
    ModelOrField {
        /// The field.
        field: &'static str,
        /// The rule for it.
        rule: fn(&str) -> Result<(), String>,
        /// The object.
        model: &'static Model,
    },
    /// Null, or what the other schema says.
    Nullable(&'static Self),
    /// A list of Python classes, which JSON cannot hold: only the empty one is right.
    Classes(&'static str),
}

/// What an object should be.
pub(super) struct Model {
    /// Its fields, in the order in which problems are reported.
    pub(super) fields: &'static [Field],
    /// Whether other fields are refused.
    pub(super) closed: bool,
    /// The name of the Python dataclass; pydantic has another error for those.
    pub(super) dataclass: Option<&'static str>,
}

/// A field of a [`Model`].
pub(super) struct Field {
    /// Its name.
    pub(super) name: &'static str,
    /// What it should be.
    pub(super) schema: Schema,
    /// Whether it must be there.
    pub(super) required: bool,
}

/// A field that must be there.
pub(super) const fn required(name: &'static str, schema: Schema) -> Field {
    Field {
        name,
        schema,
        required: true,
    }
}

/// A field that may be absent.
pub(super) const fn optional(name: &'static str, schema: Schema) -> Field {
    Field {
        name,
        schema,
        required: false,
    }
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    loc: Vec<Value>,
    msg: String,
    input: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    ctx: Option<Value>,
}

/// All that is wrong, in order.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// The one problem of a body that is no JSON.
    pub(super) fn not_json(at: usize, said: &str) -> Self {
        Self(vec![Problem {
            kind: "json_invalid",
            loc: vec!["body".into(), at.into()],
            msg: "JSON decode error".to_owned(),
            input: json!({}),
            ctx: Some(json!({"error": said})),
        }])
    }

    /// Fails if there is any.
    pub(super) fn none(self) -> Result<(), Failure> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(self.answer().into())
    }

    /// The answer that names them.
    pub(super) fn answer(self) -> Response {
        let body = json!({"detail": self.0});
        reply::value(StatusCode::UNPROCESSABLE_ENTITY, &body)
    }

    /// Notes a problem at `loc`.
    pub(super) fn add(&mut self, loc: &[Value], wrong: Wrong, input: &Value) {
        self.add_with(loc, (wrong.0, wrong.1.to_owned()), input, None);
    }

    fn add_with(
        &mut self,
        loc: &[Value],
        (kind, msg): (&'static str, String),
        input: &Value,
        ctx: Option<Value>,
    ) {
        if self.0.len() < PROBLEMS_MAX {
            self.0.push(Problem {
                kind,
                loc: loc.to_vec(),
                msg,
                input: input.clone(),
                ctx,
            });
        }
    }

    /// Checks a body that must be there, and gives its fields.
    pub(super) fn body(given: Option<Value>, model: &Model) -> Result<Map<String, Value>, Failure> {
        let mut problems = Self::default();
        let mut loc = vec![Value::from("body")];
        match &given {
            None => problems.add(&loc, MISSING, &Value::Null),
            Some(value) => problems.model(&mut loc, value, model),
        }
        problems.none()?;
        match given {
            Some(Value::Object(fields)) => Ok(fields),
            _ => Ok(Map::new()),
        }
    }

    /// Checks a value against a schema.
    pub(super) fn check(&mut self, loc: &mut Vec<Value>, value: &Value, schema: &Schema) {
        if self.0.len() >= PROBLEMS_MAX {
            return;
        }
        match *schema {
            Schema::Any => {}
            Schema::Text => {
                self.text(loc, value);
            }
            Schema::TextOf { min, max } => self.text_of(loc, value, min, max),
            Schema::Ruled(rule) => {
                if let Some(text) = self.text(loc, value) {
                    self.rule(loc, text, rule);
                }
            }
            Schema::Integer => self.lax(loc, value, lax::json_integer(value)),
            Schema::Boolean => self.lax(loc, value, lax::json_boolean(value).map(drop)),
            Schema::OneOf(allowed) => self.one_of(loc, value, allowed),
            Schema::List(each) => self.list(loc, value, each),
            Schema::Dict(each) => self.dict(loc, value, each),
            Schema::Model(model) => self.model(loc, value, model),
            Schema::TextOr(rule, other) => match value.as_str() {
                Some(text) => self.rule(loc, text, rule),
                None if is_empty(value) => {}
                None => self.check(loc, value, other),
            },
            Schema::ModelOrField { field, rule, model } => match value.as_str() {
                Some(text) => {
                    self.within(loc, field, |problems, loc| problems.rule(loc, text, rule));
                }
                None => self.model(loc, value, model),
            },
            Schema::Nullable(_) if value.is_null() => {}
            Schema::Nullable(other) => self.check(loc, value, other),
            Schema::Classes(class) => self.classes(loc, value, class),
        }
    }

    fn within(
        &mut self,
        loc: &mut Vec<Value>,
        step: impl Into<Value>,
        check: impl FnOnce(&mut Self, &mut Vec<Value>),
    ) {
        loc.push(step.into());
        check(self, loc);
        loc.pop();
    }

    fn text<'a>(&mut self, loc: &[Value], value: &'a Value) -> Option<&'a str> {
        let text = value.as_str();
        if text.is_none() {
            self.add(loc, STRING_TYPE, value);
        }
        text
    }

    fn text_of(&mut self, loc: &[Value], value: &Value, min: usize, max: usize) {
        let Some(text) = self.text(loc, value) else {
            return;
        };
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let length = text.chars().count();
        if length < min {
            let said = format!("String should have at least {min} character{}", plural(min));
            let ctx = Some(json!({"min_length": min}));
            self.add_with(loc, ("string_too_short", said), value, ctx);
        } else if length > max {
            let said = format!("String should have at most {max} character{}", plural(max));
            let ctx = Some(json!({"max_length": max}));
            self.add_with(loc, ("string_too_long", said), value, ctx);
        }
    }

    fn rule(&mut self, loc: &[Value], text: &str, rule: fn(&str) -> Result<(), String>) {
        if let Err(said) = rule(text) {
            // FastAPI writes a Python exception as an empty object.
            let ctx = Some(json!({"error": {}}));
            let said = format!("Value error, {said}");
            self.add_with(loc, ("value_error", said), &Value::from(text), ctx);
        }
    }

    fn lax(&mut self, loc: &[Value], value: &Value, read: Result<(), Wrong>) {
        if let Err(wrong) = read {
            self.add(loc, wrong, value);
        }
    }

    /// Notes a problem unless the value is one of `allowed`.
    pub(super) fn one_of(&mut self, loc: &[Value], value: &Value, allowed: &[&str]) {
        if value.as_str().is_some_and(|text| allowed.contains(&text)) {
            return;
        }
        let expected = expected(allowed);
        let said = format!("Input should be {expected}");
        let ctx = Some(json!({"expected": expected}));
        self.add_with(loc, ("enum", said), value, ctx);
    }

    fn list(&mut self, loc: &mut Vec<Value>, value: &Value, each: &Schema) {
        let Some(values) = value.as_array() else {
            return self.add(loc, LIST_TYPE, value);
        };
        for (at, value) in values.iter().enumerate() {
            self.within(loc, at, |problems, loc| problems.check(loc, value, each));
        }
    }

    fn dict(&mut self, loc: &mut Vec<Value>, value: &Value, each: &Schema) {
        let Some(values) = value.as_object() else {
            return self.add(loc, DICT_TYPE, value);
        };
        for (key, value) in values {
            self.within(loc, key.as_str(), |problems, loc| {
                problems.check(loc, value, each);
            });
        }
    }

    /// Checks a value against a model.
    pub(super) fn model(&mut self, loc: &mut Vec<Value>, value: &Value, model: &Model) {
        let Some(given) = value.as_object() else {
            return match model.dataclass {
                None => self.add(loc, ATTRIBUTES_TYPE, value),
                Some(class) => {
                    let said = format!("Input should be a dictionary or an instance of {class}");
                    let ctx = Some(json!({"class_name": class}));
                    self.add_with(loc, ("dataclass_type", said), value, ctx);
                }
            };
        };
        for field in model.fields {
            self.within(loc, field.name, |problems, loc| {
                match given.get(field.name) {
                    Some(found) => problems.check(loc, found, &field.schema),
                    None if field.required => problems.add(loc, MISSING, value),
                    None => {}
                }
            });
        }
        if !model.closed {
            return;
        }
        for (name, extra) in given {
            if !model.fields.iter().any(|field| field.name == name) {
                self.within(loc, name.as_str(), |problems, loc| {
                    problems.add(loc, EXTRA_FORBIDDEN, extra);
                });
            }
        }
    }

    fn classes(&mut self, loc: &mut Vec<Value>, value: &Value, class: &str) {
        let Some(values) = value.as_array() else {
            return self.add(loc, TUPLE_TYPE, value);
        };
        for (at, value) in values.iter().enumerate() {
            self.within(loc, at, |problems, loc| {
                let said = format!("Input should be a subclass of {class}");
                let ctx = Some(json!({"class": class}));
                problems.add_with(loc, ("is_subclass_of", said), value, ctx);
            });
        }
    }

    /// A whole number of the query, if there is one.
    pub(super) fn query_integer(&mut self, query: &Query, name: &str) -> Option<i64> {
        self.query_value(query, name, lax::integer)
    }

    /// A truth value of the query, if there is one.
    pub(super) fn query_boolean(&mut self, query: &Query, name: &str) -> Option<bool> {
        self.query_value(query, name, lax::boolean)
    }

    fn query_value<T>(
        &mut self,
        query: &Query,
        name: &str,
        read: fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let text = query.get(name)?;
        match read(text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.add(&["query".into(), name.into()], wrong, &text.into());
                None
            }
        }
    }

    /// Notes that a number of the query lies outside its bounds.
    pub(super) fn query_within(&mut self, query: &Query, name: &str, number: i64, max: i64) {
        let (kind, words, key, bound) = if number < 0 {
            ("greater_than_equal", "greater than or equal to", "ge", 0)
        } else if number > max {
            ("less_than_equal", "less than or equal to", "le", max)
        } else {
            return;
        };
        let said = format!("Input should be {words} {bound}");
        let (loc, input) = (["query".into(), name.into()], query.get(name).into());
        self.add_with(&loc, (kind, said), &input, Some(json!({key: bound})));
    }
}

/// A required value is absent.
pub(super) const MISSING: Wrong = ("missing", "Field required");
/// It is no string.
pub(super) const STRING_TYPE: Wrong = ("string_type", "Input should be a valid string");
/// It is no object.
pub(super) const DICT_TYPE: Wrong = ("dict_type", "Input should be a valid dictionary");
const LIST_TYPE: Wrong = ("list_type", "Input should be a valid list");
const TUPLE_TYPE: Wrong = ("tuple_type", "Input should be a valid tuple");
const EXTRA_FORBIDDEN: Wrong = ("extra_forbidden", "Extra inputs are not permitted");
const ATTRIBUTES_TYPE: Wrong = (
    "model_attributes_type",
    "Input should be a valid dictionary or object to extract fields from",
);
/// It is an argument that there is none of.
pub(super) const UNEXPECTED: Wrong = ("unexpected_keyword_argument", "Unexpected keyword argument");

/// Whether Python takes the value for false.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// `'a', 'b' or 'c'`.
fn expected(allowed: &[&str]) -> String {
    let quoted: Vec<String> = allowed.iter().map(|value| format!("'{value}'")).collect();
    match quoted.as_slice() {
        [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
        _ => quoted.concat(),
    }
}

#[cfg(test)]
mod tests;
