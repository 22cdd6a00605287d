//! The ports to models, and to what else a model's server can do.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::json::Json;
use crate::model::{Role, Usage};

/// What a model is asked.
#[derive(Clone, Debug)]
pub struct ModelRequest {
    /// The model's name.
    pub model: String,
    /// What it is told first.
    pub instructions: Option<String>,
    /// The conversation so far, oldest first; the last is what to answer.
    pub messages: Vec<ModelMessage>,
    /// What else is wanted of the answer.
    pub options: ModelOptions,
}

/// One message that a model reads. Content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelMessage {
    /// Somebody speaks: the person, the operator, or the assistant in words.
    Said {
        /// Who. [`Role::Other`] speaks as the person.
        role: Role,
        /// What, in its order. Empty only where the client gave nothing.
        parts: Vec<ModelPart>,
    },
    /// The assistant asked for a tool. Calls that follow each other belong to one answer.
    Called(ToolCall),
    /// What the tool gave.
    ToolOutput {
        /// The call that it answers.
        call_id: String,
        /// What it gave.
        parts: Vec<ModelPart>,
    },
}

impl ModelMessage {
    /// A message of plain text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self::Said {
            role,
            parts: vec![ModelPart::Text(text.into())],
        }
    }
}

/// A piece of a message that a model reads. Content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelPart {
    /// Text.
    Text(String),
    /// An image.
    Image {
        /// Where it is: an URL, or the image itself as a `data:` URL.
        url: String,
        /// How closely it is to be looked at: `auto`, `low`, `high`.
        detail: Option<String>,
    },
    /// A file.
    File {
        /// Its name.
        name: Option<String>,
        /// The file itself, as a `data:` URL or in base64.
        data: String,
    },
    /// Sound.
    Audio {
        /// In base64.
        data: String,
        /// `wav` or `mp3`.
        format: String,
    },
}

/// A call of a tool that a model has made. Content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// What its output will name it by.
    pub call_id: String,
    /// The function's name.
    pub name: String,
    /// JSON as the model wrote it, which may be broken.
    pub arguments: String,
}

/// What is wanted of an answer. What is none is left to the model's server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelOptions {
    /// The functions that the model may ask for.
    pub tools: Vec<FunctionTool>,
    /// Whether it may, must, or must not.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may ask for several at once.
    pub parallel_tool_calls: Option<bool>,
    /// The form of the answer.
    pub format: AnswerFormat,
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Most tokens that it may write, reasoning included.
    pub output_tokens_max: Option<u64>,
    /// Texts before which it stops.
    pub stop: Vec<String>,
    /// The chance's beginning.
    pub seed: Option<i64>,
    /// How much it should think: `none`, `minimal`, `low`, `medium`, `high` ...
    pub reasoning_effort: Option<String>,
    /// How much it should say: `low`, `medium`, `high`.
    pub verbosity: Option<String>,
}

/// A function that a model may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionTool {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The JSON Schema of its arguments; none if it takes none.
    pub parameters: Option<Json>,
    /// Whether the arguments have to follow the schema exactly.
    pub strict: Option<bool>,
}

/// Whether a model may ask for tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    /// It must not.
    None,
    /// It may.
    Auto,
    /// It must ask for one.
    Required,
    /// It must ask for this one.
    Function(String),
    /// It may (or must) ask for one of these.
    Allowed {
        /// Whether it must.
        required: bool,
        /// Their names.
        names: Vec<String>,
    },
}

/// The form of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AnswerFormat {
    /// Text.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON of a schema.
    JsonSchema {
        /// The schema's name.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// The JSON Schema.
        schema: Json,
        /// Whether the answer has to follow it exactly.
        strict: Option<bool>,
    },
}

/// What a model sends, in order. The stream's end is the answer's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelEvent {
    /// The next piece of text.
    Text(String),
    /// The next piece of a refusal.
    Refusal(String),
    /// The next piece of what it thinks.
    Reasoning(String),
    /// It asks for a tool. Calls come one after the other: the one before is complete.
    ToolCall {
        /// What the output will name it by.
        call_id: String,
        /// The function's name.
        name: String,
    },
    /// The next piece of the arguments of the call that began last.
    Arguments(String),
    /// What it cost so far; the last one counts.
    Usage(Usage),
    /// Why it has stopped. At most once; without it the answer is complete.
    Finished(FinishReason),
}

/// Why a model has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The answer is complete, be it words or calls of tools.
    Complete,
    /// It has written as many tokens as it may.
    Length,
    /// Its server would not let it say more.
    ContentFilter,
}

