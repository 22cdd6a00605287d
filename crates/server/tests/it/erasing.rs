//! Erasing many conversations, holds and retention, as operators order them.

use std::process::Stdio;

use crate::process::{Place, Ran, Server, command};
use crate::receipts::{completed, make};

/// A key of a user's.
fn key_of(place: &Place, user: &str) -> String {
    let made = place.run(&["keys", "create", "--dialect", "openai", "--user", user]);
    assert_eq!(made.code, 0, "{made:?}");
    made.stdout.trim().to_owned()
}

fn status(server: &Server, key: &str, id: &str) -> u16 {
    let path = format!("/v1/conversations/{id}");
    server.send("GET", &path, key, "").status
}

/// The number that a dry run shows with a name.
fn counted(ran: &Ran, name: &str) -> u64 {
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut lines = ran.stdout.lines();
    let found = lines.find_map(|line| line.strip_prefix(name));
    found
        .expect("a line of that name")
        .trim()
        .parse()
        .expect("a number")
}

fn hold(place: &Place, words: &[&str]) -> String {
    let added = place.run(&[&["hold", "add"], words].concat());
    assert_eq!(added.code, 0, "{added:?}");
    let id = added.stdout.trim().to_owned();
    assert!(id.starts_with("ho_") && id.len() == 35, "{added:?}");
    id
}

#[test]
fn a_dry_run_counts_and_changes_nothing_beside_a_server_and_without_one() {
    let place = Place::new();
    let server = place.serve(&[]);
    let (alice, bob) = (key_of(&place, "alice"), key_of(&place, "bob"));
    let hers: Vec<String> = (0..3).map(|_| make(&server, &alice, 1)).collect();
    make(&server, &bob, 1);
    hold(&place, &["--conversation", &hers[0]]);
    let check = || {
        let dry = place.run(&["erase", "--user", "alice", "--dry-run"]);
        let numbers = ["conversations", "keys", "held_conversations", "held_keys"];
        let numbers = numbers.map(|name| counted(&dry, name));
        assert_eq!(numbers, [2, 1, 1, 0]);
        let old = place.run(&["erase", "--older-than", "1d", "--dry-run"]);
        assert_eq!(counted(&old, "conversations"), 0);
        for (id, wanted) in [(&hers[0], [0, 1]), (&hers[1], [1, 0])] {
            let one = place.run(&["erase", "--conversation", id, "--dry-run"]);
            let numbers = ["conversations", "held_conversations"];
            assert_eq!(numbers.map(|name| counted(&one, name)), wanted);
        }
    };
    check();
    assert!(hers.iter().all(|id| status(&server, &alice, id) == 200));
    drop(server);
    check();
    let server = place.serve(&[]);
    assert!(hers.iter().all(|id| status(&server, &alice, id) == 200));
}

#[test]
fn many_are_erased_with_their_receipts_though_one_is_held() {
    let place = Place::new();
    let server = place.serve(&[]);
    let (alice, bob) = (key_of(&place, "alice"), key_of(&place, "bob"));
    // More than one piece of an answer, and some too large to be purged at once.
    let hers: Vec<String> = (0..70)
        .map(|number| make(&server, &alice, if number % 30 == 0 { 80 } else { 1 }))
        .collect();
    let his = make(&server, &bob, 1);
    let hold = hold(&place, &["--conversation", &hers[5], "--note", "case 7"]);
    let erased = place.run(&["erase", "--user", "alice"]);
    assert_eq!(erased.code, 1, "a script has to know: {erased:?}");
    let said = "parlance: erased 69 conversations, revoked 1 key; left 1 conversation, which a hold covers\n";
    assert_eq!(erased.stderr, said);
    let receipts: Vec<&str> = erased.stdout.lines().collect();
    assert_eq!(receipts.len(), 69);
    for receipt in [receipts[0], receipts[68]] {
        completed(&place, receipt);
    }
    assert_eq!(status(&server, &alice, &hers[0]), 401);
    let again = key_of(&place, "alice");
    assert_eq!(status(&server, &again, &hers[0]), 404);
    assert_eq!(status(&server, &again, &hers[5]), 200);
    assert_eq!(status(&server, &bob, &his), 200);
    drop(server);
    let removed = place.run(&["hold", "remove", &hold]);
    assert_eq!(
        (removed.code, removed.stdout),
        (0, format!("removed {hold}\n"))
    );
    let rest = place.run(&["erase", "--user", "alice", "--yes"]);
    assert_eq!((rest.code, rest.stdout.lines().count()), (0, 1), "{rest:?}");
    assert_eq!(rest.stderr, "erased 1 conversation, revoked 1 key\n");
}

