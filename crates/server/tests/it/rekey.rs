//! The root key is kept by a program and replaced, and receipts say so.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::process::{Place, Ran, Server, command, wait_until};
use crate::receipts::{completed, delete, make};

/// Keeps two keys in files, unless a file beside them says that it is out of reach. Notes what it was told.
const PROGRAM: &str = "\
    test -e $1.away && exit 7\n\
    echo $2 >>$1.told\n\
    case $2 in *-second) key=$1.2;; *) key=$1.1;; esac\n\
    case $2 in\n\
    get*) test ! -e $key || cat $key;;\n\
    put*) cat >$key.new && mv $key.new $key;;\n\
    destroy*) rm -f $key;;\n\
    *) exit 2;;\n\
    esac\n";

/// A place whose root key a program keeps.
struct Kept {
    place: Place,
    command: String,
}

impl Kept {
    fn new() -> Self {
        let place = Place::new();
        let script = place.file("root.sh");
        fs::write(&script, PROGRAM).expect("the program is written");
        let command = format!(
            "/bin/sh {} {}",
            script.display(),
            place.file("root").display()
        );
        Self { place, command }
    }

    fn env<'e>(&'e self, more: &[(&'e str, &'e str)]) -> Vec<(&'e str, &'e str)> {
        let mut env = vec![("PARLANCE_KEYRING_ROOT_COMMAND", self.command.as_str())];
        env.extend(more);
        env
    }

    fn serve(&self, more: &[(&str, &str)]) -> Server {
        self.place.serve(&self.env(more))
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, &[])
    }

    fn run_with(&self, args: &[&str], more: &[(&str, &str)]) -> Ran {
        let ran = command(args, &self.place.data(), &self.env(more)).output();
        let ran = ran.expect("the command runs");
        Ran {
            code: ran.status.code().expect("an exit code"),
            stdout: String::from_utf8(ran.stdout).expect("text"),
            stderr: String::from_utf8(ran.stderr).expect("text"),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.file(name)
    }

    /// The keys that the program has.
    fn keys(&self) -> Vec<String> {
        let files = ["root.1", "root.2"].map(|name| fs::read_to_string(self.file(name)));
        files.into_iter().flatten().collect()
    }

    /// The latest statement of a receipt.
    fn receipt(&self, receipt: &str) -> Value {
        let shown = self.run(&["receipts", "show", receipt]);
        assert_eq!(shown.code, 0, "{shown:?}");
        serde_json::from_str(&shown.stdout).expect("JSON")
    }

    /// Exports the log and verifies it.
    fn verify(&self) {
        let [log, key] = ["log.jsonl", "key.pem"].map(|name| self.file(name));
        fs::write(&log, self.run(&["receipts", "export"]).stdout).expect("the log is written");
        fs::write(&key, self.run(&["receipts", "key"]).stdout).expect("the key is written");
        let [log, key] = [&log, &key].map(|path| path.to_str().expect("a path"));
        let verified = self.run(&["receipts", "verify", log, "--key", key]);
        assert_eq!(verified.code, 0, "{verified:?}");
    }
}

