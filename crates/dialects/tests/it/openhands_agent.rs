//! What OpenHands's agent answers, and when.

use std::sync::Arc;

use axum::body::Body;
use http::{Request, StatusCode};
use parlance_domain::{ConversationRef, Id, Ref};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::app::{Answer, TestApp};
use crate::models::{Patient, Scripted, Stumbling, Telling, waiting};

const ALL: &str = "/openhands/api/conversations";

async fn call(app: &TestApp, method: &str, path: &str, body: &Value) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("x-session-api-key", app.key("openhands.alice"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()));
    app.send(request.unwrap()).await
}

async fn create(app: &TestApp, body: &Value) -> String {
    let made = call(app, "POST", ALL, body).await.json();
    made["conversation_id"].as_str().unwrap().to_owned()
}

async fn say(app: &TestApp, id: &str, text: &str) -> Answer {
    let event = json!({"action": "message", "args": {"content": text}});
    call(app, "POST", &format!("{ALL}/{id}/events"), &event).await
}

/// The events after the first ones of every conversation, each as what tells it apart.
async fn told(app: &TestApp, id: &str) -> Vec<String> {
    let path = format!("{ALL}/{id}/events?limit=100&start_id=2");
    let request = Request::builder()
        .uri(path)
        .header("x-session-api-key", app.key("openhands.alice"))
        .body(Body::empty());
    let events = app.send(request.unwrap()).await.json();
    let name = |event: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match (event["action"].as_str(), event["observation"].as_str()) {
            (Some("message"), _) => {
                format!("{}: {}", text(&event["source"]), text(&event["message"]))
            }
            (Some(_), _) => format!("to {}", text(&event["args"]["agent_state"])),
            _ => {
                let extras = &event["extras"];
                format!(
                    "{} {}",
                    text(&extras["agent_state"]),
                    text(&extras["reason"])
                )
                .trim()
                .to_owned()
            }
        }
    };
    events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(name)
        .collect()
}

