//! One run of one script: its keys, its environment, its lines.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::kit::Kit;
use super::model::Model;
use super::server::Server;
use crate::tools::{Shop, say};

/// Longest silence of a script.
const PATIENCE: Duration = Duration::from_mins(2);

/// The dialects with their prefixes.
const PREFIXES: &[(&str, &str)] = &[
    ("openai", "/openai"),
    ("dify", "/dify"),
    ("coze", "/coze"),
    ("openhands", "/openhands"),
];

/// A key that scripts get, by the variable that holds it.
struct Key {
    variable: &'static str,
    dialect: &'static str,
    app: &'static str,
    /// Made unique to the run, so that runs see nothing of each other.
    user: Option<&'static str>,
    scopes: &'static [&'static str],
}

const fn key(variable: &'static str, dialect: &'static str, user: Option<&'static str>) -> Key {
    Key {
        variable,
        dialect,
        app: "default",
        user,
        scopes: &[],
    }
}

/// Everything but `editConversation`.
const COZE_READER: &[&str] = &[
    "createConversation",
    "retrieveConversation",
    "listConversation",
];

const KEYS: &[Key] = &[
    key("OPENAI_KEY", "openai", None),
    key("OPENAI_KEY_ALICE", "openai", Some("alice")),
    key("OPENAI_KEY_BOB", "openai", Some("bob")),
    key("DIFY_KEY", "dify", None),
    key("DIFY_KEY_ALICE", "dify", Some("alice")),
    key("DIFY_KEY_BOB", "dify", Some("bob")),
    Key {
        app: "second",
        ..key("DIFY_KEY_SECOND_APP", "dify", None)
    },
    Key {
        app: "completion",
        ..key("DIFY_KEY_COMPLETION", "dify", None)
    },
    key("COZE_KEY_ALICE", "coze", Some("alice")),
    key("COZE_KEY_BOB", "coze", Some("bob")),
    Key {
        scopes: COZE_READER,
        ..key("COZE_KEY_READER", "coze", Some("alice"))
    },
    key("OPENHANDS_KEY_ALICE", "openhands", Some("alice")),
    key("OPENHANDS_KEY_BOB", "openhands", Some("bob")),
];

/// Apps besides `default`, with their modes and what their models are told first.
const APPS: &[(&str, &str, &str)] = &[
    ("second", "advanced-chat", ""),
    ("completion", "completion", ""),
    (
        "assistant",
        "advanced-chat",
        "You are the assistant of the tests.",
    ),
];

/// A script to be run.
pub(super) struct Job<'a> {
    pub(super) shop: &'a Shop,
    pub(super) kit: &'a Kit,
    pub(super) server: &'a Server,
    pub(super) model: Option<&'a Model>,
    pub(super) dialect: &'a str,
    pub(super) script: &'a str,
    pub(super) prefixed: bool,
}

/// What a script has said of one test.
pub(super) struct Line {
    test: String,
    ok: bool,
    why: String,
}

/// A test with its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tested {
    pub(super) run: String,
    pub(super) test: String,
    pub(super) ok: bool,
    pub(super) why: String,
}

impl Line {
    /// The line as a test of this run.
    pub(super) fn of(self, run: &str) -> Tested {
        Tested {
            run: run.to_owned(),
            test: self.test,
            ok: self.ok,
            why: self.why,
        }
    }
}

