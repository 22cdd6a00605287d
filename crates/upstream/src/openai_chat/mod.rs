//! `openai_chat`: any server with OpenAI's `/v1/chat/completions`, such as OpenAI, vLLM, Ollama, llama.cpp.
//!
//! Nothing that a server says is logged, nor put into an error's cause: it may be content.

mod answer;
mod ask;
mod body;
mod calls;
mod client;
mod decode;
mod failure;
mod other;
mod pass;
mod retry;
mod sse;
mod url;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use parlance_domain::secret::Secret;
use parlance_domain::upstream::{ModelError, ModelRequest, ModelStream};
use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, InvalidHeaderValue};

pub use client::{Client, ClientError};
pub use url::{BaseUrl, UrlError};

const CHAT: &str = "chat/completions";
const JSON: &str = "application/json";

/// How a model is reached.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where its server is.
    pub url: BaseUrl,
    /// The server's key.
    pub key: Option<Secret>,
    /// The name that the server knows it by.
    pub name: String,
    /// How long it may take.
    pub patience: Patience,
    /// What the server calls the most tokens that a model may write.
    pub output_limit: OutputLimit,
}

/// How long a server may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Longest wait for an answer to begin: a model reads first, and may be loaded first.
    pub first_byte: Duration,
    /// Longest pause within an answer.
    pub idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_mins(5),
            idle: Duration::from_mins(2),
        }
    }
}

/// What a server calls the most tokens that a model may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputLimit {
    /// `max_tokens`: what all servers understand, except for OpenAI's with its newer models.
    MaxTokens,
    /// `max_completion_tokens`: OpenAI's newer name.
    MaxCompletionTokens,
}

impl OutputLimit {
    /// What the server at this URL most likely understands.
    pub fn of(url: &BaseUrl) -> Self {
        let host = url.host();
        let is_of = |domain: &str| {
            let before = host.strip_suffix(domain);
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        if is_of("openai.com") || is_of("openai.azure.com") {
            Self::MaxCompletionTokens
        } else {
            Self::MaxTokens
        }
    }
}

/// One model on a server.
pub struct OpenAiChat {
    client: Client,
    server: Server,
    authorization: Option<HeaderValue>,
}

impl OpenAiChat {
    /// A model that is asked with this client. The key has to be text that fits a header.
    pub fn new(client: Client, server: Server) -> Result<Self, InvalidHeaderValue> {
        let bearer = |key: &Secret| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose()))?;
            value.set_sensitive(true);
            Ok(value)
        };
        let authorization = server.key.as_ref().map(bearer).transpose()?;
        Ok(Self {
            client,
            server,
            authorization,
        })
    }

    /// As [`parlance_domain::upstream::Model::answer`].
    pub async fn answer(&self, request: &ModelRequest) -> Result<ModelStream, ModelError> {
        let limit = self.server.output_limit;
        let question = bytes::Bytes::from(ask::write(request, &self.server.name, limit)?);
        let patience = self.server.patience;
        let response = self
            .client
            .ask(patience, || self.post(CHAT, question.clone()), is_success)
            .await?;
        answer::read(response, patience, Arc::clone(&self.client.ids)).await
    }

    /// A request with a body of JSON.
    fn post(&self, path: &str, body: bytes::Bytes) -> RequestBuilder {
        self.request(path).header(CONTENT_TYPE, JSON).body(body)
    }

    fn request(&self, path: &str) -> RequestBuilder {
        let request = self.client.http.post(self.server.url.at(path));
        match &self.authorization {
            Some(key) => request.header(AUTHORIZATION, key.clone()),
            None => request,
        }
    }
}

/// Whether a status says that what follows is what was asked for.
const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

#[cfg(test)]
mod tests;
