//! The drill: back up, delete, lose, restore, with the real binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::process::{Place, Ran, Server, command, wait_until};
use crate::receipts::{delete, make};

/// A place with a backup, of which one conversation was deleted since.
struct Drill {
    place: Place,
    kept: String,
    gone: String,
    /// Made after the backup.
    later: String,
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

impl Drill {
    fn new() -> Self {
        let place = Place::new();
        let server = place.serve(&[]);
        let key = place.key("openai");
        let (kept, gone) = (make(&server, &key, 3), make(&server, &key, 3));
        let drill = Self {
            later: String::new(),
            place,
            kept,
            gone,
        };
        let made = drill.back_up();
        assert_eq!((made.code, made.stderr.as_str()), (0, ""), "{made:?}");
        delete(&server, &key, &drill.gone);
        let later = make(&server, &key, 1);
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
        Self { later, ..drill }
    }

    fn folder(&self) -> PathBuf {
        self.place.file("backup")
    }

    fn back_up(&self) -> Ran {
        self.place.run(&["backup", text(&self.folder())])
    }

    fn restore(&self, more: &[&str]) -> Ran {
        let folder = self.folder();
        self.place
            .run(&[&["restore", text(&folder)], more].concat())
    }

    /// The data directory is lost. Gives where it went.
    fn lose(&self) -> PathBuf {
        let lost = self.place.file("lost");
        fs::rename(self.place.data(), &lost).expect("the data are moved away");
        lost
    }

    /// Reads through two dialects what has to be there, and gives what else is: `gone`, `later`.
    fn read(&self, server: &Server) -> (bool, bool) {
        let key = self.place.key("openai");
        let status = |id: &str| {
            let path = format!("/openai/v1/conversations/{id}/items");
            let answer = server.send("GET", &path, &key, "");
            assert!(answer.status != 200 || answer.body.contains("canary-content"));
            answer.status
        };
        assert_eq!(status(&self.kept), 200);
        let session = self.place.key("openhands");
        let path = format!("/openhands/api/conversations/{}", &self.kept[5..]);
        let seen = server.send("GET", &path, &session, "");
        assert!(seen.status == 200 || seen.status == 401, "{seen:?}");
        (status(&self.gone) == 200, status(&self.later) == 200)
    }

