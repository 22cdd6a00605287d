use super::*;

fn failure(error: &(dyn std::error::Error + 'static)) -> String {
    parlance_domain::fault::Chain(error).to_string()
}

/// How a model fails to answer scripts, one after the other, and how often it was asked.
async fn fails(scripts: impl IntoIterator<Item = Script>) -> (ModelError, usize) {
    let server = ModelServer::start().await;
    scripts.into_iter().for_each(|script| server.script(script));
    let error = said(&model(&server), &asks("go"))
        .await
        .expect_err("no answer");
    (error, server.requests().len())
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    for status in [408, 429, 500, 502, 503, 504] {
        let server = ModelServer::start().await;
        server.script(Script::fails(status));
        server.script(Script::fails(status).with_header("retry-after", "0"));
        server.script(Script::says(["x"]));
        let events = said(&model(&server), &asks("go")).await.expect("an answer");
        assert!(matches!(&events[0], Ok(event) if *event == text("x")));
        assert_eq!(server.requests().len(), 3, "{status}");
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_without_an_answer_is_tried_again() {
    let hangs_up = || Script {
        hang_up: true,
        ..Script::default()
    };
    let server = ModelServer::start().await;
    server.script(hangs_up());
    server.script(Script::says(["x"]));
    let events = said(&model(&server), &asks("go")).await.expect("an answer");
    assert!(matches!(&events[0], Ok(event) if *event == text("x")));
    let (error, count) = fails([hangs_up(), hangs_up(), hangs_up()]).await;
    assert!(matches!(error, ModelError::Down(Some(_))));
    assert_eq!(count, 3);
}

#[tokio::test]
async fn nobody_there_is_down() {
    let server = ModelServer::start().await;
    let url = server.url();
    drop(server);
    let model = model_at(&url, |_| {});
    let error = said(&model, &asks("go"))
        .await
        .expect_err("nobody is there");
    assert!(matches!(error, ModelError::Down(Some(_))));
    // Neither where it was to be, nor our key.
    let shown = failure(&error);
    assert!(
        !shown.contains("127.0.0.1") || !shown.contains("/v1/"),
        "{shown}"
    );
    assert!(!shown.contains("hush"), "{shown}");
}

#[tokio::test]
async fn a_server_at_its_limit_is_busy_once_asking_again_did_not_help() {
    let busy = || Script::fails(429);
    let (error, count) = fails([busy(), busy(), busy()]).await;
    assert!(matches!(error, ModelError::Busy { retry_after: None }));
    assert_eq!(count, 3);
}

#[tokio::test]
async fn a_server_that_wants_a_longer_pause_is_busy_at_once() {
    let date = "Sun, 22 Nov 2026 10:01:00 GMT";
    for (name, value, seconds) in [
        ("retry-after", "30", 30),
        ("retry-after", date, 60),
        ("retry-after-ms", "45000", 45),
    ] {
        for status in [429, 503] {
            let (error, count) = fails([Script::fails(status).with_header(name, value)]).await;
            let expected = Some(Duration::from_secs(seconds));
            assert!(
                matches!(error, ModelError::Busy { retry_after } if retry_after == expected),
                "{error:?}"
            );
            assert_eq!(count, 1);
        }
    }
}

#[tokio::test]
async fn what_a_server_says_of_our_key_is_not_given_whatever_its_status() {
    for error in [
        json!({"message": "Incorrect API key: hush", "code": "invalid_api_key"}),
        json!({"message": "Incorrect API key: hush", "type": "authentication_error"}),
        json!({"message": "hush", "type": "invalid_request_error", "code": "invalid_api_key"}),
    ] {
        let event = json!({"error": error}).to_string();
        let streamed = Script::steps([Step::Raw(format!("data: {event}\n\n"))]);
        let server = ModelServer::start().await;
        server.script(streamed);
        let events = said(&model(&server), &asks("go")).await.expect("a stream");
        let in_stream = events.into_iter().find_map(Result::err);
        let refused = Script {
            error: Some(error),
            ..Script::fails(400)
        };
        let (at_once, count) = fails([refused]).await;
        assert_eq!(count, 1);
        for meant in [in_stream.expect("an error"), at_once] {
            assert!(matches!(meant, ModelError::Down(Some(_))), "{meant:?}");
            assert!(!failure(&meant).contains("hush"));
        }
    }
}

#[tokio::test]
async fn a_refusal_is_given_with_the_servers_words_and_not_tried_again() {
    let error =
        json!({"message": "your secret text is too long", "code": "context_length_exceeded"});
    let script = Script {
        error: Some(error),
        ..Script::fails(400)
    };
    let (error, count) = fails([script]).await;
    assert_eq!(count, 1);
    assert!(!failure(&error).contains("secret") && !format!("{error:?}").contains("secret"));
    let ModelError::Refused { status, said } = error else {
        panic!("{error:?}");
    };
    let said = said.expect("words");
    assert_eq!(
        (status, said.message.as_str(), said.code.as_deref()),
        (
            400,
            "your secret text is too long",
            Some("context_length_exceeded")
        )
    );
}

#[tokio::test]
async fn words_of_other_servers_are_understood() {
    for (error, message) in [
        (json!("no such model"), Some("no such model")),
        (json!({"message": "m", "code": 400}), Some("m")),
        (json!({"nothing": 1}), None),
    ] {
        let script = Script {
            error: Some(error),
            ..Script::fails(404)
        };
        let (error, _) = fails([script]).await;
        let ModelError::Refused { status: 404, said } = error else {
            panic!("{error:?}");
        };
        assert_eq!(said.as_ref().map(|said| said.message.as_str()), message);
    }
}

#[tokio::test]
async fn a_key_that_is_not_taken_is_no_matter_of_the_clients() {
    for status in [401, 402, 403] {
        let (error, count) = fails([Script::fails(status)]).await;
        assert!(matches!(error, ModelError::Down(Some(_))), "{error:?}");
        let shown = failure(&error);
        assert!(shown.contains("does not take the key"), "{shown}");
        assert_eq!(count, 1);
    }
}

#[tokio::test]
async fn nobody_is_sent_elsewhere_with_our_key() {
    let elsewhere = ModelServer::start().await;
    let there = format!("{}/v1/chat/completions", elsewhere.url());
    let (error, _) = fails([Script::fails(307).with_header("location", &there)]).await;
    assert!(matches!(error, ModelError::Down(Some(_))), "{error:?}");
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_down_after_what_was_said() {
    for end in [End::Nothing, End::Disconnect] {
        let (before, error) = breaks(Script::says(["x", "y"]).ending(end)).await;
        assert_eq!(before, [text("x"), text("y")]);
        assert!(matches!(error, ModelError::Down(Some(_))), "{end:?}");
    }
}

#[tokio::test]
async fn an_event_that_makes_no_sense_is_down_and_not_quoted() {
    for raw in [
        "data: {\"choices\": [{\"delta\": {\"content\": \"secret\n\n",
        "data: {\"choices\": [{\"delta\": {\"content\": 5, \"x\": \"secret\"}}]}\n\n",
        "data: {\"choices\": \"secret\"}\n\n",
        "data: {\"secret\": 1}\n\n",
        "data: secret\n\n",
        "data: {\"choices\": [{\"delta\": {\"content\": \"\u{0}secret\"}}]}\n\n",
    ] {
        let script = Script::steps([Step::Text("x".to_owned()), Step::Raw(raw.to_owned())]);
        let (before, error) = breaks(script).await;
        assert_eq!(before, [text("x")]);
        assert!(matches!(error, ModelError::Down(Some(_))), "{raw}");
        assert!(!failure(&error).contains("secret"), "{}", failure(&error));
    }
    let piece = json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]});
    let (_, error) = breaks(Script::steps([Step::Delta(piece)])).await;
    assert!(
        matches!(error, ModelError::Down(Some(_))),
        "a call without a name"
    );
}

#[tokio::test]
async fn an_error_within_an_answer_is_what_its_status_would_be() {
    let reported = async |error: &str| {
        let raw = format!("data: {error}\n\n");
        let script = Script::steps([Step::Text("x".to_owned()), Step::Raw(raw)]);
        let (before, error) = breaks(script).await;
        assert_eq!(before, [text("x")]);
        error
    };
    for error in [
        r#"{"error": {"message": "m", "type": "server_error", "code": null}}"#,
        r#"{"error": {"message": "m", "code": 502}}"#,
        r#"{"error": {"message": "m", "code": 401}}"#,
        r#"{"error": "m"}"#,
    ] {
        let error = reported(error).await;
        assert!(matches!(error, ModelError::Down(Some(_))), "{error:?}");
    }
    for error in [
        r#"{"error": {"message": "m", "type": "invalid_request_error", "code": "c"}}"#,
        r#"{"object": "error", "message": "m", "type": "BadRequestError", "code": 400}"#,
    ] {
        let error = reported(error).await;
        assert!(
            matches!(&error, ModelError::Refused { status: 400, said: Some(said) } if said.message == "m"),
            "{error:?}"
        );
    }
    let busy = reported(r#"{"error": {"message": "m", "code": "rate_limit_exceeded"}}"#).await;
    assert!(matches!(busy, ModelError::Busy { .. }));
}

/// Longer than any test may take.
const FOR_EVER: u64 = 1_000_000;

#[tokio::test]
async fn silence_before_an_answer_is_noticed_and_not_asked_again() {
    let silent =
        |error: &ModelError| matches!(error, ModelError::Silent(after) if after.as_millis() == 40);
    let server = ModelServer::start().await;
    let model = patient(&server, 40, FOR_EVER);
    server.script(Script {
        hold: Some("never".to_owned()),
        ..Script::default()
    });
    let error = said(&model, &asks("go")).await.expect_err("no answer");
    assert!(silent(&error), "{error:?}");
    assert_eq!(server.requests().len(), 1);
    // The head of an answer is no beginning of it.
    server.script(Script::steps([Step::Gate("never".to_owned())]));
    let question = Json::parse(r#"{"model":"m","messages":[]}"#).expect("JSON");
    let raw = model.chat(&question).await.expect("a head");
    let pieces: Vec<_> = raw.body.collect().await;
    assert!(
        matches!(pieces.as_slice(), [Err(error)] if silent(error)),
        "{pieces:?}"
    );
    server.given_up(2).await;
}

#[tokio::test]
async fn silence_within_an_answer_is_noticed() {
    let server = ModelServer::start().await;
    let model = patient(&server, FOR_EVER, 40);
    server.script(Script::says(["x"]).ending(End::Silence));
    let events = said(&model, &asks("go")).await.expect("an answer");
    let silent =
        |error: &ModelError| matches!(error, ModelError::Silent(after) if after.as_millis() == 40);
    assert!(
        matches!(events.as_slice(), [Ok(_), Err(error)] if silent(error)),
        "{events:?}"
    );
    server.given_up(1).await;
}

/// What comes of a body whose pieces come after so many milliseconds each, to one that waits 100 for the
/// first and 50 for the others.
async fn body(pauses: &[u64]) -> Vec<Result<bytes::Bytes, ModelError>> {
    let pieces = futures_util::stream::iter(pauses.to_vec()).then(async |pause| {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        Ok::<_, std::io::Error>("x")
    });
    let response = http::Response::new(reqwest::Body::wrap_stream(pieces));
    let patience = Patience {
        first_byte: Duration::from_millis(100),
        idle: Duration::from_millis(50),
    };
    let body = body::Body::new(response.into(), patience);
    body.into_stream().collect().await
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_take_longer_than_any_of_its_pauses() {
    let pieces = body(&[99, 49, 49, 0, 49, 30, 30, 49]).await;
    assert_eq!(
        pieces.iter().filter(|piece| piece.is_ok()).count(),
        8,
        "{pieces:?}"
    );
    for (pauses, heard) in [(&[101][..], 0), (&[99, 51], 1), (&[0, 49, 0, 51], 3)] {
        let pieces = body(pauses).await;
        let silent = matches!(pieces.last(), Some(Err(ModelError::Silent(_))));
        assert!(
            silent && pieces.len() == heard + 1,
            "{pauses:?}: {pieces:?}"
        );
    }
}
