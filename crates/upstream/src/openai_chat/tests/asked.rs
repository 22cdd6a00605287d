use super::*;

/// What the server was asked.
async fn asked(request: &ModelRequest) -> Value {
    asked_of(request, |_| {}).await
}

async fn asked_of(request: &ModelRequest, change: impl FnOnce(&mut Server)) -> Value {
    let server = ModelServer::start().await;
    let model = model_at(&server.url(), change);
    said(&model, request).await.expect("an answer");
    server.last_request().json()
}

#[tokio::test]
async fn a_plain_question_says_no_more_than_it_has_to() {
    let server = ModelServer::start().await;
    said(&model(&server), &asks("hello"))
        .await
        .expect("an answer");
    let request = server.last_request();
    assert_eq!(request.path, "/v1/chat/completions");
    assert_eq!(request.headers["authorization"], "Bearer hush");
    assert_eq!(request.headers["content-type"], "application/json");
    let expected = json!({
        "model": "real-name",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    assert_eq!(request.json(), expected);
}

#[tokio::test]
async fn without_a_key_none_is_sent() {
    let server = ModelServer::start().await;
    let model = model_at(&server.url(), |server| server.key = None);
    said(&model, &asks("hello")).await.expect("an answer");
    assert!(!server.last_request().headers.contains_key("authorization"));
}

fn called(call_id: &str) -> ModelMessage {
    ModelMessage::Called(ToolCall {
        call_id: call_id.to_owned(),
        name: "look".to_owned(),
        arguments: "{\"a\": 1".to_owned(),
    })
}

fn output(call_id: &str) -> ModelMessage {
    ModelMessage::ToolOutput {
        call_id: call_id.to_owned(),
        parts: vec![ModelPart::Text("a tree".to_owned())],
    }
}

#[tokio::test]
async fn calls_that_follow_each_other_are_one_message_with_what_was_said_before() {
    let mut request = asks("first");
    request.instructions = Some("be brief".to_owned());
    request.messages.extend([
        ModelMessage::text(Role::Assistant, "I look."),
        called("a"),
        called("b"),
        output("a"),
        output("b"),
        called("c"),
        output("c"),
        ModelMessage::text(Role::Developer, "briefer"),
        ModelMessage::text(Role::Other, "who?"),
    ]);
    let call = |id: &str| {
        json!({"id": id, "type": "function",
            "function": {"name": "look", "arguments": "{\"a\": 1"}})
    };
    let tool = |id: &str| json!({"role": "tool", "content": "a tree", "tool_call_id": id});
    let expected = json!([
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "I look.", "tool_calls": [call("a"), call("b")]},
        tool("a"),
        tool("b"),
        {"role": "assistant", "content": null, "tool_calls": [call("c")]},
        tool("c"),
        {"role": "system", "content": "briefer"},
        {"role": "user", "content": "who?"},
    ]);
    assert_eq!(asked(&request).await["messages"], expected);
}

#[tokio::test]
async fn what_is_no_text_goes_in_parts() {
    let part = |text: &str| ModelPart::Text(text.to_owned());
    let mut request = asks("");
    request.messages = vec![
        ModelMessage::Said {
            role: Role::User,
            parts: vec![part("one"), part("two")],
        },
        ModelMessage::Said {
            role: Role::User,
            parts: vec![
                part("look"),
                ModelPart::Image {
                    url: "data:image/png;base64,AA==".to_owned(),
                    detail: Some("low".to_owned()),
                },
                ModelPart::Image {
                    url: "https://h/i".to_owned(),
                    detail: None,
                },
                ModelPart::File {
                    name: Some("f.pdf".to_owned()),
                    data: "data:application/pdf;base64,AA==".to_owned(),
                },
                ModelPart::Audio {
                    data: "AA==".to_owned(),
                    format: "wav".to_owned(),
                },
            ],
        },
        ModelMessage::Said {
            role: Role::User,
            parts: Vec::new(),
        },
    ];
    let expected = json!([
        {"role": "user", "content": "one\ntwo"},
        {"role": "user", "content": [
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://h/i"}},
            {"type": "file", "file": {"filename": "f.pdf", "file_data": "data:application/pdf;base64,AA=="}},
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        ]},
        {"role": "user", "content": ""},
    ]);
    assert_eq!(asked(&request).await["messages"], expected);
}

fn tools() -> Vec<FunctionTool> {
    let schema = Json::parse(r#"{"type":"object","properties":{"n":{"maximum":1.50}}}"#);
    let tool = |name: &str, parameters: Option<Json>| FunctionTool {
        name: name.to_owned(),
        description: parameters.as_ref().map(|_| "looks".to_owned()),
        strict: parameters.as_ref().map(|_| true),
        parameters,
    };
    vec![tool("look", schema.ok()), tool("go", None)]
}

async fn offered(choice: Option<ToolChoice>) -> (Vec<String>, Value) {
    let mut request = asks("go");
    request.options.tools = tools();
    request.options.tool_choice = choice;
    let asked = asked(&request).await;
    let names = asked["tools"].as_array().into_iter().flatten();
    let names = names.map(|tool| {
        tool["function"]["name"]
            .as_str()
            .expect("a name")
            .to_owned()
    });
    (names.collect(), asked["tool_choice"].clone())
}

#[tokio::test]
async fn tools_are_offered_with_their_schemas() {
    let mut request = asks("go");
    request.options.tools = tools();
    request.options.parallel_tool_calls = Some(false);
    let server = ModelServer::start().await;
    said(&model(&server), &request).await.expect("an answer");
    let asked = server.last_request();
    let body = String::from_utf8_lossy(&asked.body).into_owned();
    let schema = r#"{"type":"function","function":{"name":"look","description":"looks","#
        .to_owned()
        + r#""parameters":{"type":"object","properties":{"n":{"maximum":1.50}}},"strict":true}}"#;
    assert!(body.contains(&schema), "{body}");
    let plain = json!({"name": "go", "parameters":
        {"type": "object", "properties": {}, "additionalProperties": false}});
    assert_eq!(asked.json()["tools"][1]["function"], plain);
    assert_eq!(asked.json()["parallel_tool_calls"], false);
}

#[tokio::test]
async fn a_choice_of_tools_is_said_as_all_servers_understand_it() {
    let both = vec!["look".to_owned(), "go".to_owned()];
    let function = json!({"type": "function", "function": {"name": "go"}});
    let allowed = |required, name: &str| {
        Some(ToolChoice::Allowed {
            required,
            names: vec![name.to_owned()],
        })
    };
    for (choice, names, said) in [
        (None, &both, Value::Null),
        (Some(ToolChoice::None), &both, json!("none")),
        (Some(ToolChoice::Auto), &both, json!("auto")),
        (Some(ToolChoice::Required), &both, json!("required")),
        (Some(ToolChoice::Function("go".to_owned())), &both, function),
        (
            allowed(true, "go"),
            &vec!["go".to_owned()],
            json!("required"),
        ),
        (
            allowed(false, "look"),
            &vec!["look".to_owned()],
            json!("auto"),
        ),
        (allowed(false, "nothing"), &Vec::new(), Value::Null),
    ] {
        assert_eq!(offered(choice).await, (names.clone(), said));
    }
}

#[tokio::test]
async fn options_are_sent_where_they_are_given() {
    let mut request = asks("go");
    request.options = ModelOptions {
        temperature: Some(0.7),
        top_p: Some(1.0),
        frequency_penalty: Some(-0.5),
        presence_penalty: Some(0.25),
        output_tokens_max: Some(99),
        stop: vec!["\n".to_owned()],
        seed: Some(-3),
        reasoning_effort: Some("low".to_owned()),
        verbosity: Some("high".to_owned()),
        parallel_tool_calls: Some(true),
        tool_choice: Some(ToolChoice::Auto),
        ..ModelOptions::default()
    };
    let expected = json!({
        "model": "real-name",
        "messages": [{"role": "user", "content": "go"}],
        "stream": true,
        "stream_options": {"include_usage": true},
        "temperature": 0.7, "top_p": 1.0, "frequency_penalty": -0.5, "presence_penalty": 0.25,
        "max_tokens": 99, "stop": ["\n"], "seed": -3, "reasoning_effort": "low", "verbosity": "high",
    });
    assert_eq!(asked(&request).await, expected);
    let openai = asked_of(&request, |server| {
        server.output_limit = OutputLimit::MaxCompletionTokens;
    });
    let openai = openai.await;
    assert_eq!(
        (&openai["max_completion_tokens"], &openai["max_tokens"]),
        (&json!(99), &Value::Null)
    );
}

#[tokio::test]
async fn the_form_of_the_answer_is_said() {
    let mut request = asks("go");
    request.options.format = AnswerFormat::JsonObject;
    assert_eq!(
        asked(&request).await["response_format"],
        json!({"type": "json_object"})
    );
    request.options.format = AnswerFormat::JsonSchema {
        name: "n".to_owned(),
        description: None,
        schema: Json::parse(r#"{"type":"object"}"#).expect("JSON"),
        strict: Some(true),
    };
    let expected = json!({"type": "json_schema",
        "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}});
    assert_eq!(asked(&request).await["response_format"], expected);
}
