//! What no scenario can show of Dify's dialect: turns that are still running, or go wrong.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use parlance_domain::{
    Conversation, ConversationQuery, Cursor, Id, Order, Principal, Realm, Sort, User,
};
use serde_json::{Value, json};

use crate::app::{Answer, TestApp};
use crate::models::{Stumbling, waiting};

async fn call(app: &TestApp, key: &str, method: &str, path: &str, body: Value) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {}", app.key(key)))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()));
    app.send(request.unwrap()).await
}

/// Alice asks something.
async fn ask(app: &TestApp, response_mode: &str, conversation_id: &str) -> Answer {
    let body = json!({
        "query": "So?", "inputs": {}, "user": "alice", "response_mode": response_mode,
        "conversation_id": conversation_id,
    });
    call(app, "dify", "POST", "/dify/v1/chat-messages", body).await
}

async fn history(app: &TestApp, conversation: &Conversation) -> Value {
    let path = format!(
        "/dify/v1/messages?user=alice&conversation_id={}",
        conversation.id.dashed()
    );
    call(app, "dify", "GET", &path, json!({})).await.json()
}

/// Alice's only conversation, as soon as it is there and `is` so.
async fn conversation_that(app: &TestApp, is: impl Fn(&Conversation) -> bool) -> Conversation {
    let who = Principal {
        project: app.project.id,
        user: User::parse("alice").unwrap(),
        app: None,
        realm: Realm::Conversations,
    };
    let query = ConversationQuery {
        sort: Sort::Created,
        order: Order::OldestFirst,
        cursor: Cursor::default(),
        app: None,
        rows_max: 1,
    };
    loop {
        let page = app.service.conversations(&who, &query).await.unwrap();
        match page.rows.into_iter().next() {
            Some(conversation) if is(&conversation) => return conversation,
            _ => tokio::task::yield_now().await,
        }
    }
}

async fn running(app: &TestApp) -> Conversation {
    conversation_that(app, |conversation| conversation.running.is_some()).await
}

async fn settled(app: &TestApp) -> Conversation {
    conversation_that(app, |conversation| conversation.running.is_none()).await
}

async fn stop(app: &TestApp, key: &str, user: &str, conversation: &Conversation) {
    let task = conversation.running.unwrap().dashed();
    let path = format!("/dify/v1/chat-messages/{task}/stop");
    let answer = call(app, key, "POST", &path, json!({"user": user})).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json(), json!({"result": "success"}));
}

async fn delete(app: &TestApp, conversation: &Conversation) {
    let path = format!("/dify/v1/conversations/{}", conversation.id.dashed());
    let answer = call(app, "dify", "DELETE", &path, json!({"user": "alice"})).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(answer.body.is_empty());
}

/// The events of a stream, pings included.
fn events(answer: &Answer) -> Vec<Value> {
    let text = answer.text();
    let frames = text.strip_suffix("\n\n").unwrap().split("\n\n");
    let read = |frame: &str| match frame.strip_prefix("data: ") {
        Some(json) => serde_json::from_str(json).unwrap(),
        None => json!({"event": frame.strip_prefix("event: ").unwrap()}),
    };
    frames.map(read).collect()
}

