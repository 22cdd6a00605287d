use super::*;

#[tokio::test]
async fn text_comes_in_the_servers_pieces_and_then_the_reason_and_the_usage() {
    let mut script = Script::says(["Hel", "lo \u{1f30d}", "!"]);
    script.usage = Some(
        json!({"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": null}}),
    );
    let usage = Usage {
        input_tokens: 9,
        cached_tokens: 4,
        output_tokens: 5,
        reasoning_tokens: 2,
    };
    let expected = [
        text("Hel"),
        text("lo \u{1f30d}"),
        text("!"),
        COMPLETE,
        ModelEvent::Usage(usage),
    ];
    assert_eq!(says(script.clone()).await, expected);
    // Some servers know no pieces.
    script.whole = true;
    let whole = [text("Hello \u{1f30d}!"), COMPLETE, ModelEvent::Usage(usage)];
    assert_eq!(says(script).await, whole);
}

#[tokio::test]
async fn thoughts_and_refusals_are_told_apart_from_text() {
    let thought = |text: &str| ModelEvent::Reasoning(text.to_owned());
    let deltas = [
        json!({"reasoning_content": "a"}),
        json!({"reasoning": "b", "content": null}),
        json!({"reasoning": "c", "reasoning_content": "c"}),
        json!({"content": "said"}),
        json!({"refusal": "no"}),
    ];
    let script = Script::steps(deltas.map(Step::Delta));
    let expected = [
        thought("a"),
        thought("b"),
        thought("c"),
        text("said"),
        ModelEvent::Refusal("no".to_owned()),
        COMPLETE,
    ];
    assert_eq!(but_usage(says(script).await), expected);
}

#[tokio::test]
async fn calls_of_tools_come_in_pieces_and_whole() {
    let script = Script::says(["I look."])
        .calling("look", &["{\"at\":", "\"it\"}"])
        .calling("go", &["{}"]);
    let expected = [
        text("I look."),
        call("call_0", "look"),
        arguments("{\"at\":"),
        arguments("\"it\"}"),
        call("call_1", "go"),
        arguments("{}"),
        COMPLETE,
    ];
    assert_eq!(but_usage(says(script.clone()).await), expected);
    let whole = Script {
        whole: true,
        ..script
    };
    let expected = [
        text("I look."),
        call("call_0", "look"),
        arguments("{\"at\":\"it\"}"),
        call("call_1", "go"),
        arguments("{}"),
        COMPLETE,
    ];
    assert_eq!(but_usage(says(whole).await), expected);
}

fn piece(piece: &Value) -> Step {
    Step::Delta(json!({"tool_calls": [piece]}))
}

#[tokio::test]
async fn calls_that_come_mixed_are_told_one_after_the_other() {
    let begins = |index: u32, id: &str, name: &str| {
        piece(&json!({"index": index, "id": id, "type": "function", "function": {"name": name}}))
    };
    let goes_on =
        |index: u32, more: &str| piece(&json!({"index": index, "function": {"arguments": more}}));
    let script = Script::steps([
        begins(0, "a", "first"),
        begins(1, "b", "second"),
        goes_on(1, "{\"b\":"),
        goes_on(0, "{\"a\":"),
        Step::Text("aside".to_owned()),
        goes_on(1, "2}"),
        goes_on(0, "1}"),
        goes_on(0, " "),
    ]);
    let expected = [
        call("a", "first"),
        arguments("{\"a\":"),
        arguments("1}"),
        call("b", "second"),
        arguments("{\"b\":2}"),
        text("aside"),
        COMPLETE,
    ];
    assert_eq!(but_usage(says(script).await), expected);
}

#[tokio::test]
async fn arguments_that_are_no_object_may_go_on() {
    let goes_on = |index: u32, more: &str| {
        piece(
            &json!({"index": index, "id": index.to_string(), "function": {"name": "f", "arguments": more}}),
        )
    };
    let script = Script::steps([goes_on(0, "1"), goes_on(1, "{}"), goes_on(0, "2")]);
    let expected = [
        call("0", "f"),
        arguments("1"),
        arguments("2"),
        call("1", "f"),
        arguments("{}"),
        COMPLETE,
    ];
    assert_eq!(but_usage(says(script).await), expected);
}

#[tokio::test]
async fn a_second_call_is_told_as_it_comes_where_the_first_is_complete() {
    let server = ModelServer::start().await;
    server.script(Script {
        steps: vec![
            piece(&json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}})),
            piece(&json!({"index": 1, "id": "b", "function": {"name": "g", "arguments": "{"}})),
            Step::Gate("g".to_owned()),
            piece(&json!({"index": 1, "function": {"arguments": "}"}})),
        ],
        ..Script::default()
    });
    let mut stream = model(&server).answer(&asks("go")).await.expect("an answer");
    let first: Vec<_> = stream
        .by_ref()
        .take(4)
        .map(|event| event.expect("one"))
        .collect()
        .await;
    let expected = [
        call("a", "f"),
        arguments("{}"),
        call("b", "g"),
        arguments("{"),
    ];
    assert_eq!(first, expected);
    server.open("g");
    let rest: Vec<_> = stream.map(|event| event.expect("an event")).collect().await;
    assert_eq!(but_usage(rest), [arguments("}"), COMPLETE]);
}

