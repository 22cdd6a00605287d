//! What `POST /v1/responses` is asked, field by field in the order in which OpenAI declares them. Shape comes
//! first: whether what is named exists is asked of the service afterwards.

use bytes::Bytes;
use parlance_domain::service::Overflow;
use parlance_domain::upstream::ModelOptions;
use parlance_domain::{ConversationRef, Json, Ref, TurnId};
use serde_json::{Map, Value};

use super::kept::{Kept, Reasoning};
use super::text::{self, Text};
use super::tools::{self, Tools};
use super::{input, shape};
use crate::kit::Failure;
use crate::kit::fields::Fields;
use crate::openai::convert;
use crate::openai::error::{self, Face};
use crate::openai::item::Given;

const FIELDS: &[&str] = &[
    "metadata",
    "top_logprobs",
    "temperature",
    "top_p",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "previous_response_id",
    "model",
    "background",
    "max_tool_calls",
    "text",
    "tools",
    "tool_choice",
    "prompt",
    "service_tier",
    "truncation",
    "reasoning",
    "input",
    "include",
    "parallel_tool_calls",
    "store",
    "instructions",
    "moderation",
    "stream",
    "stream_options",
    "conversation",
    "context_management",
    "max_output_tokens",
    "agent_reference",
    "agent",
];
const TIERS: &[&str] = &[
    "auto",
    "default",
    "fast",
    "flex",
    "priority",
    "scale",
    "ultrafast",
];
const TRUNCATIONS: &[&str] = &["auto", "disabled"];
const RETENTIONS: &[&str] = &["in_memory", "24h"];
const EFFORTS: &[&str] = &["none", "minimal", "low", "medium", "high", "xhigh", "max"];
const SUMMARIES: &[&str] = &["concise", "detailed", "auto"];
const CONTEXTS: &[&str] = &["auto", "current_turn", "all_turns"];
const SAFETY_IDENTIFIER_CHARS_MAX: usize = 64;
const OUTPUT_TOKENS_MIN: i64 = 16;
const LOGPROBS: &str = "message.output_text.logprobs";
const NOTHING_ASKED: &str = "One of \"input\" or \"previous_response_id\" or 'prompt' or \
    'conversation_id' must be provided.";

/// A response that a client wants.
pub(in crate::openai) struct Request {
    /// The model, or app, that it names.
    pub(in crate::openai) model: Option<String>,
    /// What is asked.
    pub(in crate::openai) input: Vec<Given>,
    /// Where what was said before is.
    pub(in crate::openai) context: Context,
    /// What the client wrote to name that; empty if nothing.
    pub(in crate::openai) named: String,
    /// What the model is told first.
    pub(in crate::openai) instructions: Option<String>,
    /// What is wanted of the answer.
    pub(in crate::openai) options: ModelOptions,
    /// What happens where there is more than the model can read.
    pub(in crate::openai) overflow: Overflow,
    /// Whether the answer comes as a stream of events.
    pub(in crate::openai) stream: bool,
    /// Whether their lengths are hidden.
    pub(in crate::openai) obfuscates: bool,
    /// What the response gives back.
    pub(in crate::openai) kept: Kept,
}

/// What was said before a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::openai) enum Context {
    /// Nothing.
    None,
    /// A conversation.
    Conversation(ConversationRef),
    /// What a response said and was asked, and all that came before it.
    Previous(Ref<TurnId>),
}

/// What of a request says what a model is to read, and how it is to answer: what all calls take that ask one.
struct Parts {
    tools: Tools,
    tool_choice: Option<Value>,
    text: Text,
    reasoning: Reasoning,
    options: ModelOptions,
    overflow: Overflow,
    instructions: Option<String>,
    input: Option<Vec<Given>>,
}

/// The fields of `POST /v1/responses/input_tokens`.
const COUNTED_FIELDS: &[&str] = &[
    "model",
    "input",
    "previous_response_id",
    "tools",
    "text",
    "reasoning",
    "truncation",
    "instructions",
    "personality",
    "conversation",
    "tool_choice",
    "parallel_tool_calls",
];

