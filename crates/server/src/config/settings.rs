//! The settings, by group.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use parlance_dialects::HttpOptions;
use parlance_domain::secret::Secret;
use serde::{Deserialize, Deserializer};
use toml::Value;

/// Minutes between renewals of the root key, where it can be renewed.
const REKEY_MINUTES: u64 = 60;

/// Every setting, as its path in the file. A variable is the path in capitals after `PARLANCE_`,
/// with `_` for the dot.
const PATHS: &[&str] = &[
    "listen",
    "data",
    "store",
    "project",
    "durability",
    "strict_names",
    "workers",
    "model.url",
    "model.name",
    "model.key",
    "model.key_env",
    "model.context_tokens",
    "model.first_byte_timeout_s",
    "model.idle_timeout_s",
    "model.output_limit",
    "keyring.mirror",
    "keyring.root_command",
    "retention.days",
    "retention.projects",
    "keyring.rekey_minutes",
    "keyring.rekey_strict",
    "http.body_bytes_max",
    "http.header_timeout_s",
    "http.body_timeout_s",
    "http.write_timeout_s",
    "http.connections_max",
    "http.shutdown_timeout_s",
    "http.cors_origins",
    "log.format",
    "log.filter",
];

/// The setting that a variable sets.
pub(super) fn path_of_variable(name: &str) -> Option<&'static str> {
    let tail = name.strip_prefix(super::ENV_PREFIX)?;
    let is = |path: &&&str| path.replace('.', "_").to_uppercase() == tail;
    // `PARLANCE_MODEL` is what the flag `--model` is called.
    let tail_is_model = (tail == "MODEL").then_some("model.name");
    PATHS.iter().find(is).copied().or(tail_is_model)
}

/// The value that a variable's text stands for. Origins are separated by commas, the words of a command
/// by spaces.
pub(super) fn value_of(path: &str, text: &str) -> Value {
    let list = |words: &mut dyn Iterator<Item = &str>| {
        let words = words.filter(|word| !word.is_empty());
        Value::Array(words.map(|word| Value::String(word.to_owned())).collect())
    };
    match path {
        "http.cors_origins" => return list(&mut text.split(',').map(str::trim)),
        "keyring.root_command" => return list(&mut text.split(' ')),
        "retention.projects" => return projects(text),
        _ => {}
    }
    let read = match path {
        "strict_names" | "keyring.rekey_strict" => text.parse().map(Value::Boolean).ok(),
        "workers"
        | "model.context_tokens"
        | "model.first_byte_timeout_s"
        | "model.idle_timeout_s"
        | "retention.days"
        | "keyring.rekey_minutes"
        | "http.body_bytes_max"
        | "http.header_timeout_s"
        | "http.body_timeout_s"
        | "http.write_timeout_s"
        | "http.connections_max"
        | "http.shutdown_timeout_s" => text.parse().map(Value::Integer).ok(),
        _ => None,
    };
    // What does not read as it should stays text, and is refused with the setting's name.
    read.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// `name=30,other=keep`: what each project keeps.
fn projects(text: &str) -> Value {
    let kept = |text: &str| {
        let days = text.parse().map(Value::Integer);
        days.unwrap_or_else(|_| Value::String(text.to_owned()))
    };
    let pairs = text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, days) = pair.split_once('=').unwrap_or((pair, ""));
        (name.trim().to_owned(), kept(days.trim()))
    };
    Value::Table(pairs.map(pair).collect())
}

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durability {
    /// Power loss.
    #[default]
    Power,
    /// The end of the process.
    Process,
}

/// A secret setting.
#[derive(Clone)]
pub(crate) struct Hidden(Secret);

