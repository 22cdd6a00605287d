use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Posts JSON, and gives the whole answer, head and chunks included.
async fn post(server: &ModelServer, path: &str, body: &Value) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    let mut answer = String::new();
    // A connection that breaks off has answered, too.
    drop(stream.read_to_string(&mut answer).await);
    answer
}

fn asks(text: &str) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": text}]})
}

#[tokio::test]
async fn by_default_it_repeats_what_was_said() {
    let server = ModelServer::start().await;
    let answer = post(&server, "/v1/chat/completions", &asks("hello there")).await;
    assert!(
        answer.contains(r#""content":"You said: hello there""#),
        "{answer}"
    );
    assert!(answer.contains(r#""finish_reason":"stop""#), "{answer}");
    assert_eq!(server.last_request().json()["model"], "m");
}

#[tokio::test]
async fn a_tool_is_asked_for_once_and_its_output_is_read() {
    let mut question = asks("what is it?");
    question["tools"] = json!([{"type": "function", "function": {"name": "look", "parameters": {
        "type": "object", "properties": {"where": {"type": "string"}, "far": {"type": "integer"}}}}}]);
    let server = ModelServer::start().await;
    let answer = post(&server, "/v1/chat/completions", &question).await;
    assert!(
        answer.contains(r#""arguments":"{\"where\":\"text\",\"far\":1}""#),
        "{answer}"
    );
    let messages = question["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "tool", "tool_call_id": "call_0", "content": "a tree"}));
    let answer = post(&server, "/v1/chat/completions", &question).await;
    assert!(answer.contains("The tool said: a tree"), "{answer}");
}

#[tokio::test]
async fn a_schema_is_answered_with_what_fits_it() {
    let mut question = asks("who?");
    question["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {
        "type": "object", "properties": {"who": {"$ref": "#/$defs/who"}, "why": {"enum": ["b", "c"]},
        "all": {"type": "array", "items": {"type": "boolean"}}}, "$defs": {"who": {"type": "string"}}}}});
    let server = ModelServer::start().await;
    let answer = post(&server, "/v1/chat/completions", &question).await;
    let expected = r#""content":"{\"who\":\"text\",\"why\":\"b\",\"all\":[true]}""#;
    assert!(answer.contains(expected), "{answer}");
}

#[tokio::test]
async fn a_users_text_decides_its_answers_one_after_the_other() {
    let server = ModelServer::start().await;
    server.script(Script::says(["queued"]));
    let text = r#"go [[script: {"pieces": ["one"]}]] on [[script: {"pieces": ["two"]}]]"#;
    let mut question = asks(text);
    for expected in ["one", "two", "queued", "You said: go"] {
        let answer = post(&server, "/v1/chat/completions", &question).await;
        assert!(
            answer.contains(&format!(r#""content":"{expected}"#)),
            "{answer}"
        );
        if expected == "two" {
            question = asks("go");
        } else {
            let messages = question["messages"].as_array_mut().unwrap();
            messages.push(json!({"role": "assistant", "content": "one"}));
        }
        if expected == "queued" {
            question = asks("go");
        }
    }
}

#[tokio::test]
async fn a_script_that_is_wrong_is_refused() {
    let server = ModelServer::start().await;
    for text in [
        r#"[[script: {"peices": []}]]"#,
        r#"[[script: {"pieces": []}"#,
    ] {
        let answer = post(&server, "/v1/chat/completions", &asks(text)).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
}

#[tokio::test]
async fn a_stream_waits_at_its_gate_and_breaks_off_as_it_is_told() {
    let server = ModelServer::start().await;
    let steps = [
        Step::Text("before".to_owned()),
        Step::Gate("g".to_owned()),
        Step::Text("after".to_owned()),
    ];
    server.script(Script::steps(steps).ending(End::Disconnect));
    let mut question = asks("go");
    question["stream"] = json!(true);
    let (answer, ()) = tokio::join!(post(&server, "/v1/chat/completions", &question), async {
        server.asked(1).await;
        server.open("g");
        server.given_up(1).await;
    });
    let (before, after) = (answer.find("before"), answer.find("after"));
    assert!(before.is_some() && before < after, "{answer}");
    assert!(!answer.contains("[DONE]"), "{answer}");
}

#[tokio::test]
async fn other_processes_say_what_is_answered_too() {
    let server = ModelServer::start().await;
    post(
        &server,
        "/scripts",
        &json!({"status": 503, "headers": {"retry-after": "3"}}),
    )
    .await;
    let answer = post(&server, "/v1/chat/completions", &asks("go")).await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 3"),
        "{answer}"
    );
    assert_eq!(server.requests().len(), 1);
}
