//! Receipts of a real server: signed after the answer, complete after the sweep, whatever comes between.

use serde_json::Value;

use crate::process::{Answer, Place, Server, wait_until};

/// Makes a conversation of so many items, in steps of twenty.
pub(crate) fn make(server: &Server, key: &str, count: usize) -> String {
    let item = r#"{"role":"user","content":"canary-content"}"#;
    let items = |count| vec![item; count].join(",");
    let body = format!("{{\"items\":[{}]}}", items(count.min(20)));
    let id = server
        .send("POST", "/v1/conversations", key, &body)
        .string("id");
    let path = format!("/v1/conversations/{id}/items");
    for _ in 1..count.div_ceil(20) {
        let body = format!("{{\"items\":[{}]}}", items(20));
        let added = server.send("POST", &path, key, &body);
        assert_eq!(added.status, 200, "{added:?}");
    }
    id
}

/// The receipt that an answer names.
fn named(answer: &Answer) -> String {
    let line = answer.head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("parlance-erasure-receipt")
            .then_some(value)
    });
    let (id, _) = line
        .and_then(|value| value.split_once("; salt="))
        .unwrap_or_else(|| panic!("no receipt: {}", answer.head));
    id.to_owned()
}

pub(crate) fn delete(server: &Server, key: &str, id: &str) -> String {
    let answer = server.send("DELETE", &format!("/v1/conversations/{id}"), key, "");
    assert_eq!(answer.status, 200, "{answer:?}");
    named(&answer)
}

/// Waits until the receipt is complete, and gives its line.
pub(crate) fn completed(place: &Place, receipt: &str) -> String {
    let mut shown = String::new();
    wait_until("the receipt is complete", || {
        let ran = place.run(&["receipts", "show", receipt]);
        assert_eq!(ran.code, 0, "{ran:?}");
        shown = ran.stdout;
        shown.contains("\"state\":\"complete\"")
    });
    shown
}

/// Checks the receipt as anybody can who has the public key.
fn check(place: &Place, line: &str) {
    let (key, file) = (place.file("key.pem"), place.file("receipt"));
    let pem = place.run(&["receipts", "key"]).stdout;
    std::fs::write(&key, pem).expect("the key is written");
    std::fs::write(&file, line).expect("the receipt is written");
    let (key, file) = (
        key.to_str().expect("a path"),
        file.to_str().expect("a path"),
    );
    let verified = place.run(&["receipts", "verify", file, "--key", key]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert!(verified.stdout.contains("complete"), "{verified:?}");
}

#[test]
fn the_receipt_of_a_large_conversation_becomes_complete_and_its_signature_verifies() {
    let place = Place::new();
    let server = place.serve(&[]);
    let key = place.key("openai");
    let id = make(&server, &key, 3_000);
    let receipt = delete(&server, &key, &id);
    let again = server.send("DELETE", &format!("/v1/conversations/{id}"), &key, "");
    assert_eq!((again.status, named(&again)), (404, receipt.clone()));
    let line = completed(&place, &receipt);
    let json: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(json["v"], "erasure-receipt/1");
    assert_eq!(json["id"], receipt.as_str());
    assert_eq!(json["level"], "L2");
    assert_eq!(json["items"], "1000-9999");
    let time = |name: &str| json["times_us"][name].as_i64().expect("a time");
    let rising = ["requested", "tombstoned", "key_destroyed", "rows_purged"].map(time);
    assert!(rising.is_sorted(), "{line}");
    let day_us = 24 * 3_600 * 1_000_000;
    let everywhere = time("unreadable_everywhere_by");
    assert_eq!(everywhere, time("key_destroyed") + day_us);
    let commitment = json["key_commitment"].as_str().expect("a commitment");
    assert!(commitment.starts_with("sha256:"), "{commitment}");
    let raw = id.strip_prefix("conv_").expect("the id's form");
    for secret in [raw, "canary", "user", &key] {
        assert!(!line.contains(secret), "{secret}: {line}");
    }
    let listed = place.run(&["receipts", "list"]).stdout;
    assert!(
        listed.starts_with(&format!("{receipt}  complete  L2  ")),
        "{listed}"
    );
    assert_eq!(listed.lines().count(), 1, "{listed}");
    server.kill();
    let without_server = place.run(&["receipts", "show", &receipt]);
    assert_eq!(without_server.stdout, line, "it never changes any more");
    check(&place, &line);
}

#[test]
fn a_receipt_is_finished_after_a_kill() {
    let place = Place::new();
    let server = place.serve(&[]);
    let key = place.key("openai");
    let mut receipts = Vec::new();
    for count in [0, 3, 400] {
        let id = make(&server, &key, count);
        receipts.push(delete(&server, &key, &id));
    }
    server.kill();
    let server = place.serve(&[]);
    wait_until("all receipts are complete", || {
        let listed = place.run(&["receipts", "list"]).stdout;
        assert_eq!(listed.lines().count(), receipts.len(), "{listed}");
        listed.lines().all(|line| line.contains("  complete  L2  "))
    });
    let lines: Vec<String> = receipts
        .iter()
        .map(|receipt| completed(&place, receipt))
        .collect();
    server.kill();
    for line in lines {
        check(&place, &line);
    }
}

#[test]
fn a_receipt_belongs_to_its_project() {
    let place = Place::new();
    let server = place.serve(&[]);
    let key = place.key("openai");
    let id = make(&server, &key, 1);
    let receipt = delete(&server, &key, &id);
    assert_eq!(place.run(&["projects", "create", "second"]).code, 0);
    let second = ["--project", "second"];
    let shown = place.run(&[&["receipts", "show", &receipt], second.as_slice()].concat());
    assert_eq!(shown.code, 1, "{shown:?}");
    let listed = place.run(&[&["receipts", "list"], second.as_slice()].concat());
    assert_eq!((listed.code, listed.stdout.as_str()), (0, ""));
    let unknown = "er_00000000000000000000000000000000";
    assert_eq!(place.run(&["receipts", "show", unknown]).code, 1);
}
