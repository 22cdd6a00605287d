//! The log of receipts, exported and verified with the commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::Value;

use crate::process::{Place, Ran, Server, command, wait_until};
use crate::receipts::{completed, delete, make};

/// Exports the log to a file.
fn export(place: &Place, name: &str) -> PathBuf {
    let exported = place.run(&["receipts", "export"]);
    assert_eq!(exported.code, 0, "{}", exported.stderr);
    written(place, name, &exported.stdout)
}

fn written(place: &Place, name: &str, text: &str) -> PathBuf {
    let path = place.file(name);
    fs::write(&path, text).expect("the file is written");
    path
}

fn key(place: &Place) -> PathBuf {
    let key = place.run(&["receipts", "key"]);
    assert_eq!(key.code, 0, "{}", key.stderr);
    written(place, "key.pem", &key.stdout)
}

fn verify(place: &Place, file: &Path, key: &Path, against: Option<&Path>) -> Ran {
    let text = |path: &Path| path.to_str().expect("a path").to_owned();
    let (file, key) = (text(file), text(key));
    let mut args = vec!["receipts", "verify", &file, "--key", &key];
    let against = against.map(text);
    if let Some(against) = &against {
        args.extend(["--against", against]);
    }
    place.run(&args)
}

/// The value that a verified file is shown with.
fn value<'r>(ran: &'r Ran, name: &str) -> &'r str {
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut lines = ran.stdout.lines();
    let found = lines.find_map(|line| line.strip_prefix(name));
    found.expect("a line of that name").trim()
}

#[test]
fn an_exported_log_verifies_without_a_server_and_without_data() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = place.key("openai");
    let empty = export(&place, "empty.jsonl");
    let receipts: Vec<String> = [0, 3, 400]
        .into_iter()
        .map(|count| delete(&server, &client, &make(&server, &client, count)))
        .collect();
    for receipt in &receipts {
        completed(&place, receipt);
    }
    let (beside, key) = (export(&place, "beside.jsonl"), key(&place));
    server.kill();
    let alone = export(&place, "alone.jsonl");
    fs::rename(place.data(), place.file("elsewhere")).expect("the data are moved away");
    for (file, against) in [
        (&empty, None),
        (&beside, Some(&empty)),
        (&alone, Some(&beside)),
        (&alone, Some(&alone)),
    ] {
        let verified = verify(&place, file, &key, against.map(PathBuf::as_path));
        assert!(verified.stderr.is_empty(), "{verified:?}");
        let wanted = if *file == empty { "0" } else { "3" };
        assert_eq!(value(&verified, "receipts"), wanted);
        assert_eq!(value(&verified, "complete"), wanted);
    }
    let behind = verify(&place, &beside, &key, Some(&alone));
    assert_eq!(behind.code, 0, "nothing was added in between: {behind:?}");
    let text = fs::read_to_string(&alone).expect("the log");
    for secret in ["canary", &client, "conv_"] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert!(receipts.iter().all(|receipt| text.contains(receipt)));
    assert!(!place.data().exists(), "nothing is made for it");
}

#[test]
fn a_log_or_a_receipt_is_read_from_standard_input_too() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = place.key("openai");
    let receipt = delete(&server, &client, &make(&server, &client, 1));
    let shown = completed(&place, &receipt);
    let exported = place.run(&["receipts", "export"]).stdout;
    let key = key(&place);
    for (text, wanted) in [(shown, "complete"), (exported, "entries")] {
        let file = written(&place, "given", &text);
        let words = [
            "receipts",
            "verify",
            "-",
            "--key",
            key.to_str().expect("a path"),
        ];
        let mut command = command(&words, &place.data(), &[]);
        let input = fs::File::open(&file).expect("the file");
        let ran = command.stdin(input).output().expect("it runs");
        let printed = String::from_utf8(ran.stdout).expect("text");
        assert!(
            ran.status.success() && printed.contains(wanted),
            "{printed}"
        );
    }
}

