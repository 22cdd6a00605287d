//! The port to models.

use async_trait::async_trait;
use futures_util::stream::BoxStream;

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
}

/// One message that a model reads.
#[derive(Clone, Debug)]
pub struct ModelMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub text: String,
}

/// What a model sends, in order. The stream's end is the answer's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelEvent {
    /// The next piece of text.
    Text(String),
    /// What it cost; the last one counts.
    Usage(Usage),
}

/// Why a model does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// It cannot be reached, or broke off.
    #[error("the model cannot be reached")]
    Down(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// Its server refused.
    #[error("the model's server refused with status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
}

/// The pieces of an answer.
pub type ModelStream = BoxStream<'static, Result<ModelEvent, ModelError>>;

/// A model, or a server that has several.
#[async_trait]
pub trait Model: Send + Sync + 'static {
    /// Begins to answer.
    async fn answer(&self, request: ModelRequest) -> Result<ModelStream, ModelError>;
}
