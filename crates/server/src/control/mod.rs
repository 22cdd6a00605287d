//! Commands: carried out by the process that owns the data directory. A running server does it for
//! whoever can reach its socket; otherwise the command takes the directory itself.

mod execute;
mod receipts;
mod socket;

use std::fmt;
use std::sync::Arc;

use anyhow::bail;
use parlance_upstream::Echo;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::wiring::wire;

pub(crate) use socket::Control;

/// What can be asked of the owner.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub(crate) enum Command {
    /// Make a project.
    CreateProject { name: String },
    /// List all projects.
    ListProjects,
    /// Make an app.
    CreateApp {
        project: Option<String>,
        name: String,
        mode: String,
        model: String,
        instructions: Option<String>,
    },
    /// List a project's apps.
    ListApps { project: Option<String> },
    /// Make a key.
    CreateKey {
        project: Option<String>,
        dialect: String,
        app: String,
        user: Option<String>,
        scopes: Vec<String>,
    },
    /// List a project's keys.
    ListKeys { project: Option<String> },
    /// Erase one conversation, or all of a user's.
    Erase {
        project: Option<String>,
        conversation: Option<String>,
        user: Option<String>,
    },
    /// Revoke a key.
    RevokeKey { project: Option<String>, id: String },
    /// List a project's receipts.
    ListReceipts { project: Option<String> },
    /// Show a signed receipt.
    ShowReceipt { project: Option<String>, id: String },
}

/// What a command prints.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Output {
    /// Data, for standard output.
    pub(crate) data: String,
    /// A line for whoever looks on, for standard error; nothing if it is empty.
    pub(crate) note: String,
}

impl From<String> for Output {
    fn from(data: String) -> Self {
        Self {
            data,
            note: String::new(),
        }
    }
}

/// Why a command was not carried out, for its user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    pub(crate) wrong_usage: bool,
    /// Data about what had been done before it failed, for standard output.
    pub(crate) done: String,
}

impl Refusal {
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            wrong_usage: false,
            done: String::new(),
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            wrong_usage: true,
            done: String::new(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// Carries a command out, through the running server if there is one, and gives what to print.
pub(crate) async fn carry_out(config: &Config, command: Command) -> anyhow::Result<Output> {
    let dir = DataDir::open(&config.data)?;
    let Some(_lock) = dir.lock()? else {
        return socket::send(&dir, &command).await;
    };
    if !dir.has_store() {
        bail!(
            "there is no store in `{0}`; `parlance serve --data {0}` makes one",
            dir.path().display()
        );
    }
    // No command asks a model.
    let wired = wire(config, &dir, Arc::new(Echo))?;
    let output = execute::execute(&wired.service, &config.project, command).await;
    wired.tasks.shut_down().await;
    wired.store.close().await;
    Ok(output?)
}
