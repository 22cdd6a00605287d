//! What operators order: through the server's control socket, in the form that the server's own command
//! line uses, or on the command line where no server runs.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Notify;

use super::dialect::Dialect;

/// Longest path of the socket, before it is moved to the temporary files: the server's rule.
const PATH_BYTES_MAX: usize = 100;

/// A command.
#[derive(Clone, Debug)]
pub(super) enum Order {
    CreateProject {
        project: String,
    },
    ListProjects,
    CreateApp {
        project: String,
        name: String,
        mode: &'static str,
        instructions: String,
    },
    ListApps {
        project: String,
    },
    CreateKey {
        project: String,
        dialect: Dialect,
        app: String,
        user: String,
    },
    RevokeKey {
        project: String,
        id: String,
    },
    ListKeys {
        project: String,
    },
    /// Erases a conversation, in the default project.
    EraseConversation {
        id: String,
    },
    /// Erases a user: all conversations and all keys, in the default project.
    EraseUser {
        user: String,
    },
    ShowReceipt {
        id: String,
    },
    /// The receipts of the default project.
    ListReceipts,
}

impl Order {
    /// Its name in the summary.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::CreateProject { .. } => "create project",
            Self::CreateApp { .. } => "create app",
            Self::CreateKey { .. } => "create key",
            Self::RevokeKey { .. } => "revoke key",
            Self::EraseConversation { .. } => "erase",
            Self::EraseUser { .. } => "erase user",
            Self::ListProjects
            | Self::ListApps { .. }
            | Self::ListKeys { .. }
            | Self::ShowReceipt { .. }
            | Self::ListReceipts => "operators' read",
        }
    }

    /// The line that goes over the socket.
    fn json(&self) -> Value {
        match self {
            Self::CreateProject { project } => {
                json!({"command": "create_project", "name": project})
            }
            Self::ListProjects => json!({"command": "list_projects"}),
            Self::CreateApp {
                project,
                name,
                mode,
                instructions,
            } => json!({
                "command": "create_app", "project": project, "name": name, "mode": mode,
                "model": "echo", "instructions": instructions,
            }),
            Self::ListApps { project } => json!({"command": "list_apps", "project": project}),
            Self::CreateKey {
                project,
                dialect,
                app,
                user,
            } => json!({
                "command": "create_key", "project": project, "dialect": dialect.name(),
                "app": app, "user": user, "scopes": [],
            }),
            Self::RevokeKey { project, id } => {
                json!({"command": "revoke_key", "project": project, "id": id})
            }
            Self::ListKeys { project } => json!({"command": "list_keys", "project": project}),
            Self::EraseConversation { id } => json!({"command": "erase", "conversation": id}),
            Self::EraseUser { user } => json!({"command": "erase", "user": user}),
            Self::ShowReceipt { id } => json!({"command": "show_receipt", "id": id}),
            Self::ListReceipts => json!({"command": "list_receipts"}),
        }
    }

    /// The words of the command line. An app's instructions would need a file, and are left out.
    pub(super) fn words(&self) -> Vec<&str> {
        match self {
            Self::CreateProject { project } => vec!["projects", "create", project],
            Self::ListProjects => vec!["projects", "list"],
            Self::CreateApp {
                project,
                name,
                mode,
                instructions: _,
            } => vec![
                "apps",
                "create",
                name,
                "--mode",
                mode,
                "--model",
                "echo",
                "--project",
                project,
            ],
            Self::ListApps { project } => vec!["apps", "list", "--project", project],
            Self::CreateKey {
                project,
                dialect,
                app,
                user,
            } => vec![
                "keys",
                "create",
                "--dialect",
                dialect.name(),
                "--app",
                app,
                "--user",
                user,
                "--project",
                project,
            ],
            Self::RevokeKey { project, id } => vec!["keys", "revoke", id, "--project", project],
            Self::ListKeys { project } => vec!["keys", "list", "--project", project],
            Self::EraseConversation { id } => vec!["erase", "--yes", "--conversation", id],
            Self::EraseUser { user } => vec!["erase", "--yes", "--user", user],
            Self::ShowReceipt { id } => vec!["receipts", "show", id],
            Self::ListReceipts => vec!["receipts", "list"],
        }
    }
}

