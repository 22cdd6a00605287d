//! What else such servers can do: embeddings, speech, transcriptions.

use bytes::Bytes;
use parlance_domain::Usage;
use parlance_domain::upstream::{
    EmbeddingRequest, Embeddings, ModelError, Speech, SpeechRequest, TranscriptionRequest,
};
use reqwest::multipart::{Form, Part};
use serde::{Deserialize, Serialize};

use super::body::{Body, WHOLE_BYTES_MAX};
use super::failure::Cause;
use super::wire::UsageWire;
use super::{OpenAiChat, is_success};

#[derive(Serialize)]
struct EmbeddingQuestion<'a> {
    model: &'a str,
    input: &'a [String],
    encoding_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
}

#[derive(Deserialize)]
struct EmbeddingAnswer {
    data: Vec<Embedding>,
    #[serde(default)]
    usage: Option<UsageWire>,
}

#[derive(Deserialize)]
struct Embedding {
    index: usize,
    embedding: Vec<f32>,
}

#[derive(Serialize)]
struct SpeechQuestion<'a> {
    model: &'a str,
    input: &'a str,
    voice: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speed: Option<f64>,
}

#[derive(Deserialize)]
struct Transcript {
    text: String,
}

impl OpenAiChat {
    /// As [`parlance_domain::upstream::Model::embed`].
    pub async fn embed(&self, request: &EmbeddingRequest) -> Result<Embeddings, ModelError> {
        let question = EmbeddingQuestion {
            model: &self.server.name,
            input: &request.texts,
            encoding_format: "float",
            dimensions: request.dimensions,
        };
        let answer = self.ask_json("embeddings", &question).await?;
        let answer = answer.whole(WHOLE_BYTES_MAX).await?;
        let nonsense = Cause::Nonsense("embeddings that are none");
        let Ok(mut answer) = serde_json::from_slice::<EmbeddingAnswer>(&answer) else {
            return Err(nonsense.into());
        };
        answer.data.sort_by_key(|embedding| embedding.index);
        let places = answer.data.iter().map(|embedding| embedding.index);
        if !places.eq(0..request.texts.len()) {
            return Err(nonsense.into());
        }
        let vectors = answer.data.into_iter().map(|embedding| embedding.embedding);
        Ok(Embeddings {
            vectors: vectors.collect(),
            usage: answer.usage.map(Usage::from).unwrap_or_default(),
        })
    }

    /// As [`parlance_domain::upstream::Model::speak`].
    pub async fn speak(&self, request: &SpeechRequest) -> Result<Speech, ModelError> {
        let question = SpeechQuestion {
            model: &self.server.name,
            input: &request.text,
            voice: &request.voice,
            response_format: request.format.as_deref(),
            speed: request.speed,
        };
        let body = self.ask_json("audio/speech", &question).await?;
        Ok(Speech {
            content_type: body.content_type().map(str::to_owned),
            body: body.into_stream(),
        })
    }

    /// As [`parlance_domain::upstream::Model::transcribe`].
    pub async fn transcribe(&self, request: &TranscriptionRequest) -> Result<String, ModelError> {
        let form = || {
            let sound = Part::stream(request.sound.clone());
            let form = Form::new()
                .text("model", self.server.name.clone())
                .text("response_format", "json")
                .part("file", sound.file_name(request.file_name.clone()));
            let optional = [("language", &request.language), ("prompt", &request.prompt)];
            optional
                .into_iter()
                .fold(form, |form, (name, value)| match value {
                    Some(value) => form.text(name, value.clone()),
                    None => form,
                })
        };
        let patience = self.server.patience;
        let ask = || self.request("audio/transcriptions").multipart(form());
        let response = self.client.ask(patience, ask, is_success).await?;
        let answer = Body::new(response, patience).whole(WHOLE_BYTES_MAX).await?;
        let Ok(transcript) = serde_json::from_slice::<Transcript>(&answer) else {
            return Err(Cause::Nonsense("a transcript that is none").into());
        };
        Ok(transcript.text)
    }

    async fn ask_json<T: Serialize + Sync>(
        &self,
        path: &str,
        question: &T,
    ) -> Result<Body, ModelError> {
        let question = serde_json::to_vec(question).map_err(|_| Cause::Unwritable)?;
        let question = Bytes::from(question);
        let patience = self.server.patience;
        let ask = || self.post(path, question.clone());
        let response = self.client.ask(patience, ask, is_success).await?;
        Ok(Body::new(response, patience))
    }
}
