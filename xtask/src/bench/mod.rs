//! `cargo xtask bench`: how many requests per second, beside a bare axum server on the same machine
//! in the same minutes, and what of it is the cost of sealing. Ratios travel between machines, numbers
//! do not.
//!
//! Generator, server and `hello` share the cores, so the generator is as cheap as it can be: one
//! thread, raw TCP, requests written beforehand.

mod deletes;
mod erase;
pub(crate) mod hello;
mod load;
mod report;
mod turns;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::conformance::Server;
use crate::tools::{Shop, must, say};
use load::{Load, Sample};
use report::Report;

/// Length of one measurement, unless told otherwise.
const SECONDS_DEFAULT: u64 = 2;
/// How often each measurement is repeated; the medians count.
const ROUNDS: usize = 5;
/// Connections at a time.
const CONNECTIONS: &[usize] = &[1, 16, 64];

/// What the server is measured with: an acknowledged write survives loss of power.
const SETTINGS: &[(&str, &str)] = &[("PARLANCE_DURABILITY", "power")];

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// Requests per second; the length of one measurement.
    Rates(Duration),
    /// Deletes at size.
    Deletes(deletes::Options),
    /// A user with many conversations.
    Erase(erase::Options),
    /// What the server adds to a model's own time.
    Turns(turns::Options),
}

impl Wanted {
    fn read(words: &[&str]) -> anyhow::Result<Self> {
        match words {
            [] => Ok(Self::Rates(Duration::from_secs(SECONDS_DEFAULT))),
            ["--seconds", seconds] => match seconds.parse() {
                Ok(seconds) if seconds > 0 => Ok(Self::Rates(Duration::from_secs(seconds))),
                _ => bail!("`--seconds` takes a whole number from 1 on"),
            },
            ["--deletes", rest @ ..] => deletes::Options::read(rest).map(Self::Deletes),
            ["--erase", rest @ ..] => erase::Options::read(rest).map(Self::Erase),
            ["--turns", rest @ ..] => turns::Options::read(rest).map(Self::Turns),
            _ => bail!("`bench` does not know `{}`", words.join(" ")),
        }
    }
}

/// Builds what is measured and what measures, optimised, and starts the latter.
pub(crate) fn command(shop: &Shop, words: &[&str]) -> anyhow::Result<bool> {
    // Said before anything is built.
    let wanted = Wanted::read(words)?;
    let mut build = shop.cargo(&[
        "build",
        "--release",
        "--package",
        "parlance-server",
        "--bins",
    ]);
    if let Wanted::Rates(_) = wanted {
        build.args(["--example", "sealing"]);
    }
    must(&mut build)?;
    must(&mut shop.cargo(&["build", "--release", "--package", "xtask"]))?;
    let mut measure = Command::new(shop.built("release", "xtask"));
    must(measure.arg("bench-run").args(words))?;
    Ok(true)
}

/// The measurement itself: `bench-run`, with the words of `bench`.
pub(crate) fn measure(shop: &Shop, words: &[&str]) -> anyhow::Result<bool> {
    match Wanted::read(words)? {
        Wanted::Rates(length) => rates(shop, length)?,
        Wanted::Deletes(options) => {
            deletes::measure(binary(shop), folder(shop), SETTINGS, &options)?;
        }
        Wanted::Erase(options) => {
            erase::measure(binary(shop), folder(shop), SETTINGS, &options)?;
        }
        Wanted::Turns(options) => {
            turns::measure(binary(shop), folder(shop), SETTINGS, &options)?;
        }
    }
    Ok(true)
}

fn rates(shop: &Shop, length: Duration) -> anyhow::Result<()> {
    let server = Server::launch(binary(shop), folder(shop), SETTINGS)?;
    let key = server.command(&["keys", "create", "--dialect", "openai"])?;
    let program = std::env::current_exe().context("this program has no path")?;
    let hello = Other::start(Command::new(program).args(["hello", "127.0.0.1:0"]))?;
    let (sealed, clear) = (sealing(shop, "sealed")?, sealing(shop, "clear")?);
    say(&format!(
        "{ROUNDS} rounds of {} s each; durability power, data on {}\n",
        length.as_secs(),
        server.folder().display()
    ));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("could not start the generator")?;
    let mut report = Report::default();
    for &connections in CONNECTIONS {
        // Round by round, so that what disturbs the machine disturbs all alike.
        for round in 0..=ROUNDS {
            for load in Load::ALL {
                let (address, key) = match load {
                    Load::Hello => (hello.address.as_str(), ""),
                    Load::CreateDelete | Load::CreateAddListDelete => {
                        (server.address(), key.as_str())
                    }
                    Load::Sealed => (sealed.address.as_str(), sealed.key.as_str()),
                    Load::Clear => (clear.address.as_str(), clear.key.as_str()),
                };
                let running = load::run(*load, address, key, connections, length);
                let sample: Sample = runtime.block_on(running)?;
                // The first round warms caches and grows files, and does not count.
                if round > 0 {
                    report.add(connections, *load, sample);
                }
            }
        }
    }
    say(&report.table());
    server.stop()
}

fn binary(shop: &Shop) -> PathBuf {
    shop.built("release", "parlance")
}

fn folder(shop: &Shop) -> PathBuf {
    shop.scratch("bench")
}

/// All dialects over an empty store that seals, or does not.
fn sealing(shop: &Shop, how: &str) -> anyhow::Result<Other> {
    let folder = shop.scratch("bench-sealing").join(how);
    if folder.exists() {
        fs::remove_dir_all(&folder).context("could not remove old data")?;
    }
    fs::create_dir_all(&folder).context("could not make a folder for the data")?;
    let program = shop.built("release", "examples").join("sealing");
    Other::start(Command::new(program).arg(how).arg(folder))
}

/// What the server is compared with: a process that says in its first line where it listens, and with
/// which key if it needs one.
struct Other {
    child: Child,
    address: String,
    key: String,
}

impl Other {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = quiet
            .spawn()
            .context("could not start what is compared with")?;
        let stdout = child.stdout.take();
        let mut other = Self {
            child,
            address: String::new(),
            key: String::new(),
        };
        let mut line = String::new();
        let read = stdout.map(|stdout| BufReader::new(stdout).read_line(&mut line));
        read.context("there is no standard output")?
            .context("nobody says where to connect to")?;
        let mut words = line.split_whitespace().map(str::to_owned);
        other.address = words.next().context("nobody says where to connect to")?;
        other.key = words.next().unwrap_or_default();
        Ok(other)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_is_measured() {
        let rates = |seconds| Wanted::Rates(Duration::from_secs(seconds));
        let read = |words: &[&str]| Wanted::read(words).expect("nothing is wrong");
        assert_eq!(read(&[]), rates(SECONDS_DEFAULT));
        assert_eq!(read(&["--seconds", "7"]), rates(7));
        assert!(matches!(read(&["--deletes"]), Wanted::Deletes(_)));
        for wrong in [&["--seconds", "0"][..], &["--seconds"], &["--delete"]] {
            assert!(Wanted::read(wrong).is_err(), "{wrong:?}");
        }
    }
}