    /// What the log of receipts says of the last restore.
    fn recorded(&self) -> Value {
        let exported = self.place.run(&["receipts", "export"]);
        let (log, key) = (self.place.file("log.jsonl"), self.place.file("key.pem"));
        fs::write(&log, &exported.stdout).expect("the log is written");
        fs::write(&key, self.place.run(&["receipts", "key"]).stdout).expect("a key");
        let verified = self
            .place
            .run(&["receipts", "verify", text(&log), "--key", text(&key)]);
        assert_eq!(verified.code, 0, "{verified:?}");
        let lines = exported.stdout.lines().rev();
        let mut events = lines
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .filter(|line| line["event"] == "restored");
        events.next().expect("the restore is recorded")
    }
}

fn says(ran: &Ran, words: &str) -> bool {
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.stdout.contains(words)
}

#[test]
fn with_the_keyring_of_the_day_nothing_that_was_erased_comes_back() {
    let drill = Drill::new();
    let refused = drill.restore(&[]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains("--yes"), "{refused:?}");
    let restored = drill.restore(&["--yes"]);
    assert!(says(&restored, "the one that was there"), "{restored:?}");
    assert!(!says(&restored, "gap"), "{restored:?}");
    let server = drill.place.serve(&[]);
    assert_eq!(drill.read(&server), (false, false));
    assert_eq!(drill.recorded()["facts"]["snapshot"], Value::Null);
    let audited = drill.place.run(&["audit"]);
    assert_eq!(
        (audited.code, audited.stderr.as_str()),
        (0, ""),
        "{audited:?}"
    );
    let beside = drill.restore(&["--yes"]);
    assert_eq!(beside.code, 1);
    assert!(beside.stderr.contains("stop it first"), "{beside:?}");
}

#[test]
fn with_the_snapshot_and_the_log_of_erasures_nothing_that_was_erased_comes_back() {
    let drill = Drill::new();
    fs::remove_dir_all(drill.place.data().join("keyring")).expect("the keyring is lost");
    let restored = drill.restore(&["--yes"]);
    assert!(says(&restored, "keys destroyed  1"), "{restored:?}");
    assert!(
        !says(&restored, "gap"),
        "the database knows the rest: {restored:?}"
    );
    let server = drill.place.serve(&[]);
    assert_eq!(drill.read(&server), (false, false));
    let recorded = drill.recorded();
    let snapshot = &recorded["facts"]["snapshot"];
    assert_eq!(
        (&snapshot["erasures_applied"], &snapshot["gap_from_us"]),
        (&Value::from(1), &Value::Null)
    );
}

#[test]
fn with_the_snapshot_and_a_copy_of_the_log_from_elsewhere_nothing_comes_back_either() {
    let drill = Drill::new();
    let lost = drill.lose();
    let log = lost.join("erasures.log");
    let restored = drill.restore(&["--erasures", text(&log)]);
    assert!(says(&restored, "keys destroyed  1"), "{restored:?}");
    assert!(
        says(&restored, "gap "),
        "after its last line nobody knows: {restored:?}"
    );
    let server = drill.place.serve(&[]);
    assert_eq!(drill.read(&server), (false, false));
    let made = drill.back_up();
    assert_eq!(made.code, 0, "and it can be backed up again: {made:?}");
}

#[test]
fn with_the_snapshot_alone_the_gap_is_told_and_recorded() {
    let drill = Drill::new();
    drill.lose();
    let restored = drill.restore(&[]);
    assert!(says(&restored, "keys destroyed  0"), "{restored:?}");
    assert!(
        says(&restored, "nothing is known of erasures from 20"),
        "{restored:?}"
    );
    let server = drill.place.serve(&[]);
    assert_eq!(
        drill.read(&server),
        (true, false),
        "this is what the gap is about"
    );
    let recorded = drill.recorded();
    let snapshot = &recorded["facts"]["snapshot"];
    assert_eq!(snapshot["gap_from_us"], snapshot["taken_at_us"]);
}

#[test]
fn an_expired_snapshot_is_refused_and_what_is_restored_all_the_same_is_recorded() {
    let drill = Drill::new();
    drill.lose();
    let path = drill.folder().join("keyring/manifest.json");
    let manifest = fs::read_to_string(&path).expect("a manifest");
    let mut manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    manifest["expires_at_us"] = manifest["taken_at_us"].clone();
    fs::write(&path, manifest.to_string()).expect("it is written");
    let refused = drill.restore(&[]);
    assert_eq!(
        (refused.code, refused.stdout.as_str()),
        (1, ""),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("has expired"), "{refused:?}");
    assert!(!drill.place.data().join("parlance.db").exists());
    let restored = drill.restore(&["--accept-expired"]);
    assert!(says(&restored, ", expired"), "{restored:?}");
    let server = drill.place.serve(&[]);
    drill.read(&server);
    let recorded = drill.recorded();
    let expired = recorded["facts"]["snapshot"]["expires_at_us"].as_i64();
    assert!(
        expired < recorded["at_us"].as_i64() && expired.is_some(),
        "{recorded}"
    );
}

#[test]
fn a_key_outside_of_the_machine_is_no_part_of_a_backup() {
    let place = Place::new();
    let keeper = place.file("keeper");
    let script = format!(
        "#!/bin/sh\ncase $1 in put) cat > {0};; get) [ ! -f {0} ] || cat {0};; esac\n",
        text(&place.file("root"))
    );
    fs::write(&keeper, script).expect("a program");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&keeper, mode).expect("permissions");
    let env = [("PARLANCE_KEYRING_ROOT_COMMAND", text(&keeper))];
    let run = |args: &[&str]| {
        let mut command = command(args, &place.data(), &env);
        command.env("PATH", "/usr/bin:/bin");
        command.output().expect("it runs")
    };
    let env = [env[0], ("PATH", "/usr/bin:/bin")];
    let server = place.serve(&env);
    let key = place.key("openai");
    let id = make(&server, &key, 1);
    let folder = place.file("backup");
    assert!(run(&["backup", text(&folder)]).status.success());
    let names: Vec<String> = fs::read_dir(folder.join("keyring"))
        .expect("a snapshot")
        .map(|entry| {
            entry
                .expect("a name")
                .file_name()
                .into_string()
                .expect("text")
        })
        .collect();
    assert!(
        names.len() == 5 && !names.iter().any(|name| name.contains("root")),
        "{names:?}"
    );
    server.kill();
    fs::remove_dir_all(place.data()).expect("all is lost");
    let restored = run(&["restore", text(&folder)]);
    assert!(restored.status.success(), "{restored:?}");
    let server = place.serve(&env);
    let path = format!("/v1/conversations/{id}");
    assert_eq!(server.send("GET", &path, &key, "").status, 200);
}

