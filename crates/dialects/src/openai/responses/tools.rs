//! The tools of a request: functions, which the client runs itself. Those that the vendor runs are refused.

use std::collections::BTreeSet;

use parlance_domain::upstream::{FunctionTool, ToolChoice};
use parlance_domain::{Error, Json, Reason};
use serde_json::{Map, Value, json};

use super::shape;
use crate::kit::Failure;
use crate::kit::fields::Fields;
use crate::openai::error::{self, Face};

/// Longest name of a function, in characters.
const NAME_CHARS_MAX: usize = 128;
const FUNCTION_FIELDS: &[&str] = &[
    "type",
    "name",
    "description",
    "parameters",
    "strict",
    "output_schema",
    "defer_loading",
    "allowed_callers",
];
const CHOICES: &[&str] = &["none", "auto", "required"];
const MODES: &[&str] = &["auto", "required"];
const TOOL_TYPES: &[&str] = &[
    "function",
    "file_search",
    "computer",
    "computer_use_preview",
    "web_search",
    "mcp",
    "code_interpreter",
    "image_generation",
    "local_shell",
    "shell",
    "custom",
    "namespace",
    "tool_search",
    "web_search_preview",
    "apply_patch",
    "programmatic_tool_calling",
];

/// The tools of a request.
#[derive(Default)]
pub(in crate::openai) struct Tools {
    /// What the model is told.
    pub(in crate::openai) functions: Vec<FunctionTool>,
    /// What the response gives back: the vendor's normal form.
    pub(in crate::openai) echo: Vec<Value>,
}

/// Reads `tools`.
pub(super) fn read(fields: &Fields<'_>) -> Result<Tools, Failure> {
    let mut tools = Tools::default();
    let given = shape::array(fields, "tools", "an array of tools")?;
    for (at, tool) in given.into_iter().flatten().enumerate() {
        let (function, echo) = of_function(tool, &format!("tools[{at}]"), |map, inside| {
            shape::only(map, &inside.name(""), FUNCTION_FIELDS)?;
            function(map, inside)
        })?;
        tools.functions.push(function);
        tools.echo.push(echo);
    }
    Ok(tools)
}

/// Reads what has to be a tool that is a function; `at` is its place.
fn of_function<T>(
    tool: &Value,
    at: &str,
    read: impl FnOnce(&Map<String, Value>, &Fields<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let Value::Object(map) = tool else {
        return Err(error::wrong_type(at, "an object", tool));
    };
    let prefix = format!("{at}.");
    let inside = Fields::inside(map, &prefix);
    let tool_type = inside.required_string("type")?;
    if tool_type != "function" {
        return Err(refused(&inside, tool_type));
    }
    read(map, &inside)
}

/// A tool that the vendor runs, or that there is not.
fn refused(fields: &Fields<'_>, tool_type: &str) -> Failure {
    // Their dated names: `web_search_preview_2025_03_11`.
    let mut hosted = TOOL_TYPES.iter().filter(|known| **known != "function");
    let is_known = hosted.any(|known| tool_type.starts_with(known));
    if is_known {
        let what = format!("the tool '{tool_type}'");
        return shape::unsupported(fields.name("type"), what);
    }
    let why = Reason::NotOneOf {
        got: tool_type.to_owned(),
        allowed: TOOL_TYPES,
    };
    fields.error("type", why).into()
}

fn function(
    map: &Map<String, Value>,
    fields: &Fields<'_>,
) -> Result<(FunctionTool, Value), Failure> {
    let name = function_name(fields)?;
    let description = fields.string("description")?;
    let parameters = fields.object("parameters")?;
    let strict = fields.boolean("strict")?;
    fields.object("output_schema")?;
    if fields.boolean("defer_loading")? == Some(true) {
        let what = "loading a tool later";
        return Err(shape::unsupported(fields.name("defer_loading"), what));
    }
    fields.array("allowed_callers")?;
    let (parameters, strict) = normal(parameters, strict);
    let mut echo = Map::new();
    echo.insert("type".to_owned(), "function".into());
    echo.insert("description".to_owned(), description.into());
    echo.insert("name".to_owned(), name.into());
    echo.insert("parameters".to_owned(), parameters.clone());
    echo.insert("strict".to_owned(), strict.into());
    for (key, value) in map {
        if !echo.contains_key(key) {
            echo.insert(key.clone(), value.clone());
        }
    }
    let function = FunctionTool {
        name: name.to_owned(),
        description: description.map(str::to_owned),
        parameters: Some(Json::from(&parameters)),
        strict: Some(strict),
    };
    Ok((function, echo.into()))
}

fn function_name<'a>(fields: &Fields<'a>) -> Result<&'a str, Failure> {
    let name = fields.required_string("name")?;
    let field = fields.name("name");
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if !name.bytes().all(plain) {
        let said = format!(
            "Invalid '{field}': string does not match pattern. Expected a string that matches the \
             pattern '^[a-zA-Z0-9_-]+$'."
        );
        return Err(Face::bad(said).param(&field).code("invalid_value").into());
    }
    if name.is_empty() {
        return Err(fields.error("name", Reason::Blank).into());
    }
    if name.len() > NAME_CHARS_MAX {
        let (max, got) = (NAME_CHARS_MAX, name.len());
        return Err(fields.error("name", Reason::TooLong { max, got }).into());
    }
    Ok(name)
}