/// Lets everything go on until this is the last event.
async fn until(app: &TestApp, id: &str, last: &str) {
    while told(app, id).await.last().map(String::as_str) != Some(last) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_said_at_creation_is_answered() {
    let app = TestApp::new().await;
    let id = create(&app, &json!({"initial_user_msg": "Hello"})).await;
    app.settle().await;
    let expected = [
        "user: Hello",
        "to running",
        "running",
        "agent: [echo, not a model] You said: Hello",
        "awaiting_user_input",
    ];
    assert_eq!(told(&app, &id).await, expected);
}

#[tokio::test]
async fn a_message_is_answered_between_two_states_of_the_agent() {
    let app = TestApp::new().await;
    let id = create(&app, &json!({})).await;
    let answer = say(&app, &id, "Hello").await;
    assert_eq!(answer.json(), json!({"success": true}));
    app.settle().await;
    let expected = [
        "to awaiting_user_input",
        "awaiting_user_input",
        "user: Hello",
        "running",
        "agent: [echo, not a model] You said: Hello",
        "awaiting_user_input",
    ];
    assert_eq!(told(&app, &id).await, expected);
}

#[tokio::test]
async fn what_is_said_meanwhile_is_answered_afterwards_and_once() {
    let (app, go_on) = waiting().await;
    let id = create(&app, &json!({"initial_user_msg": "One"})).await;
    assert_eq!(say(&app, &id, "Two").await.status, StatusCode::OK);
    assert_eq!(say(&app, &id, "Three").await.status, StatusCode::OK);
    go_on.notify_one();
    until(&app, &id, "running").await;
    go_on.notify_one();
    app.settle().await;
    let expected = [
        "user: One",
        "to running",
        "running",
        "user: Two",
        "user: Three",
        "agent: Well, well.",
        "awaiting_user_input",
        "running",
        "agent: Well, well.",
        "awaiting_user_input",
    ];
    assert_eq!(told(&app, &id).await, expected);
}

#[tokio::test]
async fn the_model_reads_what_waits_behind_the_answer_that_was_given_meanwhile() {
    let go_on = Arc::new(Notify::new());
    let app = TestApp::with_model(Arc::new(Patient(Arc::clone(&go_on)))).await;
    let id = create(&app, &json!({"initial_user_msg": "One"})).await;
    say(&app, &id, "Two").await;
    say(&app, &id, "Three").await;
    go_on.notify_one();
    until(&app, &id, "running").await;
    say(&app, &id, "Four").await;
    go_on.notify_one();
    until(&app, &id, "running").await;
    go_on.notify_one();
    app.settle().await;
    let told = told(&app, &id).await;
    let answers: Vec<&String> = told.iter().filter(|it| it.starts_with("agent")).collect();
    let first = "One";
    let second = format!("One\n{first}\nTwo\nThree");
    // What is read already is told in the order in which it was said.
    let third = format!("One\nTwo\nThree\n{first}\n{second}\nFour");
    let expected = [first, &second, &third].map(|read| format!("agent: {read}"));
    assert_eq!(answers, expected.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn many_at_once_are_all_read_and_none_is_answered_twice() {
    let app = TestApp::with_model(Arc::new(Telling)).await;
    let id = create(&app, &json!({})).await;
    let texts: Vec<String> = (0..20).map(|number| format!("n{number}")).collect();
    let said = texts.iter().map(|text| say(&app, &id, text));
    for answer in futures_util::future::join_all(said).await {
        assert_eq!(answer.status, StatusCode::OK);
    }
    app.settle().await;
    let told = told(&app, &id).await;
    let last = told
        .iter()
        .rev()
        .find(|it| it.starts_with("agent"))
        .unwrap();
    for text in &texts {
        let mut read = last.lines().map(|line| line.trim_start_matches("agent: "));
        assert!(read.any(|line| line == text), "{text} in {last}");
    }
    // After the last answer nothing is said by the user.
    let answered = told.iter().rposition(|it| it.starts_with("agent")).unwrap();
    let asked = told.iter().rposition(|it| it.starts_with("user")).unwrap();
    assert!(asked < answered);
    let begun = told.iter().filter(|it| *it == "running").count();
    let ended = told
        .iter()
        .filter(|it| *it == "awaiting_user_input")
        .count();
    assert_eq!(begun + 1, ended, "one more from before the first message");
}

#[tokio::test]
async fn a_message_waits_for_the_turn_of_another_dialect() {
    let (app, go_on) = waiting().await;
    let id = create(&app, &json!({})).await;
    let whole = ConversationRef::from_hex(&id).and_then(Ref::whole);
    let dashed = whole.unwrap().dashed();
    let body = json!({"query": "One", "inputs": {}, "user": "alice", "conversation_id": dashed});
    let request = Request::post("/dify/v1/chat-messages")
        .header("authorization", format!("Bearer {}", app.key("dify.alice")))
        .body(Body::from(body.to_string()));
    let (dify, ()) = tokio::join!(app.send(request.unwrap()), async {
        until(&app, &id, "user: One").await;
        say(&app, &id, "Two").await;
        go_on.notify_one();
        until(&app, &id, "running").await;
        go_on.notify_one();
    });
    assert_eq!(dify.json()["answer"], "Well, well.");
    app.settle().await;
    let told = told(&app, &id).await;
    let expected = [
        "user: One",
        "user: Two",
        "agent: Well, well.",
        "running",
        "agent: Well, well.",
        "awaiting_user_input",
    ];
    assert_eq!(told[2..], expected);
}

#[tokio::test]
async fn stopping_breaks_off_the_answer_and_what_waits_is_read_with_the_next_message() {
    let (app, go_on) = waiting().await;
    let id = create(&app, &json!({"initial_user_msg": "One"})).await;
    say(&app, &id, "Two").await;
    until(&app, &id, "user: Two").await;
    let stopped = call(&app, "POST", &format!("{ALL}/{id}/stop"), &json!({}))
        .await
        .json();
    assert_eq!(stopped["conversation_status"], "RUNNING");
    app.settle().await;
    let expected = [
        "user: One",
        "to running",
        "running",
        "user: Two",
        "agent: Well, well",
        "stopped",
    ];
    assert_eq!(told(&app, &id).await, expected);
    assert_eq!(say(&app, &id, "Three").await.status, StatusCode::CONFLICT);
    call(&app, "POST", &format!("{ALL}/{id}/start"), &json!({})).await;
    say(&app, &id, "Four").await;
    until(&app, &id, "running").await;
    go_on.notify_one();
    app.settle().await;
    let expected = [
        "user: Four",
        "running",
        "agent: Well, well.",
        "awaiting_user_input",
    ];
    assert_eq!(told(&app, &id).await[6..], expected);
}

#[tokio::test]
async fn nothing_is_answered_in_a_deleted_conversation() {
    let (app, _go_on) = waiting().await;
    let id = create(&app, &json!({"initial_user_msg": "One"})).await;
    say(&app, &id, "Two").await;
    let path = format!("{ALL}/{id}");
    assert_eq!(call(&app, "DELETE", &path, &json!({})).await.text(), "true");
    app.settle().await;
    assert_eq!(call(&app, "GET", &path, &json!({})).await.text(), "null");
    assert_eq!(say(&app, &id, "Three").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_agent_that_fails_says_why_and_answers_the_next_message() {
    let app = TestApp::with_model(Arc::new(Scripted)).await;
    let id = create(&app, &json!({"initial_user_msg": "Fail."})).await;
    app.settle().await;
    say(&app, &id, "And now?").await;
    app.settle().await;
    let expected = [
        "user: Fail.",
        "to running",
        "running",
        "error BadRequestError: The question is \"too long\".",
        "user: And now?",
        "running",
        "agent: Blue scatters “most”.\n",
        "awaiting_user_input",
    ];
    assert_eq!(told(&app, &id).await, expected);
    let app = TestApp::with_model(Arc::new(Stumbling::Breaks)).await;
    let id = create(&app, &json!({"initial_user_msg": "One"})).await;
    app.settle().await;
    let last = [
        "agent: Well, well",
        "error STATUS$ERROR_LLM_SERVICE_UNAVAILABLE",
    ];
    assert_eq!(told(&app, &id).await[3..], last);
}

#[tokio::test]
async fn the_conversations_own_instructions_are_read_with_every_message() {
    let app = TestApp::with_model(Arc::new(Telling)).await;
    let own = json!({"conversation_instructions": "Be brief.", "initial_user_msg": "One"});
    let id = create(&app, &own).await;
    app.settle().await;
    let told = told(&app, &id).await;
    assert_eq!(told[3], "agent: Be brief.\nOne");
}
