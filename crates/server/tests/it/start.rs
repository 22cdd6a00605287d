//! The first start, the second, and the end.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;

use parlance_domain::model::{App, AppMode, Project, ProjectId};
use parlance_domain::store::{AdminWrite, Store};
use parlance_domain::{Clock, IdSource, SystemClock};
use parlance_store::{Options, Sqlite};

use crate::process::{Place, command, read_answer, request, wait_until};

#[test]
fn the_first_start_prints_keys_whose_curl_lines_work_and_the_second_prints_nothing() {
    let place = Place::new();
    let server = place.serve(&[]);
    let printed = place.printed();
    let lines: Vec<&str> = printed
        .lines()
        .filter(|line| line.contains("curl"))
        .skip(1)
        .collect();
    assert_eq!(
        lines.len(),
        parlance_dialects::DIALECTS.len(),
        "one line for each: {printed}"
    );
    if Command::new("curl").arg("--version").output().is_err() {
        println!("SKIPPED: there is no curl to paste the lines to");
        return;
    }
    for line in lines {
        let pasted = Command::new("sh")
            .arg("-c")
            .arg(line)
            .output()
            .expect("the shell runs");
        assert!(pasted.status.success(), "{line}: {pasted:?}");
        let metrics = server.send("GET", "/metrics", "", "").body;
        assert!(!metrics.contains("status=\"4"), "{line}: {metrics}");
    }
    let deletes = server.send("GET", "/metrics", "", "").body;
    let counted = deletes
        .lines()
        .filter(|line| line.starts_with("parlance_requests_total") && line.contains(".delete\""));
    assert_eq!(
        counted.count(),
        parlance_dialects::DIALECTS.len(),
        "{deletes}"
    );
    server.kill();
    let server = place.serve(&[]);
    assert_eq!(place.printed(), printed);
    for dialect in parlance_dialects::DIALECTS {
        assert!(
            !server.log().contains(&place.key(dialect.name)),
            "a key is in the log"
        );
    }
}

/// What a first start leaves that is killed when it has made so much.
async fn unfinished(place: &Place, with_app: bool) {
    fs::create_dir_all(place.data()).expect("a folder");
    let store = Sqlite::open(&place.data(), Options::default()).expect("a store");
    let (id, name, created_at) = (ProjectId(1), "default".to_owned(), SystemClock.now());
    let project = Project {
        id,
        name: name.clone(),
        created_at,
    };
    let mut writes = vec![AdminWrite::CreateProject(project)];
    if with_app {
        writes.push(AdminWrite::CreateApp(App {
            id: IdSource::new(Arc::new(SystemClock), [1; 32]).next(),
            project: id,
            name,
            mode: AppMode::AdvancedChat,
            model: None,
            instructions: None,
            created_at,
        }));
    }
    for write in writes {
        store.administer(&write).await.expect("it is written");
    }
    store.close().await;
}

#[tokio::test]
async fn a_first_start_that_was_killed_is_finished_by_the_next() {
    for with_app in [false, true] {
        let place = Place::new();
        unfinished(&place, with_app).await;
        let server = place.serve(&[]);
        let key = place.key("openai");
        let made = server.send("POST", "/v1/conversations", &key, "{}");
        assert_eq!(made.status, 200, "{made:?}");
        assert_eq!(place.run(&["apps", "list"]).stdout.lines().count(), 1);
        let printed = place.printed();
        server.kill();
        drop(place.serve(&[]));
        assert_eq!(place.printed(), printed, "it is finished once");
    }
}

#[test]
fn everything_in_the_data_directory_is_its_owners_alone() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mode =
        |path: &std::path::Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(server.data()), 0o700);
    for entry in fs::read_dir(server.data()).expect("the data directory") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let place = Place::new();
    let _server = place.serve(&[]);
    let second = place.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.code, 1);
    assert!(
        second.stderr.contains("another process is using"),
        "{second:?}"
    );
}

#[test]
fn the_operators_paths_answer() {
    let place = Place::new();
    let server = place.serve(&[]);
    assert_eq!(server.send("GET", "/healthz", "", "").body, "ok\n");
    assert_eq!(server.send("GET", "/readyz", "", "").body, "ready\n");
    let key = place.key("openai");
    server.send("POST", "/v1/conversations", &key, "{}");
    let metrics = server.send("GET", "/metrics", "", "").body;
    for name in [
        "parlance_requests_total{",
        "parlance_request_seconds_",
        "parlance_store_batch_size_",
    ] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
}

#[test]
fn what_is_not_in_this_version_says_so() {
    let place = Place::new();
    let server = place.serve(&[]);
    for path in ["/admin/v1/keys", "/console"] {
        let answer = server.send("GET", path, "", "");
        assert_eq!(answer.status, 501);
        assert!(answer.body.contains("not in this version"), "{answer:?}");
    }
}

#[test]
fn sigterm_lets_a_running_request_finish() {
    let place = Place::new();
    let server = place.serve(&[]);
    let key = place.key("openai");
    let request = request("POST", "/v1/conversations", &key, "{\"metadata\":{}}");
    let (first, rest) = request.split_at(request.len() - 5);
    let mut stream = server.connect();
    stream
        .write_all(first.as_bytes())
        .expect("the first part is sent");
    // Another request's answer shows that the server has read what came before it.
    server.send("GET", "/healthz", "", "");
    server.signal("TERM");
    wait_until("the server is told to stop", || {
        server.log().contains("told to stop")
    });
    stream.write_all(rest.as_bytes()).expect("the rest is sent");
    let answer = read_answer(&mut stream);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(server.wait(), Some(0));
    let id = answer.string("id");
    let server = place.serve(&[]);
    assert_eq!(
        server
            .send("GET", &format!("/v1/conversations/{id}"), &key, "")
            .status,
        200
    );
}

#[test]
fn somebody_who_says_nothing_on_the_control_socket_does_not_keep_the_server_from_ending() {
    let place = Place::new();
    let server = place.serve(&[]);
    let idle = std::os::unix::net::UnixStream::connect(server.data().join("control.sock"));
    let idle = idle.expect("the socket is there");
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    drop(idle);
}

#[test]
fn unknown_settings_are_refused_wherever_they_stand() {
    let place = Place::new();
    let ran = command(&["serve"], &place.data(), &[("PARLANCE_LISEN", "x")]).output();
    let ran = ran.expect("the command runs");
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("PARLANCE_LISEN"));
    assert_eq!(place.run(&["serve", "--lisen", "x"]).code, 2);
}

#[test]
fn a_server_whose_log_nobody_reads_works_and_stops() {
    let place = Place::new();
    let server = place.serve_unheard();
    let answer = server.send("GET", "/healthz", "", "");
    assert_eq!(answer.status, 200);
    // It says that it was told to stop.
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
}
