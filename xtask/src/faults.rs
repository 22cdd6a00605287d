//! `cargo xtask faults`: the fault tests of the store, as many as wanted.

use anyhow::{Context, bail};

use crate::conformance;
use crate::tools::{Shop, succeeds};

/// Random runs, unless told otherwise.
const COUNT_DEFAULT: u64 = 2_000;
/// The tests that read how many runs are wanted.
const TESTS: &str = "sqlite::faults::nothing_is_lost";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Options {
    count: u64,
    seed: u64,
}

impl Options {
    fn read(words: &[&str]) -> anyhow::Result<Self> {
        let mut options = Self {
            count: COUNT_DEFAULT,
            seed: 0,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let value = words.next();
            let value = value.with_context(|| format!("`{word}` takes a value"))?;
            let number = value.parse::<u64>();
            let number = number.with_context(|| format!("`{word}` takes a whole number"))?;
            match *word {
                "--count" => options.count = number,
                "--seed" => options.seed = number,
                _ => bail!("`faults` does not know `{word}`"),
            }
        }
        Ok(options)
    }
}

/// Builds the store's tests optimised and runs those: every fault at every call of a tour, and as many
/// random runs as wanted, from a seed on.
pub(crate) fn command(shop: &Shop, words: &[&str]) -> anyhow::Result<bool> {
    let Options { count, seed } = Options::read(words)?;
    let mut tests = shop.cargo(&["test", "--quiet", "--profile", conformance::PROFILE]);
    tests.args(["--package", "parlance-store", "--lib", TESTS]);
    tests.args(["--", "--nocapture", "--test-threads=1"]);
    tests.env("PARLANCE_FAULTS_COUNT", count.to_string());
    tests.env("PARLANCE_FAULTS_SEED", seed.to_string());
    succeeds(&mut tests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_the_default() {
        let options = Options::read(&["--seed", "7"]).expect("nothing is wrong");
        let wanted = Options {
            count: COUNT_DEFAULT,
            seed: 7,
        };
        assert_eq!(options, wanted);
    }

    #[test]
    fn an_unknown_word_is_refused() {
        assert!(Options::read(&["--runs", "5"]).is_err());
        assert!(Options::read(&["--count"]).is_err());
        assert!(Options::read(&["--count", "many"]).is_err());
    }
}
