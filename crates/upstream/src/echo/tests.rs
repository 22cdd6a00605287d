use parlance_domain::Role;

use super::*;

async fn body(answer: RawAnswer) -> String {
    let pieces: Vec<_> = answer.body.collect().await;
    let pieces = pieces
        .into_iter()
        .map(|piece| piece.expect("a piece").to_vec());
    String::from_utf8(pieces.flatten().collect()).expect("text")
}

#[tokio::test]
async fn echo_repeats_the_last_message_and_says_what_it_is() {
    let request = ModelRequest {
        model: "echo".to_owned(),
        instructions: None,
        messages: vec![
            ModelMessage::text(Role::User, "first"),
            ModelMessage::text(Role::User, "hello  there"),
        ],
        options: parlance_domain::upstream::ModelOptions::default(),
    };
    let stream = Echo.answer(request).await.expect("echo answers");
    let events: Vec<_> = stream.map(|event| event.expect("an event")).collect().await;
    let text: String = events
        .iter()
        .filter_map(|event| {
            let ModelEvent::Text(text) = event else {
                return None;
            };
            Some(text.as_str())
        })
        .collect();
    assert_eq!(text, "[echo, not a model] You said: hello  there");
    let usage = Usage {
        input_tokens: 3,
        output_tokens: 8,
        ..Usage::default()
    };
    assert_eq!(events.last(), Some(&ModelEvent::Usage(usage)));
}

#[tokio::test]
async fn echo_answers_chat_completions_whole_and_in_pieces() {
    let question = |more: &str| {
        let parts = r#"[{"type":"text","text":"hello"},{"type":"image_url","image_url":{}}]"#;
        let text =
            format!(r#"{{"model":"echo","messages":[{{"role":"user","content":{parts}}}]{more}}}"#);
        Json::parse(text).expect("JSON")
    };
    let whole = Echo.chat("echo", question("")).await.expect("an answer");
    assert_eq!(whole.content_type.as_deref(), Some("application/json"));
    let whole: serde_json::Value = serde_json::from_str(&body(whole).await).expect("JSON");
    let said = &whole["choices"][0]["message"]["content"];
    assert_eq!(said, "[echo, not a model] You said: hello");
    assert_eq!(whole["usage"]["total_tokens"], 8);

    let more = r#","stream":true,"stream_options":{"include_usage":true}"#;
    let pieces = Echo.chat("echo", question(more)).await.expect("an answer");
    let pieces = body(pieces).await;
    assert!(
        pieces.contains(r#""delta":{"content":"hello"}"#),
        "{pieces}"
    );
    assert!(pieces.contains(r#""choices":[],"usage":{"#), "{pieces}");
    assert!(pieces.ends_with("data: [DONE]\n\n"), "{pieces}");
}

#[tokio::test]
async fn echo_refuses_what_is_no_chat() {
    for body in ["{}", r#"{"messages":[]}"#, r#"{"messages":"x"}"#] {
        let body = Json::parse(body).expect("JSON");
        let refused = Echo.chat("echo", body).await;
        assert!(matches!(
            refused,
            Err(ModelError::Refused { status: 400, .. })
        ));
    }
}
