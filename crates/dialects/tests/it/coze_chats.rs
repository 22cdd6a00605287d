//! Chats of Coze's that are still running, are not kept, or are somebody else's.

use std::sync::Arc;

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::app::{Answer, TestApp};
use crate::models::{Telling, waiting};

async fn send(app: &TestApp, key: &str, method: &str, path: &str, body: &Value) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {}", app.key(key)))
        .body(Body::from(body.to_string()));
    app.send(request.unwrap()).await
}

async fn post(app: &TestApp, path: &str, body: Value) -> Value {
    send(app, "coze", "POST", path, &body).await.json()
}

async fn get(app: &TestApp, path: &str) -> Value {
    send(app, "coze", "GET", path, &Value::Null).await.json()
}

/// A question, with whatever else the body has.
fn asking(question: &str, more: &Value) -> Value {
    let message = json!({"role": "user", "type": "question", "content": question,
        "content_type": "text"});
    let mut body = json!({"bot_id": "1", "user_id": "u", "additional_messages": [message]});
    let fields = body.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    body
}

/// The names and data of a stream's events.
fn events(answer: &Answer) -> Vec<(String, Value)> {
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    let text = answer.text();
    let read = |frame: &str| {
        let (event, data) = frame.split_once('\n').unwrap();
        let event = event.strip_prefix("event:").unwrap().to_owned();
        let data = data.strip_prefix("data:").unwrap();
        (event, serde_json::from_str(data).unwrap())
    };
    let frames = text.strip_suffix("\n\n").unwrap().split("\n\n");
    frames.map(read).collect()
}

/// The answer in a stream.
fn answer(events: &[(String, Value)]) -> &Value {
    let is_answer = |(event, data): &&(String, Value)| {
        event == "conversation.message.completed" && data["type"] == "answer"
    };
    &events.iter().find(is_answer).expect("an answer").1["content"]
}

/// Begins a chat that is asked after; gives what the query of such a request says.
async fn begin(app: &TestApp) -> (Value, String) {
    let chat = post(app, "/v3/chat", asking("So?", &json!({}))).await["data"].take();
    let (conversation, id) = (&chat["conversation_id"], &chat["id"]);
    let query = format!(
        "conversation_id={}&chat_id={}",
        conversation.as_str().unwrap(),
        id.as_str().unwrap()
    );
    (chat, query)
}

fn named(chat: &Value) -> Value {
    json!({"conversation_id": chat["conversation_id"], "chat_id": chat["id"]})
}

