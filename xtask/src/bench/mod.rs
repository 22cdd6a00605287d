//! `cargo xtask bench`: how many requests per second, beside a bare axum server on the same machine
//! in the same minutes. Ratios travel between machines, numbers do not.
//!
//! Generator, server and `hello` share the cores, so the generator is as cheap as it can be: one
//! thread, raw TCP, requests written beforehand.

pub(crate) mod hello;
mod load;
mod report;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::conformance::Server;
use crate::tools::{Shop, must, say};
use load::{Load, Sample};
use report::Report;

/// Length of one measurement, unless told otherwise.
pub(crate) const SECONDS_DEFAULT: u64 = 2;
/// How often each measurement is repeated; the medians count.
const ROUNDS: usize = 5;
/// Connections at a time.
const CONNECTIONS: &[usize] = &[1, 16, 64];

/// Builds what is measured and what measures, optimised, and starts the latter.
pub(crate) fn command(shop: &Shop, seconds: u64) -> anyhow::Result<bool> {
    if seconds == 0 {
        bail!("`--seconds` must be 1 or more");
    }
    must(&mut shop.cargo(&["build", "--release", "--package", "parlance-server"]))?;
    must(&mut shop.cargo(&["build", "--release", "--package", "xtask"]))?;
    let mut measure = Command::new(shop.built("release", "xtask"));
    measure
        .arg("bench-run")
        .arg(shop.built("release", "parlance"));
    must(measure.arg(shop.scratch("bench")).arg(seconds.to_string()))?;
    Ok(true)
}

/// The measurement itself: `bench-run SERVER FOLDER SECONDS`.
pub(crate) fn measure(words: &[&str]) -> anyhow::Result<bool> {
    let [binary, folder, seconds] = words else {
        bail!("`bench-run` is started by `bench`");
    };
    let length = Duration::from_secs(seconds.parse().context("whole seconds")?);
    let settings = [("PARLANCE_DURABILITY", "power")];
    let server = Server::launch(binary.into(), folder.into(), &settings)?;
    let key = server.command(&["keys", "create", "--dialect", "openai"])?;
    let hello = Hello::start()?;
    say(&format!(
        "{ROUNDS} rounds of {} s each; durability power, data on {folder}\n",
        length.as_secs()
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
    server.stop()?;
    Ok(true)
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