/// The fields of `POST /v1/responses/compact`.
const COMPACTED_FIELDS: &[&str] = &[
    "model",
    "input",
    "previous_response_id",
    "instructions",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "service_tier",
];

impl Request {
    /// Reads the body of `POST /v1/responses`. `body` is the tree, `raw` the same as text.
    pub(in crate::openai) fn read(raw: &Bytes, body: &Map<String, Value>) -> Result<Self, Failure> {
        shape::only(body, "", FIELDS)?;
        let fields = Fields::of(body);
        let mut kept = Kept::default();
        client_fields(&fields, &mut kept)?;
        let model = model(&fields)?;
        kept.background = fields.boolean("background")?.unwrap_or(false);
        kept.max_tool_calls = shape::integer(&fields, "max_tool_calls", 1, None)?;
        let parts = Parts::read(raw, &fields, &mut kept)?;
        include(&fields)?;
        kept.store = fields.boolean("store")?.unwrap_or(true);
        kept.instructions.clone_from(&parts.instructions);
        if fields.get("moderation").is_some() {
            return Err(shape::unsupported("moderation", "moderation"));
        }
        let stream = fields.boolean("stream")?.unwrap_or(false);
        let obfuscates = stream_options(&fields, stream)?;
        let context = context(&fields)?;
        if fields.get("context_management").is_some() {
            let what = "context management";
            return Err(shape::unsupported("context_management", what));
        }
        let most = shape::integer(&fields, "max_output_tokens", OUTPUT_TOKENS_MIN, None)?;
        kept.max_output_tokens = most;
        if kept.background && !kept.store {
            let said = "Background mode requires 'store' to be true.";
            return Err(Face::bad(said).param("background").into());
        }
        let request = parts.into_request(model, context, kept)?;
        Ok(Self {
            stream,
            obfuscates,
            ..request
        })
    }

    /// Reads the body of `POST /v1/responses/input_tokens`.
    pub(in crate::openai) fn read_counted(
        raw: &Bytes,
        body: &Map<String, Value>,
    ) -> Result<Self, Failure> {
        shape::only(body, "", COUNTED_FIELDS)?;
        Self::read_short(raw, body)
    }

    /// Reads the body of `POST /v1/responses/compact`.
    pub(in crate::openai) fn read_compacted(
        raw: &Bytes,
        body: &Map<String, Value>,
    ) -> Result<Self, Failure> {
        shape::only(body, "", COMPACTED_FIELDS)?;
        let fields = Fields::of(body);
        fields.required_string("model")?;
        let mut kept = Kept::default();
        cache_fields(&fields, &mut kept)?;
        Self::read_short(raw, body)
    }

    fn read_short(raw: &Bytes, body: &Map<String, Value>) -> Result<Self, Failure> {
        let fields = Fields::of(body);
        let mut kept = Kept::default();
        let model = model(&fields)?;
        let parts = Parts::read(raw, &fields, &mut kept)?;
        let context = context(&fields)?;
        parts.into_request(model, context, kept)
    }
}

impl Parts {
    fn read(raw: &Bytes, fields: &Fields<'_>, kept: &mut Kept) -> Result<Self, Failure> {
        let text = text::read(fields)?;
        let tools = tools::read(fields)?;
        let choice = tools::choice(fields, &tools)?;
        prompt(fields)?;
        if let Some(tier) = shape::one_of(fields, "service_tier", TIERS)? {
            tier.clone_into(&mut kept.service_tier);
        }
        let truncation = shape::one_of(fields, "truncation", TRUNCATIONS)?;
        let truncation = truncation.unwrap_or("disabled");
        truncation.clone_into(&mut kept.truncation);
        let reasoning = reasoning(fields)?;
        let input = input::read(raw, fields)?;
        let (tool_choice, echo) = choice.unzip();
        let options = ModelOptions {
            tool_choice,
            temperature: fields.get("temperature").map(|_| kept.temperature),
            top_p: fields.get("top_p").map(|_| kept.top_p),
            reasoning_effort: reasoning.effort.clone(),
            verbosity: text.verbosity.map(str::to_owned),
            parallel_tool_calls: fields.boolean("parallel_tool_calls")?,
            ..ModelOptions::default()
        };
        Ok(Self {
            tools,
            tool_choice: echo,
            text,
            reasoning,
            options,
            overflow: if truncation == "auto" {
                Overflow::LeaveOut
            } else {
                Overflow::Refuse
            },
            instructions: fields.string("instructions")?.map(str::to_owned),
            input,
        })
    }

