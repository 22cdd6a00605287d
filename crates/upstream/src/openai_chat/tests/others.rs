use parlance_domain::upstream::{
    EmbeddingRequest, Model, ModelInfo, RawAnswer, SpeechRequest, TranscriptionRequest,
};

use super::*;
use crate::Models;

async fn bytes(
    body: futures_util::stream::BoxStream<'_, Result<bytes::Bytes, ModelError>>,
) -> String {
    let pieces: Vec<_> = body.map(|piece| piece.expect("a piece")).collect().await;
    String::from_utf8(pieces.concat()).expect("text")
}

fn question(more: &str) -> Json {
    let text = format!(
        "{{ \"temperature\" : 1.50,\"model\":  \"name-here\",\n \"messages\":[{{\"role\":\"user\",\
         \"content\":\"model\"}}]{more} }}"
    );
    Json::parse(text).expect("JSON")
}

#[tokio::test]
async fn a_chat_is_passed_on_as_it_came_but_for_the_models_name() {
    let server = ModelServer::start().await;
    let model = model(&server);
    let question = question(", \"x\": {\"model\": 1e2}");
    let whole = model.chat(&question).await.expect("an answer");
    assert_eq!(
        server.last_request().body,
        question.text().replace("name-here", "real-name")
    );
    assert_eq!(
        (whole.status, whole.content_type.as_deref()),
        (200, Some("application/json"))
    );
    let body = bytes(whole.body).await;
    assert!(body.contains("\"content\":\"You said: model\""), "{body}");
}

#[tokio::test]
async fn a_chat_in_pieces_comes_as_it_comes() {
    let server = ModelServer::start().await;
    server.script(Script::steps([
        Step::Raw("data: any bytes\n\n".to_owned()),
        Step::Gate("g".to_owned()),
    ]));
    let answer = model(&server).chat(&question(", \"stream\": true")).await;
    let RawAnswer {
        content_type,
        mut body,
        ..
    } = answer.expect("an answer");
    assert_eq!(
        content_type.as_deref(),
        Some("text/event-stream; charset=utf-8")
    );
    let begun = body.next().await.expect("a piece").expect("a piece");
    assert!(begun.starts_with(b"data: {"));
    let raw = body.next().await.expect("a piece").expect("a piece");
    assert_eq!(raw, "data: any bytes\n\n");
    server.open("g");
    assert!(bytes(body).await.ends_with("data: [DONE]\n\n"));
}

#[tokio::test]
async fn a_chat_gives_the_servers_own_refusals_back() {
    for status in [400, 404, 422, 429, 500] {
        let server = ModelServer::start().await;
        server.script(Script::fails(status).with_header("retry-after", "7"));
        let answer = model(&server).chat(&question("")).await.expect("an answer");
        assert_eq!(
            (answer.status, answer.retry_after),
            (status, Some(Duration::from_secs(7)))
        );
        assert!(bytes(answer.body).await.contains("scripted failure"));
        assert_eq!(server.requests().len(), 1);
    }
    for status in [307, 401, 403] {
        let server = ModelServer::start().await;
        server.script(Script::fails(status));
        let answer = model(&server).chat(&question("")).await;
        assert!(matches!(answer, Err(ModelError::Down(Some(_)))), "{status}");
    }
}

