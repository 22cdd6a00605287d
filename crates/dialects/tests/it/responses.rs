//! Responses as a client of OpenAI's or Azure's has them: asked, followed, stopped, continued and forgotten.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request};
use parlance_domain::upstream::{ModelMessage, ModelPart, ToolChoice};
use parlance_domain::{Order, Principal, Role, TurnQuery, User};
use serde_json::{Value, json};

use crate::app::{Answer, TestApp};
use crate::script::Directed;

const RECEIPT: &str = "parlance-erasure-receipt";

/// The events of an answer that thinks, speaks, refuses and calls a function.
const EVENTS: [&str; 26] = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.reasoning_text.delta",
    "response.reasoning_text.delta",
    "response.reasoning_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.content_part.added",
    "response.refusal.delta",
    "response.refusal.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.output_item.added",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.output_item.done",
    "response.completed",
];

struct Stage {
    app: TestApp,
    model: Directed,
}

impl Stage {
    async fn new() -> Self {
        let model = Directed::default();
        let app = TestApp::with_model(Arc::new(model.clone())).await;
        Self { app, model }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        key: &str,
        body: Option<&Value>,
    ) -> Request<Body> {
        let (key, user) = key.split_once('+').unwrap_or((key, ""));
        let request = Request::builder()
            .method(method)
            .uri(format!("/openai/v1{path}"))
            .header("authorization", format!("Bearer {}", self.app.key(key)))
            .header("x-ms-user-isolation-key", user);
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        request.body(body).unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.request(Method::POST, path, "openai", Some(body));
        self.app.send(request).await
    }

    async fn get(&self, path: &str) -> Answer {
        let request = self.request(Method::GET, path, "openai", None);
        self.app.send(request).await
    }

    async fn delete(&self, path: &str, key: &str) -> Answer {
        let request = self.request(Method::DELETE, path, key, None);
        self.app.send(request).await
    }

