//! The control socket: a command is one line of JSON, an answer one for each piece of it, and one that
//! says that it is whole. Whoever can open it owns the data.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use parlance_domain::Service;
use parlance_domain::fault::Chain;
use parlance_domain::tasks::Tasks;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::execute::execute;
use super::{Command, Piece, Refusal, Screen, Upkeep};
use crate::data_dir::{DataDir, make_private};

/// Longest command, instructions included.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// How long a client may take to say what it wants.
const SAYING_MAX: Duration = Duration::from_secs(10);
/// The pause after the system refused a connection, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a command waits for a server that is about to listen.
const PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE_STEP: Duration = Duration::from_millis(50);

/// How long a client may still take something of its answer when the server stops.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

/// One line of an answer: a piece of what is printed, or none at the end.
type Line = Result<Option<Piece>, Refusal>;

/// The listening end.
pub(crate) struct Control {
    dir: DataDir,
    path: PathBuf,
}

impl Control {
    /// Listens and answers, until `tasks` are stopped. The directory must be locked, so that what is
    /// there is left over from a process that is gone. `project` is meant where a command names none.
    pub(crate) fn start(
        dir: &DataDir,
        (service, upkeep): (Service, Upkeep),
        project: &str,
        tasks: &Tasks,
    ) -> anyhow::Result<Self> {
        let path = dir.socket()?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error)
                    .with_context(|| format!("could not remove `{}`", path.display()));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&path)
            .with_context(|| format!("could not listen on `{}`", path.display()))?;
        make_private(&path)?;
        let (stopping, own_tasks, project) = (tasks.stopping(), tasks.clone(), project.to_owned());
        tasks.spawn(async move {
            while let Some(accepted) = stopping.run_until_cancelled(listener.accept()).await {
                let stream = match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(error = %Chain(&error), "could not accept a command");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                };
                let (service, upkeep) = (service.clone(), upkeep.clone());
                let project = project.clone();
                let stopping = stopping.clone();
                own_tasks.spawn(async move {
                    if let Err(error) =
                        answer(stream, (&service, &upkeep), &project, &stopping).await
                    {
                        tracing::warn!(error = %format!("{error:#}"), "could not answer a command");
                    }
                });
            }
        });
        Ok(Self {
            dir: dir.clone(),
            path,
        })
    }

    /// Removes the socket.
    pub(crate) fn close(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket was gone already");
        }
        if let Some(folder) = self
            .path
            .parent()
            .filter(|folder| *folder != self.dir.path())
        {
            // Another server's socket may be in it; then it stays.
            fs::remove_dir(folder).ok();
        }
    }
}

async fn answer(
    stream: UnixStream,
    (service, upkeep): (&Service, &Upkeep),
    project: &str,
    stopping: &CancellationToken,
) -> anyhow::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(LINE_BYTES_MAX));
    let said = tokio::time::timeout(SAYING_MAX, reader.read_line(&mut line));
    let Some(said) = stopping.run_until_cancelled(said).await else {
        return Ok(());
    };
    said.context("the command did not come in time")??;
    let mut output = match serde_json::from_str(&line) {
        Ok(command) => execute(service, upkeep, project, command).await,
        Err(_) => Err(Refusal::failed(
            "the server is of another version than this command",
        )),
    };
    loop {
        let piece: Line = match &mut output {
            Ok(output) => output.next().await,
            Err(refusal) => Err(refusal.clone()),
        };
        let is_last = !matches!(piece, Ok(Some(_)));
        let mut bytes = serde_json::to_vec(&piece)?;
        bytes.push(b'\n');
        tokio::select! {
            written = writer.write_all(&bytes) => written?,
            () = too_late(stopping) => bail!("the server stops, and the client does not read"),
        }
        if is_last {
            break;
        }
    }
    writer.shutdown().await?;
    Ok(())
}

/// Done a moment after the server is asked to stop.
async fn too_late(stopping: &CancellationToken) {
    stopping.cancelled().await;
    tokio::time::sleep(LAST_WORDS_MAX).await;
}

/// Has the running server carry a command out, and prints what it says.
pub(super) async fn send(
    dir: &DataDir,
    command: &Command,
    screen: &mut Screen<'_>,
) -> anyhow::Result<()> {
    let stream = connect(dir).await?;
    let (reader, mut writer) = stream.into_split();
    let mut bytes = serde_json::to_vec(command)?;
    bytes.push(b'\n');
    writer
        .write_all(&bytes)
        .await
        .context("the server does not read the command")?;
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    loop {
        line.clear();
        let read = reader.read_line(&mut line).await;
        if read.context("the server does not answer")? == 0 {
            bail!("the server went away; whether the command was carried out is not known");
        }
        let piece: Line =
            serde_json::from_str(&line).context("the server's answer is not right")?;
        match piece? {
            Some(piece) => screen.print(&piece)?,
            None => return Ok(()),
        }
    }
}

async fn connect(dir: &DataDir) -> anyhow::Result<UnixStream> {
    let path = dir.socket()?;
    let connecting = async {
        loop {
            match UnixStream::connect(&path).await {
                Ok(stream) => return stream,
                // The owner may be starting up, and not listening yet.
                Err(_) => tokio::time::sleep(PATIENCE_STEP).await,
            }
        }
    };
    let connected = tokio::time::timeout(PATIENCE, connecting).await;
    connected.with_context(|| {
        format!(
            "`{}` is in use, but its owner does not listen on `{}`",
            dir.path().display(),
            path.display()
        )
    })
}