#[tokio::test]
async fn a_chat_that_is_no_object_with_one_model_is_refused() {
    let server = ModelServer::start().await;
    for body in ["[]", "{}", r#"{"model": "a", "model": "b"}"#] {
        let answer = model(&server).chat(&Json::parse(body).expect("JSON")).await;
        assert!(
            matches!(answer, Err(ModelError::Refused { status: 400, .. })),
            "{body}"
        );
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn embeddings_come_in_the_order_of_the_texts() {
    let server = ModelServer::start().await;
    let mut request = EmbeddingRequest {
        model: "name-here".to_owned(),
        texts: vec!["a".to_owned(), "b c".to_owned()],
        dimensions: Some(2),
    };
    let answer = model(&server).embed(&request).await.expect("embeddings");
    assert_eq!(answer.vectors, [[0.97, 0.98], [0.29, 0.3]]);
    assert_eq!(answer.usage.input_tokens, 3);
    let asked = server.last_request();
    assert_eq!(asked.path, "/v1/embeddings");
    let expected = json!({"model": "real-name", "input": ["a", "b c"], "encoding_format": "float",
        "dimensions": 2});
    assert_eq!(asked.json(), expected);
    request.dimensions = None;
    assert_eq!(
        model(&server)
            .embed(&request)
            .await
            .expect("embeddings")
            .vectors[0]
            .len(),
        8
    );
}

#[tokio::test]
async fn a_text_is_read_aloud() {
    let server = ModelServer::start().await;
    let request = SpeechRequest {
        model: "name-here".to_owned(),
        text: "hello".to_owned(),
        voice: "alloy".to_owned(),
        format: Some("mp3".to_owned()),
        speed: Some(1.5),
    };
    let speech = model(&server).speak(&request).await.expect("speech");
    assert_eq!(speech.content_type.as_deref(), Some("audio/mpeg"));
    assert_eq!(bytes(speech.body).await, "alloy says: hello");
    let expected = json!({"model": "real-name", "input": "hello", "voice": "alloy",
        "response_format": "mp3", "speed": 1.5});
    assert_eq!(server.last_request().json(), expected);
}

#[tokio::test]
async fn what_is_said_is_written_down() {
    let server = ModelServer::start().await;
    server.script(Script::fails(503));
    server.script(Script::says(["heard"]));
    let request = TranscriptionRequest {
        model: "name-here".to_owned(),
        sound: bytes::Bytes::from_static(b"\x00\x01sound"),
        file_name: "said.wav".to_owned(),
        language: Some("de".to_owned()),
        prompt: None,
    };
    let heard = model(&server)
        .transcribe(&request)
        .await
        .expect("a transcript");
    assert_eq!(heard, "heard");
    let asked = server.last_request();
    assert_eq!(
        (server.requests().len(), asked.path.as_str()),
        (2, "/v1/audio/transcriptions")
    );
    let body = String::from_utf8_lossy(&asked.body).into_owned();
    for part in [
        "name=\"model\"\r\n\r\nreal-name\r\n",
        "name=\"language\"\r\n\r\nde\r\n",
        "name=\"response_format\"\r\n\r\njson\r\n",
        "name=\"file\"; filename=\"said.wav\"\r\n",
        "\r\n\r\n\u{0}\u{1}sound\r\n",
    ] {
        assert!(body.contains(part), "{part:?} in {body}");
    }
    assert!(!body.contains("prompt") && asked.headers.contains_key("content-length"));
}

#[tokio::test]
async fn models_are_asked_by_their_names() {
    let (one, two) = (ModelServer::start().await, ModelServer::start().await);
    let info = |name: &str, context_tokens| ModelInfo {
        name: name.to_owned(),
        context_tokens,
    };
    let models = Models::new(vec![
        (info("one", Some(8_000)), model(&one)),
        (info("two", None), model(&two)),
    ]);
    let named = models.models();
    assert_eq!(
        named,
        [
            info("one", Some(8_000)),
            info("two", None),
            info("echo", None)
        ]
    );
    let ask = |name: &str| ModelRequest {
        model: name.to_owned(),
        ..asks("go")
    };
    for name in ["one", "two", "echo"] {
        let events: Vec<_> = models.answer(ask(name)).await.expect(name).collect().await;
        assert!(!events.is_empty());
    }
    assert_eq!((one.requests().len(), two.requests().len()), (1, 1));
    let unknown = models.answer(ask("three")).await.err();
    assert!(matches!(unknown, Some(ModelError::Unknown)));
    let request = SpeechRequest {
        model: "echo".to_owned(),
        text: String::new(),
        voice: String::new(),
        format: None,
        speed: None,
    };
    assert!(matches!(
        models.speak(request).await.err(),
        Some(ModelError::Unable)
    ));
}
