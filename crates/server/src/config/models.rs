//! The models: which there are, where they are, and which one answers by default.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use anyhow::{Context, bail};
use parlance_domain::upstream::ModelInfo;
use parlance_upstream::echo;
use parlance_upstream::openai_chat::{BaseUrl, OutputLimit, Patience, Server};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Config;
use super::settings::Hidden;

/// A model: the one of `[model]`, or one of `[models]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Model {
    /// The base URL of its server.
    url: Option<String>,
    /// The name that its server knows it by. In `[model]` it is its name here, too.
    name: Option<String>,
    /// The server's key.
    pub(super) key: Option<Hidden>,
    /// The variable that has the key.
    pub(super) key_env: Option<String>,
    /// Most tokens that it can read and write in one answer.
    context_tokens: Option<NonZeroU64>,
    /// Longest wait for an answer to begin.
    first_byte_timeout_s: Option<NonZeroU64>,
    /// Longest pause within an answer.
    idle_timeout_s: Option<NonZeroU64>,
    /// What the server calls the most tokens that it may write.
    output_limit: Option<Limit>,
}

/// What a server calls the most tokens that a model may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Limit {
    MaxTokens,
    MaxCompletionTokens,
}

/// The models that are configured by name, in the order of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Models(pub(super) Vec<(String, Model)>);

impl<'de> Deserialize<'de> for Models {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Models;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of models, by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Models, A::Error> {
        let mut models = Vec::new();
        while let Some(model) = map.next_entry()? {
            models.push(model);
        }
        Ok(Models(models))
    }
}

impl Model {
    /// Where it is, if that is said.
    fn server(&self, name: &str) -> anyhow::Result<Option<Server>> {
        let Some(url) = &self.url else {
            return Ok(None);
        };
        let url = BaseUrl::parse(url).context("its `url` is not right")?;
        let patience = Patience::default();
        let wait = |seconds: Option<NonZeroU64>, default| {
            seconds.map_or(default, |seconds| Duration::from_secs(seconds.get()))
        };
        let output_limit = match self.output_limit {
            None => OutputLimit::of(&url),
            Some(Limit::MaxTokens) => OutputLimit::MaxTokens,
            Some(Limit::MaxCompletionTokens) => OutputLimit::MaxCompletionTokens,
        };
        Ok(Some(Server {
            url,
            key: self.key.as_ref().map(|key| key.secret().clone()),
            name: self.name.as_deref().unwrap_or(name).to_owned(),
            patience: Patience {
                first_byte: wait(self.first_byte_timeout_s, patience.first_byte),
                idle: wait(self.idle_timeout_s, patience.idle),
            },
            output_limit,
        }))
    }

    fn info(&self, name: &str) -> ModelInfo {
        ModelInfo {
            name: name.to_owned(),
            context_tokens: self.context_tokens.map(NonZeroU64::get),
        }
    }
}

impl Config {
    /// The name of the model that answers where an app names none.
    pub(crate) fn default_model(&self) -> &str {
        self.model.name.as_deref().unwrap_or(echo::NAME)
    }

    /// The models that are configured, with their servers: the default one first, if it is one of `[model]`.
    pub(crate) fn servers(&self) -> anyhow::Result<Vec<(ModelInfo, Server)>> {
        let mut servers = Vec::new();
        let default = self.default_model();
        let server = self.model.server(default);
        if let Some(server) = server.context("`[model]` is not right")? {
            if default == echo::NAME {
                bail!(
                    "`model.url` needs `model.name`, the name that the server there knows the model by: \
                     `echo` is built in"
                );
            }
            servers.push((self.model.info(default), server));
        }
        for (name, model) in &self.models.0 {
            if name == echo::NAME {
                bail!("`[models.echo]` cannot be: `echo` is built in");
            }
            if servers.iter().any(|(info, _)| info.name == *name) {
                bail!(
                    "`{name}` is the name of two models: of `model.name`, which is asked at `model.url`, and \
                     of `[models]`; remove one"
                );
            }
            let server = model.server(name);
            let server = server.with_context(|| format!("the model `{name}` is not right"))?;
            let server = server.with_context(|| format!("the model `{name}` needs an `url`"))?;
            servers.push((model.info(name), server));
        }
        let is_known =
            default == echo::NAME || servers.iter().any(|(info, _)| info.name == default);
        if !is_known {
            bail!(
                "there is no model `{default}`, which `model.name` names: set `model.url` to where it is, or \
                 add it as `[models.{default}]`; `echo` is built in"
            );
        }
        Ok(servers)
    }

    /// Reads the keys that stand in variables. One that is not set is missed by whoever needs it.
    pub(super) fn read_keys(
        &mut self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<()> {
        for (name, model) in self.every_model_mut() {
            let Some(key_env) = &model.key_env else {
                continue;
            };
            if model.key.is_some() {
                bail!("the model `{name}` has both a `key` and a `key_env`: remove one");
            }
            model.key = variable(key_env).map(Hidden::new);
        }
        Ok(())
    }

    /// Refuses to ask models without the keys that are configured for them.
    pub(crate) fn check_keys(&self) -> anyhow::Result<()> {
        let own = (self.default_model(), &self.model);
        let named = self
            .models
            .0
            .iter()
            .map(|(name, model)| (name.as_str(), model));
        for (name, model) in [own].into_iter().chain(named) {
            let is_missing = model
                .key
                .as_ref()
                .is_none_or(|key| key.secret().expose().is_empty());
            if let Some(key_env) = model.key_env.as_ref().filter(|_| is_missing) {
                bail!(
                    "the key of the model `{name}` is missing: the variable `{key_env}`, which its `key_env` \
                     names, is not set"
                );
            }
        }
        Ok(())
    }

    fn every_model_mut(&mut self) -> impl Iterator<Item = (String, &mut Model)> {
        let default = self.default_model().to_owned();
        let named = self.models.0.iter_mut();
        let named = named.map(|(name, model)| (name.clone(), model));
        [(default, &mut self.model)].into_iter().chain(named)
    }
}
