//! What servers send: chunks of an answer, and whole answers. Fields that nobody needs are not read, and
//! texts are taken out of the JSON once.

use parlance_domain::Usage;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A chunk of an answer, or a whole one.
#[derive(Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(default)]
    pub(super) choices: Option<Vec<Choice>>,
    #[serde(default)]
    pub(super) usage: Option<UsageWire>,
    #[serde(borrow, default)]
    pub(super) error: Option<&'a RawValue>,
    /// Some say `"error"` here, and the rest beside it.
    #[serde(borrow, default)]
    pub(super) object: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    pub(super) index: u32,
    /// The next piece.
    #[serde(default)]
    pub(super) delta: Option<Delta>,
    /// What a whole answer has in its place.
    #[serde(default)]
    pub(super) message: Option<Delta>,
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Delta {
    #[serde(default)]
    pub(super) content: Option<String>,
    #[serde(default)]
    pub(super) refusal: Option<String>,
    /// DeepSeek, vLLM, llama.cpp.
    #[serde(default)]
    pub(super) reasoning_content: Option<String>,
    /// Ollama, OpenRouter, newer vLLM.
    #[serde(default)]
    pub(super) reasoning: Option<String>,
    #[serde(default)]
    pub(super) tool_calls: Option<Vec<CallPiece>>,
}

/// A piece of a call of a tool.
#[derive(Deserialize)]
pub(super) struct CallPiece {
    #[serde(default)]
    pub(super) index: Option<u32>,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) function: Option<FunctionPiece>,
}

#[derive(Default, Deserialize)]
pub(super) struct FunctionPiece {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) arguments: Option<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct UsageWire {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl From<UsageWire> for Usage {
    fn from(wire: UsageWire) -> Self {
        let cached = wire.prompt_tokens_details.and_then(|of| of.cached_tokens);
        let reasoning = wire
            .completion_tokens_details
            .and_then(|of| of.reasoning_tokens);
        Self {
            input_tokens: wire.prompt_tokens.unwrap_or(0),
            cached_tokens: cached.unwrap_or(0),
            output_tokens: wire.completion_tokens.unwrap_or(0),
            reasoning_tokens: reasoning.unwrap_or(0),
        }
    }
}
