//! Models of tests.

use async_trait::async_trait;
use parlance_domain::Json;
use parlance_domain::upstream::{
    EmbeddingRequest, Embeddings, Model, ModelError, ModelInfo, ModelRequest, ModelStream,
    RawAnswer, Speech, SpeechRequest, TranscriptionRequest,
};

/// What answers, and can do nothing else.
#[async_trait]
pub trait Answer: Send + Sync + 'static {
    /// As [`Model::answer`].
    async fn answer(&self, request: ModelRequest) -> Result<ModelStream, ModelError>;
}

/// The model that does nothing but answer.
pub struct Answering<A>(pub A);

#[async_trait]
impl<A: Answer> Model for Answering<A> {
    async fn answer(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        self.0.answer(request).await
    }

    fn models(&self) -> Vec<ModelInfo> {
        Vec::new()
    }

    async fn chat(&self, _: &str, _: Json) -> Result<RawAnswer, ModelError> {
        Err(ModelError::Unable)
    }

    async fn embed(&self, _: EmbeddingRequest) -> Result<Embeddings, ModelError> {
        Err(ModelError::Unable)
    }

    async fn speak(&self, _: SpeechRequest) -> Result<Speech, ModelError> {
        Err(ModelError::Unable)
    }

    async fn transcribe(&self, _: TranscriptionRequest) -> Result<String, ModelError> {
        Err(ModelError::Unable)
    }
}