/// The parameters of a function as the vendor brings them into form: where nobody has said whether they are
/// strict, they become so, all of them required and no others allowed (recorded: `tool_call`). A schema that
/// has no strict form, since it leaves names open, stays as it is and is not strict.
fn normal(parameters: Option<&Map<String, Value>>, strict: Option<bool>) -> (Value, bool) {
    let given = parameters.map_or_else(
        || json!({"type": "object", "properties": {}}),
        |given| Value::Object(given.clone()),
    );
    match strict {
        Some(strict) => (given, strict),
        None => match closed(&given) {
            Some(closed) => (closed, true),
            None => (given, false),
        },
    }
}

/// The strict form of a schema; none if it has none.
fn closed(schema: &Value) -> Option<Value> {
    let Value::Object(map) = schema else {
        return Some(schema.clone());
    };
    // A type, or several.
    let is_object = map.get("type").is_some_and(|kind| {
        let kinds = kind.as_array();
        let kinds = kinds.map_or(std::slice::from_ref(kind), Vec::as_slice);
        kinds.iter().any(|kind| kind == "object")
    });
    let open = match map.get("additionalProperties") {
        None | Some(Value::Bool(false)) => false,
        Some(_) => true,
    };
    let has_properties = map.get("properties").is_some_and(Value::is_object);
    if open || map.contains_key("patternProperties") || (is_object && !has_properties) {
        return None;
    }
    let mut closed_map = Map::new();
    for (key, value) in map {
        let value = match (key.as_str(), value) {
            ("properties" | "$defs" | "definitions", Value::Object(inside)) => closed_each(inside)?,
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(inside)) => {
                let inside: Option<Vec<Value>> = inside.iter().map(closed).collect();
                Value::Array(inside?)
            }
            ("items" | "not", inside) => closed(inside)?,
            _ => value.clone(),
        };
        closed_map.insert(key.clone(), value);
    }
    if is_object {
        let names = map.get("properties").and_then(Value::as_object);
        let names: Vec<&String> = names.into_iter().flat_map(Map::keys).collect();
        closed_map.insert("required".to_owned(), json!(names));
        closed_map.insert("additionalProperties".to_owned(), false.into());
    }
    Some(closed_map.into())
}

fn closed_each(schemas: &Map<String, Value>) -> Option<Value> {
    let each = schemas.iter();
    let each: Option<Map<String, Value>> = each
        .map(|(name, schema)| Some((name.clone(), closed(schema)?)))
        .collect();
    each.map(Value::Object)
}

/// Reads `tool_choice`: what the model is told, and what the response gives back.
pub(super) fn choice(
    fields: &Fields<'_>,
    tools: &Tools,
) -> Result<Option<(ToolChoice, Value)>, Failure> {
    let Some(given) = fields.get("tool_choice") else {
        return Ok(None);
    };
    let choice = if let Value::Object(map) = given {
        object_choice(map, tools)?
    } else {
        match shape::one_of(fields, "tool_choice", CHOICES)? {
            Some("none") => ToolChoice::None,
            Some("required") => ToolChoice::Required,
            Some(_) | None => ToolChoice::Auto,
        }
    };
    if choice == ToolChoice::Required && tools.functions.is_empty() {
        let said = "Tool choice 'required' must be specified with 'tools' parameter.";
        return Err(Face::bad(said).param("tool_choice").into());
    }
    Ok(Some((choice, given.clone())))
}