#[tokio::test]
async fn a_chat_is_in_progress_until_it_is_answered() {
    let (app, go_on) = waiting().await;
    let (chat, query) = begin(&app).await;
    assert_eq!(chat["status"], "in_progress");
    let shown = get(&app, &format!("/v3/chat/retrieve?{query}")).await;
    assert_eq!(shown["data"]["status"], "in_progress");
    assert_eq!(shown["data"]["id"], chat["id"]);
    let list = format!("/v3/chat/message/list?{query}");
    assert_eq!(get(&app, &list).await["data"], json!([]));
    go_on.notify_one();
    app.settle().await;
    let shown = post(&app, &format!("/v3/chat/retrieve?{query}"), json!({})).await;
    assert_eq!(shown["data"]["status"], "completed");
    let said = get(&app, &list).await;
    assert_eq!(said["data"][0]["content"], "Well, well.");
    assert_eq!(said["data"][0]["type"], "answer");
    assert_eq!(said["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_second_chat_in_a_conversation_is_refused_until_the_first_has_ended() {
    let (app, go_on) = waiting().await;
    let (chat, _) = begin(&app).await;
    let id = chat["conversation_id"].as_str().unwrap();
    let path = format!("/v3/chat?conversation_id={id}");
    for more in [
        json!({}),
        json!({"stream": true}),
        json!({"stream": true, "auto_save_history": false}),
    ] {
        let second = send(&app, "coze", "POST", &path, &asking("And?", &more)).await;
        assert_eq!(second.status, StatusCode::OK);
        assert_eq!(second.json()["code"], 4016, "{more}");
    }
    go_on.notify_one();
    app.settle().await;
    let third = post(&app, &path, asking("And?", &json!({}))).await;
    assert_eq!(third["code"], 0);
}

#[tokio::test]
async fn a_canceled_chat_keeps_what_was_said_and_is_not_canceled_twice() {
    let (app, go_on) = waiting().await;
    let (chat, query) = begin(&app).await;
    for _ in 0..2 {
        let canceled = post(&app, "/v3/chat/cancel", named(&chat)).await;
        assert_eq!(
            (&canceled["code"], &canceled["data"]["status"]),
            (&json!(0), &json!("canceled"))
        );
    }
    let said = get(&app, &format!("/v3/chat/message/list?{query}")).await;
    assert_eq!(said["data"][0]["content"], "Well, well");
    let (other, _) = begin(&app).await;
    go_on.notify_one();
    app.settle().await;
    let late = post(&app, "/v3/chat/cancel", named(&other)).await;
    assert_eq!(late["code"], 4104);
}

#[tokio::test]
async fn canceling_ends_the_stream_too() {
    let (app, _go_on) = waiting().await;
    let made = post(&app, "/v1/conversation/create", json!({})).await["data"].take();
    let id = made["id"].as_str().unwrap();
    let path = format!("/coze/v3/chat?conversation_id={id}");
    let body = asking("So?", &json!({"stream": true}));
    let stop = async {
        let chat = running(&app, id).await;
        post(
            &app,
            "/v3/chat/cancel",
            json!({"conversation_id": id, "chat_id": chat}),
        )
        .await;
    };
    let (stream, ()) = tokio::join!(send(&app, "coze", "POST", &path, &body), stop);
    let events = events(&stream);
    assert_eq!(answer(&events), "Well, well");
    let [.., ended, done] = events.as_slice() else {
        panic!("too few events");
    };
    assert_eq!(ended.0, "conversation.chat.completed");
    assert_eq!(ended.1["status"], "canceled");
    assert_eq!(*done, ("done".to_owned(), json!("[DONE]")));
}

/// The chat that runs in a conversation, as soon as there is one.
async fn running(app: &TestApp, conversation: &str) -> String {
    use parlance_domain::{ConversationRef, Id, Principal, Realm};
    let who = Principal {
        project: app.project.id,
        user: None,
        app: None,
        realm: Realm::Conversations,
    };
    let id = ConversationRef::from_decimal(conversation).unwrap();
    loop {
        let found = app.service.conversation(&who, id).await.unwrap();
        match found.running {
            Some(turn) => return turn.decimal().to_string(),
            None => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn a_message_is_found_by_the_id_that_its_stream_announced() {
    let (app, go_on) = waiting().await;
    let made = post(&app, "/v1/conversation/create", json!({})).await["data"].take();
    let id = made["id"].as_str().unwrap();
    let path = format!("/v3/chat?conversation_id={id}");
    let body = asking("So?", &json!({"stream": true}));
    let add = async {
        let chat = running(&app, id).await;
        // By now the answer has begun, with an id from before the message that is added here.
        tokio::task::yield_now().await;
        let path = format!("/v1/conversation/message/create?conversation_id={id}");
        let body = json!({"role": "user", "content": "By the way", "content_type": "text"});
        assert_eq!(post(&app, &path, body).await["code"], 0, "{chat}");
        go_on.notify_one();
    };
    let (stream, ()) = tokio::join!(send(&app, "coze", "POST", &path, &body), add);
    let events = events(&stream);
    let delta = events
        .iter()
        .find(|(event, _)| event == "conversation.message.delta");
    let announced = delta.unwrap().1["id"].as_str().unwrap();
    let path =
        format!("/v1/conversation/message/retrieve?conversation_id={id}&message_id={announced}");
    let found = get(&app, &path).await;
    assert_eq!(found["data"]["content"], "Well, well.");
    assert_ne!(found["data"]["id"], announced, "it has got another id");
}

#[tokio::test]
async fn deleting_a_conversation_ends_its_chat_with_an_error() {
    for kept in [true, false] {
        let (app, _go_on) = waiting().await;
        let made = post(&app, "/v1/conversation/create", json!({})).await["data"].take();
        let id = made["id"].as_str().unwrap();
        let path = format!("/v3/chat?conversation_id={id}");
        let body = asking("So?", &json!({"stream": true, "auto_save_history": kept}));
        let delete = async {
            if kept {
                running(&app, id).await;
            } else {
                tokio::task::yield_now().await;
            }
            let path = format!("/v1/conversations/{id}");
            assert_eq!(
                send(&app, "coze", "DELETE", &path, &Value::Null)
                    .await
                    .json()["code"],
                0
            );
        };
        let (stream, ()) = tokio::join!(send(&app, "coze", "POST", &path, &body), delete);
        let events = events(&stream);
        let [.., error, done] = events.as_slice() else {
            panic!("too few events");
        };
        assert_eq!(
            (error.0.as_str(), &error.1["code"]),
            ("error", &json!(4200))
        );
        assert_eq!(done.0, "done");
    }
}

#[tokio::test]
async fn a_chat_of_somebody_elses_is_one_that_does_not_exist() {
    let (app, go_on) = waiting().await;
    let (chat, query) = begin(&app).await;
    let nobodys = "conversation_id=7000000000000000001&chat_id=7000000000000000002";
    for key in ["coze.alice", "coze.stranger"] {
        for (method, path) in [
            ("GET", "/v3/chat/retrieve"),
            ("POST", "/v3/chat/retrieve"),
            ("GET", "/v3/chat/message/list"),
        ] {
            let theirs = send(&app, key, method, &format!("{path}?{query}"), &json!({})).await;
            let unknown = send(&app, key, method, &format!("{path}?{nobodys}"), &json!({})).await;
            assert_eq!(theirs.json()["code"], 4200, "{path}");
            assert_eq!(theirs.json()["msg"], unknown.json()["msg"], "{path}");
        }
        let refused = send(&app, key, "POST", "/v3/chat/cancel", &named(&chat)).await;
        assert_eq!(refused.json()["code"], 4200);
    }
    go_on.notify_one();
    app.settle().await;
    let shown = get(&app, &format!("/v3/chat/retrieve?{query}")).await;
    assert_eq!(shown["data"]["status"], "completed");
}

#[tokio::test]
async fn a_chat_is_found_in_its_own_conversation_alone() {
    let app = TestApp::new().await;
    let (first, _) = begin(&app).await;
    let (second, _) = begin(&app).await;
    app.settle().await;
    let mixed = format!(
        "conversation_id={}&chat_id={}",
        first["conversation_id"].as_str().unwrap(),
        second["id"].as_str().unwrap()
    );
    assert_eq!(
        get(&app, &format!("/v3/chat/retrieve?{mixed}")).await["code"],
        4200
    );
    let id = first["conversation_id"].as_str().unwrap();
    let lone = format!("conversation_id={id}&chat_id={id}");
    assert_eq!(
        get(&app, &format!("/v3/chat/retrieve?{lone}")).await["code"],
        4200
    );
}

async fn telling() -> TestApp {
    TestApp::with_model(Arc::new(Telling)).await
}

#[tokio::test]
async fn a_chat_that_is_not_kept_reads_its_conversation_and_leaves_nothing_in_it() {
    let app = telling().await;
    let first = json!([{"role": "user", "content": "one"}]);
    let made = post(&app, "/v1/conversation/create", json!({"messages": first})).await;
    let id = made["data"]["id"].as_str().unwrap();
    let call = json!({"name": "weather", "arguments": {"city": "Köln"}}).to_string();
    let messages = json!([
        {"role": "user", "type": "question", "content": "two", "content_type": "text"},
        {"role": "assistant", "type": "function_call", "content": call, "content_type": "text"},
        {"role": "assistant", "type": "tool_response", "content": "rain", "content_type": "text"},
        {"role": "user", "content": "three", "content_type": "text"},
    ]);
    let body = json!({"bot_id": "1", "user_id": "u", "stream": true, "auto_save_history": false,
        "additional_messages": messages});
    let path = format!("/v3/chat?conversation_id={id}");
    let events = events(&send(&app, "coze", "POST", &path, &body).await);
    let read = "one\ntwo\nweather({\"city\":\"Köln\"})\nrain\nthree";
    assert_eq!(answer(&events), read);
    assert_eq!(events[0].1["conversation_id"], id);
    let list = format!("/v1/conversation/message/list?conversation_id={id}");
    let left = post(&app, &list, json!({})).await;
    assert_eq!(left["data"].as_array().unwrap().len(), 1);
    let chat = events[0].1["id"].as_str().unwrap();
    let query = format!("conversation_id={id}&chat_id={chat}");
    assert_eq!(
        get(&app, &format!("/v3/chat/retrieve?{query}")).await["code"],
        4200
    );
}

#[tokio::test]
async fn a_chat_that_is_not_kept_and_names_no_conversation_makes_an_empty_one() {
    let app = telling().await;
    let body = asking("one", &json!({"stream": true, "auto_save_history": false}));
    let events = events(&send(&app, "coze", "POST", "/v3/chat?conversation_id=", &body).await);
    assert_eq!(answer(&events), "one");
    let id = events[0].1["conversation_id"].as_str().unwrap();
    let list = format!("/v1/conversation/message/list?conversation_id={id}");
    let left = post(&app, &list, json!({})).await;
    assert_eq!((&left["code"], &left["data"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn a_chat_without_messages_answers_the_last_one_of_its_conversation() {
    let app = telling().await;
    let messages = json!([{"role": "user", "content": "one"}, {"role": "user", "content": "two"}]);
    let made = post(
        &app,
        "/v1/conversation/create",
        json!({"messages": messages}),
    )
    .await;
    let id = made["data"]["id"].as_str().unwrap();
    let body = json!({"bot_id": "1", "user_id": "u", "stream": true});
    let path = format!("/v3/chat?conversation_id={id}");
    let events = events(&send(&app, "coze", "POST", &path, &body).await);
    assert_eq!(answer(&events), "one\ntwo");
    let empty = post(&app, "/v1/conversation/create", json!({})).await;
    let empty = empty["data"]["id"].as_str().unwrap();
    for path in [
        "/v3/chat".to_owned(),
        format!("/v3/chat?conversation_id={empty}"),
    ] {
        let refused = post(&app, &path, body.clone()).await;
        assert_eq!(refused["code"], 4000, "{path}");
    }
}

#[tokio::test]
async fn clearing_a_conversation_leaves_what_was_said_before_unread() {
    let app = telling().await;
    let messages = json!([{"role": "user", "content": "one"}]);
    let made = post(
        &app,
        "/v1/conversation/create",
        json!({"messages": messages}),
    )
    .await;
    let id = made["data"]["id"].as_str().unwrap();
    let cleared = post(&app, &format!("/v1/conversations/{id}/clear"), json!({})).await;
    let path = format!("/v3/chat?conversation_id={id}");
    let body = asking("two", &json!({"stream": true}));
    let events = events(&send(&app, "coze", "POST", &path, &body).await);
    assert_eq!(answer(&events), "two");
    assert_eq!(events[0].1["section_id"], cleared["data"]["id"]);
}
