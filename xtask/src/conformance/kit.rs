//! What the scripts need: a virtual environment and a folder of npm packages, both in `.cache`, both
//! of exact versions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::tools::{Shop, have, have_with, must, say};

/// What runs a script.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    /// Python 3, with `conformance/requirements.txt`.
    Python,
    /// Node 20 or newer, with `conformance/package-lock.json`.
    Node,
}

const NODE_IS_NEW_ENOUGH: &str = "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)";

/// What a tool needs and this machine does not have.
pub(super) fn missing(tool: Tool) -> Option<&'static str> {
    match tool {
        Tool::Python if !have("python3") => Some("python3"),
        // Debian packs it apart.
        Tool::Python
            if !have_with(Command::new("python3").args(["-c", "import ensurepip, venv"])) =>
        {
            Some("python3-venv")
        }
        Tool::Node if !have_with(Command::new("node").args(["-e", NODE_IS_NEW_ENOUGH])) => {
            Some("node 20 or newer")
        }
        Tool::Node if !have("npm") => Some("npm"),
        Tool::Python | Tool::Node => None,
    }
}

/// A tool that is ready.
pub(super) struct Kit {
    program: PathBuf,
}

impl Kit {
    /// Installs what is not there yet.
    pub(super) fn prepare(shop: &Shop, tool: Tool) -> anyhow::Result<Self> {
        match tool {
            Tool::Python => python(shop),
            Tool::Node => node(shop),
        }
    }

    /// The command that runs a script.
    pub(super) fn command(&self, script: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(script)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1");
        command
    }
}

fn python(shop: &Shop) -> anyhow::Result<Kit> {
    let (folder, list) = (
        shop.cache().join("venv"),
        shop.root.join("conformance/requirements.txt"),
    );
    let python = folder.join("bin/python");
    let stamp = Stamp::of(&folder, &list)?;
    if !stamp.fits() {
        say("installing the Python SDKs\n");
        must(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&folder),
        )?;
        let mut install = Command::new(&python);
        install.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
        ]);
        must(install.arg("--requirement").arg(&list))?;
        stamp.write()?;
    }
    Ok(Kit { program: python })
}

fn node(shop: &Shop) -> anyhow::Result<Kit> {
    let sources = shop.root.join("conformance");
    let folder = shop.cache().join("node");
    let stamp = Stamp::of(&folder, &sources.join("package-lock.json"))?;
    if !stamp.fits() {
        say("installing the Node SDKs\n");
        fs::create_dir_all(&folder).context("could not make `.cache/node`")?;
        for name in ["package.json", "package-lock.json"] {
            let copied = fs::copy(sources.join(name), folder.join(name));
            copied.with_context(|| format!("could not copy `{name}`"))?;
        }
        let words = [
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ];
        must(Command::new("npm").args(words).current_dir(&folder))?;
        stamp.write()?;
    }
    // Node looks for packages beside a script and above it.
    let link = sources.join("node_modules");
    if fs::symlink_metadata(&link).is_err() {
        let linked = std::os::unix::fs::symlink("../.cache/node/node_modules", &link);
        linked.context("could not link `conformance/node_modules`")?;
    }
    Ok(Kit {
        program: "node".into(),
    })
}

/// Remembers which list a folder was installed from.
struct Stamp {
    file: PathBuf,
    wanted: String,
}

impl Stamp {
    fn of(folder: &Path, list: &Path) -> anyhow::Result<Self> {
        let wanted = fs::read_to_string(list);
        let wanted = wanted.with_context(|| format!("could not read `{}`", list.display()))?;
        Ok(Self {
            file: folder.join(".installed"),
            wanted,
        })
    }

    fn fits(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|installed| installed == self.wanted)
    }

    fn write(&self) -> anyhow::Result<()> {
        fs::write(&self.file, &self.wanted).context("could not remember what is installed")
    }
}
