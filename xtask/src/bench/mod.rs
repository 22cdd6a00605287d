//! `cargo xtask bench`: how many requests per second, beside a bare axum server on the same machine
//! in the same minutes. Ratios travel between machines, numbers do not.
//!
//! Generator, server and `hello` share the cores, so the generator is as cheap as it can be: one
//! thread, raw TCP, requests written beforehand.

mod deletes;
pub(crate) mod hello;
mod load;
mod report;

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
            _ => bail!("`bench` does not know `{}`", words.join(" ")),
        }
    }
}

/// Builds what is measured and what measures, optimised, and starts the latter.
pub(crate) fn command(shop: &Shop, words: &[&str]) -> anyhow::Result<bool> {
    // Said before anything is built.
    Wanted::read(words)?;
    must(&mut shop.cargo(&["build", "--release", "--package", "parlance-server"]))?;
    must(&mut shop.cargo(&["build", "--release", "--package", "xtask"]))?;
    let mut measure = Command::new(shop.built("release", "xtask"));
    must(measure.arg("bench-run").args(words))?;
    Ok(true)
}

/// The measurement itself: `bench-run`, with the words of `bench`.
pub(crate) fn measure(shop: &Shop, words: &[&str]) -> anyhow::Result<bool> {
    let (binary, folder) = (shop.built("release", "parlance"), shop.scratch("bench"));
    match Wanted::read(words)? {
        Wanted::Rates(length) => rates(binary, folder, length)?,
        Wanted::Deletes(options) => deletes::measure(binary, folder, SETTINGS, &options)?,
    }
    Ok(true)
}

fn rates(binary: PathBuf, folder: PathBuf, length: Duration) -> anyhow::Result<()> {
    let server = Server::launch(binary, folder, SETTINGS)?;
    let key = server.command(&["keys", "create", "--dialect", "openai"])?;
    let hello = Hello::start()?;
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
                let address = if *load == Load::Hello {
                    &hello.address
                } else {
                    server.address()
                };
                let running = load::run(*load, address, &key, connections, length);
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

/// The bare server, as a process of its own.
struct Hello {
    child: Child,
    address: String,
}

impl Hello {
    fn start() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program has no path")?;
        let mut command = Command::new(program);
        command
            .args(["hello", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("could not start `hello`")?;
        let stdout = child
            .stdout
            .take()
            .context("`hello` has no standard output")?;
        let mut hello = Self {
            child,
            address: String::new(),
        };
        let read = BufReader::new(stdout).read_line(&mut hello.address);
        read.context("`hello` did not say where it listens")?;
        hello.address = hello.address.trim().to_owned();
        Ok(hello)
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
