//! Where things are, and how other programs are run.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// The repository, and what is known of its surroundings.
pub(crate) struct Shop {
    /// The repository's root.
    pub(crate) root: PathBuf,
    /// Whether nothing may be skipped.
    pub(crate) ci: bool,
    target: PathBuf,
    cargo: OsString,
}

impl Shop {
    /// Finds the repository.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here
            .parent()
            .context("xtask has no parent directory")?
            .to_path_buf();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(target) => root.join(target),
            None => root.join("target"),
        };
        let ci = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty() && ci != "false");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Ok(Self {
            root,
            ci,
            target,
            cargo,
        })
    }

    /// A file of a build.
    pub(crate) fn built(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(name)
    }

    /// Where scratch files of a task go: on the disk that builds go to.
    pub(crate) fn scratch(&self, task: &str) -> PathBuf {
        self.target.join("xtask").join(task)
    }

    /// Where the tools of the SDK runs are kept.
    pub(crate) fn cache(&self) -> PathBuf {
        self.root.join(".cache")
    }

    /// Cargo, in the repository.
    pub(crate) fn cargo(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.cargo);
        command.args(words).current_dir(&self.root);
        command
    }
}

/// Whether a program can be run.
pub(crate) fn have(program: &str) -> bool {
    have_with(Command::new(program).arg("--version"))
}

/// Whether a command succeeds, whatever it says.
pub(crate) fn have_with(command: &mut Command) -> bool {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Runs a command; false if it fails.
pub(crate) fn succeeds(command: &mut Command) -> anyhow::Result<bool> {
    let status = command.stdin(Stdio::null()).status();
    Ok(status
        .with_context(|| format!("could not run {}", name(command)))?
        .success())
}

/// Runs a command that has to succeed.
pub(crate) fn must(command: &mut Command) -> anyhow::Result<()> {
    if !succeeds(command)? {
        bail!("{} failed", name(command));
    }
    Ok(())
}

/// What a command that has to succeed writes to its standard output.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let done = command.stdin(Stdio::null()).stderr(Stdio::piped()).output();
    let done = done.with_context(|| format!("could not run {}", name(command)))?;
    if !done.status.success() {
        bail!(
            "{} failed: {}",
            name(command),
            String::from_utf8_lossy(&done.stderr).trim()
        );
    }
    String::from_utf8(done.stdout).with_context(|| format!("{} wrote no text", name(command)))
}

fn name(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    format!("`{}`", words.join(" "))
}

/// Writes to standard output.
pub(crate) fn say(text: &str) {
    // There is nobody left to tell when standard output is gone.
    drop(write!(io::stdout(), "{text}"));
    drop(io::stdout().flush());
}

/// Writes a line to standard error.
pub(crate) fn complain(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}