    fn into_request(
        self,
        model: Option<String>,
        (context, named): (Context, String),
        mut kept: Kept,
    ) -> Result<Request, Failure> {
        let is_asked = self.input.is_some() || context != Context::None;
        if !is_asked {
            let code = "missing_required_parameter";
            return Err(Face::bad(NOTHING_ASKED).code(code).into());
        }
        kept.text = Json::from(&self.text.echo);
        kept.tools = Json::from(&Value::Array(self.tools.echo));
        if let Some(choice) = &self.tool_choice {
            kept.tool_choice = Json::from(choice);
        }
        kept.reasoning = self.reasoning;
        kept.parallel_tool_calls = self.options.parallel_tool_calls.unwrap_or(true);
        // Without tools there is nothing to choose from, which some servers refuse to read.
        let has_tools = !self.tools.functions.is_empty();
        let options = ModelOptions {
            tool_choice: self.options.tool_choice.filter(|_| has_tools),
            parallel_tool_calls: self.options.parallel_tool_calls.filter(|_| has_tools),
            tools: self.tools.functions,
            format: self.text.format,
            output_tokens_max: kept.max_output_tokens,
            ..self.options
        };
        Ok(Request {
            model,
            input: self.input.unwrap_or_default(),
            context,
            named,
            instructions: self.instructions,
            options,
            overflow: self.overflow,
            stream: false,
            obfuscates: true,
            kept,
        })
    }
}

/// What the client says of itself and of chance.
fn client_fields(fields: &Fields<'_>, kept: &mut Kept) -> Result<(), Failure> {
    if let Some(metadata) = convert::metadata(fields)? {
        let pairs = metadata.pairs().iter();
        let pairs: Map<String, Value> = pairs
            .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
            .collect();
        kept.metadata = Json::from(&Value::Object(pairs));
    }
    if shape::integer(fields, "top_logprobs", 0, Some(20))?.is_some_and(|count| count > 0) {
        return Err(shape::unsupported("top_logprobs", "more than 0"));
    }
    let temperature = shape::decimal(fields, "temperature", (0.0, 2.0))?;
    kept.temperature = temperature.unwrap_or(kept.temperature);
    let top_p = shape::decimal(fields, "top_p", (0.0, 1.0))?;
    kept.top_p = top_p.unwrap_or(kept.top_p);
    kept.user = fields.string("user")?.map(str::to_owned);
    kept.safety_identifier =
        shape::string(fields, "safety_identifier", SAFETY_IDENTIFIER_CHARS_MAX)?;
    cache_fields(fields, kept)
}

/// Hints for caches, of which there are none here.
fn cache_fields(fields: &Fields<'_>, kept: &mut Kept) -> Result<(), Failure> {
    kept.prompt_cache_key = fields.string("prompt_cache_key")?.map(str::to_owned);
    shape::one_of(fields, "prompt_cache_retention", RETENTIONS)?;
    if let Some(options) = fields.object("prompt_cache_options")? {
        shape::only(options, "prompt_cache_options.", &["ttl", "mode"])?;
    }
    Ok(())
}