    /// A response that is there.
    async fn create(&self, body: &Value) -> Value {
        let answer = self.post("/responses", body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// The message of an error with its status.
    async fn refused(&self, body: &Value) -> (u16, String) {
        let answer = self.post("/responses", body).await;
        let message = answer.json()["error"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (answer.status.as_u16(), message)
    }

    async fn conversation(&self) -> String {
        let made = self.post("/conversations", &json!({})).await;
        id(&made.json())
    }

    /// What the model was last told, as texts with who said them.
    fn told(&self) -> Vec<(&'static str, String)> {
        let asked = self.model.last_asked();
        let text = |parts: &[ModelPart]| {
            let texts = parts.iter().map(|part| match part {
                ModelPart::Text(text) => text.clone(),
                ModelPart::Image { url, .. } => format!("<image {url}>"),
                ModelPart::File { .. } => "<file>".to_owned(),
                ModelPart::Audio { .. } => "<audio>".to_owned(),
            });
            texts.collect::<String>()
        };
        let message = |message: &ModelMessage| match message {
            ModelMessage::Said { role, parts } => (role.name(), text(parts)),
            ModelMessage::Called(call) => ("call", format!("{}({})", call.name, call.arguments)),
            ModelMessage::ToolOutput { parts, .. } => ("output", text(parts)),
        };
        asked.messages.iter().map(message).collect()
    }

    /// An answer that is read as it comes.
    async fn open(&self, method: Method, path: &str, body: Option<&Value>) -> Reading {
        let request = self.request(method, path, "openai", body);
        let response = self.app.open(request).await;
        assert_eq!(response.status(), 200);
        Reading::new(response)
    }
}

/// A stream of events that is read bit by bit.
struct Reading {
    body: axum::body::BodyDataStream,
    read: String,
}

impl Reading {
    fn new(response: Response) -> Self {
        Self {
            body: response.into_body().into_data_stream(),
            read: String::new(),
        }
    }

    async fn more(&mut self) -> bool {
        let Some(frames) = self.body.next().await else {
            return false;
        };
        let frames: Bytes = frames.unwrap();
        self.read.push_str(std::str::from_utf8(&frames).unwrap());
        true
    }

    /// Reads until an event of this name has come.
    async fn until(&mut self, event: &str) {
        while !self.read.contains(&format!("event: {event}\n")) {
            assert!(self.more().await, "{event} never came: {}", self.read);
        }
    }

    async fn all(mut self) -> String {
        while self.more().await {}
        self.read
    }
}

fn id(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

fn script(steps: &Value) -> String {
    format!("script: {steps}")
}

fn text(response: &Value) -> &str {
    response
        .pointer("/output/0/content/0/text")
        .and_then(Value::as_str)
        .unwrap()
}

fn events(stream: &str) -> Vec<Value> {
    let data = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

fn names(stream: &str) -> Vec<String> {
    let name = |event: Value| event["type"].as_str().unwrap().to_owned();
    events(stream).into_iter().map(name).collect()
}

#[tokio::test]
async fn a_stream_is_read_again_in_the_same_bytes_and_from_any_event() {
    let stage = Stage::new().await;
    let steps = json!([
        {"reasoning": "hm"}, {"reasoning": ", well"}, {"text": "Hel"}, {"text": "lo"},
        {"refusal": "No"}, {"call": ["call_1", "f"]}, {"arguments": "{\"a\""}, {"arguments": ":1}"},
        {"usage": [3, 1, 4, 2]},
    ]);
    // In a conversation, and alone.
    let conversation = stage.conversation().await;
    let body = json!({"input": script(&steps), "stream": true, "conversation": conversation});
    let live = stage.post("/responses", &body).await.text();
    let path = id(&events(&live)[0]["response"]);
    let again = stage.get(&format!("/responses/{path}?stream=true")).await;
    assert_eq!(again.text(), live);
    let body = json!({"input": script(&steps), "stream": true});
    let live = stage.post("/responses", &body).await;
    assert_eq!(
        live.headers["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let live = live.text();
    assert_eq!(names(&live), EVENTS);
    let all = events(&live);
    let response = id(&all[0]["response"]);
    let done = all
        .iter()
        .find(|event| event["type"] == "response.function_call_arguments.done");
    let done = done.unwrap();
    assert_eq!(
        (&done["name"], &done["arguments"]),
        (&json!("f"), &json!("{\"a\":1}"))
    );
    assert_eq!(
        all.last().unwrap()["response"]["usage"]["output_tokens_details"]["reasoning_tokens"],
        2
    );

    let again = stage
        .get(&format!("/responses/{response}?stream=true"))
        .await
        .text();
    assert_eq!(again, live);
    for after in [0, 7, 25] {
        let rest = stage
            .get(&format!(
                "/responses/{response}?stream=true&starting_after={after}"
            ))
            .await;
        let expected: String = live.split_inclusive("\n\n").skip(after + 1).collect();
        assert_eq!(rest.text(), expected);
    }
    let plain = stage
        .get(&format!(
            "/responses/{response}?stream=true&include_obfuscation=false"
        ))
        .await;
    assert!(live.contains("obfuscation") && !plain.text().contains("obfuscation"));
    // What is retrieved is what the last event held, but for who pays.
    let mut retrieved = stage.get(&format!("/responses/{response}")).await.json();
    assert_eq!(retrieved["billing"], json!({"payer": "developer"}));
    retrieved.as_object_mut().unwrap().shift_remove("billing");
    assert_eq!(retrieved, all.last().unwrap()["response"]);
}

#[tokio::test]
async fn a_background_response_is_polled_followed_and_resumed() {
    let stage = Stage::new().await;
    let steps = json!([{"text": "a"}, {"gate": "one"}, {"text": "b"}]);
    let body = json!({"input": script(&steps), "background": true});
    let queued = stage.create(&body).await;
    assert_eq!(
        (&queued["status"], &queued["background"]),
        (&json!("queued"), &json!(true))
    );
    let path = format!("/responses/{}", id(&queued));
    let running = stage.get(&path).await.json();
    assert_eq!(
        (&running["status"], &running["output"]),
        (&json!("in_progress"), &json!([]))
    );
    assert_eq!(running["completed_at"], Value::Null);
    let input = stage.get(&format!("{path}/input_items")).await.json();
    assert_eq!(input["data"].as_array().unwrap().len(), 1, "{input}");

    let mut first = stage
        .open(Method::GET, &format!("{path}?stream=true"), None)
        .await;
    first.until("response.output_text.delta").await;
    // Created, queued, in progress, item, part: whoever has had these gets the piece.
    let resumed = stage
        .open(
            Method::GET,
            &format!("{path}?stream=true&starting_after=4"),
            None,
        )
        .await;
    stage.model.open("one");
    let (first, resumed) = (first.all().await, resumed.all().await);
    assert_eq!(
        names(&first)[..3],
        [
            "response.created",
            "response.queued",
            "response.in_progress"
        ]
    );
    let rest: String = first.split_inclusive("\n\n").skip(5).collect();
    assert_eq!(resumed, rest);
    assert_eq!(
        stage.get(&format!("{path}?stream=true")).await.text(),
        first
    );
    let done = stage.get(&path).await.json();
    assert_eq!((&done["status"], text(&done)), (&json!("completed"), "ab"));
    assert!(done["completed_at"].is_i64());
}

#[tokio::test]
async fn only_background_responses_are_cancelled_and_more_than_once() {
    let stage = Stage::new().await;
    let steps = json!([{"text": "a"}, {"gate": "never"}]);
    let body = json!({"input": script(&steps), "background": true, "stream": true});
    let mut stream = stage.open(Method::POST, "/responses", Some(&body)).await;
    stream.until("response.output_text.delta").await;
    let response = id(&events(&stream.read)[0]["response"]);
    let path = format!("/responses/{response}/cancel");
    let cancelled = stage.post(&path, &json!({})).await.json();
    assert_eq!(
        (&cancelled["status"], &cancelled["error"]),
        (&json!("cancelled"), &Value::Null)
    );
    assert_eq!(cancelled["output"][0]["status"], "incomplete");
    assert_eq!(stage.post(&path, &json!({})).await.json(), cancelled);
    let told = stream.all().await;
    let last = events(&told).pop().unwrap();
    assert_eq!(
        (&last["type"], &last["response"]["status"]),
        (&json!("response.failed"), &json!("cancelled"))
    );

    let other = stage.create(&json!({"input": "x"})).await;
    let refused = stage
        .post(&format!("/responses/{}/cancel", id(&other)), &json!({}))
        .await;
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.json()["error"]["message"],
        "Cannot cancel a synchronous response."
    );
}

#[tokio::test]
async fn a_response_that_stands_alone_is_erased_with_a_receipt_for_its_principal_alone() {
    let stage = Stage::new().await;
    let made = stage.create(&json!({"input": "canary"})).await;
    let path = format!("/responses/{}", id(&made));
    for key in ["openai+bob", "openai.alice", "openai.stranger"] {
        let foreign = stage.delete(&path, key).await;
        assert_eq!(foreign.status, 404, "{key}");
        assert!(!foreign.headers.contains_key(RECEIPT));
    }
    let deleted = stage.delete(&path, "openai").await;
    assert_eq!(
        deleted.json(),
        json!({"id": id(&made), "object": "response", "deleted": true})
    );
    let receipt = deleted.headers[RECEIPT].clone();
    let again = stage.delete(&path, "openai").await;
    assert_eq!(
        (again.status.as_u16(), &again.headers[RECEIPT]),
        (404, &receipt)
    );
    assert_eq!(
        again.json()["error"]["message"],
        format!("Response with id '{}' not found.", id(&made))
    );
    assert!(
        !stage
            .delete(&path, "openai+bob")
            .await
            .headers
            .contains_key(RECEIPT)
    );
    for path in [
        path.clone(),
        format!("{path}/input_items"),
        format!("{path}?stream=true"),
    ] {
        assert_eq!(stage.get(&path).await.status, 404, "{path}");
    }
    let body = json!({"input": "x", "previous_response_id": id(&made)});
    let message = format!("Previous response with id '{}' not found.", id(&made));
    assert_eq!(stage.refused(&body).await, (400, message));
}

#[tokio::test]
async fn items_enter_a_conversation_together_stay_when_the_response_goes_and_take_it_with_them() {
    let stage = Stage::new().await;
    let conversation = stage.conversation().await;
    let items = format!("/conversations/{conversation}/items?order=asc");
    let steps = json!([{"gate": "one"}, {"text": "done"}]);
    let body = json!({"input": script(&steps), "conversation": conversation, "background": true});
    let first = stage.create(&body).await;
    assert_eq!(first["conversation"], json!({"id": conversation}));
    assert_eq!(stage.get(&items).await.json()["data"], json!([]));
    let locked = stage
        .post(
            "/responses",
            &json!({"input": "x", "conversation": {"id": conversation}}),
        )
        .await;
    assert_eq!(locked.json()["error"]["code"], "conversation_locked");
    stage.model.open("one");
    stage
        .get(&format!("/responses/{}?stream=true", id(&first)))
        .await;
    let listed = stage.get(&items).await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 2, "{listed}");
    assert_eq!(
        listed["data"][1],
        stage
            .get(&format!("/responses/{}", id(&first)))
            .await
            .json()["output"][0]
    );

    let second = stage
        .create(&json!({"input": "go on", "conversation": conversation}))
        .await;
    assert_eq!(stage.told().len(), 3);
    let deleted = stage
        .delete(&format!("/responses/{}", id(&first)), "openai")
        .await;
    assert_eq!(deleted.status, 200);
    assert!(!deleted.headers.contains_key(RECEIPT));
    assert_eq!(
        stage.get(&items).await.json()["data"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
    stage
        .delete(&format!("/conversations/{conversation}"), "openai")
        .await;
    assert_eq!(
        stage
            .get(&format!("/responses/{}", id(&second)))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn a_response_goes_on_from_another_without_its_instructions() {
    let stage = Stage::new().await;
    let body = json!({"input": "one", "instructions": "be brief", "metadata": {"a": "b"}});
    let first = stage.create(&body).await;
    assert_eq!(
        (&first["instructions"], &first["metadata"]),
        (&json!("be brief"), &json!({"a": "b"}))
    );
    assert_eq!(
        stage.model.last_asked().instructions.as_deref(),
        Some("be brief")
    );
    let second = stage
        .create(&json!({"input": "two", "previous_response_id": id(&first)}))
        .await;
    assert_eq!(second["previous_response_id"], first["id"]);
    assert_eq!(stage.model.last_asked().instructions, None);
    let body = json!({"input": "three", "previous_response_id": id(&second), "store": false});
    let third = stage.create(&body).await;
    let told: Vec<_> = stage.told().into_iter().map(|(who, _)| who).collect();
    assert_eq!(told, ["user", "assistant", "user", "assistant", "user"]);
    assert_eq!(
        (&third["store"], &third["previous_response_id"]),
        (&json!(false), &second["id"])
    );
    assert_eq!(
        stage
            .get(&format!("/responses/{}", id(&third)))
            .await
            .status,
        404
    );
    // What it went on from is not needed for it to be read.
    stage
        .delete(&format!("/responses/{}", id(&first)), "openai")
        .await;
    assert_eq!(
        stage
            .get(&format!("/responses/{}", id(&second)))
            .await
            .json(),
        second
    );
}

#[tokio::test]
async fn what_is_not_to_be_stored_is_nowhere() {
    let stage = Stage::new().await;
    let conversation = stage.conversation().await;
    stage.create(&json!({"input": "x", "store": false})).await;
    let body = json!({"input": "x", "store": false, "conversation": conversation, "stream": true});
    let stream = stage.post("/responses", &body).await.text();
    assert!(stream.contains("event: response.completed"));
    assert!(stream.contains(&conversation));
    let who = Principal {
        project: stage.app.project.id,
        user: User::parse("").unwrap(),
        app: None,
        realm: parlance_domain::Realm::Conversations,
    };
    let query = TurnQuery {
        order: Order::OldestFirst,
        cursor: parlance_domain::Cursor::default(),
        conversation: None,
        app: None,
        rows_max: 10,
    };
    assert!(
        stage
            .app
            .store
            .turn_page(&who, &query)
            .await
            .unwrap()
            .rows
            .is_empty()
    );
    let items = stage
        .get(&format!("/conversations/{conversation}/items"))
        .await
        .json();
    assert_eq!(items["data"], json!([]));
}

#[tokio::test]
async fn a_tool_is_called_answered_and_not_forgotten() {
    let stage = Stage::new().await;
    let parameters = json!({"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "string"}}, "required": ["a"]});
    let tool =
        json!({"type": "function", "name": "f", "description": "d", "parameters": parameters});
    let steps = json!([{"call": ["call_1", "f"]}, {"arguments": "{\"a\":1}"}]);
    let body = json!({"input": script(&steps), "tools": [tool], "tool_choice": "required"});
    let first = stage.create(&body).await;
    assert_eq!(first["output"][0]["call_id"], "call_1");
    assert_eq!(first["tools"][0]["strict"], true);
    assert_eq!(
        first["tools"][0]["parameters"]["required"],
        json!(["a", "b"])
    );
    let asked = stage.model.last_asked().options;
    assert_eq!(asked.tool_choice, Some(ToolChoice::Required));
    assert_eq!(
        (asked.tools[0].name.as_str(), asked.tools[0].strict),
        ("f", Some(true))
    );

    let body = json!({"input": "well?", "previous_response_id": id(&first)});
    let message = "No tool output found for function call call_1.".to_owned();
    assert_eq!(stage.refused(&body).await, (400, message));
    let output = json!([{"type": "function_call_output", "call_id": "call_1", "output": "42"}]);
    let body = json!({"input": output, "previous_response_id": id(&first)});
    let second = stage.create(&body).await;
    assert_eq!(second["status"], "completed");
    let told = stage.told();
    assert_eq!(
        told[1..],
        [
            ("call", "f({\"a\":1})".to_owned()),
            ("output", "42".to_owned())
        ]
    );
    let input = stage
        .get(&format!("/responses/{}/input_items", id(&second)))
        .await
        .json();
    assert_eq!(input["data"][0]["type"], "function_call_output");
}

#[tokio::test]
async fn a_failed_response_is_an_error_when_waited_for_and_is_kept() {
    let stage = Stage::new().await;
    for (step, status, code) in [
        (json!({"busy": 7}), 429, json!("rate_limit_exceeded")),
        (json!({"refuse": "too hot"}), 400, Value::Null),
        (json!("down"), 502, Value::Null),
    ] {
        let steps = script(&json!([{"text": "a"}, step]));
        let answer = stage.post("/responses", &json!({"input": steps})).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["error"]["code"]),
            (status, &code)
        );
        let wait = answer
            .headers
            .get("retry-after")
            .map(|wait| wait.to_str().unwrap());
        assert_eq!(wait, (status == 429).then_some("7"));
        if status == 400 {
            assert_eq!(answer.json()["error"]["message"], "too hot");
        }
        let body = json!({"input": steps, "stream": true});
        let stream = stage.post("/responses", &body).await.text();
        let last = events(&stream).pop().unwrap();
        assert_eq!(
            (&last["type"], &last["response"]["status"]),
            (&json!("response.failed"), &json!("failed"))
        );
        assert!(last["response"]["error"]["message"].is_string());
        let path = format!("/responses/{}?stream=true", id(&last["response"]));
        assert_eq!(stage.get(&path).await.text(), stream);
    }
}

#[tokio::test]
async fn a_response_that_is_deleted_while_it_runs_ends_as_not_there() {
    let stage = Stage::new().await;
    let steps = script(&json!([{"text": "secret"}, {"gate": "never"}]));
    let mut stream = stage
        .open(
            Method::POST,
            "/responses",
            Some(&json!({"input": steps, "stream": true})),
        )
        .await;
    stream.until("response.output_text.delta").await;
    let response = id(&events(&stream.read)[0]["response"]);
    let deleted = stage
        .delete(&format!("/responses/{response}"), "openai")
        .await;
    assert_eq!(deleted.status, 200);
    let told = stream.all().await;
    let last = events(&told).pop().unwrap();
    assert_eq!(
        (&last["type"], &last["code"]),
        (&json!("error"), &json!("response_not_found"))
    );
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_stop_its_response() {
    let stage = Stage::new().await;
    let steps = script(&json!([{"text": "a"}, {"gate": "one"}, {"text": "b"}]));
    let mut stream = stage
        .open(
            Method::POST,
            "/responses",
            Some(&json!({"input": steps, "stream": true})),
        )
        .await;
    stream.until("response.output_text.delta").await;
    let path = format!("/responses/{}", id(&events(&stream.read)[0]["response"]));
    drop(stream);
    let followed = stage
        .open(Method::GET, &format!("{path}?stream=true"), None)
        .await;
    stage.model.open("one");
    assert!(followed.all().await.contains("event: response.completed"));
    assert_eq!(text(&stage.get(&path).await.json()), "ab");
}

#[tokio::test]
async fn references_name_items_of_the_conversation_or_of_the_responses_before() {
    let stage = Stage::new().await;
    let first = stage.create(&json!({"input": "one"})).await;
    let said = id(&first["output"][0]);
    let second = stage
        .create(&json!({"input": "two", "previous_response_id": id(&first)}))
        .await;
    let reference =
        json!([{"type": "item_reference", "id": said}, {"role": "user", "content": "x"}]);
    let body = json!({"input": reference, "previous_response_id": id(&second)});
    stage.create(&body).await;
    assert_eq!(
        stage
            .told()
            .iter()
            .filter(|(_, text)| text.ends_with("said: one"))
            .count(),
        2
    );
    // Whoever keeps no chain names what was said all the same.
    stage.create(&json!({"input": reference})).await;
    let read = stage.told();
    assert!(read.iter().any(|(_, text)| text.ends_with("said: one")));
    assert_eq!(read.len(), 2);
    let path = format!("/responses/{}", id(&first));
    assert_eq!(stage.delete(&path, "openai").await.status, 200);
    let (status, message) = stage.refused(&json!({"input": reference})).await;
    assert_eq!(status, 404);
    assert!(
        message.starts_with(&format!("Item with id '{said}' not found.")),
        "{message}"
    );

    let conversation = stage.conversation().await;
    let own = json!([{"id": "msg_own", "role": "user", "content": "mine"}]);
    stage
        .create(&json!({"input": own, "conversation": conversation}))
        .await;
    let body = json!({"input": [{"id": "msg_own"}], "conversation": conversation});
    assert_eq!(stage.create(&body).await["status"], "completed");
    let (status, message) = stage
        .refused(&json!({"input": own, "conversation": conversation}))
        .await;
    assert_eq!(
        (status, message.starts_with("Duplicate item found")),
        (400, true)
    );
}

#[tokio::test]
async fn a_summary_stands_for_what_was_said() {
    let stage = Stage::new().await;
    let first = stage.create(&json!({"input": "my name is Ann"})).await;
    let body =
        json!({"model": "echo", "previous_response_id": id(&first), "instructions": "in French"});
    let compacted = stage.post("/responses/compact", &body).await;
    assert_eq!(compacted.status, 200, "{}", compacted.text());
    let compacted = compacted.json();
    assert_eq!(compacted["object"], "response.compaction");
    assert!(
        stage
            .model
            .last_asked()
            .instructions
            .unwrap()
            .ends_with("in French")
    );
    assert_eq!(stage.told().len(), 3);
    let item = &compacted["output"][0];
    assert_eq!(item["type"], "compaction");
    assert!(id(item).starts_with("cmp_"));
    assert!(compacted["usage"]["input_tokens"].is_u64());

    let body = json!({"input": [item, {"role": "user", "content": "who am I?"}]});
    stage.create(&body).await;
    let told = stage.told();
    assert_eq!(told[0].0, Role::Developer.name());
    assert!(
        told[0].1.contains("Sum up the conversation so far."),
        "{told:?}"
    );
}

#[tokio::test]
async fn tokens_are_counted_with_all_that_comes_before() {
    let stage = Stage::new().await;
    let first = stage
        .create(&json!({"input": "a question of some length"}))
        .await;
    let count = async |body: Value| {
        let answer = stage.post("/responses/input_tokens", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["object"], "response.input_tokens");
        answer.json()["input_tokens"].as_u64().unwrap()
    };
    let alone = count(json!({"input": "x"})).await;
    let tool = json!({"type": "function", "name": "f", "description": "does a thing"});
    assert!(count(json!({"input": "x", "tools": [tool]})).await > alone);
    assert!(count(json!({"input": "x", "instructions": "be brief"})).await > alone);
    assert!(count(json!({"input": "x", "previous_response_id": id(&first)})).await > alone);
}

#[tokio::test]
async fn responses_are_listed_as_foundry_lists_them() {
    let stage = Stage::new().await;
    let conversation = stage.conversation().await;
    let mut all = Vec::new();
    for at in 0..4 {
        let mut body = json!({"input": format!("q{at}")});
        if at % 2 == 0 {
            body["conversation"] = conversation.as_str().into();
        }
        all.push(stage.create(&body).await);
    }
    let newest: Vec<Value> = all.iter().rev().cloned().collect();
    let listed = stage.get("/responses").await.json();
    assert_eq!(listed["data"], json!(newest));
    assert_eq!(
        (&listed["first_id"], &listed["last_id"]),
        (&all[3]["id"], &all[0]["id"])
    );
    assert_eq!(
        (&listed["has_more"], listed.get("object")),
        (&json!(false), None)
    );
    let page = stage
        .get(&format!(
            "/responses?limit=1&order=asc&after={}",
            id(&all[0])
        ))
        .await
        .json();
    assert_eq!(
        (&page["data"], &page["has_more"]),
        (&json!([all[1]]), &json!(true))
    );
    let page = stage
        .get(&format!("/responses?order=asc&before={}", id(&all[2])))
        .await
        .json();
    assert_eq!(page["data"], json!([all[0], all[1]]));
    let page = stage
        .get(&format!("/responses?conversation_id={conversation}"))
        .await
        .json();
    assert_eq!(page["data"], json!([all[2], all[0]]));
    let page = stage.get("/responses?agent_name=second").await.json();
    assert_eq!(page["data"], json!([]));
    let missing = stage
        .get(&format!(
            "/responses?conversation_id=conv_{}",
            "0".repeat(32)
        ))
        .await;
    assert_eq!(missing.status, 404);
    let foreign = stage.request(Method::GET, "/responses", "openai+bob", None);
    assert_eq!(stage.app.send(foreign).await.json()["data"], json!([]));
}

#[tokio::test]
async fn a_model_is_an_app_a_configured_model_or_the_keys_own() {
    let stage = Stage::new().await;
    let agent = json!({"type": "agent_reference", "name": "second"});
    for (body, app) in [
        (json!({"input": "x", "model": "second"}), "second"),
        (json!({"input": "x", "model": "gpt-4o-mini"}), "default"),
        (
            json!({"input": "x", "agent_reference": agent, "model": "gpt-4o-mini"}),
            "second",
        ),
    ] {
        let made = stage.create(&body).await;
        assert_eq!(made["model"], "echo");
        let listed = stage
            .get(&format!("/responses?agent_name={app}&limit=1"))
            .await
            .json();
        assert_eq!(listed["data"][0]["id"], made["id"], "{body}");
    }
}

#[tokio::test]
async fn images_and_files_reach_the_model() {
    let stage = Stage::new().await;
    let content = json!([
        {"type": "input_text", "text": "look: "},
        {"type": "input_image", "image_url": "https://example.org/a.png"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
    ]);
    stage
        .create(&json!({"input": [{"role": "user", "content": content}]}))
        .await;
    let expected = "look: <image https://example.org/a.png><file>".to_owned();
    assert_eq!(stage.told(), [("user", expected)]);
}

#[tokio::test]
async fn what_another_dialect_asked_is_a_response_too() {
    let stage = Stage::new().await;
    let body = json!({"query": "hi", "inputs": {}, "user": "ann"});
    let request = Request::post("/dify/v1/chat-messages")
        .header("authorization", format!("Bearer {}", stage.app.key("dify")))
        .header("content-type", "application/json");
    let asked = stage
        .app
        .send(request.body(Body::from(body.to_string())).unwrap())
        .await;
    assert_eq!(asked.status, 200, "{}", asked.text());
    let list = stage.request(Method::GET, "/responses", "openai+ann", None);
    let listed = stage.app.send(list).await.json();
    let response = &listed["data"][0];
    assert_eq!(
        (&response["status"], &response["tool_choice"]),
        (&json!("completed"), &json!("auto"))
    );
    assert!(text(response).ends_with("hi"));
    let path = format!("/responses/{}?stream=true", id(response));
    let told = stage
        .app
        .send(stage.request(Method::GET, &path, "openai+ann", None))
        .await
        .text();
    assert!(told.contains("event: response.completed"));
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_comments_that_no_client_reads() {
    let stage = Stage::new().await;
    let steps = script(&json!([{"text": "a"}, {"gate": "one"}, {"text": "b"}]));
    let body = json!({"input": steps, "stream": true});
    let mut stream = stage.open(Method::POST, "/responses", Some(&body)).await;
    while !stream.read.contains(": keep-alive\n\n") {
        assert!(stream.more().await);
    }
    stage.model.open("one");
    let told = stream.all().await.replace(": keep-alive\n\n", "");
    let path = format!(
        "/responses/{}?stream=true",
        id(&events(&told)[0]["response"])
    );
    assert_eq!(stage.get(&path).await.text(), told);
}

#[tokio::test]
async fn references_do_not_make_of_a_small_body_more_than_a_large_one() {
    let stage = Stage::new().await;
    let first = stage.create(&json!({"input": "x".repeat(6 << 20)})).await;
    let path = format!("/responses/{}/input_items", id(&first));
    let asked = id(&stage.get(&path).await.json()["data"][0]);
    let body = |count: usize, previous: Option<&Value>| {
        let reference = json!({"type": "item_reference", "id": asked});
        json!({"input": vec![reference; count], "previous_response_id": previous, "truncation": "auto"})
    };
    for previous in [Some(&first["id"]), None] {
        let twice = stage.create(&body(2, previous)).await;
        assert_eq!(twice["status"], "completed");
        let (status, message) = stage.refused(&body(3, previous)).await;
        assert_eq!(status, 413, "{message}");
    }
}
