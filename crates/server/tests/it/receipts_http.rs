//! `/receipts/...`: for whoever has the id, in plain words, whatever dialect a credential is of.

use std::io::Write;

use crate::process::{Answer, Place, Server, read_answer, wait_until};
use crate::receipts::{completed, delete, make};

/// Sends a request with an id in its path, as a client of some dialect or of none does.
fn send(server: &Server, method: &str, path: &str, credential: &str) -> Answer {
    let mut stream = server.connect();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: parlance\r\n{credential}connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it is sent");
    read_answer(&mut stream)
}

/// The head of an answer without what differs from one to the next.
fn timeless(answer: &Answer) -> String {
    let lines = answer.head.lines();
    let kept = lines.filter(|line| !line.starts_with("date: "));
    kept.collect::<Vec<_>>().join("\n")
}

/// Credentials of every dialect, of nobody, and none.
fn credentials(place: &Place) -> Vec<String> {
    let mut all = vec![
        String::new(),
        "authorization: Bearer sk-nobody\r\n".to_owned(),
        "authorization: nothing of the kind\r\n".to_owned(),
    ];
    for entry in parlance_dialects::DIALECTS {
        let key = place.key(entry.name);
        all.push(format!("authorization: Bearer {key}\r\n"));
        all.push(format!("x-session-api-key: {key}\r\n"));
    }
    all
}

#[test]
fn a_receipt_is_shown_to_whoever_has_its_id_and_verifies() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = place.key("openai");
    let receipt = delete(&server, &client, &make(&server, &client, 3));
    let shown = completed(&place, &receipt);
    let answer = send(&server, "GET", &format!("/receipts/{receipt}"), "");
    assert_eq!((answer.status, &answer.body), (200, &shown));
    let pem = place.run(&["receipts", "key"]).stdout;
    assert_eq!(send(&server, "GET", "/receipts/key", "").body, pem);
    let (file, key) = (place.file("receipt"), place.file("key.pem"));
    std::fs::write(&file, answer.body).expect("the receipt is written");
    std::fs::write(&key, pem).expect("the key is written");
    let paths = [file, key].map(|path| path.to_str().expect("a path").to_owned());
    let verified = place.run(&["receipts", "verify", &paths[0], "--key", &paths[1]]);
    assert!(verified.stdout.contains(&receipt), "{verified:?}");
}

#[test]
fn a_receipt_tells_its_state_from_the_answer_to_the_delete_on() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = place.key("openai");
    let receipt = delete(&server, &client, &make(&server, &client, 400));
    let mut states = Vec::new();
    wait_until("the receipt is complete", || {
        let answer = send(&server, "GET", &format!("/receipts/{receipt}"), "");
        assert_eq!(answer.status, 200, "{answer:?}");
        let state = answer.string("state");
        let pending = state == "pending";
        assert_eq!(
            answer.head.contains("retry-after: 1"),
            pending,
            "{answer:?}"
        );
        let whole = format!("{{\"id\":\"{receipt}\",\"state\":\"pending\"}}\n");
        assert_eq!(answer.body == whole, pending, "{answer:?}");
        if states.last() != Some(&state) {
            states.push(state);
        }
        states.last().is_some_and(|state| state == "complete")
    });
    let known = ["pending", "destroyed", "complete"];
    let mut order = known
        .iter()
        .filter(|known| states.iter().any(|state| state == **known));
    assert!(
        states
            .iter()
            .all(|state| order.next() == Some(&state.as_str())),
        "{states:?}"
    );
}

#[test]
fn no_dialect_answers_for_receipts_and_no_credential_changes_an_answer() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = place.key("openai");
    let receipt = delete(&server, &client, &make(&server, &client, 1));
    completed(&place, &receipt);
    let known = format!("/receipts/{receipt}");
    let unknown = format!("/receipts/er_{}", "0".repeat(32));
    let beyond = format!("{known}/more");
    let no_text = "/receipts/%FF";
    let cases: [(&str, &str, u16); 18] = [
        ("GET", &known, 200),
        ("HEAD", &known, 200),
        ("GET", "/receipts/key", 200),
        ("HEAD", "/receipts/key", 200),
        ("GET", &unknown, 404),
        ("HEAD", &unknown, 404),
        ("GET", no_text, 404),
        ("GET", "/receipts/er_", 404),
        ("GET", "/receipts/keys", 404),
        ("GET", "/receipts", 404),
        ("GET", "/receipts/", 404),
        ("GET", &beyond, 404),
        ("DELETE", &beyond, 404),
        ("DELETE", &known, 405),
        ("POST", &known, 405),
        ("PUT", "/receipts/key", 405),
        ("OPTIONS", &known, 405),
        ("TRACE", &unknown, 405),
    ];
    let credentials = credentials(&place);
    for (method, path, status) in cases {
        let first = send(&server, method, path, &credentials[0]);
        assert_eq!(first.status, status, "{method} {path}: {first:?}");
        assert!(first.head.contains("cache-control: no-store"), "{first:?}");
        let allows = first.head.to_lowercase().contains("allow: get");
        assert_eq!(allows, status == 405, "{method} {path}: {first:?}");
        match (method, status) {
            ("HEAD", _) => assert_eq!(first.body, ""),
            (_, 200) => {}
            _ => assert!(first.body.starts_with("{\"error\":\""), "{first:?}"),
        }
        for credential in &credentials[1..] {
            let answer = send(&server, method, path, credential);
            assert_eq!(timeless(&answer), timeless(&first), "{method} {path}");
            assert_eq!(answer.body, first.body, "{method} {path}");
        }
    }
    for entry in parlance_dialects::DIALECTS {
        let mounts = entry.mounts.iter().copied();
        let paths = entry.route_table().into_iter().map(|route| route.path);
        let taken = mounts
            .chain(paths)
            .find(|path| path.starts_with("/receipts"));
        assert_eq!(taken, None, "{}", entry.name);
    }
}
