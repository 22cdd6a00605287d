//! What is answered where nobody has said what: always the same to the same question.

use serde_json::{Map, Value, json};

use super::script::{Script, ScriptedCall, text_of};

/// Numbers of an embedding, where nobody asks for another count.
const DIMENSIONS: u64 = 8;
/// What is heard in any recording.
const TRANSCRIPT: &str = "Hello from the recording.";
/// How deep an example follows a schema that may contain itself.
const DEPTH_MAX: usize = 8;

/// Answers a question: with a call of the first tool if a user asks and there are tools, with JSON if it
/// has to be JSON, else with what was said.
pub(super) fn answer(question: &Value) -> Script {
    let last = question["messages"].as_array().and_then(|all| all.last());
    let last = last.cloned().unwrap_or_default();
    let text = text_of(&last["content"]);
    if last["role"] == "tool" {
        return words(&form(question, &format!("The tool said: {text}")));
    }
    if let Some(function) = tool(question) {
        let arguments = example(&function["parameters"], &function["parameters"], 0);
        let mut arguments = arguments.to_string();
        let rest = arguments.split_off(arguments.len() / 2);
        return Script {
            tool_calls: vec![ScriptedCall {
                id: None,
                name: function["name"].as_str().unwrap_or_default().to_owned(),
                arguments: vec![arguments, rest],
            }],
            ..Script::default()
        };
    }
    words(&form(question, &format!("You said: {text}")))
}

fn words(text: &str) -> Script {
    Script::says(text.split_inclusive(' '))
}

/// The tool to ask for, if one is to be asked for.
fn tool(question: &Value) -> Option<Value> {
    let tools = question["tools"].as_array()?;
    let choice = &question["tool_choice"];
    if choice == "none" {
        return None;
    }
    let wanted = &choice["function"]["name"];
    let fits = |tool: &&Value| wanted.is_null() || tool["function"]["name"] == *wanted;
    tools.iter().find(fits).map(|tool| tool["function"].clone())
}

/// The text in the form that is asked for.
fn form(question: &Value, text: &str) -> String {
    let format = &question["response_format"];
    match format["type"].as_str() {
        Some("json_schema") => {
            let schema = &format["json_schema"]["schema"];
            example(schema, schema, 0).to_string()
        }
        Some("json_object") => json!({"said": text}).to_string(),
        _ => text.to_owned(),
    }
}

/// A value that fits a simple schema.
fn example(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let found = root.pointer(reference.trim_start_matches('#'));
        return example(found.unwrap_or(&Value::Null), root, depth + 1);
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(value) = schema["enum"].get(0) {
        return value.clone();
    }
    for any in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[any].get(0) {
            return example(first, root, depth + 1);
        }
    }
    let kind = schema["type"].as_str().or(schema["type"][0].as_str());
    match kind {
        Some("string") => json!("text"),
        Some("integer") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("number") => schema.get("minimum").cloned().unwrap_or(json!(1.5)),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        Some("array") => {
            let count = schema["minItems"].as_u64().unwrap_or(1);
            let item = |_| example(&schema["items"], root, depth + 1);
            Value::Array((0..count).map(item).collect())
        }
        _ => {
            let fields = schema["properties"].as_object();
            let field = |(name, schema): (&String, &Value)| {
                (name.clone(), example(schema, root, depth + 1))
            };
            let fields: Map<_, _> = fields.into_iter().flatten().map(field).collect();
            Value::Object(fields)
        }
    }
}

/// Embeddings: sums over the bytes of each text.
pub(super) fn embeddings(question: &Value) -> Value {
    let dimensions = question["dimensions"].as_u64().unwrap_or(DIMENSIONS);
    let texts: Vec<&str> = match &question["input"] {
        Value::String(text) => vec![text],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    };
    let vector = |text: &str| {
        let place = |at: u64| {
            let sum: u64 = text.bytes().map(u64::from).sum();
            json!(f64::from(u32::try_from((sum + at) % 100).unwrap()) / 100.0)
        };
        (0..dimensions).map(place).collect::<Vec<_>>()
    };
    let words: usize = texts
        .iter()
        .map(|text| text.split_whitespace().count())
        .sum();
    // Backwards, as a server may that answers what is ready first: `index` says what is what.
    let data = texts.iter().enumerate().rev().map(
        |(index, text)| json!({"object": "embedding", "index": index, "embedding": vector(text)}),
    );
    json!({"object": "list", "model": question["model"], "data": data.collect::<Vec<_>>(),
        "usage": {"prompt_tokens": words, "total_tokens": words}})
}

/// Sound: what it was to be, as text.
pub(super) fn speech(question: &Value) -> String {
    let word = |name: &str| question[name].as_str().unwrap_or("none").to_owned();
    format!("{} says: {}", word("voice"), word("input"))
}

/// What is heard.
pub(super) fn transcript(script: &Script) -> String {
    if script.pieces.is_empty() {
        TRANSCRIPT.to_owned()
    } else {
        script.pieces.concat()
    }
}