#[test]
fn damage_to_an_exported_log_fails_and_is_located() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = place.key("openai");
    for _ in 0..3 {
        delete(&server, &client, &make(&server, &client, 1));
        export(&place, "log.jsonl");
    }
    let (log, key) = (export(&place, "log.jsonl"), key(&place));
    let text = fs::read_to_string(&log).expect("the log");
    let lines: Vec<&str> = text.lines().collect();
    let joined = |lines: &[&str]| format!("{}\n", lines.join("\n"));
    let mut swapped = lines.clone();
    swapped.swap(2, 5);
    let damaged = [
        (joined(&lines[..lines.len() - 1]), lines.len() - 1),
        (joined(&swapped), 3),
        (text.replacen("\"L2\"", "\"L1\"", 1), 3),
        (text.replacen("\"1-9\"", "\"0\"", 1), 3),
        (text.replace('\n', "\r\n"), 1),
        (text.trim_end().to_owned(), lines.len()),
        (String::new(), 0),
        ("{}\n".to_owned(), 1),
    ];
    for (damaged, line) in damaged {
        assert_ne!(damaged, text);
        let file = written(&place, "damaged.jsonl", &damaged);
        let ran = verify(&place, &file, &key, None);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
        let place = format!("line {line}: ");
        assert!(ran.stderr.contains(&place), "{place}: {}", ran.stderr);
    }
    let other = Place::new();
    other.serve(&[]).kill();
    let ran = verify(&place, &log, &self::key(&other), None);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("another key"), "{}", ran.stderr);
    let ran = verify(&place, &log, &log, None);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("no Ed25519 public key"),
        "{}",
        ran.stderr
    );
    let receipt = written(&place, "receipt", &{
        let listed = place.run(&["receipts", "list"]).stdout;
        let id = listed.split("  ").next().expect("a receipt").to_owned();
        place.run(&["receipts", "show", &id]).stdout
    });
    assert_eq!(verify(&place, &log, &key, Some(&receipt)).code, 0);
    assert_eq!(verify(&place, &receipt, &key, Some(&log)).code, 2);
}

/// Deletes and counts until it is told to stop, or the server is gone.
fn keep_deleting(server: &Server, client: &str, stop: &AtomicBool, deleted: &AtomicU64) {
    while !stop.load(Ordering::Acquire) {
        let made = server.try_send("POST", "/v1/conversations", client, "{}");
        let made: Option<Value> = made.and_then(|made| serde_json::from_str(&made.body).ok());
        let Some(id) = made.as_ref().and_then(|made| made["id"].as_str()) else {
            return;
        };
        let path = format!("/v1/conversations/{id}");
        let gone = server.try_send("DELETE", &path, client, "");
        deleted.fetch_add(u64::from(gone.is_some()), Ordering::AcqRel);
    }
}

#[test]
fn every_export_under_way_is_whole_and_holds_the_one_before() {
    let place = Place::new();
    let server = place.serve(&[]);
    let (client, key) = (place.key("openai"), key(&place));
    let (stop, deleted) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| keep_deleting(&server, &client, &stop, &deleted));
        }
        let mut earlier = export(&place, "0.jsonl");
        let mut entries = 0;
        for number in 1..8 {
            let later = export(&place, &format!("{number}.jsonl"));
            let verified = verify(&place, &later, &key, Some(&earlier));
            entries = value(&verified, "entries").parse().expect("a number");
            earlier = later;
        }
        stop.store(true, Ordering::Release);
        assert!(entries > 0_u64, "deletes went on meanwhile");
    });
}

#[test]
fn the_log_is_whole_and_goes_on_where_it_was_after_every_kill() {
    let place = Place::new();
    let (mut earlier, mut acknowledged) = (None, 0);
    for round in 0..4 {
        let server = place.serve(&[]);
        let (client, key) = (place.key("openai"), key(&place));
        let log = export(&place, &format!("{round}.jsonl"));
        let verified = verify(&place, &log, &key, earlier.as_deref());
        let receipts: u64 = value(&verified, "receipts").parse().expect("a number");
        assert!(receipts >= acknowledged, "every delete has a receipt in it");
        earlier = Some(log);
        let (stop, deleted) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| keep_deleting(&server, &client, &stop, &deleted));
            }
            // To list them signs all that is due, so that the kill comes while receipts are signed.
            scope.spawn(|| {
                while !stop.load(Ordering::Acquire) {
                    place.run(&["receipts", "list"]);
                }
            });
            wait_until("some are deleted", || deleted.load(Ordering::Acquire) > 30);
            server.signal("KILL");
            stop.store(true, Ordering::Release);
        });
        acknowledged += deleted.into_inner();
        server.kill();
    }
}

#[test]
fn an_older_copy_of_the_database_forks_the_log_and_the_comparison_says_so() {
    let place = Place::new();
    let server = place.serve(&[]);
    let client = place.key("openai");
    delete(&server, &client, &make(&server, &client, 1));
    let (common, key) = (export(&place, "common.jsonl"), key(&place));
    server.signal("TERM");
    server.wait();
    let (database, copy) = (place.data().join("parlance.db"), place.file("copy.db"));
    fs::copy(&database, &copy).expect("a copy of the database alone");
    let server = place.serve(&[]);
    let lost = delete(&server, &client, &make(&server, &client, 1));
    let lost = written(&place, "lost", &completed(&place, &lost));
    let newer = export(&place, "newer.jsonl");
    server.signal("TERM");
    server.wait();
    fs::copy(&copy, &database).expect("the copy is brought back");
    let server = place.serve(&[]);
    delete(&server, &client, &make(&server, &client, 1));
    let forked = export(&place, "forked.jsonl");
    assert_eq!(verify(&place, &forked, &key, Some(&common)).code, 0);
    for earlier in [&newer, &lost] {
        let ran = verify(&place, &forked, &key, Some(earlier));
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains("forked"), "{}", ran.stderr);
    }
}
