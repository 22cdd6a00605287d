//! Several models, each by its name: those that are configured, and `echo`.

use async_trait::async_trait;
use parlance_domain::json::Json;
use parlance_domain::upstream::{
    EmbeddingRequest, Embeddings, Model, ModelError, ModelInfo, ModelRequest, ModelStream,
    RawAnswer, Speech, SpeechRequest, TranscriptionRequest,
};

use crate::echo::Echo;
use crate::openai_chat::OpenAiChat;

/// Several models, each by its name. `echo` is always there, last; a configured one of that name would
/// never be asked.
pub struct Models {
    configured: Vec<(ModelInfo, OpenAiChat)>,
}

enum Found<'a> {
    Configured(&'a OpenAiChat),
    Echo,
}

impl Models {
    /// These models, in the operator's order, and `echo`.
    pub const fn new(configured: Vec<(ModelInfo, OpenAiChat)>) -> Self {
        Self { configured }
    }

    fn find(&self, name: &str) -> Result<Found<'_>, ModelError> {
        if name == crate::echo::NAME {
            return Ok(Found::Echo);
        }
        let found = self.configured.iter().find(|(info, _)| info.name == name);
        let found = found.map(|(_, model)| Found::Configured(model));
        found.ok_or(ModelError::Unknown)
    }
}

#[async_trait]
impl Model for Models {
    async fn answer(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        match self.find(&request.model)? {
            Found::Configured(model) => model.answer(&request).await,
            Found::Echo => Echo.answer(request).await,
        }
    }

    fn models(&self) -> Vec<ModelInfo> {
        let configured = self.configured.iter().map(|(info, _)| info.clone());
        configured.chain(Echo.models()).collect()
    }

    fn model(&self, name: &str) -> Option<ModelInfo> {
        let mut configured = self.configured.iter().map(|(info, _)| info);
        let found = configured.find(|info| info.name == name).cloned();
        found.or_else(|| Echo.model(name))
    }

    async fn chat(&self, model: &str, body: Json) -> Result<RawAnswer, ModelError> {
        match self.find(model)? {
            Found::Configured(model) => model.chat(&body).await,
            Found::Echo => Echo.chat(model, body).await,
        }
    }

    async fn embed(&self, request: EmbeddingRequest) -> Result<Embeddings, ModelError> {
        match self.find(&request.model)? {
            Found::Configured(model) => model.embed(&request).await,
            Found::Echo => Echo.embed(request).await,
        }
    }

    async fn speak(&self, request: SpeechRequest) -> Result<Speech, ModelError> {
        match self.find(&request.model)? {
            Found::Configured(model) => model.speak(&request).await,
            Found::Echo => Echo.speak(request).await,
        }
    }

    async fn transcribe(&self, request: TranscriptionRequest) -> Result<String, ModelError> {
        match self.find(&request.model)? {
            Found::Configured(model) => model.transcribe(&request).await,
            Found::Echo => Echo.transcribe(request).await,
        }
    }
}
