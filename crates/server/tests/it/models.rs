use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use parlance_model_server::{ModelServer, Script, Step};
use tokio::runtime::Runtime;

use crate::process::{PATIENCE, Place, Server, request, wait_until};

/// A model's server, with what runs it.
struct Scripted {
    server: ModelServer,
    runtime: Runtime,
}

impl Scripted {
    fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        Self {
            server: runtime.block_on(ModelServer::start()),
            runtime,
        }
    }

    /// Waits until so many requests have come.
    fn wait_until_asked(&self, count: usize) {
        let asked = async { tokio::time::timeout(PATIENCE, self.server.asked(count)).await };
        self.runtime.block_on(asked).expect("it is asked");
    }

    /// Waits until so many answers were not heard to their end.
    fn wait_until_given_up(&self, count: usize) {
        let given_up = async { tokio::time::timeout(PATIENCE, self.server.given_up(count)).await };
        self.runtime.block_on(given_up).expect("it is given up");
    }

    /// The models that it was asked for, and with which keys.
    fn asked(&self) -> Vec<(String, Option<String>)> {
        let requests = self.server.requests();
        let asked = requests.iter().map(|request| {
            let model = request.json()["model"].as_str().expect("a name").to_owned();
            (model, request.headers.get("authorization").cloned())
        });
        asked.collect()
    }
}

/// What a question through Dify is answered.
fn answer(server: &Server, key: &str) -> (u16, String) {
    let question = r#"{"query":"hello","inputs":{},"user":"alice","response_mode":"blocking"}"#;
    let answer = server.send("POST", "/v1/chat-messages", key, question);
    let said = if answer.status == 200 {
        answer.string("answer")
    } else {
        answer.string("code")
    };
    (answer.status, said)
}

#[test]
fn models_answer_for_the_apps_that_name_them_and_the_default_for_all_others() {
    let (one, two, place) = (Scripted::new(), Scripted::new(), Place::new());
    let file = place.file("parlance.toml");
    let text = format!(
        "[model]\nurl = \"{}\"\nname = \"first\"\n\
         [models.second]\nurl = \"{}/v1/\"\nname = \"real-name\"\nkey_env = \"SECOND_KEY\"\n",
        one.server.url(),
        two.server.url()
    );
    fs::write(&file, text).expect("a file");
    let file = file.to_str().expect("a path");
    let server = place.serve(&[
        ("PARLANCE_CONFIG", file),
        ("PARLANCE_MODEL_KEY", "hush-hush"),
        ("PARLANCE_LOG_FILTER", "trace"),
        ("SECOND_KEY", "hush-two"),
    ]);
    let said = format!(
        "the model is `first` at {}/v1; by name also `second`",
        one.server.url()
    );
    assert!(server.log().contains(&said), "{}", server.log());

    let by_default = place.key("dify");
    let app = place.run(&["apps", "create", "other", "--model", "second"]);
    assert_eq!(app.code, 0, "{app:?}");
    let key = place.run(&["keys", "create", "--dialect", "dify", "--app", "other"]);
    assert_eq!(
        answer(&server, &by_default),
        (200, "You said: hello".to_owned())
    );
    assert_eq!(
        answer(&server, key.stdout.trim()),
        (200, "You said: hello".to_owned())
    );
    let asked = |name: &str, key: &str| vec![(name.to_owned(), Some(format!("Bearer {key}")))];
    assert_eq!(one.asked(), asked("first", "hush-hush"));
    assert_eq!(two.asked(), asked("real-name", "hush-two"));

    let unknown = place.run(&["apps", "create", "third", "--model", "gpt"]);
    assert_eq!(unknown.code, 1);
    let why = "there is no model `gpt`: configured are first, second, echo";
    assert!(unknown.stderr.contains(why), "{unknown:?}");
    let list = place.run(&["apps", "list"]).stdout;
    let models: Vec<_> = list
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .collect();
    assert_eq!(models, ["-", "second"], "{list}");

    let secret = "the question was: quelque chose";
    one.server.script(Script {
        error: Some(serde_json::json!({"message": secret})),
        ..Script::fails(400)
    });
    let (status, _) = answer(&server, &by_default);
    assert_eq!(status, 400);
    one.server.script(Script::fails(401));
    answer(&server, &by_default);
    wait_until("the log says why", || {
        server.log().contains("does not take the key")
    });
    let log = server.log();
    for never in ["hush", "quelque", "hello", "alice"] {
        assert!(!log.contains(never), "{never} in {log}");
    }
}

#[test]
fn a_server_without_a_model_says_that_it_has_none() {
    let place = Place::new();
    let server = place.serve(&[]);
    let log = server.log();
    assert!(
        log.contains("the model is `echo`") && log.contains("is not a model"),
        "{log}"
    );
    let (_, said) = answer(&server, &place.key("dify"));
    assert!(said.contains("not a model"), "{said}");
}

#[test]
fn a_server_does_not_start_without_the_key_that_it_was_told_to_use() {
    let place = Place::new();
    let file = place.file("parlance.toml");
    let text = "[models.one]\nurl = \"http://127.0.0.1:1\"\nkey_env = \"NOT_SET\"\n";
    fs::write(&file, text).expect("a file");
    let ran = place.run(&["serve", "--config", file.to_str().expect("a path")]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("`NOT_SET`"), "{ran:?}");
}

/// Begins to ask for a chat completion.
fn chat(server: &Server, key: &str) -> TcpStream {
    let body = r#"{"stream":true,"messages":[{"role":"user","content":"la question"}]}"#;
    let mut connection = server.connect();
    let request = request("POST", "/openai/v1/chat/completions", key, body);
    connection
        .write_all(request.as_bytes())
        .expect("the question is sent");
    connection
}

/// Whether a file below a folder holds these bytes.
fn holds(folder: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(folder).expect("a folder").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        // The socket is no file.
        let content = fs::read(&path).unwrap_or_default();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

#[test]
fn a_chat_ends_at_the_model_when_its_client_goes_away_and_leaves_nothing_behind() {
    let (model, place) = (Scripted::new(), Place::new());
    let url = model.server.url();
    let server = place.serve(&[
        ("PARLANCE_MODEL_URL", &url),
        ("PARLANCE_MODEL", "first"),
        ("PARLANCE_LOG_FILTER", "trace"),
    ]);
    let key = place.key("openai");

    let said = Step::Text("quelque chose".to_owned());
    let script = Script::steps([said, Step::Gate("never".to_owned())]);
    model.server.script(script);
    let (mut connection, mut read) = (chat(&server, &key), Vec::new());
    while !String::from_utf8_lossy(&read).contains("quelque chose") {
        let mut bytes = [0; 4096];
        let count = connection.read(&mut bytes).expect("more of the answer");
        assert!(count > 0, "it has ended");
        read.extend_from_slice(&bytes[..count]);
    }
    drop(connection);
    model.wait_until_given_up(1);

    // Nor does it have to have begun.
    model.server.script(Script {
        hold: Some("never".to_owned()),
        ..Script::default()
    });
    let connection = chat(&server, &key);
    model.wait_until_asked(2);
    drop(connection);
    model.wait_until_given_up(2);

    let (log, data) = (server.log(), server.data().to_path_buf());
    server.kill();
    assert!(holds(&data, b"SQLite format 3"), "files are looked into");
    for said in ["quelque chose", "la question"] {
        assert!(!log.contains(said), "{log}");
        assert!(!holds(&data, said.as_bytes()), "{said}");
    }
}