/// Why a model does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// It cannot be reached, broke off, or sent what makes no sense.
    #[error("the model cannot be reached")]
    Down(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// It said nothing for too long.
    #[error("the model said nothing for {} s", .0.as_secs())]
    Silent(Duration),
    /// Its server has too much to do.
    #[error("the model's server is at its limit")]
    Busy {
        /// When to try again, if it said so.
        retry_after: Option<Duration>,
    },
    /// Its server refused. The words are its own, for the client alone: they may quote content.
    #[error("the model's server refused with status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said, if it said it in words.
        said: Option<RefusalText>,
    },
    /// No model of that name is configured, and none answers for all names.
    #[error("there is no such model")]
    Unknown,
    /// This server cannot do that: `echo` has no voice.
    #[error("the model cannot do that")]
    Unable,
}

/// Why a model's server refused, in its own words. Content.
#[derive(Clone, PartialEq, Eq)]
pub struct RefusalText {
    /// The words.
    pub message: String,
    /// Its code, such as `context_length_exceeded`.
    pub code: Option<String>,
}

impl std::fmt::Debug for RefusalText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RefusalText({} bytes)", self.message.len())
    }
}

/// The pieces of an answer.
pub type ModelStream = BoxStream<'static, Result<ModelEvent, ModelError>>;

/// Several models, each by its name. What one is not made for it is unable to do.
#[async_trait]
pub trait Model: Send + Sync + 'static {
    /// Begins to answer. What fails before the model has said anything is tried again, within bounds,
    /// where that can help.
    async fn answer(&self, request: ModelRequest) -> Result<ModelStream, ModelError>;

    /// The models that are configured by name, in the operator's order.
    fn models(&self) -> Vec<ModelInfo> {
        Vec::new()
    }

    /// The one of that name; none if it is not configured by name.
    fn model(&self, name: &str) -> Option<ModelInfo> {
        self.models().into_iter().find(|model| model.name == name)
    }

    /// Passes a request of OpenAI's `/v1/chat/completions` on, and its answer back as it comes. `body` is
    /// a JSON object whose `model` is the name of the model here.
    async fn chat(&self, _model: &str, _body: Json) -> Result<RawAnswer, ModelError> {
        Err(ModelError::Unable)
    }

    /// Gives texts their places in a space of meaning, in the order of the texts.
    async fn embed(&self, _request: EmbeddingRequest) -> Result<Embeddings, ModelError> {
        Err(ModelError::Unable)
    }

    /// Reads a text aloud.
    async fn speak(&self, _request: SpeechRequest) -> Result<Speech, ModelError> {
        Err(ModelError::Unable)
    }

    /// Writes down what is said.
    async fn transcribe(&self, _request: TranscriptionRequest) -> Result<String, ModelError> {
        Err(ModelError::Unable)
    }
}

/// A model that is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelInfo {
    /// Its name here.
    pub name: String,
    /// Most tokens that it can read and write in one answer; none if nobody has said.
    pub context_tokens: Option<u64>,
}

/// An answer of a model's server that is passed on as it is.
pub struct RawAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The `content-type`.
    pub content_type: Option<String>,
    /// When to try again, if the server said so.
    pub retry_after: Option<Duration>,
    /// The body, as it comes.
    pub body: BoxStream<'static, Result<Bytes, ModelError>>,
}

/// Texts that are to get their places.
#[derive(Clone, Debug)]
pub struct EmbeddingRequest {
    /// The model's name.
    pub model: String,
    /// The texts. Content.
    pub texts: Vec<String>,
    /// How many numbers each is to have, where the model can do with fewer.
    pub dimensions: Option<u32>,
}

/// The places of texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// One for each text, in their order.
    pub vectors: Vec<Vec<f32>>,
    /// What it cost.
    pub usage: Usage,
}

/// A text that is to be read aloud.
#[derive(Clone, Debug)]
pub struct SpeechRequest {
    /// The model's name.
    pub model: String,
    /// The text. Content.
    pub text: String,
    /// The voice's name.
    pub voice: String,
    /// `mp3`, `opus`, `aac`, `flac`, `wav`, `pcm`; the server's own choice if none.
    pub format: Option<String>,
    /// 0.25 to 4.
    pub speed: Option<f64>,
}

/// Sound, as it comes.
pub struct Speech {
    /// The `content-type`.
    pub content_type: Option<String>,
    /// The sound.
    pub body: BoxStream<'static, Result<Bytes, ModelError>>,
}

/// Sound that is to be written down.
#[derive(Clone, Debug)]
pub struct TranscriptionRequest {
    /// The model's name.
    pub model: String,
    /// The sound. Content.
    pub sound: Bytes,
    /// Its file name, whose ending says what it is.
    pub file_name: String,
    /// Its language, in ISO 639-1.
    pub language: Option<String>,
    /// What may help to understand it. Content.
    pub prompt: Option<String>,
}