fn object_choice(map: &Map<String, Value>, tools: &Tools) -> Result<ToolChoice, Failure> {
    let fields = Fields::inside(map, "tool_choice.");
    match fields.required_string("type")? {
        "function" => {
            shape::only(map, "tool_choice.", &["type", "name"])?;
            let name = fields.required_string("name")?;
            known(tools, name)?;
            Ok(ToolChoice::Function(name.to_owned()))
        }
        "allowed_tools" => {
            shape::only(map, "tool_choice.", &["type", "mode", "tools"])?;
            let mode = shape::one_of(&fields, "mode", MODES)?;
            let mode = mode.ok_or_else(|| fields.error("mode", Reason::Missing))?;
            let names = allowed(&fields, tools)?;
            let required = mode == "required";
            Ok(ToolChoice::Allowed { required, names })
        }
        other => Err(refused(&fields, other)),
    }
}

/// The names of `tool_choice.tools`.
fn allowed(fields: &Fields<'_>, tools: &Tools) -> Result<Vec<String>, Failure> {
    let given = shape::array(fields, "tools", "an array of objects")?;
    let given = given.ok_or_else(|| fields.error("tools", Reason::Missing))?;
    // Both lists are as long as a body allows.
    let offered: BTreeSet<&str> = tools.functions.iter().map(|tool| &*tool.name).collect();
    let mut names = Vec::with_capacity(given.len());
    for (at, tool) in given.iter().enumerate() {
        let name = of_function(tool, &format!("tool_choice.tools[{at}]"), |_, inside| {
            Ok(inside.required_string("name")?.to_owned())
        })?;
        if !offered.contains(name.as_str()) {
            return Err(not_offered(&name));
        }
        names.push(name);
    }
    if names.is_empty() {
        return Err(Error::invalid("tool_choice.tools", Reason::Blank).into());
    }
    Ok(names)
}

/// A choice has to name a tool of the request.
fn known(tools: &Tools, name: &str) -> Result<(), Failure> {
    if tools.functions.iter().any(|tool| tool.name == name) {
        return Ok(());
    }
    Err(not_offered(name))
}

fn not_offered(name: &str) -> Failure {
    let said = format!("Tool choice '{name}' not found in 'tools' parameter.");
    Face::bad(said).param("tool_choice").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_becomes_strict_at_every_depth() {
        let given = json!({"type": "object", "properties": {
            "a": {"type": "array", "items": {"type": "object", "properties": {"b": {"type": "number"}}}},
            "c": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {}}]},
        }, "required": ["a"]});
        let (normal, strict) = normal(given.as_object(), None);
        assert!(strict);
        assert_eq!(
            normal.to_string(),
            json!({"type": "object", "properties": {
                "a": {"type": "array", "items": {"type": "object",
                    "properties": {"b": {"type": "number"}},
                    "required": ["b"], "additionalProperties": false}},
                "c": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {},
                    "required": [], "additionalProperties": false}]},
            }, "required": ["a", "c"], "additionalProperties": false})
            .to_string()
        );
    }

    #[test]
    fn a_schema_that_leaves_names_open_stays_as_it_is() {
        for given in [
            json!({"type": "object", "properties": {"m": {"type": "object", "additionalProperties": {"type": "string"}}}}),
            json!({"type": "object"}),
            json!({"type": "object", "properties": {}, "additionalProperties": true}),
            json!({"type": "object", "properties": {}, "patternProperties": {"^a": {}}}),
        ] {
            let (normal, strict) = normal(given.as_object(), None);
            assert!(!strict, "{given}");
            assert_eq!(normal, given);
        }
    }

    #[test]
    fn what_is_said_of_strictness_is_kept() {
        let given = json!({"type": "object", "properties": {"a": {}}});
        for said in [true, false] {
            assert_eq!(normal(given.as_object(), Some(said)), (given.clone(), said));
        }
    }
}
