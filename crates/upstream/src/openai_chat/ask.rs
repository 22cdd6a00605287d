//! A question in the words of OpenAI's chat completions, as most servers understand them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use parlance_domain::Role;
use parlance_domain::json::Json;
use parlance_domain::upstream::{
    AnswerFormat, FunctionTool, ModelError, ModelMessage, ModelPart, ModelRequest, ToolCall,
    ToolChoice,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::OutputLimit;
use super::failure::Cause;

#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verbosity: Option<&'a str>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    // Null beside calls: some servers want the field, some templates a value.
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

/// Written only, so that it may be untagged.
#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
    File { file: File<'a> },
    InputAudio { input_audio: InputAudio<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'a str>,
    file_data: &'a str,
}

#[derive(Serialize)]
struct InputAudio<'a> {
    data: &'a str,
    format: &'a str,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: CalledFunction<'a>,
}

#[derive(Serialize)]
struct CalledFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: Cow<'a, Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// Written only, so that it may be untagged.
#[derive(Serialize)]
#[serde(untagged)]
enum Choice<'a> {
    Word(&'static str),
    Function {
        #[serde(rename = "type")]
        kind: &'static str,
        function: Named<'a>,
    },
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Format<'a> {
    JsonObject,
    JsonSchema { json_schema: Schema<'a> },
}

#[derive(Serialize)]
struct Schema<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(rename = "schema")]
    of: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// Writes a question to the model that the server knows by this name.
pub(super) fn write(
    request: &ModelRequest,
    name: &str,
    limit: OutputLimit,
) -> Result<Vec<u8>, ModelError> {
    let options = &request.options;
    let (tools, tool_choice) = tools(&options.tools, options.tool_choice.as_ref());
    let tokens = options.output_tokens_max;
    let has_tools = !tools.is_empty();
    let question = Question {
        model: name,
        messages: messages(request),
        stream: true,
        stream_options: StreamOptions {
            include_usage: true,
        },
        tools,
        // OpenAI refuses both where there are no tools.
        tool_choice: tool_choice.filter(|_| has_tools),
        parallel_tool_calls: options.parallel_tool_calls.filter(|_| has_tools),
        response_format: format(&options.format),
        temperature: options.temperature,
        top_p: options.top_p,
        frequency_penalty: options.frequency_penalty,
        presence_penalty: options.presence_penalty,
        max_tokens: tokens.filter(|_| limit == OutputLimit::MaxTokens),
        max_completion_tokens: tokens.filter(|_| limit == OutputLimit::MaxCompletionTokens),
        stop: &options.stop,
        seed: options.seed,
        reasoning_effort: options.reasoning_effort.as_deref(),
        verbosity: options.verbosity.as_deref(),
    };
    serde_json::to_vec(&question).map_err(|_| Cause::Unwritable.into())
}

fn messages(request: &ModelRequest) -> Vec<Message<'_>> {
    let mut messages: Vec<Message<'_>> = Vec::with_capacity(request.messages.len() + 1);
    if let Some(instructions) = &request.instructions {
        messages.push(Message::of(
            role(Role::System),
            Content::Text(instructions.into()),
        ));
    }
    for message in &request.messages {
        match message {
            ModelMessage::Said { role: by, parts } => {
                messages.push(Message::of(role(*by), content(parts)));
            }
            ModelMessage::Called(call) => match messages.last_mut() {
                // What it says and asks for in one answer is one message.
                Some(last) if last.role == ASSISTANT => last.tool_calls.push(Call::of(call)),
                _ => messages.push(Message {
                    role: ASSISTANT,
                    content: None,
                    tool_calls: vec![Call::of(call)],
                    tool_call_id: None,
                }),
            },
            ModelMessage::ToolOutput { call_id, parts } => {
                let mut message = Message::of("tool", content(parts));
                message.tool_call_id = Some(call_id);
                messages.push(message);
            }
        }
    }
    messages
}

const ASSISTANT: &str = "assistant";

