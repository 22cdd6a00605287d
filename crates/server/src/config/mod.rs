//! Configuration: one structure, one precedence. Flags win over the environment, the environment
//! over the file, the file over the defaults. What nobody knows is an error.

mod models;
mod settings;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;
use toml::{Table, Value};

use models::{Model, Models};
pub(crate) use settings::{Durability, Http, KeyringSettings, Log, LogFormat, Retention};

/// The file that is read if it is there and no other is named.
const FILE_DEFAULT: &str = "parlance.toml";
/// What the names of all variables begin with.
const ENV_PREFIX: &str = "PARLANCE_";
/// Names the configuration file.
const ENV_FILE: &str = "PARLANCE_CONFIG";

/// Everything that an operator can set.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address to listen on.
    pub(crate) listen: String,
    /// The data directory.
    pub(crate) data: PathBuf,
    /// Where conversations are kept.
    pub(crate) store: String,
    /// The project that commands mean where they name none.
    pub(crate) project: String,
    /// Whether an acknowledged write survives power loss, or the process alone.
    pub(crate) durability: Durability,
    /// Refuse names of models and bots that name no app.
    pub(crate) strict_names: bool,
    /// Threads that answer requests, beside the one that writes.
    pub(crate) workers: NonZeroUsize,
    /// The model that answers where an app names none.
    model: Model,
    /// More models, by name.
    models: Models,
    /// Where keys are kept.
    pub(crate) keyring: KeyringSettings,
    /// How long conversations are kept that nobody changes.
    pub(crate) retention: Retention,
    /// HTTP.
    pub(crate) http: Http,
    /// Logs.
    pub(crate) log: Log,
}

impl Default for Config {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            data: PathBuf::from("./parlance-data"),
            store: "sqlite".to_owned(),
            project: "default".to_owned(),
            durability: Durability::default(),
            strict_names: false,
            // The writer and the kernel need cores too: on two, one worker is faster than two.
            workers: NonZeroUsize::new(cores / 2).unwrap_or(NonZeroUsize::MIN),
            model: Model::default(),
            models: Models::default(),
            keyring: KeyringSettings::default(),
            retention: Retention::default(),
            http: Http::default(),
            log: Log::default(),
        }
    }
}

/// What flags say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) config: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) store: Option<String>,
    pub(crate) listen: Option<String>,
    pub(crate) model_url: Option<String>,
    pub(crate) model_name: Option<String>,
}

impl Config {
    /// Puts the configuration of this process together.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads it"
    )]
    pub(crate) fn load(flags: &Overrides) -> anyhow::Result<Self> {
        let ours = |(name, _): &(String, String)| name.starts_with(ENV_PREFIX);
        let mut config = Self::from_parts(flags, std::env::vars().filter(ours))?;
        config.read_keys(|name| std::env::var(name).ok())?;
        Ok(config)
    }

    fn from_parts(
        flags: &Overrides,
        env: impl Iterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let mut variables: Vec<(String, String)> = env.collect();
        let named = variables.iter().position(|(name, _)| name == ENV_FILE);
        let named = named.map(|at| PathBuf::from(variables.swap_remove(at).1));
        let mut table = read_file(flags.config.clone().or(named).as_deref())?;
        for (name, value) in variables {
            let path = settings::path_of_variable(&name)
                .with_context(|| format!("there is no setting for the variable `{name}`"))?;
            set(&mut table, path, settings::value_of(path, &value));
        }
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        for (path, flag) in [
            ("data", flags.data.as_ref().map(text)),
            ("store", flags.store.clone()),
            ("listen", flags.listen.clone()),
            ("model.url", flags.model_url.clone()),
            ("model.name", flags.model_name.clone()),
        ] {
            if let Some(flag) = flag {
                set(&mut table, path, Value::String(flag));
            }
        }
        let config: Self = table.try_into().context("the configuration is not right")?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.store.starts_with("postgres://") || self.store.starts_with("postgresql://") {
            bail!("PostgreSQL is not in this version: set `store = \"sqlite\"`");
        }
        if self.store != "sqlite" {
            bail!(
                "there is no store `{}`: set `store = \"sqlite\"`",
                self.store
            );
        }
        self.servers()?;
        self.keyring.check()
    }
}

fn read_file(named: Option<&Path>) -> anyhow::Result<Table> {
    let path = named.unwrap_or(Path::new(FILE_DEFAULT));
    if named.is_none() && !path.exists() {
        return Ok(Table::new());
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("could not read `{}`", path.display()))?;
    text.parse()
        .with_context(|| format!("`{}` is not right", path.display()))
}

/// Sets the value at a dotted path, making the tables on the way.
fn set(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = table
                .entry(first)
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
