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

#[tokio::test]
async fn an_item_of_very_many_keys_is_read_and_given_back() {
    let app = TestApp::new().await;
    let key = app.key("openai").to_owned();
    let fields: Vec<String> = (0..100_000)
        .map(|number| format!(",\"k{number}\":{number}"))
        .collect();
    let fields = fields.concat();
    let body = format!("{{\"items\":[{{\"type\":\"wide\"{fields}}}]}}");
    let made = send(&app, "POST", "/v1/conversations", Some(&key), &body)
        .await
        .json();
    let path = format!("/v1/conversations/{}/items", made["id"].as_str().unwrap());
    let items = send(&app, "GET", &path, Some(&key), "").await.json();
    assert_eq!(items["data"][0]["k99999"], 99_999);
}

#[tokio::test]
async fn names_that_a_parser_uses_for_itself_are_refused_however_they_are_written() {
    let app = TestApp::new().await;
    let key = app.key("openai").to_owned();
    for name in [
        "$serde_json::private::Number",
        "\\u0024serde_json::private::RawValue",
    ] {
        let part = format!("{{\"{name}\":\"{{}}\"}}");
        let body = format!("{{\"items\":[{{\"role\":\"user\",\"content\":[{part}]}}]}}");
        let answer = send(&app, "POST", "/v1/conversations", Some(&key), &body).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    let body =
        "{\"items\":[{\"role\":\"user\",\"content\":\"say \\u0024serde_json, or \\\"x\\\"\"}]}";
    let answer = send(&app, "POST", "/v1/conversations", Some(&key), body).await;
    assert_eq!(
        answer.status,
        200,
        "a text may speak of them: {}",
        answer.text()
    );
}

#[tokio::test]
async fn a_header_that_is_given_twice_must_say_the_same_twice() {
    let app = TestApp::new().await;
    let key = format!("Bearer {}", app.key("openai"));
    for (name, values, expected) in [
        ("x-ms-user-isolation-key", ["", "bob"], 400),
        ("x-ms-user-isolation-key", ["alice", "bob"], 400),
        ("x-ms-user-isolation-key", ["alice", "alice"], 200),
        ("authorization", [key.as_str(), "Bearer sk-other"], 401),
        ("api-key", ["sk-one", "sk-other"], 401),
    ] {
        let mut request = Request::builder().uri("/openai/v1/conversations");
        if !matches!(name, "authorization" | "api-key") {
            request = request.header("authorization", &key);
        }
        for value in values {
            request = request.header(name, value);
        }
        let answer = app.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(
            answer.status,
            expected,
            "{name}: {values:?}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn events_are_no_items_of_any_type() {
    let app = TestApp::new().await;
    let key = app.key("openhands.alice").to_owned();
    let made = send(&app, "POST", "/api/conversations", Some(&key), "{}")
        .await
        .json();
    let id = made["conversation_id"].as_str().unwrap();
    let key = app.key("openai.alice").to_owned();
    let path = format!("/v1/conversations/conv_{id}/items?item_type=event");
    let items = send(&app, "GET", &path, Some(&key), "").await.json();
    assert_eq!(items["data"], serde_json::json!([]));
}

/// A model with a defect.
struct Defective;

#[async_trait::async_trait]
impl parlance_domain::upstream::Model for Defective {
    async fn answer(
        &self,
        _: parlance_domain::upstream::ModelRequest,
    ) -> Result<parlance_domain::upstream::ModelStream, parlance_domain::upstream::ModelError> {
        panic!("a defect")
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_panics_fails_and_leaves_the_conversation_free() {
    let app = TestApp::with_model(std::sync::Arc::new(Defective)).await;
    let key = app.key("dify").to_owned();
    let ask = "{\"query\":\"x\",\"inputs\":{},\"user\":\"ann\"}";
    let failed = send(&app, "POST", "/dify/v1/chat-messages", Some(&key), ask).await;
    assert_eq!(failed.status, 400, "{}", failed.text());
    let listed = send(
        &app,
        "GET",
        "/dify/v1/conversations?user=ann",
        Some(&key),
        "",
    )
    .await
    .json();
    let id = listed["data"][0]["id"].as_str().unwrap();
    // Longer than the first pause before the failure is recorded again.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let again = ask.replace(
        "\"query\"",
        &format!("\"conversation_id\":\"{id}\",\"query\""),
    );
    let failed = send(&app, "POST", "/dify/v1/chat-messages", Some(&key), &again).await;
    assert_eq!(
        failed.status,
        400,
        "not 429, as it would be for a turn that runs: {}",
        failed.text()
    );
}