/// `developer` is OpenAI's alone, and it takes `system` for it.
const fn role(role: Role) -> &'static str {
    match role {
        Role::User | Role::Other => "user",
        Role::Assistant => ASSISTANT,
        Role::System | Role::Developer => "system",
    }
}

impl<'a> Message<'a> {
    const fn of(role: &'static str, content: Content<'a>) -> Self {
        Self {
            role,
            content: Some(content),
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }
}

impl<'a> Call<'a> {
    fn of(call: &'a ToolCall) -> Self {
        Self {
            id: &call.call_id,
            kind: "function",
            function: CalledFunction {
                name: &call.name,
                arguments: &call.arguments,
            },
        }
    }
}

/// Text as text, which every server takes; parts only where there is more than text.
fn content(parts: &[ModelPart]) -> Content<'_> {
    if let [ModelPart::Text(text)] = parts {
        return Content::Text(text.into());
    }
    let texts: Option<Vec<&str>> = parts.iter().map(text).collect();
    texts.map_or_else(
        || Content::Parts(parts.iter().map(part).collect()),
        |texts| Content::Text(texts.join("\n").into()),
    )
}

fn text(part: &ModelPart) -> Option<&str> {
    match part {
        ModelPart::Text(text) => Some(text),
        ModelPart::Image { .. } | ModelPart::File { .. } | ModelPart::Audio { .. } => None,
    }
}

fn part(part: &ModelPart) -> Part<'_> {
    match part {
        ModelPart::Text(text) => Part::Text { text },
        ModelPart::Image { url, detail } => Part::ImageUrl {
            image_url: ImageUrl {
                url,
                detail: detail.as_deref(),
            },
        },
        ModelPart::File { name, data } => Part::File {
            file: File {
                filename: name.as_deref(),
                file_data: data,
            },
        },
        ModelPart::Audio { data, format } => Part::InputAudio {
            input_audio: InputAudio { data, format },
        },
    }
}

/// The tools that are offered, and whether the model may or must ask for one. Of a choice of some, only
/// those are offered: that all servers understand.
fn tools<'a>(
    tools: &'a [FunctionTool],
    choice: Option<&'a ToolChoice>,
) -> (Vec<Tool<'a>>, Option<Choice<'a>>) {
    let all = || tools.iter().map(Tool::of).collect();
    let word = |word| Some(Choice::Word(word));
    match choice {
        None => (all(), None),
        Some(ToolChoice::None) => (all(), word("none")),
        Some(ToolChoice::Auto) => (all(), word("auto")),
        Some(ToolChoice::Required) => (all(), word("required")),
        Some(ToolChoice::Function(name)) => {
            let choice = Choice::Function {
                kind: "function",
                function: Named { name },
            };
            (all(), Some(choice))
        }
        Some(ToolChoice::Allowed { required, names }) => {
            // Both lists are as long as a client likes.
            let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
            let allowed = tools.iter().filter(|tool| names.contains(&*tool.name));
            let choice = if *required { "required" } else { "auto" };
            (allowed.map(Tool::of).collect(), word(choice))
        }
    }
}

impl<'a> Tool<'a> {
    fn of(tool: &'a FunctionTool) -> Self {
        let function = Function {
            name: &tool.name,
            description: tool.description.as_deref(),
            parameters: tool
                .parameters
                .as_ref()
                .map_or_else(|| Cow::Owned(no_parameters()), Cow::Borrowed),
            strict: tool.strict,
        };
        Self {
            kind: "function",
            function,
        }
    }
}

/// The schema of a function that takes nothing; some servers want one.
fn no_parameters() -> Json {
    let schema: Value = json!({"type": "object", "properties": {}, "additionalProperties": false});
    Json::from(&schema)
}

fn format(format: &AnswerFormat) -> Option<Format<'_>> {
    match format {
        AnswerFormat::Text => None,
        AnswerFormat::JsonObject => Some(Format::JsonObject),
        AnswerFormat::JsonSchema {
            name,
            description,
            schema,
            strict,
        } => Some(Format::JsonSchema {
            json_schema: Schema {
                name,
                description: description.as_deref(),
                of: schema,
                strict: *strict,
            },
        }),
    }
}