/// Starts a command whose end nobody waits for.
fn begin(place: &Place, args: &[&str]) -> Child {
    command(args, &place.data(), &[])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

/// Kills a process as soon as there is something at one of these paths, or when it has ended by itself. True if it
/// was killed.
fn kill_when(mut child: Child, is_there: impl Fn() -> bool) -> bool {
    let mut ended = false;
    wait_until("it is there, or the end", || {
        ended = child.try_wait().expect("its state").is_some();
        ended || is_there()
    });
    drop(child.kill());
    !child.wait().expect("it ends").success() && !ended
}

/// Names of what is in a folder, and in the folders in it.
fn names(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        found.push(path.display().to_string());
        if path.is_dir() {
            found.extend(names(&path));
        }
    }
    found
}

/// A place with enough in it that a backup takes a while.
fn large() -> (Drill, String) {
    let drill = Drill::new();
    let server = drill.place.serve(&[]);
    let key = drill.place.key("openai");
    let large = "words ".repeat(500_000);
    let item = format!("{{\"items\":[{{\"role\":\"user\",\"content\":\"{large}\"}}]}}");
    for _ in 0..8 {
        let made = server.send("POST", "/v1/conversations", &key, &item);
        assert_eq!(made.status, 200);
    }
    let new = make(&server, &key, 1);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    (drill, new)
}

#[test]
fn a_backup_that_is_killed_leaves_the_one_before_and_the_next_one_is_whole() {
    let (drill, new) = large();
    let folder = drill.folder();
    let mut killed = 0;
    for name in [
        "data/parlance.db.part",
        "keyring/header.part",
        "keyring/slots.part",
    ] {
        let path = folder.join(name);
        let child = begin(&drill.place, &["backup", text(&folder)]);
        killed += u32::from(kill_when(child, || path.exists()));
        let elsewhere = Place::new();
        let ran = elsewhere.run(&["restore", text(&folder)]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    assert!(killed > 0, "none was cut off");
    let made = drill.back_up();
    assert_eq!(made.code, 0, "{made:?}");
    let left = names(&folder);
    assert!(!left.iter().any(|name| name.contains(".part")), "{left:?}");
    assert_eq!(
        left.iter()
            .filter(|name| name.contains("parlance.db-"))
            .count(),
        1
    );
    drill.lose();
    assert_eq!(drill.restore(&[]).code, 0);
    let server = drill.place.serve(&[]);
    let path = format!("/v1/conversations/{new}");
    let key = drill.place.key("openai");
    assert_eq!(server.send("GET", &path, &key, "").status, 200);
}

#[test]
fn a_restore_that_is_killed_has_not_begun_or_is_finished_by_the_next_start() {
    let (drill, new) = large();
    let data = drill.place.data();
    let made = drill.back_up();
    assert_eq!(made.code, 0, "{made:?}");
    let mut killed = 0;
    for name in [
        "restoring/parlance.db",
        "restoring/erasures.log",
        "replaced",
        "restored",
    ] {
        let child = begin(&drill.place, &["restore", text(&drill.folder()), "--yes"]);
        let before = names(&data).len();
        killed += u32::from(kill_when(child, || {
            let is_one = |found: &String| found.contains(&format!("data/{name}"));
            names(&data).iter().any(is_one) && names(&data).len() != before
        }));
        let server = drill.place.serve(&[]);
        drill.read(&server);
        let path = format!("/v1/conversations/{new}");
        let key = drill.place.key("openai");
        assert_eq!(server.send("GET", &path, &key, "").status, 200);
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
        for entry in fs::read_dir(&data).expect("the data") {
            let name = entry.expect("an entry").file_name();
            let name = name.to_str().expect("text");
            assert!(!name.starts_with("restor"), "{name}");
            if name.starts_with("replaced-") {
                fs::remove_dir_all(data.join(name)).expect("it is removed");
            }
        }
    }
    assert!(killed > 0, "none was cut off");
}
