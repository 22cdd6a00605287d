//! What no scenario can show of OpenHands's dialect: lists that are longer than what is read at once,
//! and numbers that are never the same.

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::app::{Answer, TestApp};

const ALL: &str = "/openhands/api/conversations";

async fn call(app: &TestApp, method: &str, path: &str, body: Value) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("x-session-api-key", app.key("openhands"))
        .header("content-type", "application/json");
    let body = if body.is_null() {
        Body::empty()
    } else {
        Body::from(body.to_string())
    };
    app.send(request.body(body).expect("a request")).await
}

async fn create(app: &TestApp, body: Value) -> String {
    let made = call(app, "POST", ALL, body).await.json();
    let id = made.get("conversation_id").and_then(Value::as_str);
    id.expect("an id").to_owned()
}

#[tokio::test]
async fn a_filtered_list_is_full_to_its_last_page() {
    let app = TestApp::new().await;
    let mut wanted = Vec::new();
    for number in 0..450 {
        let mine = number % 150 == 7;
        let repository = if mine { "a/b" } else { "c/d" };
        let id = create(&app, json!({"repository": repository})).await;
        if mine {
            wanted.insert(0, id);
        }
    }
    let mut found = Vec::new();
    let mut page_id = String::new();
    loop {
        let path = format!("{ALL}?limit=2&selected_repository=a/b&page_id={page_id}");
        let page = call(&app, "GET", &path, Value::Null).await.json();
        let results = page["results"].as_array().expect("a list");
        let id = |result: &Value| result["conversation_id"].as_str().map(str::to_owned);
        found.push(results.iter().filter_map(id).collect::<Vec<_>>());
        match page["next_page_id"].as_str() {
            Some(next) => page_id = next.to_owned(),
            None => break,
        }
    }
    let pages: Vec<usize> = found.iter().map(Vec::len).collect();
    assert_eq!(pages, [2, 1]);
    assert_eq!(found.concat(), wanted);
}

#[tokio::test]
async fn a_full_last_page_leads_nowhere_and_deletes_shift_nothing() {
    let app = TestApp::new().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.insert(0, create(&app, json!({})).await);
    }
    let first = call(&app, "GET", &format!("{ALL}?limit=2"), Value::Null)
        .await
        .json();
    let next = first["next_page_id"].as_str().expect("another page");
    for gone in ids.iter().take(2) {
        let path = format!("{ALL}/{gone}");
        assert_eq!(
            call(&app, "DELETE", &path, Value::Null).await.text(),
            "true"
        );
    }
    let path = format!("{ALL}?limit=2&page_id={next}");
    let second = call(&app, "GET", &path, Value::Null).await.json();
    assert_eq!(second["results"][0]["conversation_id"], ids[2]);
    assert_eq!(second["results"][1]["conversation_id"], ids[3]);
    assert_eq!(second["next_page_id"], Value::Null);
}

#[tokio::test]
async fn a_trajectory_is_whole_however_long_and_however_much_of_it_is_hidden() {
    let app = TestApp::new().await;
    let id = create(&app, json!({})).await;
    let events = format!("{ALL}/{id}/events");
    for number in 0..260 {
        let hidden = number < 200;
        let event = json!({"action": "run", "args": {"command": "ls", "hidden": hidden}});
        let answer = call(&app, "POST", &events, event).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    let path = format!("{ALL}/{id}/trajectory");
    let trajectory = call(&app, "GET", &path, Value::Null).await.json();
    let shown = trajectory["trajectory"].as_array().expect("a list");
    let ids: Vec<u64> = shown
        .iter()
        .filter_map(|event| event["id"].as_u64())
        .collect();
    let expected: Vec<u64> = (0..4).chain(204..264).collect();
    assert_eq!(ids, expected);
    let path = format!("{events}?limit=3&start_id=2");
    let filter = json!({"query": "\"hidden\": false"});
    let page = call(&app, "GET", &path, filter).await.json();
    assert_eq!(page["events"][0]["id"], 204);
    assert_eq!(page["has_more"], true);
}

#[tokio::test]
async fn the_server_tells_of_itself_what_harms_nobody() {
    let app = TestApp::new().await;
    let request = Request::get("/server_info").body(Body::empty());
    let info = app.send(request.expect("a request")).await.json();
    assert_eq!(info["uptime"], info["idle_time"]);
    let resources = &info["resources"];
    let names = |value: &Value| -> Vec<String> {
        value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(names(resources), ["cpu_percent", "memory", "disk", "io"]);
    assert_eq!(names(&resources["memory"]), ["rss", "vms", "percent"]);
    assert_eq!(
        names(&resources["disk"]),
        ["total", "used", "free", "percent"]
    );
    assert_eq!(names(&resources["io"]), ["read_bytes", "write_bytes"]);
}

#[tokio::test]
async fn a_strangers_long_body_is_not_read() {
    let app = TestApp::new().await;
    for (length, status) in [
        (60 << 10, StatusCode::UNPROCESSABLE_ENTITY),
        (70 << 10, StatusCode::UNAUTHORIZED),
    ] {
        let request = Request::post(ALL)
            .header("content-type", "application/json")
            .body(Body::from("[".repeat(3) + &" ".repeat(length)));
        let answer = app.send(request.expect("a request")).await;
        assert_eq!(answer.status, status);
    }
}