#[tokio::test]
async fn what_servers_leave_out_of_calls_is_made_up_for() {
    // All with index 0; without index; without an id; without index and id.
    let function = |name: &str| json!({"name": name, "arguments": "{}"});
    let script = Script::steps([
        piece(&json!({"index": 0, "id": "a", "function": function("one")})),
        piece(&json!({"index": 0, "id": "b", "function": function("two")})),
        piece(&json!({"id": "c", "function": function("three")})),
        piece(&json!({"index": 7, "function": function("four")})),
        piece(&json!({"function": function("five")})),
    ]);
    let events = says(script).await;
    let calls = events.iter().filter_map(|event| {
        let ModelEvent::ToolCall { call_id, name } = event else {
            return None;
        };
        Some((call_id.as_str(), name.as_str()))
    });
    let (ids, names): (Vec<_>, Vec<_>) = calls.unzip();
    assert_eq!(names, ["one", "two", "three", "four", "five"]);
    assert_eq!(ids[..3], ["a", "b", "c"]);
    assert!(ids[3].starts_with("call_") && ids[4].starts_with("call_") && ids[3] != ids[4]);
}

#[tokio::test]
async fn the_reason_for_the_end_is_understood() {
    for (word, reason) in [
        ("stop", FinishReason::Complete),
        ("tool_calls", FinishReason::Complete),
        ("something new", FinishReason::Complete),
        ("length", FinishReason::Length),
        ("content_filter", FinishReason::ContentFilter),
    ] {
        let script = Script {
            finish_reason: Some(word.to_owned()),
            ..Script::says(["x"])
        };
        let expected = [text("x"), ModelEvent::Finished(reason)];
        assert_eq!(but_usage(says(script).await), expected, "{word}");
    }
}

#[tokio::test]
async fn either_a_reason_or_done_ends_an_answer() {
    let no_done = says(Script::says(["x"]).ending(End::NoDone)).await;
    assert_eq!(but_usage(no_done), [text("x"), COMPLETE]);
    let no_reason = says(Script::says(["x"]).ending(End::NoReason)).await;
    assert_eq!(no_reason, [text("x")]);
}

#[tokio::test]
async fn comments_and_unknown_fields_are_passed_over() {
    let raw = ": keep-alive\r\n\r\nevent: x\r\nid: 1\r\ndata: {\"choices\": [{\"index\": 1, \"delta\": \
        {\"content\": \"other\"}}],\r\ndata: \"x\": [1.50, {}]}\r\n\r\ndata:\n\n";
    let script = Script::steps([Step::Raw(raw.to_owned()), Step::Text("x".to_owned())]);
    assert_eq!(but_usage(says(script).await), [text("x"), COMPLETE]);
}

#[tokio::test]
async fn a_piece_is_told_before_the_next_has_come() {
    let server = ModelServer::start().await;
    server.script(Script::steps([
        Step::Text("before".to_owned()),
        Step::Gate("g".to_owned()),
        Step::Text("after".to_owned()),
    ]));
    let mut stream = model(&server).answer(&asks("go")).await.expect("an answer");
    let first = stream.next().await.expect("an event").expect("a piece");
    assert_eq!(first, text("before"));
    server.open("g");
    let next = stream.next().await.expect("an event").expect("a piece");
    assert_eq!(next, text("after"));
}

#[tokio::test]
async fn a_connection_is_used_again_after_an_answer() {
    let server = ModelServer::start().await;
    let model = model(&server);
    for script in [
        Script::says(["x"]),
        Script::says(["x"]).ending(End::NoDone),
        Script {
            whole: true,
            ..Script::default()
        },
        Script::fails(400),
        Script::says(["x"]),
    ] {
        server.script(script);
        drop(said(&model, &asks("go")).await);
    }
    assert_eq!((server.requests().len(), server.connections()), (5, 1));
}

#[tokio::test]
async fn dropping_the_answer_ends_the_request() {
    let server = ModelServer::start().await;
    server.script(Script::says(["x"]).ending(End::Silence));
    let mut stream = model(&server).answer(&asks("go")).await.expect("an answer");
    stream.next().await.expect("an event").expect("a piece");
    drop(stream);
    server.given_up(1).await;
}

#[tokio::test]
async fn dropping_the_question_ends_the_request() {
    let server = ModelServer::start().await;
    server.script(Script {
        hold: Some("never".to_owned()),
        ..Script::default()
    });
    let (model, request) = (model(&server), asks("go"));
    tokio::select! {
        _ = model.answer(&request) => panic!("the server does not answer"),
        () = server.asked(1) => {}
    }
    server.given_up(1).await;
}