fn names(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_second_question_has_to_wait_until_the_first_is_answered() {
    let (app, go_on) = waiting().await;
    let (first, second) = tokio::join!(ask(&app, "blocking", ""), async {
        let id = running(&app).await.id.dashed();
        let second = ask(&app, "streaming", &id).await;
        go_on.notify_one();
        second
    });
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(first.json()["answer"], "Well, well.");
    assert_eq!(second.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(second.headers["retry-after"], "1");
    assert_eq!(second.json()["code"], "too_many_requests");
}

#[tokio::test]
async fn only_its_owner_stops_a_task() {
    let (app, go_on) = waiting().await;
    let (stream, ()) = tokio::join!(ask(&app, "streaming", ""), async {
        let conversation = running(&app).await;
        stop(&app, "dify", "bob", &conversation).await;
        stop(&app, "dify", "DEFAULT-USER", &conversation).await;
        stop(&app, "dify.second", "alice", &conversation).await;
        stop(&app, "dify.stranger", "alice", &conversation).await;
        go_on.notify_one();
    });
    let finished = &events(&stream).pop().unwrap()["data"];
    assert_eq!(finished["status"], "succeeded");
    assert_eq!(finished["outputs"]["answer"], "Well, well.");
}

#[tokio::test]
async fn a_stopped_stream_ends_its_message_and_keeps_what_was_said() {
    let (app, _) = waiting().await;
    let (stream, ()) = tokio::join!(ask(&app, "streaming", ""), async {
        let conversation = running(&app).await;
        stop(&app, "dify", "alice", &conversation).await;
    });
    let events = events(&stream);
    let [.., message_end, finished] = events.as_slice() else {
        panic!("too few events");
    };
    assert_eq!(message_end["event"], "message_end");
    assert_eq!(finished["event"], "workflow_finished");
    assert_eq!(finished["data"]["status"], "stopped");
    let history = history(&app, &settled(&app).await).await;
    assert_eq!(history["data"][0]["answer"], "Well, well");
    assert_eq!(history["data"][0]["status"], "normal");
}

#[tokio::test]
async fn a_stopped_blocking_answer_is_what_was_said() {
    let (app, _) = waiting().await;
    let (answer, ()) = tokio::join!(ask(&app, "blocking", ""), async {
        let conversation = running(&app).await;
        stop(&app, "dify", "alice", &conversation).await;
    });
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["answer"], "Well, well");
}

#[tokio::test]
async fn deleting_a_conversation_ends_its_stream_with_an_error() {
    let (app, _) = waiting().await;
    let (stream, conversation) = tokio::join!(ask(&app, "streaming", ""), async {
        let conversation = running(&app).await;
        delete(&app, &conversation).await;
        conversation
    });
    let last = events(&stream).pop().unwrap();
    assert_eq!(last["event"], "error");
    assert_eq!(last["status"], 404);
    assert_eq!(last["code"], "not_found");
    let history = history(&app, &conversation).await;
    assert_eq!(history["message"], "Conversation Not Exists.");
}

#[tokio::test]
async fn deleting_a_conversation_ends_its_blocking_answer() {
    let (app, _) = waiting().await;
    let (answer, ()) = tokio::join!(ask(&app, "blocking", ""), async {
        delete(&app, &running(&app).await).await;
    });
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.json()["message"], "Conversation Not Exists.");
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_kept_alive_every_ten_seconds() {
    let (app, go_on) = waiting().await;
    let (stream, ()) = tokio::join!(ask(&app, "streaming", ""), async {
        tokio::time::sleep(Duration::from_secs(25)).await;
        go_on.notify_one();
    });
    let events = events(&stream);
    let pings = names(&events)
        .iter()
        .filter(|name| **name == "ping")
        .count();
    assert_eq!(pings, 3, "one at first, two in 25 seconds");
    assert_eq!(names(&events)[7..10], ["ping", "ping", "message"]);
}

#[tokio::test]
async fn a_question_is_answered_though_nobody_listens_any_more() {
    let (app, go_on) = waiting().await;
    tokio::select! {
        _ = ask(&app, "streaming", "") => panic!("it cannot be over"),
        _ = running(&app) => {}
    }
    go_on.notify_one();
    let history = history(&app, &settled(&app).await).await;
    assert_eq!(history["data"][0]["answer"], "Well, well.");
}

#[tokio::test]
async fn a_model_that_breaks_off_fails_the_run() {
    let app = TestApp::with_model(Arc::new(Stumbling::Breaks)).await;
    let stream = ask(&app, "streaming", "").await;
    assert_eq!(stream.status, StatusCode::OK);
    let events = events(&stream);
    let ending = ["node_finished", "workflow_finished", "error"];
    assert_eq!(names(&events)[7..], ending);
    let said = "Run failed: [echo] Connection Error";
    assert_eq!(events[9]["message"], said);

    let conversation = settled(&app).await;
    let blocking = ask(&app, "blocking", &conversation.id.dashed()).await;
    assert_eq!(blocking.status, StatusCode::BAD_REQUEST);
    let body = json!({"code": "invalid_param", "message": said, "status": 400});
    assert_eq!(blocking.json(), body);

    let history = history(&app, &conversation).await;
    for message in history["data"].as_array().unwrap() {
        assert_eq!(message["answer"], "Well, well");
        assert_eq!(message["status"], "error");
        assert_eq!(message["error"], "[echo] Connection Error");
    }
    assert_eq!(history["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_workflow_that_streams_name_is_accepted() {
    let app = TestApp::new().await;
    let body = json!({
        "query": "So?", "inputs": {}, "user": "alice", "workflow_id": app.app.id.dashed(),
    });
    let answer = call(&app, "dify", "POST", "/v1/chat-messages", body).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_in_the_envelope() {
    let app = TestApp::new().await;
    let body = json!({"query": "x".repeat(17 << 20), "inputs": {}, "user": "alice"});
    let answer = call(&app, "dify", "POST", "/v1/chat-messages", body).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.json()["code"], "request_entity_too_large");
}
