//! Golden scenarios: `fixtures/<dialect>/<case>.http`, requests with the exact bytes of their answers.
//!
//! A file begins with `#` lines that say where its facts come from. Then, for each step:
//!
//! ```text
//! === what this step shows
//! @advance 5s                                  (optional: the clock goes on)
//! @settle                                      (optional: what is being answered is answered first)
//! @keep conversation /id                       (optional: `{conversation}` is this from now on)
//! POST /openai/v1/conversations
//! authorization: Bearer {openai}               (keys of the TestApp, by name)
//!
//! {"metadata":{}}                              (the body up to the next marker)
//! --- 200
//! content-type: application/json
//!
//! {"id":"conv_..."}
//! ```
//!
//! What the model answers is what the question says, if that is a script ([`script::Directed`]); else it is
//! an echo. In the files named `turn.http` it is [`models::Scripted`], so that these show the same turn in
//! every dialect.
//!
//! Time and ids are fixed, so nothing is left out of the comparison. `UPDATE_FIXTURES=1` writes the
//! answers instead of comparing them; review the difference.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use parlance_domain::upstream::Model;

use crate::app::{Answer, TestApp};
use crate::{models, script};

#[tokio::test]
async fn every_scenario_is_answered_byte_for_byte() {
    let mut failures = String::new();
    let files = scenarios(&root());
    assert!(!files.is_empty(), "there are scenarios");
    for file in files {
        let expected = std::fs::read_to_string(&file).expect("a readable scenario");
        let model: Arc<dyn Model> = if file.ends_with("turn.http") {
            Arc::new(models::Scripted)
        } else {
            Arc::new(script::Directed::default())
        };
        let app = TestApp::with_model(model).await;
        let actual = replay(&app, &expected).await;
        if expected == actual {
            continue;
        }
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            std::fs::write(&file, actual).expect("a writable scenario");
        } else {
            let _ = writeln!(
                failures,
                "{}:\n{}",
                file.display(),
                first_difference(&expected, &actual)
            );
        }
    }
    assert!(
        failures.is_empty(),
        "answers have changed (UPDATE_FIXTURES=1 accepts them)\n{failures}"
    );
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

fn scenarios(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            found.extend(scenarios(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "http")
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The file as it should be: its requests with the answers that they get now.
async fn replay(app: &TestApp, file: &str) -> String {
    let mut steps = file.split("\n=== ");
    let head = steps.next().unwrap_or_default();
    assert!(
        head.starts_with('#'),
        "a scenario says where its facts come from"
    );
    let mut kept = Vec::new();
    let mut replayed = head.to_owned();
    for step in steps {
        let (request, _) = step
            .split_once("\n--- ")
            .unwrap_or((step.trim_end_matches('\n'), ""));
        let answer = send(app, request, &mut kept).await;
        let _ = write!(replayed, "\n=== {request}\n--- {}", render(&answer));
    }
    replayed
}

async fn send(app: &TestApp, step: &str, kept: &mut Vec<(String, String)>) -> Answer {
    let (head, body) = step.split_once("\n\n").unwrap_or((step, ""));
    let mut lines = head.lines().skip(1).peekable();
    let mut keep = Vec::new();
    while let Some(directive) = lines.next_if(|line| line.starts_with('@')) {
        let words: Vec<&str> = directive.split(' ').collect();
        match words.as_slice() {
            ["@advance", time] => {
                let seconds = time
                    .strip_suffix('s')
                    .and_then(|number| number.parse().ok());
                app.clock
                    .advance(Duration::from_secs(seconds.expect("`@advance Ns`")));
            }
            ["@settle"] => app.settle().await,
            ["@keep", name, pointer] => keep.push((*name, *pointer)),
            _ => panic!("there is no directive `{directive}`"),
        }
    }
    let fill_in = |text: &str| {
        let replace = |text: String, (name, value): &(String, String)| {
            text.replace(&format!("{{{name}}}"), value)
        };
        kept.iter().fold(app.fill_in(text), replace)
    };
    let (method, path) = lines
        .next()
        .and_then(|line| line.split_once(' '))
        .expect("a request line");
    let mut request = Request::builder().method(method).uri(fill_in(path));
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a header");
        request = request.header(name, fill_in(value));
    }
    let body = fill_in(body);
    let answer = app
        .send(request.body(Body::from(body)).expect("a request"))
        .await;
    for (name, pointer) in keep {
        let json = answer.json();
        let value = json
            .pointer(pointer)
            .unwrap_or_else(|| panic!("no {pointer} to keep"));
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), ToOwned::to_owned);
        kept.push((name.to_owned(), text));
    }
    answer
}

fn render(answer: &Answer) -> String {
    let mut text = format!("{}\n", answer.status.as_u16());
    let mut headers: Vec<String> = answer
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    headers.sort();
    for header in headers {
        let _ = writeln!(text, "{header}");
    }
    let _ = writeln!(text, "\n{}", answer.text());
    text
}

fn first_difference(expected: &str, actual: &str) -> String {
    let pairs = expected.lines().zip(actual.lines()).enumerate();
    let differing = pairs
        .filter(|(_, (expected, actual))| expected != actual)
        .take(3);
    let mut text = String::new();
    for (at, (expected, actual)) in differing {
        let _ = writeln!(text, "  line {}:\n  - {expected}\n  + {actual}", at + 1);
    }
    if text.is_empty() {
        "  one is longer than the other".to_owned()
    } else {
        text
    }
}
