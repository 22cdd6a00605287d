//! Chat completions that are passed on, and the names that clients can give as a model's.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, Request, StatusCode};
use parlance_domain::upstream::{
    EmbeddingRequest, Embeddings, Model, ModelError, ModelInfo, ModelRequest, ModelStream,
    RawAnswer, RefusalText, Speech, SpeechRequest, TranscriptionRequest,
};
use parlance_domain::{Json, Settings};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::app::{Answer, TestApp};

/// What a model was asked to pass on: its name and the body.
type Asked = Arc<Mutex<Vec<(String, String)>>>;
/// What it answers.
type Says = Box<dyn Fn() -> Result<RawAnswer, ModelError> + Send + Sync>;

/// Two configured models, of which chats alone can be asked for.
struct Passing {
    asked: Asked,
    says: Says,
}

impl Passing {
    fn new<F>(says: F) -> (Arc<Self>, Asked)
    where
        F: Fn() -> Result<RawAnswer, ModelError> + Send + Sync + 'static,
    {
        let asked = Asked::default();
        let model = Self {
            asked: Arc::clone(&asked),
            says: Box::new(says),
        };
        (Arc::new(model), asked)
    }
}

#[async_trait]
impl Model for Passing {
    async fn answer(&self, _: ModelRequest) -> Result<ModelStream, ModelError> {
        Err(ModelError::Unable)
    }

    fn models(&self) -> Vec<ModelInfo> {
        let info = |name: &str| ModelInfo {
            name: name.to_owned(),
            context_tokens: None,
        };
        vec![info("alpha"), info("second"), info("echo")]
    }