impl Job<'_> {
    /// Runs the script and gives its lines in order.
    pub(super) fn run(&self) -> anyhow::Result<Vec<Line>> {
        let path = self
            .shop
            .root
            .join("conformance")
            .join(self.dialect)
            .join(self.script);
        let mut command = self.kit.command(&path);
        command
            .envs(self.variables()?)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let child = command.spawn().context("could not start it")?;
        let lines = listen(child)?;
        let passed = lines.iter().filter(|line| line.ok).count();
        let place = if self.prefixed {
            "at its prefix"
        } else {
            "at the root"
        };
        say(&format!(
            "  {} {place}: {passed} of {} passed\n",
            self.script,
            lines.len()
        ));
        Ok(lines)
    }

    /// What a script is told: `BASE_URL` (its own dialect's), `OPENAI_URL` and so on (every
    /// dialect's), `SERVER_URL`, `MODEL_URL` where a scripted model answers, and the keys.
    fn variables(&self) -> anyhow::Result<Vec<(String, String)>> {
        let url = self.server.url();
        let mut variables = vec![("SERVER_URL".to_owned(), url.to_owned())];
        let run = format!(
            "{}{}",
            self.script,
            if self.prefixed { "" } else { "-root" }
        );
        variables.push(("RUN".to_owned(), run.clone()));
        let model = self.model.map(Model::url).map(str::to_owned);
        variables.extend(model.map(|url| ("MODEL_URL".to_owned(), url)));
        for (dialect, prefix) in PREFIXES {
            let base = if self.prefixed {
                format!("{url}{prefix}")
            } else {
                url.to_owned()
            };
            if *dialect == self.dialect {
                variables.push(("BASE_URL".to_owned(), base.clone()));
            }
            variables.push((format!("{}_URL", dialect.to_uppercase()), base));
        }
        let apps = self.make_apps()?;
        let bot = apps
            .lines()
            .find(|line| line.split_whitespace().next() == Some("default"));
        let bot = bot.and_then(|line| {
            line.split_whitespace()
                .find_map(|w| w.strip_prefix("coze="))
        });
        variables.push(("COZE_BOT_ID".to_owned(), bot.unwrap_or_default().to_owned()));
        // An app has an id in the form of every dialect that there is.
        let spoken = |key: &&Key| apps.contains(&format!("{}=", key.dialect));
        for key in KEYS.iter().filter(spoken) {
            variables.push((key.variable.to_owned(), self.key(key, &run)?));
        }
        Ok(variables)
    }

    /// Makes the apps that are not there yet, and gives the list of those that were.
    fn make_apps(&self) -> anyhow::Result<String> {
        let apps = self.server.command(&["apps", "list"])?;
        let is_there = |name| {
            let mut names = apps.lines().map(|line| line.split_whitespace().next());
            names.any(|own| own == Some(name))
        };
        for (name, mode, instructions) in APPS.iter().filter(|(name, ..)| !is_there(name)) {
            let mut words = vec!["apps", "create", name, "--mode", mode];
            let file = self.server.folder().join("instructions");
            let file = file.to_string_lossy();
            if !instructions.is_empty() {
                std::fs::write(&*file, instructions).context("could not write instructions")?;
                words.extend(["--instructions-file", &*file]);
            }
            self.server.command(&words)?;
        }
        Ok(apps)
    }

    fn key(&self, key: &Key, run: &str) -> anyhow::Result<String> {
        let user = key.user.map(|user| format!("{user}-{run}"));
        let mut words = vec!["keys", "create", "--dialect", key.dialect, "--app", key.app];
        if let Some(user) = &user {
            words.extend(["--user", user.as_str()]);
        }
        for scope in key.scopes {
            words.extend(["--scope", scope]);
        }
        self.server.command(&words)
    }
}

/// Reads a script's lines until it ends.
fn listen(mut child: Child) -> anyhow::Result<Vec<Line>> {
    let stdout = child.stdout.take().context("it has no standard output")?;
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut lines = Vec::new();
    loop {
        match receiver.recv_timeout(PATIENCE) {
            Ok(line) => lines.push(read(&line)?),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                child.kill().context("could not stop it")?;
                child.wait().context("could not wait for it")?;
                bail!("it said nothing for {} s", PATIENCE.as_secs());
            }
        }
    }
    let status = child.wait().context("could not wait for it")?;
    if !status.success() {
        // Not an error of this program: the tests that are missing are found by the comparison.
        let why = format!("{status}");
        lines.push(Line {
            test: "the script runs to its end".to_owned(),
            ok: false,
            why,
        });
    }
    Ok(lines)
}

fn read(line: &str) -> anyhow::Result<Line> {
    let odd = || format!("it wrote a line that is no result: {line}");
    let value: Value = serde_json::from_str(line).with_context(odd)?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let test = text("test").with_context(odd)?;
    let ok = value.get("ok").and_then(Value::as_bool).with_context(odd)?;
    Ok(Line {
        test,
        ok,
        why: text("why").unwrap_or_default(),
    })
}

impl Tested {
    /// The line of a baseline.
    pub(super) fn line(&self) -> String {
        json!({"run": self.run, "test": self.test, "ok": self.ok}).to_string()
    }

    /// Reads the line of a baseline.
    pub(super) fn parse(line: &str) -> anyhow::Result<Self> {
        let value: Value = serde_json::from_str(line).context("a baseline holds JSON lines")?;
        let run = value
            .get("run")
            .and_then(Value::as_str)
            .context("a line without run")?;
        Ok(read(line)?.of(run))
    }
}