#[test]
fn holds_are_listed_and_keep_what_they_cover_over_a_restart() {
    let place = Place::new();
    let server = place.serve(&[]);
    let alice = key_of(&place, "alice");
    let id = make(&server, &alice, 1);
    let user = hold(&place, &["--user", "alice", "--note", "case 7"]);
    let one = hold(&place, &["--conversation", &id]);
    let all = hold(&place, &[]);
    server.kill();
    let server = place.serve(&[]);
    let listed = place.run(&["hold", "list"]).stdout;
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 3, "{listed}");
    assert!(lines[0].starts_with(&user) && lines[0].contains("user alice"));
    assert!(lines[0].ends_with("  case 7"), "{listed}");
    assert!(lines[1].starts_with(&one) && lines[1].contains("conversation "));
    assert!(lines[2].starts_with(&all) && lines[2].contains("project"));
    let path = format!("/v1/conversations/{id}");
    for hold in [one, user, all] {
        let refused = server.send("DELETE", &path, &alice, "");
        assert_eq!(refused.status, 409, "{refused:?}");
        let erased = place.run(&["erase", "--conversation", &id]);
        assert_eq!((erased.code, erased.stdout.as_str()), (1, ""));
        assert!(erased.stderr.contains("hold list"), "{erased:?}");
        let removed = place.run(&["hold", "remove", &hold]);
        assert_eq!(removed.code, 0, "{removed:?}");
    }
    assert_eq!(server.send("DELETE", &path, &alice, "").status, 200);
    assert_eq!(place.run(&["hold", "list"]).stdout, "");
    let export = place.run(&["receipts", "export"]).stdout;
    for (event, count) in [("hold_added", 3), ("hold_removed", 3)] {
        let name = format!("\"event\":\"{event}\"");
        assert_eq!(export.matches(&name).count(), count, "{export}");
    }
    assert!(!export.contains("alice") && !export.contains("case 7"));
}

#[test]
fn an_erasure_that_is_killed_is_finished_by_the_same_command() {
    let place = Place::new();
    let server = place.serve(&[]);
    let alice = key_of(&place, "alice");
    for _ in 0..300 {
        make(&server, &alice, 0);
    }
    let erase = command(&["erase", "--user", "alice"], &place.data(), &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    server.kill();
    // Whether it had begun, or was done, chance decides: what it has told of is done.
    let first = erase.wait_with_output().expect("it ends");
    let told = String::from_utf8(first.stdout).expect("text");
    let rest = place.run(&["erase", "--user", "alice"]);
    assert_eq!(rest.code, 0, "{rest:?}");
    let listed = place.run(&["receipts", "list"]).stdout;
    assert_eq!(listed.lines().count(), 300, "each is erased once");
    for receipt in told.lines().chain(rest.stdout.lines()) {
        assert!(listed.contains(receipt), "{receipt}");
    }
    let none = place.run(&["erase", "--user", "alice"]);
    assert_eq!(none.stderr, "erased 0 conversations\n");
}

#[test]
fn retention_for_a_project_that_is_not_there_is_refused() {
    let place = Place::new();
    let server = place.serve(&[("PARLANCE_RETENTION_DAYS", "30")]);
    drop(server);
    let env = [("PARLANCE_RETENTION_PROJECTS", "default=keep,nobody=7")];
    let words = ["serve", "--listen", "127.0.0.1:0"];
    let refused = command(&words, &place.data(), &env).output();
    let refused = refused.expect("it runs");
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).expect("text");
    assert!(said.contains("no project `nobody`"), "{said}");
}