    async fn chat(&self, model: &str, body: Json) -> Result<RawAnswer, ModelError> {
        let asked = (model.to_owned(), body.text().to_owned());
        self.asked.lock().expect("no test panics here").push(asked);
        (self.says)()
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

fn raw(status: u16, content_type: &str, body: &'static str) -> RawAnswer {
    RawAnswer {
        status,
        content_type: Some(content_type.to_owned()),
        retry_after: None,
        body: stream::iter([Ok(Bytes::from_static(body.as_bytes()))]).boxed(),
    }
}

fn yes() -> RawAnswer {
    raw(200, "application/json", "{\"choices\":[]}")
}

fn request(app: &TestApp, method: &str, path: &str, body: &str) -> Request<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("api-key", app.key("openai"))
        .header("content-type", "application/json");
    request
        .body(Body::from(body.to_owned()))
        .expect("a request")
}

async fn chat(app: &TestApp, path: &str, body: &str) -> Answer {
    app.send(request(app, "POST", path, body)).await
}

fn last(asked: &Asked) -> (String, Value) {
    let (model, body) = asked
        .lock()
        .expect("no test panics here")
        .pop()
        .expect("a question");
    (model, serde_json::from_str(&body).expect("JSON"))
}

#[tokio::test]
async fn a_chat_is_passed_on_to_the_model_that_is_named_wherever_that_is() {
    let (model, asked) = Passing::new(|| Ok(yes()));
    let app = TestApp::with_model(model).await;
    let beta = app.service.create_app(
        app.project.id,
        "writer",
        parlance_domain::AppMode::AdvancedChat,
        Some("beta"),
        Some("Be a writer.".to_owned()),
    );
    beta.await
        .expect("the store answers")
        .expect("the name is free");
    let agent = "/api/projects/p/agents/writer/endpoint/protocols/openai";
    for (path, named, expected) in [
        ("/openai/v1/chat/completions", Some("alpha"), "alpha"),
        ("/openai/v1/chat/completions", Some("writer"), "beta"),
        ("/openai/v1/chat/completions", Some("gpt-none"), "echo"),
        ("/openai/v1/chat/completions", None, "echo"),
        // An app's name comes before a model's.
        ("/openai/v1/chat/completions", Some("second"), "echo"),
        ("/v1/chat/completions", Some("alpha"), "alpha"),
        (
            "/openai/chat/completions?api-version=2024-10-21",
            Some("alpha"),
            "alpha",
        ),
        (
            "/openai/deployments/alpha/chat/completions?api-version=x",
            Some("gpt-4o"),
            "alpha",
        ),
        ("/openai/deployments/writer/chat/completions", None, "beta"),
        (
            "/openai/deployments/gpt-none/chat/completions",
            Some("alpha"),
            "echo",
        ),
        (
            "/api/projects/p/openai/v1/chat/completions",
            Some("alpha"),
            "alpha",
        ),
        (
            &format!("{agent}/chat/completions?api-version=v1"),
            None,
            "beta",
        ),
        (
            &format!("{agent}/v1/chat/completions"),
            Some("alpha"),
            "alpha",
        ),
    ] {
        let answer = chat(
            &app,
            path,
            &json!({"model": named, "messages": []}).to_string(),
        )
        .await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        let (model, body) = last(&asked);
        assert_eq!(model, expected, "{path} {named:?}");
        // The app's own instructions are not added.
        assert_eq!(body, json!({"model": expected, "messages": []}), "{path}");
    }
}

#[tokio::test]
async fn where_names_are_strict_an_unknown_model_is_not_found() {
    let (model, asked) = Passing::new(|| Ok(yes()));
    let settings = Settings {
        strict_names: true,
        ..Settings::default()
    };
    let app = TestApp::with_settings(model, settings).await;
    let path = "/openai/v1/chat/completions";
    for named in ["alpha", "second", "default"] {
        let answer = chat(&app, path, &json!({"model": named}).to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{named}: {}", answer.text());
    }
    asked.lock().expect("no test panics here").clear();
    let deployment = "/openai/deployments/gpt-none/chat/completions";
    for (path, body) in [(path, "{\"model\":\"gpt-none\"}"), (deployment, "{}")] {
        let answer = chat(&app, path, body).await;
        let expected = json!({"error": {
            "message": "The model 'gpt-none' does not exist.", "type": "invalid_request_error",
            "param": "model", "code": "model_not_found",
        }});
        assert_eq!(
            (answer.status, answer.json()),
            (StatusCode::NOT_FOUND, expected)
        );
    }
    assert!(asked.lock().expect("no test panics here").is_empty());
    let agent = "/api/projects/p/agents/nobody/endpoint/protocols/openai/models";
    let answer = app.send(request(&app, "GET", agent, "")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_a_models_server_says_is_handed_on_as_it_is() {
    let refusal =
        "{\"error\":{\"message\":\"too hot\",\"type\":\"x\",\"param\":\"temperature\",\"code\":7}}";
    let (model, _) = Passing::new(|| {
        let refusal = "{\"error\":{\"message\":\"too hot\",\"type\":\"x\",\"param\":\"temperature\",\"code\":7}}";
        Ok(RawAnswer {
            retry_after: Some(Duration::from_millis(1_500)),
            ..raw(429, "application/json; charset=utf-8", refusal)
        })
    });
    let app = TestApp::with_model(model).await;
    let answer = chat(&app, "/openai/v1/chat/completions", "{}").await;
    let header = |name: &str| answer.headers.get(name).map(HeaderValue::as_bytes);
    assert_eq!(
        (answer.status.as_u16(), answer.text().as_str()),
        (429, refusal)
    );
    assert_eq!(
        header("content-type"),
        Some(&b"application/json; charset=utf-8"[..])
    );
    assert_eq!(header("retry-after"), Some(&b"2"[..]));
    assert!(header("x-request-id").is_some());
}

#[tokio::test]
async fn what_is_not_the_clients_business_is_said_in_our_own_words() {
    let down = "The model cannot be reached at the moment.";
    let page = |status, content_type: &'static str| -> Says {
        Box::new(move || Ok(raw(status, content_type, "SECRET")))
    };
    let fails = |error: fn() -> ModelError| -> Says { Box::new(move || Err(error())) };
    let said = || RefusalText {
        message: "too long".to_owned(),
        code: None,
    };
    let cases: [(Says, u16, &str); 8] = [
        (page(401, "application/json"), 502, down),
        (page(403, "application/json"), 502, down),
        (page(404, "text/html"), 502, down),
        (fails(|| ModelError::Down(None)), 502, down),
        (
            fails(|| ModelError::Unable),
            400,
            "Not supported by this server: chat completions by this model.",
        ),
        (
            fails(|| ModelError::Unknown),
            404,
            "The model 'echo' does not exist.",
        ),
        (
            Box::new(move || {
                let said = Some(said());
                Err(ModelError::Refused { status: 400, said })
            }),
            400,
            "too long",
        ),
        (
            fails(|| ModelError::Busy {
                retry_after: Some(Duration::from_secs(7)),
            }),
            429,
            "The model's server is at its limit. Please retry later.",
        ),
    ];
    for (says, status, message) in cases {
        let (model, _) = Passing::new(says);
        let app = TestApp::with_model(model).await;
        let answer = chat(&app, "/openai/v1/chat/completions", "{}").await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
        assert_eq!(answer.json()["error"]["message"], message);
        let waits = answer.headers.get("retry-after").is_some();
        assert_eq!(waits, status == 429, "{message}");
    }
}

/// Tells when it is dropped.
struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// One piece, and then nothing for ever. Tells when it is given up.
fn endless(told: &Arc<Notify>) -> RawAnswer {
    let dropped = Dropped(Arc::clone(told));
    let first = stream::iter([Ok(Bytes::from_static(b"data: 1\n\n"))]);
    let rest = stream::once(async move {
        std::future::pending::<()>().await;
        drop(dropped);
        Ok(Bytes::new())
    });
    RawAnswer {
        body: first.chain(rest).boxed(),
        ..raw(200, "text/event-stream", "")
    }
}

#[tokio::test]
async fn a_stream_is_handed_on_piece_by_piece_and_ends_with_its_reader() {
    let ended = Arc::new(Notify::new());
    let told = Arc::clone(&ended);
    let (model, _) = Passing::new(move || Ok(endless(&told)));
    let app = TestApp::with_model(model).await;
    let request = request(
        &app,
        "POST",
        "/openai/v1/chat/completions",
        "{\"stream\":true}",
    );
    let response = app.open(request).await;
    let mut body = response.into_body().into_data_stream();
    let first = body.next().await.expect("a piece").expect("no error");
    assert_eq!(first, "data: 1\n\n");
    drop(body);
    ended.notified().await;
}

#[tokio::test]
async fn apps_and_models_are_listed_by_their_names_and_nobody_elses() {
    let (model, _) = Passing::new(|| Ok(yes()));
    let app = TestApp::with_model(model).await;
    let answer = app
        .send(request(&app, "GET", "/openai/v1/models", ""))
        .await;
    let body = answer.json();
    assert_eq!(
        (&body["object"], answer.status),
        (&json!("list"), StatusCode::OK)
    );
    let ids: Vec<&str> = body["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|row| row["id"].as_str())
        .collect();
    assert_eq!(ids, ["default", "completion", "second", "alpha", "echo"]);
    for row in body["data"].as_array().expect("a list") {
        let id = row["id"].as_str().expect("a name");
        for path in ["/openai/v1/models", "/openai/models", "/v1/models"] {
            let one = app
                .send(request(&app, "GET", &format!("{path}/{id}"), ""))
                .await;
            assert_eq!(&one.json(), row);
        }
    }
    let app_row = json!({"id": "default", "object": "model", "created": 1_767_225_600, "owned_by": "project"});
    let model_row = json!({"id": "alpha", "object": "model", "created": 0, "owned_by": "system"});
    assert_eq!((&body["data"][0], &body["data"][3]), (&app_row, &model_row));
    let missing = app
        .send(request(&app, "GET", "/openai/v1/models/gpt%2Fnone", ""))
        .await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    let error = missing.json()["error"].clone();
    assert_eq!(error["message"], "The model 'gpt/none' does not exist.");
    assert_eq!(error["code"], "model_not_found");
}
