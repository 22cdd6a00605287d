//! The form of the answer that a request asks for: `text`.

use parlance_domain::upstream::AnswerFormat;
use parlance_domain::{Json, Reason};
use serde_json::{Map, Value, json};

use super::shape;
use crate::kit::Failure;
use crate::kit::fields::Fields;

const FORMATS: &[&str] = &["json_object", "text", "json_schema"];
const VERBOSITIES: &[&str] = &["low", "medium", "high"];
/// Longest name of a schema, in characters.
const NAME_CHARS_MAX: usize = 64;

/// The form of an answer.
pub(in crate::openai) struct Text {
    /// What the model is told.
    pub(in crate::openai) format: AnswerFormat,
    /// How much it should say, if the client has said so.
    pub(in crate::openai) verbosity: Option<&'static str>,
    /// What the response gives back.
    pub(in crate::openai) echo: Value,
}

/// Reads `text`.
pub(super) fn read(fields: &Fields<'_>) -> Result<Text, Failure> {
    let (mut format, mut echo) = (AnswerFormat::Text, json!({"type": "text"}));
    let mut verbosity = None;
    if let Some(text) = fields.object("text")? {
        shape::only(text, "text.", &["format", "verbosity"])?;
        let inside = Fields::inside(text, "text.");
        if let Some(given) = inside.object("format")? {
            (format, echo) = read_format(given)?;
        }
        verbosity = shape::one_of(&inside, "verbosity", VERBOSITIES)?;
    }
    let echo = json!({"format": echo, "verbosity": verbosity.unwrap_or("medium")});
    Ok(Text {
        format,
        verbosity,
        echo,
    })
}

fn read_format(given: &Map<String, Value>) -> Result<(AnswerFormat, Value), Failure> {
    const PREFIX: &str = "text.format.";
    let fields = Fields::inside(given, PREFIX);
    let kind = shape::one_of(&fields, "type", FORMATS)?;
    let kind = kind.ok_or_else(|| fields.error("type", Reason::Missing))?;
    if kind != "json_schema" {
        shape::only(given, PREFIX, &["type"])?;
        let format = if kind == "text" {
            AnswerFormat::Text
        } else {
            AnswerFormat::JsonObject
        };
        return Ok((format, json!({"type": kind})));
    }
    let known = ["type", "name", "schema", "strict", "description"];
    shape::only(given, PREFIX, &known)?;
    let name = shape::string(&fields, "name", NAME_CHARS_MAX)?;
    let name = name.ok_or_else(|| fields.error("name", Reason::Missing))?;
    let schema = fields.object("schema")?;
    let schema = schema.ok_or_else(|| fields.error("schema", Reason::Missing))?;
    let strict = fields.boolean("strict")?;
    let description = fields.string("description")?;
    // The order of a live answer.
    let echo = json!({
        "type": kind, "description": description, "name": name, "schema": schema,
        "strict": strict.unwrap_or(false),
    });
    let format = AnswerFormat::JsonSchema {
        name,
        description: description.map(str::to_owned),
        schema: Json::from(&Value::Object(schema.clone())),
        strict,
    };
    Ok((format, echo))
}
