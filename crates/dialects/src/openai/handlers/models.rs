//! The names that clients can give as a model's: the project's apps and the configured models.

use parlance_domain::service::ModelEntry;
use parlance_domain::{Fault, Noun, Timestamp};
use serde_json::{Value, json};

use crate::kit::{Call, Reply, reply};
use crate::openai::caller::principal;
use crate::openai::error::model_missing;

/// `GET /v1/models`.
pub(in crate::openai) async fn list(call: Call) -> Reply {
    principal(&call)?;
    let models = call.service.named_models(&call.access).await?;
    let data: Vec<Value> = models.iter().map(render).collect();
    reply::ok(&json!({"object": "list", "data": data}))
}

/// `GET /v1/models/{model}`.
pub(in crate::openai) async fn retrieve(call: Call) -> Reply {
    principal(&call)?;
    let name = call.param("model");
    let models = call.service.named_models(&call.access).await?;
    let found = models.iter().find(|model| model.name == name);
    let missing = || model_missing(Fault::NotFound(Noun::App).into(), Some(name));
    reply::ok(&render(found.ok_or_else(missing)?))
}

/// A model on the wire. One of the server's own bears no date, and OpenAI's form has to have one: 0.
fn render(model: &ModelEntry) -> Value {
    json!({
        "id": model.name,
        "object": "model",
        "created": model.made_at.map_or(0, Timestamp::seconds),
        "owned_by": if model.made_at.is_some() { "project" } else { "system" },
    })
}
