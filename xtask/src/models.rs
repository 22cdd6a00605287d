//! `cargo xtask models`: threads and tasks that share something, in many orders of events.
//!
//! The models are tests of `parlance-store` with the feature `models`, which gives it and the domain
//! locks and tasks that a scheduler of `parlance_testkit::explore` controls. No other test runs so.

use std::process::Command;

use anyhow::{Context, bail};

use crate::tools::{Shop, succeeds};

/// The crates that the feature changes.
const CRATES: &[&str] = &["parlance-domain", "parlance-store", "parlance-testkit"];
/// Where the models are: the words that choose the tests, and a part of their names.
const PLACES: &[(&[&str], &str)] = &[
    (&["--package", "parlance-testkit"], "explore::"),
    (&["--package", "parlance-store", "--lib"], "::schedules::"),
    (&["--package", "parlance-store", "--test", "models"], ""),
];

/// What is asked for; nothing means what each model says itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    /// The models with this in their names.
    name: Option<String>,
    /// What is handed on in the environment.
    settings: Vec<(&'static str, String)>,
}

impl Options {
    fn read(words: &[&str]) -> anyhow::Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let setting = match *word {
                "--count" => "MODELS_COUNT",
                "--delays" => "MODELS_DELAYS",
                "--schedule" => "MODELS_SCHEDULE",
                name if !name.starts_with('-') && options.name.is_none() => {
                    options.name = Some(name.to_owned());
                    continue;
                }
                _ => bail!("`models` does not know `{word}`"),
            };
            let value = words.next();
            let value = value.with_context(|| format!("`{word}` takes a value"))?;
            if *word != "--schedule" && value.parse::<usize>().is_err() {
                bail!("`{word}` takes a whole number");
            }
            options.settings.push((setting, (*value).to_owned()));
        }
        Ok(options)
    }
}

/// Runs the models as they are asked for, optimised where it is for more than a moment.
pub(crate) fn command(shop: &Shop, words: &[&str]) -> anyhow::Result<bool> {
    if words.is_empty() {
        return bounded(shop);
    }
    let options = Options::read(words)?;
    let profile: &[&str] = if options.settings.is_empty() {
        &[]
    } else {
        &["--profile", "conformance"]
    };
    run(shop, &options, profile)
}

/// The lints that depend on the feature, and every model for a moment.
pub(crate) fn bounded(shop: &Shop) -> anyhow::Result<bool> {
    let mut lints = shop.cargo(&[
        "clippy",
        "--all-targets",
        "--features",
        "parlance-store/models",
    ]);
    for name in CRATES {
        lints.args(["--package", name]);
    }
    lints.args(["--", "-D", "warnings"]);
    Ok(succeeds(&mut lints)? & run(shop, &Options::default(), &[])?)
}

fn run(shop: &Shop, options: &Options, profile: &[&str]) -> anyhow::Result<bool> {
    let mut passed = true;
    for (place, part) in PLACES {
        let mut tests = tests(shop, place, profile);
        tests.args(["--", "--nocapture"]);
        tests.arg(options.name.as_deref().unwrap_or(part));
        tests.envs(options.settings.iter().map(|(name, value)| (name, value)));
        passed &= succeeds(&mut tests)?;
    }
    Ok(passed)
}

fn tests(shop: &Shop, place: &[&str], profile: &[&str]) -> Command {
    let mut tests = shop.cargo(&["test", "--quiet"]);
    tests.args(place).args(["--features", "models"]);
    tests.args(profile);
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_and_its_settings_are_read_in_any_order() {
        let options = Options::read(&["--count", "9", "wipe", "--delays", "3"]).unwrap();
        assert_eq!(options.name.as_deref(), Some("wipe"));
        let settings = [("MODELS_COUNT", "9"), ("MODELS_DELAYS", "3")];
        let settings = settings.map(|(name, value)| (name, value.to_owned()));
        assert_eq!(options.settings, settings);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for words in [
            ["--count", "many"].as_slice(),
            &["--count"],
            &["--seed", "1"],
            &["one", "two"],
        ] {
            assert!(Options::read(words).is_err(), "{words:?}");
        }
    }
}
