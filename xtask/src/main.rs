//! Parlance's development commands: `cargo xtask ...`.
//!
//! Invariant: nothing that is shipped depends on this crate, and it knows the server from outside
//! only: its command line, its paths on HTTP and the text of its sources.

mod bench;
mod conformance;
mod crash;
mod faults;
mod http;
mod model_server;
mod models;
mod stages;
mod tidy;
mod tools;

use std::process::ExitCode;

use anyhow::bail;

use crate::tools::{Shop, complain, say};

/// The same allocator as the server's, so that `hello` and the server are measured alike.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HELP: &str = "\
cargo xtask test                            everything that must hold, SDK runs included
cargo xtask tidy                            what the compiler does not check
cargo xtask conformance [DIALECT] [--bless] the vendors' own SDKs against the server
cargo xtask bench [--seconds N]             requests per second, beside a bare axum server
cargo xtask bench --deletes [--sizes N,N...] [--count N]
                                            deletes of large conversations, and what others notice
cargo xtask crash [--count N] [--seconds S] [--seed X] [--canaries report|strict]
                                            kills of the server under load, and what is left
cargo xtask crash --prove [--seed X]        damage on purpose, to show that it would be seen
cargo xtask models [NAME] [--count N] [--delays N] [--schedule S]
                                            threads and tasks in many orders of events
cargo xtask model-server [--port N]         a scripted model server alone; says its URL
cargo xtask faults [--count N] [--seed S]   failing disks and power cuts under the store
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Carries out a command; false if it ran and found something wrong.
fn run(words: &[String]) -> anyhow::Result<bool> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let shop = Shop::open()?;
    match words.as_slice() {
        ["test"] => Ok(stages::test(&shop)),
        ["tidy"] => tidy::command(&shop),
        ["conformance", rest @ ..] => {
            let bless = rest.contains(&"--bless");
            let dialects: Vec<&str> = rest
                .iter()
                .copied()
                .filter(|word| *word != "--bless")
                .collect();
            conformance::command(&shop, &dialects, bless)
        }
        ["bench", rest @ ..] => bench::command(&shop, rest),
        ["crash", rest @ ..] => crash::command(&shop, rest),
        ["models", rest @ ..] => models::command(&shop, rest),
        ["model-server", rest @ ..] => model_server::command(rest),
        ["faults", rest @ ..] => faults::command(&shop, rest),
        // What `bench` and `crash` start as processes of their own.
        ["hello", address] => bench::hello::serve(address),
        ["bench-run", rest @ ..] => bench::measure(&shop, rest),
        ["crash-run", rest @ ..] => crash::run(&shop, rest),
        [] | ["help" | "--help" | "-h"] => {
            say(HELP);
            Ok(true)
        }
        _ => bail!("there is no such command\n\n{HELP}"),
    }
}