/// What has come of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It is done, and has printed this.
    Done(String),
    /// It is not done.
    Refused(String),
    /// There was nobody to hear it.
    Unheard,
    /// The connection broke off.
    Unknown,
}

/// Where a server hears orders.
#[derive(Clone, Debug)]
pub(super) struct Socket {
    path: PathBuf,
}

impl Socket {
    /// The socket of the server that has its data here.
    pub(super) fn of(data: &Path) -> anyhow::Result<Self> {
        let data = data.canonicalize().context("there are no data")?;
        let path = data.join("control.sock");
        if path.as_os_str().len() <= PATH_BYTES_MAX {
            return Ok(Self { path });
        }
        let digest = digest(&SHA256, data.as_os_str().as_bytes());
        let bytes = digest.as_ref().iter().take(8);
        let bits = bytes.fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        let path = Path::new("/tmp").join(format!("parlance-{bits:016x}/control.sock"));
        Ok(Self { path })
    }

    /// Gives an order. `sent` is told when it is on its way.
    pub(super) async fn order(&self, order: &Order, sent: &Notify) -> Said {
        let Ok(mut stream) = UnixStream::connect(&self.path).await else {
            return Said::Unheard;
        };
        let line = format!("{}\n", order.json());
        if stream.write_all(line.as_bytes()).await.is_err() {
            return Said::Unknown;
        }
        sent.notify_waiters();
        let mut stream = BufReader::new(stream);
        let mut data = String::new();
        loop {
            let mut line = String::new();
            let read = stream.read_line(&mut line).await;
            if !read.is_ok_and(|_| line.ends_with('\n')) {
                return Said::Unknown;
            }
            match said(&line) {
                Some(Ok(Some(piece))) => data.push_str(&piece),
                Some(Ok(None)) => return Said::Done(data),
                Some(Err(why)) => return Said::Refused(why),
                None => return Said::Refused(format!("an answer like no other: {line}")),
            }
        }
    }
}

/// What a line of an answer adds to its data, none at the end, or why there is no more.
fn said(line: &str) -> Option<Result<Option<String>, String>> {
    let answer: Value = serde_json::from_str(line).ok()?;
    if let Some(why) = answer.pointer("/Err/message") {
        return Some(Err(why.as_str()?.to_owned()));
    }
    let piece = answer.get("Ok")?;
    Some(Ok(match piece.get("data") {
        Some(data) => Some(data.as_str()?.to_owned()),
        // Notes, and how far it is, are for people.
        None if piece.is_object() => Some(String::new()),
        None => None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_text_or_a_reason() {
        let piece = |text: &str| Some(Ok(Some(text.to_owned())));
        assert_eq!(said(r#"{"Ok":{"data":"er_1\n"}}"#), piece("er_1\n"));
        assert_eq!(
            said(r#"{"Ok":{"note":"erased 1 conversation"}}"#),
            piece("")
        );
        assert_eq!(said(r#"{"Ok":null}"#), Some(Ok(None)));
        let refused = r#"{"Err":{"message":"there is no key","wrong_usage":false}}"#;
        assert_eq!(said(refused), Some(Err("there is no key".to_owned())));
        assert_eq!(said("{}"), None);
    }

    #[test]
    fn a_socket_with_a_long_path_is_among_the_temporary_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = |path: &Path| Socket::of(path).expect("a path").path;
        let real = folder.path().canonicalize().expect("it is there");
        assert_eq!(socket(folder.path()), real.join("control.sock"));
        let long = folder.path().join("d".repeat(100));
        std::fs::create_dir(&long).expect("a folder");
        let path = socket(&long);
        assert!(path.starts_with("/tmp") && path.as_os_str().len() < PATH_BYTES_MAX);
    }
}
