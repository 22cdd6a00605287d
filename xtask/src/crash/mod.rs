//! `cargo xtask crash`: kills the real server at random moments under a mixed load, starts it again on
//! what it has left, and compares that with what its clients were told.
//!
//! The seed decides what is done and when; the order in which threads come to it stays the machine's,
//! so that a seed leads to the same kinds of moments, not to the same interleaving.

mod answers;
mod calls;
mod canary;
mod check;
mod control;
mod dialect;
mod erase;
mod journal;
mod load;
mod operator;
mod plant;
mod read;
mod report;
mod responses;
mod run;
mod said;
mod verify;

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::conformance;
use crate::tools::{Shop, must, succeeds};
use run::Run;

/// Kills of `cargo xtask crash`, unless told otherwise.
const COUNT_DEFAULT: u64 = 200;
/// What `cargo xtask test` does: as many kills as fit into this time.
const BOUNDED: Duration = Duration::from_secs(45);
/// The seed of `cargo xtask test`.
const SEED: u64 = 20_261_122;

/// What canaries are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Canaries {
    /// They are counted.
    Report,
    /// None may be found.
    Strict,
}

/// What is asked for.
#[derive(Clone, Debug)]
struct Options {
    /// Kills; none if only the time bounds them.
    count: Option<u64>,
    length: Option<Duration>,
    seed: u64,
    canaries: Canaries,
}

impl Options {
    fn read(words: &[&str]) -> anyhow::Result<Self> {
        let mut options = Self {
            count: None,
            length: None,
            seed: SEED,
            canaries: Canaries::Strict,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let value = words.next();
            let value = value.with_context(|| format!("`{word}` takes a value"))?;
            let number = || {
                let number = value.parse::<u64>();
                number.with_context(|| format!("`{word}` takes a whole number"))
            };
            match *word {
                "--count" => options.count = Some(number()?),
                "--seconds" => options.length = Some(Duration::from_secs(number()?)),
                "--seed" => options.seed = number()?,
                "--canaries" if *value == "report" => options.canaries = Canaries::Report,
                "--canaries" if *value == "strict" => options.canaries = Canaries::Strict,
                _ => bail!("`crash` does not know `{word} {value}`"),
            }
        }
        if options.count.is_none() && options.length.is_none() {
            options.count = Some(COUNT_DEFAULT);
        }
        Ok(options)
    }
}

/// Builds the server and what kills it, optimised, and starts the latter. With `--prove`, it shows
/// instead that the comparison sees damage that is done on purpose.
pub(crate) fn command(shop: &Shop, words: &[&str]) -> anyhow::Result<bool> {
    let options = match words {
        ["--prove", rest @ ..] | rest => rest,
    };
    // Said before anything is built.
    Options::read(options)?;
    conformance::build(shop)?;
    start(shop, words)
}

/// The bounded run of `cargo xtask test`, over a server that is built.
pub(crate) fn bounded(shop: &Shop) -> anyhow::Result<bool> {
    let (seed, seconds) = (SEED.to_string(), BOUNDED.as_secs().to_string());
    let proven = start(shop, &["--prove", "--seed", &seed])?;
    Ok(start(shop, &["--seconds", &seconds, "--seed", &seed])? && proven)
}

/// Clients share the cores with the server, so they are as cheap as an optimised build makes them.
fn start(shop: &Shop, words: &[&str]) -> anyhow::Result<bool> {
    let profile = ["--profile", conformance::PROFILE];
    let mut build = shop.cargo(&["build", "--package", "xtask"]);
    must(build.args(profile))?;
    let mut run = Command::new(shop.built(conformance::PROFILE, "xtask"));
    succeeds(run.arg("crash-run").args(words))
}

/// The run itself: `crash-run`, with the words of `crash`.
pub(crate) fn run(shop: &Shop, words: &[&str]) -> anyhow::Result<bool> {
    match words {
        ["--prove", rest @ ..] => plant::prove(shop, Options::read(rest)?.seed),
        words => Ok(Run::new(shop, "crash", &Options::read(words)?)?.through()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_bounded_by_a_count_or_a_time() {
        let options = Options::read(&[]).expect("nothing is wrong");
        assert_eq!((options.count, options.length), (Some(COUNT_DEFAULT), None));
        let options = Options::read(&["--seconds", "5"]).expect("nothing is wrong");
        assert_eq!(options.count, None);
        assert_eq!(options.length, Some(Duration::from_secs(5)));
    }

    #[test]
    fn an_unknown_word_is_refused() {
        assert!(Options::read(&["--counts", "5"]).is_err());
        assert!(Options::read(&["--count"]).is_err());
        assert!(Options::read(&["--canaries", "none"]).is_err());
    }
}
