//! The command line, beside a running server and without one.

use std::path::Path;

use crate::process::{Place, Ran, command};

const RETRIEVE: &str = "/openai/v1/conversations/conv_00000000000000000000000000000000";

#[test]
fn a_key_made_beside_the_server_works_at_once_and_a_revoked_one_stops() {
    let place = Place::new();
    let server = place.serve(&[]);
    let made = place.run(&["keys", "create", "--dialect", "openai", "--user", "alice"]);
    assert_eq!(made.code, 0, "{made:?}");
    let key = made.stdout.trim();
    assert!(key.starts_with("sk-") && key.len() >= 3 + 40, "{key}");
    assert_eq!(server.send("GET", RETRIEVE, key, "").status, 404);
    let listed = place.run(&["keys", "list"]).stdout;
    let line = listed
        .lines()
        .find(|line| line.contains("alice"))
        .expect("the key is listed");
    assert!(!listed.contains(key), "the key itself is not");
    let id = line.split_whitespace().next().expect("an id");
    assert_eq!(place.run(&["keys", "revoke", id]).code, 0);
    assert_eq!(server.send("GET", RETRIEVE, key, "").status, 401);
    assert_eq!(
        place.run(&["keys", "revoke", id]).code,
        0,
        "a second time changes nothing"
    );
}

#[test]
fn commands_work_without_a_server_too() {
    let place = Place::new();
    place.serve(&[]).kill();
    assert_eq!(
        place.run(&["projects", "create", "second"]).stdout,
        "second\n"
    );
    let app = place.run(&[
        "apps",
        "create",
        "bot",
        "--project",
        "second",
        "--mode",
        "chat",
    ]);
    assert_eq!(app.code, 0, "{app:?}");
    for entry in parlance_dialects::DIALECTS {
        assert!(app.stdout.contains(&format!("{}=", entry.name)), "{app:?}");
        let dialect = [
            "--dialect",
            entry.name,
            "--app",
            "bot",
            "--project",
            "second",
        ];
        let made = place.run(&[&["keys", "create"], dialect.as_slice()].concat());
        assert!(made.stdout.starts_with(entry.key_prefix), "{made:?}");
    }
    let server = place.serve(&[]);
    let projects = place.run(&["projects", "list"]).stdout;
    assert_eq!(projects.lines().count(), 2, "{projects}");
    drop(server);
}

/// What is wrong, and the exit code that says how: 1 failed, 2 wrong usage.
const MISTAKES: &[(i32, &[&str])] = &[
    (2, &["keys", "create", "--dialect", "klingon"]),
    (2, &["keys", "create"]),
    (2, &["keys", "create", "--dialect", "openai", "--user", ""]),
    (
        2,
        &["keys", "create", "--dialect", "openai", "--user", "a\nb"],
    ),
    (
        2,
        &[
            "keys",
            "create",
            "--dialect",
            "openai",
            "--scope",
            "everything",
        ],
    ),
    (2, &["apps", "create", "x", "--mode", "none"]),
    (2, &["projects", "create", "not a name"]),
    (2, &["frobnicate"]),
    (1, &["keys", "create", "--dialect", "admin"]),
    (
        1,
        &["keys", "create", "--dialect", "openai", "--app", "nobody"],
    ),
    (
        1,
        &[
            "keys",
            "create",
            "--dialect",
            "openai",
            "--project",
            "nobody",
        ],
    ),
    (1, &["keys", "revoke", "00000000000000000000000000000000"]),
    (1, &["projects", "create", "default"]),
    (1, &["apps", "create", "default"]),
    (1, &["apps", "import", "x.yml"]),
    (1, &["receipts", "show", "er_nothing"]),
    (1, &["receipts", "list", "--project", "nobody"]),
    (2, &["receipts"]),
    (2, &["receipts", "export", "--project", "default"]),
    (2, &["receipts", "verify", "log.jsonl"]),
    (2, &["receipts", "verify", "--key", "key.pem"]),
    (
        1,
        &[
            "receipts",
            "verify",
            "log.jsonl",
            "--key",
            "no-such-key.pem",
        ],
    ),
    (2, &["erase"]),
    (2, &["erase", "--conversation", "not-an-id"]),
    (
        1,
        &[
            "erase",
            "--conversation",
            "conv_00000000000000000000000000000000",
        ],
    ),
    (2, &["audit", "list"]),
    (1, &["audit", "--also", "no-such-file"]),
    (2, &["backup"]),
    (2, &["backup", "nowhere", "--snapshot-hours", "25"]),
    (2, &["backup", "nowhere", "--project", "default"]),
    (1, &["backup", "/proc/nowhere"]),
    (2, &["restore"]),
    (1, &["restore", "no-such-folder"]),
    (2, &["erase", "--user", "alice", "--older-than", "soon"]),
    (2, &["erase", "--older-than", "0s"]),
    (2, &["erase", "--user", ""]),
    (2, &["erase", "--dry-run"]),
    (2, &["hold"]),
    (2, &["hold", "add", "--user", ""]),
    (2, &["hold", "add", "--note", "two\nlines"]),
    (1, &["hold", "add", "--project", "nobody"]),
    (
        1,
        &[
            "hold",
            "add",
            "--conversation",
            "conv_00000000000000000000000000000000",
        ],
    ),
    (1, &["hold", "remove", "ho_nothing"]),
    (
        1,
        &["hold", "remove", "ho_00000000000000000000000000000000"],
    ),
];

