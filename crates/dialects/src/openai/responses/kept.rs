//! What a response gives back of its request, whenever it is asked for.

use parlance_domain::{Json, Turn};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::kit::Dialect;
use crate::openai::OpenAi;

/// The parameters of a response that are no item and no state. Content.
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::openai) struct Kept {
    /// Whether nobody waited for it.
    pub(in crate::openai) background: bool,
    /// What the client told the model first.
    pub(in crate::openai) instructions: Option<String>,
    /// Most tokens of the answer.
    pub(in crate::openai) max_output_tokens: Option<u64>,
    /// Most calls of the vendor's own tools, of which there are none here.
    pub(in crate::openai) max_tool_calls: Option<u64>,
    /// Whether the model may ask for several tools at once.
    pub(in crate::openai) parallel_tool_calls: bool,
    /// The client's hint for caches.
    pub(in crate::openai) prompt_cache_key: Option<String>,
    /// How much the model should think.
    pub(in crate::openai) reasoning: Reasoning,
    /// The client's name for its user.
    pub(in crate::openai) safety_identifier: Option<String>,
    /// The tier that the client asked for.
    pub(in crate::openai) service_tier: String,
    /// Whether it is stored.
    pub(in crate::openai) store: bool,
    /// The chance of the answer.
    pub(in crate::openai) temperature: f64,
    /// The form of the answer.
    pub(in crate::openai) text: Json,
    /// Whether the model may, must or must not ask for a tool.
    pub(in crate::openai) tool_choice: Json,
    /// The tools, in the vendor's normal form.
    pub(in crate::openai) tools: Json,
    /// The chance of the answer, otherwise.
    pub(in crate::openai) top_p: f64,
    /// What happens where there is more than the model can read.
    pub(in crate::openai) truncation: String,
    /// The client's name for its user, in older words.
    pub(in crate::openai) user: Option<String>,
    /// Whatever the client keeps with it.
    pub(in crate::openai) metadata: Json,
}

/// How much a model should think.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::openai) struct Reasoning {
    /// How hard.
    pub(in crate::openai) effort: Option<String>,
    /// Whether it should be summed up.
    pub(in crate::openai) summary: Option<String>,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            background: false,
            instructions: None,
            max_output_tokens: None,
            max_tool_calls: None,
            parallel_tool_calls: true,
            prompt_cache_key: None,
            reasoning: Reasoning::default(),
            safety_identifier: None,
            service_tier: "auto".to_owned(),
            store: true,
            temperature: 1.0,
            text: Json::from(&json!({"format": {"type": "text"}, "verbosity": "medium"})),
            tool_choice: Json::from(&json!("auto")),
            tools: Json::from(&json!([])),
            top_p: 1.0,
            truncation: "disabled".to_owned(),
            user: None,
            metadata: Json::from(&json!({})),
        }
    }
}

impl Kept {
    /// What is kept of a turn; what goes without saying, if another dialect began it.
    pub(in crate::openai) fn of(turn: &Turn) -> Self {
        let native = turn.record.native.as_ref();
        native
            .filter(|native| native.dialect == OpenAi::NAME)
            .and_then(|native| serde_json::from_str(native.json.text()).ok())
            .unwrap_or_default()
    }
}