/// Who is to answer. Foundry's agents are apps here, and go before a model.
fn model(fields: &Fields<'_>) -> Result<Option<String>, Failure> {
    let model = fields.string("model")?.filter(|name| !name.is_empty());
    for field in ["agent_reference", "agent"] {
        if let Some(agent) = fields.object(field)? {
            let prefix = format!("{field}.");
            let name = Fields::inside(agent, &prefix).required_string("name")?;
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(model.map(str::to_owned))
}

/// Templates of prompts are kept on the vendor's platform: here is none.
fn prompt(fields: &Fields<'_>) -> Result<(), Failure> {
    let Some(prompt) = fields.object("prompt")? else {
        return Ok(());
    };
    shape::only(prompt, "prompt.", &["id", "version", "variables"])?;
    let id = Fields::inside(prompt, "prompt.").required_string("id")?;
    let said = format!("Prompt with id '{id}' not found.");
    Err(Face::new(http::StatusCode::NOT_FOUND, said).into())
}

fn reasoning(fields: &Fields<'_>) -> Result<Reasoning, Failure> {
    const PREFIX: &str = "reasoning.";
    let Some(given) = fields.object("reasoning")? else {
        return Ok(Reasoning::default());
    };
    let known = ["mode", "effort", "summary", "context", "generate_summary"];
    shape::only(given, PREFIX, &known)?;
    let inside = Fields::inside(given, PREFIX);
    inside.string("mode")?;
    let effort = shape::one_of(&inside, "effort", EFFORTS)?;
    let summary = shape::one_of(&inside, "summary", SUMMARIES)?;
    shape::one_of(&inside, "context", CONTEXTS)?;
    let older = shape::one_of(&inside, "generate_summary", SUMMARIES)?;
    Ok(Reasoning {
        effort: effort.map(str::to_owned),
        summary: summary.or(older).map(str::to_owned),
    })
}

fn include(fields: &Fields<'_>) -> Result<(), Failure> {
    let expected = "an array of one of 'fil...lts', 'web...lts', ...";
    let given = shape::array(fields, "include", expected)?;
    for (at, value) in given.into_iter().flatten().enumerate() {
        let name = format!("include[{at}]");
        let Some(text) = value.as_str() else {
            return Err(error::wrong_type(&name, "a string", value));
        };
        convert::check_included(at, text)?;
        if text == LOGPROBS {
            return Err(shape::unsupported(name, format!("'{LOGPROBS}'")));
        }
    }
    Ok(())
}

/// Whether the lengths of pieces are hidden.
fn stream_options(fields: &Fields<'_>, stream: bool) -> Result<bool, Failure> {
    let Some(options) = fields.object("stream_options")? else {
        return Ok(true);
    };
    shape::only(options, "stream_options.", &["include_obfuscation"])?;
    let inside = Fields::inside(options, "stream_options.");
    let obfuscates = inside.boolean("include_obfuscation")?.unwrap_or(true);
    if !stream {
        let said = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(Face::bad(said).param("stream_options").into());
    }
    Ok(obfuscates)
}

/// What was said before, and the client's name for it.
fn context(fields: &Fields<'_>) -> Result<(Context, String), Failure> {
    let previous = fields.string("previous_response_id")?;
    let conversation = match fields.get("conversation") {
        None => None,
        Some(Value::String(id)) => Some(id.as_str()),
        Some(Value::Object(given)) => {
            shape::only(given, "conversation.", &["id"])?;
            Some(Fields::inside(given, "conversation.").required_string("id")?)
        }
        Some(other) => {
            let expected = "one of a string or an object";
            return Err(error::wrong_type("conversation", expected, other));
        }
    };
    let named = previous.or(conversation).unwrap_or_default();
    let context = match (previous, conversation) {
        (Some(_), Some(_)) => {
            // The vendor's own text has lost the first name: recorded in `mutual_exclusive_error`.
            let said = "Mutually exclusive parameters. Ensure you are only providing one of: \
                        'previous_response_id' or 'conversation'.";
            let code = "mutually_exclusive_parameters";
            return Err(Face::bad(said).code(code).into());
        }
        (Some(id), None) => convert::response_id("previous_response_id", id).map(Context::Previous),
        (None, Some(id)) => {
            convert::named_conversation("conversation", id).map(Context::Conversation)
        }
        (None, None) => Ok(Context::None),
    };
    let context = context.map_err(|error| error::context_missing(error, named))?;
    Ok((context, named.to_owned()))
}
