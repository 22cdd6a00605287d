//! The root, where no prefix says which dialect is meant, and errors that no handler gives.

use axum::body::Body;
use http::Request;
use parlance_dialects::DIALECTS;
use serde_json::Value;

use crate::app::{Answer, TestApp};

/// Sends a request with a key in the header that its dialect reads.
async fn send(app: &TestApp, method: &str, path: &str, key: Option<&str>, body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(key) = key {
        request = if key.starts_with("oh-") {
            request.header("x-session-api-key", key)
        } else {
            request.header("authorization", format!("Bearer {key}"))
        };
    }
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    app.send(
        request
            .body(Body::from(body.to_owned()))
            .expect("a request"),
    )
    .await
}

/// Whose words an error is in.
fn speaker(answer: &Answer) -> &'static str {
    let body = answer.json();
    let error = body.get("error").and_then(Value::as_object);
    if error.is_some_and(|error| {
        ["message", "type", "param", "code"]
            .iter()
            .all(|key| error.contains_key(*key))
    }) {
        "openai"
    } else if body.get("status").is_some() && body.get("message").is_some() {
        "dify"
    } else if body.get("msg").is_some() {
        "coze"
    } else if body.get("detail").is_some() {
        "openhands"
    } else {
        panic!("nobody's words: {body}")
    }
}

#[tokio::test]
async fn the_key_decides_who_answers_at_the_root() {
    let app = TestApp::new().await;
    for entry in DIALECTS {
        let key = app.key(entry.name).to_owned();
        let answer = send(&app, "GET", "/v1/nothing/of/the/kind", Some(&key), "").await;
        assert_eq!(speaker(&answer), entry.name);
        let wrong = format!("{}{}", entry.key_prefix, "0".repeat(48));
        let answer = send(&app, "GET", "/v1/conversations", Some(&wrong), "").await;
        assert_eq!(
            speaker(&answer),
            entry.name,
            "an unknown key's prefix tells as much"
        );
    }
}

#[tokio::test]
async fn without_a_key_the_only_dialect_that_has_the_path_answers() {
    let app = TestApp::new().await;
    for (method, path, expected) in [
        ("POST", "/v1/chat-messages", "dify"),
        ("POST", "/v1/conversation/create", "coze"),
        ("POST", "/v3/whatever", "coze"),
        ("GET", "/api/conversations", "openhands"),
        ("GET", "/api/whatever", "openhands"),
        ("GET", "/v1/conversations", "openai"),
        ("GET", "/nowhere", "openai"),
        ("GET", "/", "openai"),
    ] {
        if parlance_dialects::dialect(expected).is_some() {
            let answer = send(&app, method, path, None, "").await;
            assert_eq!(speaker(&answer), expected, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn errors_that_no_handler_gives_speak_the_dialect_under_its_prefix_and_at_the_root() {
    let app = TestApp::new().await;
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(17 << 20));
    for entry in DIALECTS {
        let key = app.key(entry.name).to_owned();
        let prefix = entry.mounts.first().expect("a prefix of its own");
        let posts = entry.route_table().into_iter().find(|route| {
            route.method == http::Method::POST && route.keyed && !route.path.contains('{')
        });
        let path = posts.expect("a route with a body").path;
        let with_id = entry
            .route_table()
            .into_iter()
            .find(|route| route.path.contains("{conv"));
        let with_id = with_id.expect("a route with an id");
        for base in [prefix, ""] {
            let no_text = format!("{base}{}", with_id.path.replace("{conversation_id}", "%FF"));
            let answer = send(&app, with_id.method.as_str(), &no_text, Some(&key), "").await;
            assert_eq!(speaker(&answer), entry.name, "{no_text}");
            let path = format!("{base}{path}");
            let nowhere = format!("{base}/v1/nowhere/at/all");
            for (what, method, path, body) in [
                ("404", "GET", &nowhere, ""),
                ("405", "TRACE", &path, ""),
                ("malformed", "POST", &path, "{\"a\": "),
                ("no object", "POST", &path, "[]"),
                ("413", "POST", &path, large.as_str()),
            ] {
                let answer = send(&app, method, path, Some(&key), body).await;
                let what = format!("{}: {what}: {method} {path}", entry.name);
                let refused = !answer.status.is_success() || answer.json()["code"] != 0;
                assert!(
                    refused && !answer.status.is_server_error(),
                    "{what}: {}",
                    answer.text()
                );
                assert_eq!(speaker(&answer), entry.name, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn unknown_fields_and_parameters_change_nothing_where_the_vendor_ignores_them() {
    let app = TestApp::new().await;
    let key = app.key("openai").to_owned();
    let body = "{\"metadata\":{},\"from_the_future\":{\"x\":1}}";
    let made = send(&app, "POST", "/v1/conversations?future=1", Some(&key), body).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let key = app.key("dify").to_owned();
    let listed = send(
        &app,
        "GET",
        "/v1/conversations?pinned=true&first_id=x",
        Some(&key),
        "",
    )
    .await;
    assert_eq!(listed.status, 200, "{}", listed.text());
}
