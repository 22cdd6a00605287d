//! Models by their names, and requests that are passed on to one as they are.

use std::sync::Arc;

use futures_util::StreamExt;

use super::{Access, Service, fault};
use crate::clock::Timestamp;
use crate::fault::{Chain, Error, Fault, Noun};
use crate::json::Json;
use crate::model::App;
use crate::upstream::{ModelError, RawAnswer};

/// What answers a request, by the model name that its client gives.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The app.
    pub app: Arc<App>,
    /// The model's name here.
    pub model: String,
}

/// A name that clients can give as a model's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelEntry {
    /// The name.
    pub name: String,
    /// When its app was made; none if it is a model of the server's, which bears no date.
    pub made_at: Option<Timestamp>,
}

impl Service {
    /// What answers where a client names a model: the app of the project of that name with its model; else
    /// the key's app with the configured model of that name; else, and where nothing is named, the key's
    /// app with its own model. [`Fault::NotFound`] instead of the last where names are strict.
    pub async fn choose_model(
        &self,
        access: &Access,
        named: Option<&str>,
    ) -> Result<Chosen, Error> {
        let is_configured = named.is_some_and(|name| self.inner.ports.model.model(name).is_some());
        let app = match named {
            None => Ok(Arc::clone(&access.app)),
            Some(name) => self.choose_app(access, |app| app.name == name).await,
        };
        let app = match app {
            Err(error) if is_configured && error.fault == Fault::NotFound(Noun::App) => {
                Arc::clone(&access.app)
            }
            app => app?,
        };
        // An app's name is the app's, though a model may bear it too.
        let named = named.filter(|name| *name != app.name);
        let model = self.model_name(&app, named);
        Ok(Chosen { app, model })
    }

    /// What clients can name as a model: the project's apps, then the configured models that no app is
    /// called after.
    pub async fn named_models(&self, access: &Access) -> Result<Vec<ModelEntry>, Error> {
        let apps = self.store().apps(access.key.project).await.map_err(fault)?;
        let mut entries: Vec<ModelEntry> = apps
            .into_iter()
            .map(|app| ModelEntry {
                name: app.name,
                made_at: Some(app.created_at),
            })
            .collect();
        let apps = entries.len();
        for model in self.inner.ports.model.models() {
            let is_app = entries
                .iter()
                .take(apps)
                .any(|entry| entry.name == model.name);
            if !is_app {
                entries.push(ModelEntry {
                    name: model.name,
                    made_at: None,
                });
            }
        }
        Ok(entries)
    }

    /// Passes a request of OpenAI's `/v1/chat/completions` on to the server of a model, and its answer back
    /// as it comes. Nothing of either is kept. Whoever drops the answer ends the request.
    ///
    /// A refusal of the server's is an answer like any other. It is a fault where it is the operator's
    /// business and not the client's, and where it does not come from a model's server: a proxy's page.
    pub async fn pass_chat(&self, model: &str, body: Json) -> Result<RawAnswer, Error> {
        let passed = self.inner.ports.model.chat(model, body).await;
        let mut answer = passed.map_err(model_fault)?;
        if let Some(error) = misplaced(&answer) {
            return Err(model_fault(error));
        }
        let report = |piece: &Result<_, ModelError>| {
            // The client notices that its answer breaks off; nobody else would.
            if let Err(error) = piece {
                tracing::warn!(error = %Chain(error), "an answer that was passed on broke off");
            }
        };
        answer.body = answer.body.inspect(report).boxed();
        Ok(answer)
    }
}

/// The error that an answer is in truth, which has nothing to say to a client.
fn misplaced(answer: &RawAnswer) -> Option<ModelError> {
    let is_json = answer.content_type.as_deref().is_some_and(is_json);
    match answer.status {
        200..=299 => None,
        // Our own key is meant, or what we have not paid for.
        401..=403 | 407 => Some(refused(answer.status)),
        400..=599 if is_json => None,
        429 => Some(ModelError::Busy {
            retry_after: answer.retry_after,
        }),
        _ => Some(refused(answer.status)),
    }
}

const fn refused(status: u16) -> ModelError {
    ModelError::Refused { status, said: None }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or(content_type);
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

/// What a client is told where a model that it asks directly does not answer.
fn model_fault(error: ModelError) -> Error {
    match error {
        ModelError::Busy { retry_after } => Fault::UpstreamBusy { retry_after }.into(),
        ModelError::Unknown => Fault::NotFound(Noun::App).into(),
        ModelError::Unable => Fault::Unsupported {
            feature: "chat completions by this model",
        }
        .into(),
        ModelError::Refused {
            said: Some(said), ..
        } => Fault::UpstreamRefused {
            said: Some(said.message),
        }
        .into(),
        ModelError::Down(_) | ModelError::Silent(_) | ModelError::Refused { .. } => {
            Error::caused_by(Fault::UpstreamDown, error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    #[track_caller]
    fn check(status: u16, content_type: Option<&str>, expected: Option<&Fault>) {
        let answer = RawAnswer {
            status,
            content_type: content_type.map(str::to_owned),
            retry_after: None,
            body: stream::empty().boxed(),
        };
        let fault = misplaced(&answer).map(|error| model_fault(error).fault);
        assert_eq!(fault.as_ref(), expected, "{status} {content_type:?}");
    }

    #[test]
    fn what_a_models_server_says_in_json_is_passed_on() {
        let json = Some("Application/JSON; charset=utf-8");
        for status in [200, 400, 404, 413, 422, 429, 500, 503] {
            check(status, json, None);
        }
        check(200, Some("text/event-stream"), None);
        check(400, Some("application/problem+json"), None);
    }

    #[test]
    fn a_refusal_of_our_own_key_is_not_the_clients() {
        for status in [401, 402, 403, 407] {
            check(status, Some("application/json"), Some(&Fault::UpstreamDown));
        }
    }

    #[test]
    fn what_does_not_come_from_a_models_server_is_not_passed_on() {
        let busy = Fault::UpstreamBusy { retry_after: None };
        for content_type in [None, Some("text/html")] {
            check(404, content_type, Some(&Fault::UpstreamDown));
            check(502, content_type, Some(&Fault::UpstreamDown));
            check(429, content_type, Some(&busy));
        }
        check(302, Some("application/json"), Some(&Fault::UpstreamDown));
    }
}
