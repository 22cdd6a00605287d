//! Commands: carried out by the process that owns the data directory. A running server does it for
//! whoever can reach its socket; otherwise the command takes the directory itself.

mod erase;
mod execute;
mod hold;
mod keeping;
mod receipts;
mod screen;
mod socket;

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use parlance_domain::service::LogExport;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::wiring::{Asking, wire};

pub(crate) use erase::Erasing;
pub(crate) use execute::time;
pub(crate) use keeping::Upkeep;
use screen::Screen;
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
        model: Option<String>,
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
    /// Erase one conversation, all of a user's, or what is old.
    Erase(Erase),
    /// Keep something from being erased, or no more.
    Hold {
        project: Option<String>,
        action: HoldAction,
    },
    /// Revoke a key.
    RevokeKey { project: Option<String>, id: String },
    /// List a project's receipts.
    ListReceipts { project: Option<String> },
    /// Show a signed receipt.
    ShowReceipt { project: Option<String>, id: String },
    /// Export the log of receipts.
    ExportReceipts,
    /// Show the key that verifies receipts.
    ShowReceiptsKey,
    /// Replace the root key.
    RenewRoot,
    /// Look for what should not be; in these files and folders too.
    Audit { also: Vec<PathBuf> },
    /// Make a backup in a folder, with a snapshot of the keyring that may be kept for so many hours.
    BackUp { to: PathBuf, snapshot_hours: u64 },
}

/// What is to be erased.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Erase {
    pub(crate) project: Option<String>,
    pub(crate) conversation: Option<String>,
    pub(crate) user: Option<String>,
    /// Only what has not changed for so many seconds.
    pub(crate) unchanged_for_s: Option<u64>,
    /// Only count.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// What is done with holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HoldAction {
    /// Add one: on a conversation, on a user, or else on the whole project.
    Add {
        conversation: Option<String>,
        user: Option<String>,
        note: Option<String>,
    },
    /// List them.
    List,
    /// Remove one.
    Remove { id: String },
}

/// Something that a command prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Piece {
    /// Data, for standard output.
    Data(String),
    /// A line for whoever looks on, for standard error.
    Note(String),
    /// How far it is.
    Progress { done: u64, total: u64 },
}

/// What a command gives to print, piece by piece.
pub(crate) enum Output {
    /// Pieces that are there, and why there are no more if something has failed after them.
    Said(VecDeque<Piece>, Option<Refusal>),
    /// As many pieces as the log has.
    Log(Box<LogExport>),
    /// As many pieces as it takes.
    Erasure(Box<Erasing>),
}

impl Output {
    /// The next piece; none at the end.
    async fn next(&mut self) -> Result<Option<Piece>, Refusal> {
        match self {
            Self::Said(pieces, refusal) => match (pieces.pop_front(), refusal.take()) {
                (None, Some(refusal)) => Err(refusal),
                (piece, later) => {
                    *refusal = later;
                    Ok(piece)
                }
            },
            Self::Log(export) => {
                let piece = export.next().await.map_err(execute::failed)?;
                Ok(piece.map(Piece::Data))
            }
            Self::Erasure(erasing) => erasing.next().await,
        }
    }
}

impl From<String> for Output {
    fn from(data: String) -> Self {
        Self::Said([Piece::Data(data)].into(), None)
    }
}

/// Why a command was not carried out, for its user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    pub(crate) wrong_usage: bool,
}

impl Refusal {
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            wrong_usage: false,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            wrong_usage: true,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// Carries a command out, through the running server if there is one, and prints to `out`.
pub(crate) async fn carry_out(
    config: &Config,
    command: Command,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let dir = DataDir::open(&config.data)?;
    let Some(_lock) = dir.lock()? else {
        return socket::send(&dir, &command, &mut Screen::new(out)).await;
    };
    if !dir.has_store() {
        bail!(
            "there is no store in `{0}`; `parlance serve --data {0}` makes one",
            dir.path().display()
        );
    }
    if let Command::Audit { also } = &command {
        let output = keeping::audit_without_server(config, &dir, also)?;
        return print_all(output, &mut Screen::new(out)).await;
    }
    let wired = wire(config, &dir, Asking::Nobody)?;
    let upkeep = Upkeep {
        store: Arc::clone(&wired.store),
        stopping: wired.tasks.stopping(),
    };
    let done = match execute::execute(&wired.service, &upkeep, &config.project, command).await {
        Ok(output) => print_all(output, &mut Screen::new(out)).await,
        Err(refusal) => Err(refusal.into()),
    };
    wired.tasks.shut_down().await;
    wired.store.close().await;
    done
}

async fn print_all(mut output: Output, screen: &mut Screen<'_>) -> anyhow::Result<()> {
    while let Some(piece) = output.next().await? {
        screen.print(&piece)?;
    }
    Ok(())
}
