//! What an answer is to be, as data.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

/// What begins a script in a user's text.
const BEGINNING: &str = "[[script:";
/// What ends it.
const ENDING: &str = "]]";

/// One answer. In the order of its fields: what is thought, said, refused, asked of tools, then the steps.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// The gate at which the answer waits before its first byte, headers included.
    pub hold: Option<String>,
    /// Closes the connection instead of answering.
    pub hang_up: bool,
    /// The HTTP status; 200 if none. Anything else answers with `error`.
    pub status: Option<u16>,
    /// Headers of the answer, such as `retry-after`.
    pub headers: BTreeMap<String, String>,
    /// The value of `error`, where the status is not 200.
    pub error: Option<Value>,
    /// Answers whole though pieces are asked for, as some servers do.
    pub whole: bool,
    /// Pieces of what it thinks, in `reasoning_content`.
    pub reasoning: Vec<String>,
    /// Pieces of what it says.
    pub pieces: Vec<String>,
    /// Pieces of why it does not want to.
    pub refusal: Vec<String>,
    /// Tools that it asks for.
    pub tool_calls: Vec<ScriptedCall>,
    /// Anything else, step by step.
    pub steps: Vec<Step>,
    /// The value of `usage`; counted in words if none.
    pub usage: Option<Value>,
    /// Why it stops; `tool_calls` or `stop` if none, as it fits.
    pub finish_reason: Option<String>,
    /// How the stream ends.
    pub end: End,
}

/// A call of a tool.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptedCall {
    /// Its id; `call_` and its place if none.
    pub id: Option<String>,
    /// The function's name.
    pub name: String,
    /// The arguments, in pieces.
    pub arguments: Vec<String>,
}

/// A step of an answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A piece of text.
    Text(String),
    /// A `delta` of any form.
    Delta(Value),
    /// Bytes, as they are.
    Raw(String),
    /// The answer waits until this gate is opened.
    Gate(String),
    /// The answer waits so long: for measurements, never for tests.
    PauseMs(u64),
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// With a reason, the usage and `[DONE]`.
    #[default]
    Done,
    /// With a reason and the usage.
    NoDone,
    /// With `[DONE]` alone.
    NoReason,
    /// With nothing: the answer simply ends.
    Nothing,
    /// The connection breaks.
    Disconnect,
    /// Nothing more comes, and the connection stays.
    Silence,
}

impl Script {
    /// An answer in these pieces.
    pub fn says<T: Into<String>>(pieces: impl IntoIterator<Item = T>) -> Self {
        Self {
            pieces: pieces.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// An answer in these steps.
    pub fn steps(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            ..Self::default()
        }
    }

    /// A failure with this status.
    pub fn fails(status: u16) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }

    /// The same, with a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same, with a call of a tool, whose arguments come in these pieces.
    #[must_use]
    pub fn calling(mut self, name: &str, arguments: &[&str]) -> Self {
        self.tool_calls.push(ScriptedCall {
            id: None,
            name: name.to_owned(),
            arguments: arguments.iter().copied().map(str::to_owned).collect(),
        });
        self
    }

    /// The same, with another end.
    #[must_use]
    pub const fn ending(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    /// All of it as steps.
    pub(super) fn all_steps(&self) -> Vec<Step> {
        let pieces = |field: &'static str, pieces: &[String]| {
            let delta = |piece: &String| Step::Delta(Value::from_iter([(field, piece.as_str())]));
            pieces.iter().map(delta).collect::<Vec<_>>()
        };
        let mut steps = pieces("reasoning_content", &self.reasoning);
        steps.extend(pieces("content", &self.pieces));
        steps.extend(pieces("refusal", &self.refusal));
        for (index, call) in self.tool_calls.iter().enumerate() {
            let id = call.id.clone().unwrap_or_else(|| format!("call_{index}"));
            steps.push(Step::Delta(json!({"tool_calls": [{
                "index": index, "id": id, "type": "function",
                "function": {"name": call.name, "arguments": ""},
            }]})));
            steps.extend(call.arguments.iter().map(|piece| {
                Step::Delta(json!({"tool_calls": [
                    {"index": index, "function": {"arguments": piece}},
                ]}))
            }));
        }
        let own = self.steps.iter().cloned().map(|step| match step {
            Step::Text(text) => Step::Delta(json!({"content": text})),
            Step::Delta(_) | Step::Raw(_) | Step::Gate(_) | Step::PauseMs(_) => step,
        });
        steps.extend(own);
        steps
    }
}

/// The script in what the user has said last, if there is one for this question.
pub(super) fn in_text(question: &Value) -> Result<Option<Script>, String> {
    let Some(messages) = question["messages"].as_array() else {
        return Ok(None);
    };
    let Some(last) = messages
        .iter()
        .rposition(|message| message["role"] == "user")
    else {
        return Ok(None);
    };
    let answered = messages[last..]
        .iter()
        .filter(|message| message["role"] == "assistant");
    let place = answered.count();
    let text = text_of(&messages[last]["content"]);
    let mut rest = text.as_str();
    let mut scripts = Vec::new();
    while let Some((_, after)) = rest.split_once(BEGINNING) {
        let mut values = serde_json::Deserializer::from_str(after).into_iter::<Script>();
        let script = values.next().unwrap_or_else(|| Ok(Script::default()));
        let script = script.map_err(|error| format!("the script is not right: {error}"))?;
        let end = after.get(values.byte_offset()..).unwrap_or_default();
        let Some(end) = end.trim_start().strip_prefix(ENDING) else {
            return Err(format!("a script ends with `{ENDING}`"));
        };
        scripts.push(script);
        rest = end;
    }
    Ok(scripts.into_iter().nth(place))
}

/// The text of a message's content; what is no text by the name of its type.
pub(super) fn text_of(content: &Value) -> String {
    let part = |part: &Value| match part["text"].as_str() {
        Some(text) => text.to_owned(),
        None => format!("[{}]", part["type"].as_str().unwrap_or("nothing")),
    };
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(part).collect::<Vec<_>>().join(" "),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}