impl Hidden {
    /// Hides `text`.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(Secret::new(text))
    }

    /// The secret.
    pub(crate) const fn secret(&self) -> &Secret {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Where keys are kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct KeyringSettings {
    /// A directory with a second copy of the keyring, kept in step.
    pub(crate) mirror: Option<PathBuf>,
    /// The program that keeps the root key, with its first arguments; it is called with `get`, `put`
    /// or `destroy` after them.
    pub(crate) root_command: Vec<String>,
    /// Minutes between renewals of the root key; 0 is never.
    rekey_minutes: Option<u64>,
    /// Renew the root key with every delete, before its answer.
    pub(crate) rekey_strict: bool,
}

impl KeyringSettings {
    /// How often the root key is renewed in the background; never if none.
    pub(crate) fn rekey_every(&self) -> Option<Duration> {
        let default = if self.root_command.is_empty() {
            0
        } else {
            REKEY_MINUTES
        };
        let minutes = self.rekey_minutes.unwrap_or(default);
        (minutes > 0).then(|| Duration::from_secs(minutes.saturating_mul(60)))
    }

    /// Refuses to renew what cannot be renewed, rather than pretend to.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if !self.root_command.is_empty() {
            return Ok(());
        }
        let wanted = match (self.rekey_strict, self.rekey_minutes) {
            (true, _) => "keyring.rekey_strict",
            (false, Some(1..)) => "keyring.rekey_minutes",
            (false, None | Some(0)) => return Ok(()),
        };
        bail!(
            "`{wanted}` needs `keyring.root_command`: a root key in a file cannot be destroyed for certain, \
             so that erasure stays at level L2"
        );
    }
}

/// How long conversations are kept that nobody changes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Retention {
    /// Days, in every project that is not named.
    days: Option<NonZeroU32>,
    /// The projects that keep them for another time.
    projects: BTreeMap<String, Kept>,
}

/// How long a project keeps its conversations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a number of days from 1 on, or \"keep\"")]
enum Kept {
    /// So many days after their last change.
    Days(NonZeroU32),
    /// Until somebody deletes them.
    Always(Always),
}

/// The word for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Always {
    Keep,
}

impl Retention {
    /// How long a project keeps what nobody changes; none if until somebody deletes it.
    pub(crate) fn of(&self, project: &str) -> Option<Duration> {
        let days = match self.projects.get(project) {
            Some(Kept::Days(days)) => Some(*days),
            Some(Kept::Always(Always::Keep)) => None,
            None => self.days,
        };
        days.map(|days| Duration::from_hours(24) * days.get())
    }

    /// The projects that are named.
    pub(crate) fn named(&self) -> impl Iterator<Item = &str> {
        self.projects.keys().map(String::as_str)
    }
}

/// HTTP.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    /// Largest JSON body, in bytes.
    pub(crate) body_bytes_max: usize,
    /// Longest wait for a request's headers, idle connections included.
    pub(crate) header_timeout_s: u64,
    /// Longest pause while a body arrives.
    pub(crate) body_timeout_s: u64,
    /// Longest wait for a client to take something of its answer.
    pub(crate) write_timeout_s: u64,
    /// Most connections at a time; more wait to be accepted.
    pub(crate) connections_max: NonZeroUsize,
    /// Longest wait for running requests at the end.
    pub(crate) shutdown_timeout_s: u64,
    /// Origins that browsers may call from; `*` is any.
    pub(crate) cors_origins: Vec<String>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            body_bytes_max: 16 << 20,
            header_timeout_s: 30,
            body_timeout_s: 30,
            write_timeout_s: 30,
            connections_max: NonZeroUsize::new(10_000).unwrap_or(NonZeroUsize::MIN),
            shutdown_timeout_s: 30,
            cors_origins: Vec::new(),
        }
    }
}

impl Http {
    /// What the dialects need of it.
    pub(crate) fn options(&self) -> HttpOptions {
        HttpOptions {
            body_bytes_max: self.body_bytes_max,
            body_pause_max: Duration::from_secs(self.body_timeout_s),
            cors_origins: self.cors_origins.clone(),
        }
    }
}

/// Logs, on standard error.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// For readers or for machines.
    pub(crate) format: LogFormat,
    /// What is logged, in the words of `tracing`'s filters. Every request is logged at `debug`.
    pub(crate) filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            filter: "info".to_owned(),
        }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For a reader.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
