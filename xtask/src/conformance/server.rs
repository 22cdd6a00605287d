//! The server under test: the built binary on a free port, over a fresh data directory.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};

use super::model::Model;
use crate::tools::{Shop, must, output};

/// Longest wait for a server's first and last words.
const PATIENCE: Duration = Duration::from_secs(30);
/// How the log says that a model has failed.
const MODEL_FAILED: &str = "error=model unreachable";
/// What the server says when it listens.
const LISTENING: &str = "listening on ";

/// A running server. Dropped, it is killed and its data removed.
pub(crate) struct Server {
    binary: PathBuf,
    folder: PathBuf,
    settings: Vec<(String, String)>,
    child: Child,
    url: String,
    kept: bool,
}

impl Server {
    /// Starts the server that the conformance profile has built, with this model or `echo`.
    pub(super) fn start(shop: &Shop, task: &str, model: Option<&Model>) -> anyhow::Result<Self> {
        let binary = shop.built(super::PROFILE, "parlance");
        let folder = shop.scratch(&format!("conformance-{task}"));
        let settings = model.map(|model| {
            [
                ("PARLANCE_MODEL_URL", model.url()),
                ("PARLANCE_MODEL", super::model::NAME),
            ]
        });
        Self::launch(binary, folder, settings.as_ref().map_or(&[], |set| set))
    }

    /// Starts a server in an empty folder.
    pub(crate) fn launch(
        binary: PathBuf,
        folder: PathBuf,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(&folder).context("could not remove old data")?;
        }
        fs::create_dir_all(&folder).context("could not make a folder for the data")?;
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let settings: Vec<_> = settings.iter().map(owned).collect();
        let (child, finding) = spawn(&binary, &folder, &settings)?;
        let mut server = Self {
            binary,
            folder,
            settings,
            child,
            url: String::new(),
            kept: false,
        };
        server.found(&finding)?;
        Ok(server)
    }

    /// Kills the server as the system does when it runs out of memory: it learns nothing of it.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().context("could not kill the server")?;
        self.child.wait().context("could not wait for the server")?;
        Ok(())
    }

    /// Starts it again, over what it has left.
    pub(crate) fn restart(&mut self) -> anyhow::Result<()> {
        let finding = self.begin()?;
        self.found(&finding)
    }

    /// Starts it again, without waiting for it.
    pub(crate) fn begin(&mut self) -> anyhow::Result<Receiver<String>> {
        let (child, finding) = spawn(&self.binary, &self.folder, &self.settings)?;
        self.child = child;
        Ok(finding)
    }

    fn found(&mut self, finding: &Receiver<String>) -> anyhow::Result<()> {
        let Ok(url) = finding.recv_timeout(PATIENCE) else {
            bail!("the server did not start: {}", self.log());
        };
        self.url = url;
        Ok(())
    }

    /// Where its data and its log are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Leaves the data where they are in the end.
    pub(crate) const fn keep(&mut self) {
        self.kept = true;
    }

    /// `http://host:port`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// What a command prints, carried out beside the running server.
    pub(crate) fn command(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut command = parlance(&self.binary, &self.folder);
        command
            .args(words)
            .arg("--data")
            .arg(self.folder.join("data"));
        Ok(output(&mut command)?.trim().to_owned())
    }

    /// Starts a command and does not wait for it.
    pub(crate) fn begin_command(&self, words: &[&str]) -> anyhow::Result<Child> {
        let mut command = parlance(&self.binary, &self.folder);
        command
            .args(words)
            .arg("--data")
            .arg(self.folder.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().context("could not start a command")
    }

    /// What the server has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }

    /// Tells the server to stop and waits until it has, with nothing to complain about.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.end()
    }

    /// The same, and its data stay as long as this does.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        must(Command::new("kill").args(["-TERM", &self.child.id().to_string()]))?;
        let status = self.child.wait().context("could not wait for the server")?;
        if !status.success() {
            bail!("the server stopped with {status}: {}", self.log());
        }
        let log = self.log();
        // A scripted model fails on purpose.
        let is_ours = |line: &&str| line.contains("ERROR") && !line.contains(MODEL_FAILED);
        let is_wrong = |line: &&str| is_ours(line) || line.contains("panicked");
        if let Some(line) = log.lines().find(is_wrong) {
            bail!("the server had an error: {line}");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have stopped already, and its log is worth keeping until the next run.
        drop(self.child.kill());
        drop(self.child.wait());
        if !self.kept {
            drop(fs::remove_dir_all(self.folder.join("data")));
        }
    }
}

/// Starts the server over the data in its folder. Its address comes when it listens.
fn spawn(
    binary: &Path,
    folder: &Path,
    settings: &[(String, String)],
) -> anyhow::Result<(Child, Receiver<String>)> {
    let log = folder.join("server.log");
    let log = File::options().create(true).append(true).open(log);
    let log = log.context("could not open a log")?;
    let mut command = parlance(binary, folder);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.join("data"));
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("could not start the server")?;
    let stderr = child.stderr.take();
    let stderr = stderr.context("the server has no standard error")?;
    let (found, finding) = channel();
    thread::spawn(move || watch(BufReader::new(stderr), log, &found));
    Ok((child, finding))
}

/// The program, with nothing of this process's environment that could configure it.
fn parlance(binary: &Path, folder: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env_clear().current_dir(folder);
    command
}

/// Keeps what the server says, and passes its address on when it comes by.
fn watch(lines: impl BufRead, mut log: File, found: &Sender<String>) {
    for line in lines.lines() {
        let Ok(line) = line else { return };
        if writeln!(log, "{line}").is_err() {
            return;
        }
        if let Some((_, rest)) = line.split_once(LISTENING) {
            let end = rest.find([';', ' ']).unwrap_or(rest.len());
            // Nobody waits for it any more, if it comes too late.
            drop(found.send(rest.get(..end).unwrap_or(rest).to_owned()));
        }
    }
}