#[test]
fn a_root_that_is_replaced_beside_the_server_and_without_one_raises_receipts_to_l3() {
    let kept = Kept::new();
    let server = kept.serve(&[("PARLANCE_KEYRING_REKEY_MINUTES", "0")]);
    let client = kept.place.key("openai");
    let living = make(&server, &client, 2);
    let receipt = delete(&server, &client, &make(&server, &client, 3));
    completed(&kept.place, &receipt);
    assert_eq!(kept.receipt(&receipt)["level"], "L2");
    let before = kept.keys();
    assert_eq!(before.len(), 1);
    let done = kept.run(&["rekey"]);
    assert_eq!((done.code, done.stdout.as_str()), (0, ""), "{done:?}");
    assert!(done.stderr.contains("replaced"), "{done:?}");
    let after = kept.keys();
    assert!(after.len() == 1 && after != before, "{after:?}");
    let said = kept.receipt(&receipt);
    assert_eq!(
        (&said["level"], &said["state"]),
        (&"L3".into(), &"complete".into())
    );
    let times = &said["times_us"];
    assert!(times["root_renewed"].as_i64() >= times["key_destroyed"].as_i64());
    assert_eq!(times["unreadable_everywhere_by"], times["root_renewed"]);
    let nothing = kept.run(&["rekey"]);
    assert_eq!(nothing.code, 0);
    assert!(
        nothing.stderr.contains("nothing was deleted"),
        "{nothing:?}"
    );
    assert_eq!(
        kept.keys(),
        after,
        "nothing was deleted, so nothing is done"
    );
    let listed = kept.run(&["receipts", "list"]).stdout;
    assert!(listed.contains("L3") && !listed.contains("L2"), "{listed}");
    let late = delete(&server, &client, &make(&server, &client, 0));
    server.kill();
    let done = kept.run(&["rekey"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_ne!(kept.keys(), after);
    assert_eq!(kept.receipt(&late)["level"], "L3");
    kept.verify();
    let server = kept.serve(&[]);
    let path = format!("/v1/conversations/{living}/items");
    let items = server.send("GET", &path, &client, "");
    assert_eq!(items.status, 200);
    assert_eq!(items.body.matches("canary-content").count(), 2);
}

#[test]
fn a_copy_of_the_keyring_from_before_a_renewal_is_refused_with_any_root_that_is_left() {
    let kept = Kept::new();
    let server = kept.serve(&[]);
    let client = kept.place.key("openai");
    let id = make(&server, &client, 1);
    server.kill();
    let (keyring, copy) = (kept.place.data().join("keyring"), kept.file("copy"));
    let copied = |from: &PathBuf, to: &PathBuf| {
        fs::create_dir_all(to).expect("a folder");
        for file in fs::read_dir(from).expect("the keyring") {
            let file = file.expect("a file");
            fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
        }
    };
    copied(&keyring, &copy);
    let server = kept.serve(&[]);
    delete(&server, &client, &id);
    assert_eq!(kept.run(&["rekey"]).code, 0);
    server.kill();
    let newest = kept.file("newest");
    copied(&keyring, &newest);
    copied(&copy, &keyring);
    let refused = kept.run(&["projects", "list"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("root key"), "{refused:?}");
    copied(&newest, &keyring);
    assert_eq!(kept.run(&["projects", "list"]).code, 0);
}

#[test]
fn with_every_delete_the_first_statement_says_l3_and_a_vault_that_is_away_is_told() {
    let kept = Kept::new();
    let strict = [("PARLANCE_KEYRING_REKEY_STRICT", "true")];
    let server = kept.serve(&strict);
    let client = kept.place.key("openai");
    let id = make(&server, &client, 2_000);
    let before = kept.keys();
    let receipt = delete(&server, &client, &id);
    assert_ne!(kept.keys(), before, "it is replaced before the answer");
    let list = || kept.run_with(&["receipts", "list"], &strict).stdout;
    assert!(
        list().contains("L3") && !list().contains("L2"),
        "{}",
        list()
    );
    completed(&kept.place, &receipt);
    let id = make(&server, &client, 1);
    fs::write(kept.file("root.away"), "").expect("the vault goes away");
    let path = format!("/v1/conversations/{id}");
    let failed = server.send("DELETE", &path, &client, "");
    assert_eq!(failed.status, 503, "{failed:?}");
    // What the server has written is read by a thread of the test's own.
    wait_until("the log says why", || {
        server.log().contains("was not renewed with a delete")
    });
    let again = server.send("DELETE", &path, &client, "");
    assert_eq!(again.status, 404, "it is deleted: {again:?}");
    wait_until("what holds is said", || list().contains("L2"));
    let refused = kept.run(&["rekey"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    fs::remove_file(kept.file("root.away")).expect("the vault is back");
    assert_eq!(kept.run(&["rekey"]).code, 0);
    assert!(!list().contains("L2"), "{}", list());
    server.kill();
    kept.verify();
}

#[test]
fn a_root_key_in_a_file_is_not_said_to_be_replaced() {
    let place = Place::new();
    let server = place.serve(&[]);
    let refused = place.run(&["rekey"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    for words in ["L2", "`keyring.root_command`"] {
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
    server.kill();
    assert_eq!(place.run(&["rekey"]).code, 1, "nor without a server");
    for setting in [
        ("PARLANCE_KEYRING_REKEY_STRICT", "true"),
        ("PARLANCE_KEYRING_REKEY_MINUTES", "5"),
    ] {
        let ran = command(&["serve"], &place.data(), &[setting]).output();
        let ran = ran.expect("the command runs");
        let told = String::from_utf8(ran.stderr).expect("text");
        assert_eq!(ran.status.code(), Some(1), "{told}");
        assert!(told.contains("needs `keyring.root_command`"), "{told}");
    }
}

#[test]
fn a_program_that_keeps_one_key_goes_on_as_it_did_and_renewals_say_what_it_lacks() {
    let kept = Kept::new();
    let one = PROGRAM.replace("*-second) key=$1.2;;", "*-second) exit 2;;");
    fs::write(kept.file("root.sh"), one).expect("the program is written");
    let server = kept.serve(&[]);
    let client = kept.place.key("openai");
    let receipt = delete(&server, &client, &make(&server, &client, 1));
    let before = kept.keys();
    let refused = kept.run(&["rekey"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("get-second"), "{refused:?}");
    assert_eq!(kept.keys(), before);
    completed(&kept.place, &receipt);
    assert_eq!(kept.receipt(&receipt)["level"], "L2");
    server.kill();
    kept.serve(&[]);
}

/// The examples of programs in the documentation.
fn documented() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let text = fs::read_to_string(path).expect("the documentation");
    let blocks = text.split("```sh\n").skip(1);
    let block = |rest: &str| rest.split("```").next().expect("its end").to_owned();
    let is_program = |block: &String| block.starts_with("#!");
    blocks.map(block).filter(is_program).collect()
}

#[test]
fn the_documented_program_keeps_the_root_and_lets_it_be_replaced() {
    let kept = Kept::new();
    let dir = kept.file("medium");
    fs::create_dir(&dir).expect("a folder");
    let program = documented().swap_remove(0);
    let program = program.replace("/media/parlance-root", dir.to_str().expect("a path"));
    // The test's own program has an argument before the word.
    let script = program.replacen("set -eu", "set -eu; shift", 1);
    fs::write(kept.file("root.sh"), script).expect("the program is written");
    let server = kept.serve(&[]);
    let client = kept.place.key("openai");
    for _ in 0..3 {
        let receipt = delete(&server, &client, &make(&server, &client, 1));
        let done = kept.run(&["rekey"]);
        assert_eq!(done.code, 0, "{done:?}");
        assert_eq!(kept.receipt(&receipt)["level"], "L3");
        assert_eq!(fs::read_dir(&dir).expect("the medium").count(), 1);
    }
    server.kill();
    kept.serve(&[]);
}