#[test]
fn mistakes_are_told_apart_by_the_exit_code_and_change_nothing() {
    let place = Place::new();
    let _server = place.serve(&[]);
    let before = place.run(&["keys", "list"]).stdout;
    for (code, args) in MISTAKES {
        let ran = place.run(args);
        assert_eq!(ran.code, *code, "{args:?}: {ran:?}");
        assert!(
            ran.stdout.is_empty() && !ran.stderr.is_empty(),
            "{args:?}: {ran:?}"
        );
    }
    assert_eq!(place.run(&["keys", "list"]).stdout, before);
}

/// Makes a conversation of a user's and gives its id.
fn make(server: &crate::process::Server, key: &str) -> String {
    let body = "{\"items\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
    server
        .send("POST", "/openai/v1/conversations", key, body)
        .string("id")
}

/// How many conversations were erased: each is named by its receipt, which is there.
fn erased(place: &Place, ran: &Ran) -> usize {
    let listed = place.run(&["receipts", "list"]).stdout;
    for receipt in ran.stdout.lines() {
        let is = |line: &str| line.starts_with(&format!("{receipt}  "));
        assert!(receipt.starts_with("er_"), "{ran:?}");
        assert_eq!(listed.lines().filter(|line| is(line)).count(), 1);
    }
    ran.stdout.lines().count()
}

#[test]
fn erasing_prints_receipts_beside_a_running_server_and_without_one() {
    let place = Place::new();
    let server = place.serve(&[]);
    let alice = place.run(&["keys", "create", "--dialect", "openai", "--user", "alice"]);
    let (alice, nobody) = (alice.stdout.trim().to_owned(), place.key("openai"));
    let read = |server: &crate::process::Server, key: &str, id: &str| {
        server
            .send("GET", &format!("/openai/v1/conversations/{id}"), key, "")
            .status
    };
    let hers: Vec<String> = (0..3).map(|_| make(&server, &alice)).collect();
    let others = make(&server, &nobody);
    // Its caches are warm: everything was just written, and is read here.
    assert!(hers.iter().all(|id| read(&server, &alice, id) == 200));
    let one = place.run(&["erase", "--conversation", &hers[0]]);
    assert_eq!((one.code, erased(&place, &one)), (0, 1), "{one:?}");
    assert_eq!(one.stderr, "erased 1 conversation\n");
    assert_eq!(read(&server, &alice, &hers[0]), 404);
    let not_bobs = place.run(&["erase", "--conversation", &hers[1], "--user", "bob"]);
    assert_eq!(not_bobs.code, 1);
    assert_eq!(read(&server, &alice, &hers[1]), 200);
    let rest = place.run(&["erase", "--user", "alice", "--yes"]);
    assert_eq!((rest.code, erased(&place, &rest)), (0, 2), "{rest:?}");
    assert_eq!(rest.stderr, "erased 2 conversations, revoked 1 key\n");
    assert!(hers.iter().all(|id| read(&server, &alice, id) == 401));
    let again = place.run(&["keys", "create", "--dialect", "openai", "--user", "alice"]);
    let again = again.stdout.trim();
    assert!(hers.iter().all(|id| read(&server, again, id) == 404));
    assert_eq!(read(&server, &nobody, &others), 200);
    drop(server);
    for said in [
        "erased 0 conversations, revoked 1 key\n",
        "erased 0 conversations\n",
    ] {
        let none = place.run(&["erase", "--user", "alice"]);
        assert_eq!((none.code, none.stdout.as_str()), (0, ""), "{none:?}");
        assert_eq!(none.stderr, said);
    }
    let one = place.run(&["erase", "--conversation", &others]);
    assert_eq!((one.code, erased(&place, &one)), (0, 1), "{one:?}");
    assert_eq!(place.run(&["receipts", "list"]).stdout.lines().count(), 4);
    let server = place.serve(&[]);
    assert_eq!(read(&server, &nobody, &others), 404);
}

#[test]
fn a_command_on_a_directory_that_is_not_there_says_so_and_makes_none() {
    let place = Place::new();
    let ran = place.run(&["keys", "list"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("parlance serve"), "{ran:?}");
    assert!(!place.data().exists());
}

#[test]
fn a_data_directory_with_a_long_path_takes_commands_too() {
    let place = Place::new();
    let long = place.data().join("d".repeat(80)).join("e".repeat(80));
    std::fs::create_dir_all(&long).expect("a folder");
    let inside = |args: &[&str]| {
        command(args, Path::new(&long), &[])
            .output()
            .expect("it runs")
    };
    let mut server = command(&["serve", "--listen", "127.0.0.1:0"], &long, &[]);
    let mut server = server
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the server starts");
    crate::process::wait_until("the server answers commands", || {
        inside(&["projects", "list"]).stdout.starts_with(b"default")
    });
    assert!(
        server.try_wait().expect("its state").is_none(),
        "the server is still running"
    );
    server.kill().expect("it is killed");
    server.wait().expect("it ends");
}
