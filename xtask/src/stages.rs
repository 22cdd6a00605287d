//! `cargo xtask test`: the stages, each with its name and its time.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;

use crate::tools::{Shop, have, have_with, say, succeeds};
use crate::{conformance, crash, models, tidy};

/// How a stage ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It found nothing wrong.
    Passed,
    /// It found something, and has said what.
    Failed,
    /// It did not run, for this reason.
    Skipped(String),
}

impl Outcome {
    /// Passed if `passed`.
    pub(crate) const fn of(passed: bool) -> Self {
        if passed { Self::Passed } else { Self::Failed }
    }

    /// A missing tool: skips a stage, but never in CI.
    pub(crate) fn missing(shop: &Shop, what: &str) -> Self {
        if shop.ci {
            say(&format!("MISSING: {what}\n"));
            return Self::Failed;
        }
        say(&format!("SKIPPED: {what}\n"));
        Self::Skipped(what.to_owned())
    }
}

/// Runs stages and remembers how they ended.
struct Run {
    done: Vec<(String, Outcome, Duration)>,
}

impl Run {
    fn stage(&mut self, name: &str, work: impl FnOnce() -> anyhow::Result<Outcome>) -> bool {
        say(&format!("\n==> {name}\n"));
        let since = Instant::now();
        let outcome = work().unwrap_or_else(|error| {
            say(&format!("error: {error:#}\n"));
            Outcome::Failed
        });
        let took = since.elapsed();
        let word = if outcome == Outcome::Failed {
            "FAILED"
        } else {
            "done"
        };
        say(&format!(
            "<== {name}: {word} in {:.1} s\n",
            took.as_secs_f64()
        ));
        let usable = outcome == Outcome::Passed;
        self.done.push((name.to_owned(), outcome, took));
        usable
    }

    fn skip(&mut self, name: &str, why: &str) {
        say(&format!("\n==> {name}\nSKIPPED: {why}\n"));
        self.done.push((
            name.to_owned(),
            Outcome::Skipped(why.to_owned()),
            Duration::ZERO,
        ));
    }

    fn failed(&self) -> usize {
        self.done
            .iter()
            .filter(|(_, outcome, _)| *outcome == Outcome::Failed)
            .count()
    }

    fn summary(&self) -> String {
        let row = |name: &str, took: Duration, said: &str| {
            format!("{name:<24} {:>8.1} s  {said}\n", took.as_secs_f64())
        };
        let mut text = "\n".to_owned();
        for (name, outcome, took) in &self.done {
            let said = match outcome {
                Outcome::Passed => "passed".to_owned(),
                Outcome::Failed => "FAILED".to_owned(),
                Outcome::Skipped(why) => format!("SKIPPED: {why}"),
            };
            text += &row(name, *took, &said);
        }
        let total = self.done.iter().map(|(_, _, took)| *took).sum();
        let verdict = match self.failed() {
            0 => "passed".to_owned(),
            failed => format!("{failed} FAILED"),
        };
        text + &row("all", total, &verdict)
    }
}

/// Runs every stage, whatever becomes of the others, and says at the end how each ended.
pub(crate) fn test(shop: &Shop) -> bool {
    let mut run = Run { done: Vec::new() };
    let passes = |mut command: Command| succeeds(&mut command).map(Outcome::of);
    run.stage("format", || {
        passes(shop.cargo(&["fmt", "--all", "--check"]))
    });
    run.stage("tidy", || tidy::command(shop).map(Outcome::of));
    run.stage("dependencies", || dependencies(shop));
    run.stage("clippy", || {
        passes(shop.cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    });
    run.stage("rustdoc", || {
        let words = [
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ];
        let mut doc = shop.cargo(&words);
        doc.env("RUSTDOCFLAGS", "-D warnings");
        passes(doc)
    });
    run.stage("Rust tests", || rust_tests(shop));
    run.stage("models", || models::bounded(shop).map(Outcome::of));
    let built = run.stage("server for the SDKs", || {
        conformance::build(shop).map(Outcome::of)
    });
    for dialect in conformance::DIALECTS {
        let name = format!("SDKs: {dialect}");
        if built {
            run.stage(&name, || conformance::run(shop, dialect, false));
        } else {
            run.skip(&name, "there is no server to run them against");
        }
    }
    if built {
        run.stage("kills", || crash::bounded(shop).map(Outcome::of));
    } else {
        run.skip("kills", "there is no server to kill");
    }
    say(&run.summary());
    run.failed() == 0
}

/// `deny.toml`, where there is a tool that reads it. No build of that tool is worth its time.
fn dependencies(shop: &Shop) -> anyhow::Result<Outcome> {
    if !have_with(&mut shop.cargo(&["deny", "--version"])) {
        let why = "cargo-deny is not installed".to_owned();
        say(&format!("SKIPPED: {why}\n"));
        return Ok(Outcome::Skipped(why));
    }
    let words = [
        "deny",
        "--workspace",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ];
    succeeds(&mut shop.cargo(&words)).map(Outcome::of)
}

/// Every Rust test, with snapshots that must match to the letter and all be used.
fn rust_tests(shop: &Shop) -> anyhow::Result<Outcome> {
    let scratch = shop.scratch("tests");
    fs::create_dir_all(&scratch).context("could not make a directory for the tests")?;
    let used = scratch.join("snapshots");
    fs::write(&used, "").context("could not write the list of snapshots")?;
    let mut tests = if have("cargo-nextest") {
        shop.cargo(&["nextest", "run", "--workspace"])
    } else {
        say("cargo-nextest is not installed: `cargo test` instead\n");
        shop.cargo(&["test", "--workspace", "--no-fail-fast"])
    };
    tests
        .env("INSTA_UPDATE", "no")
        .env("INSTA_REQUIRE_FULL_MATCH", "1");
    tests.env("INSTA_SNAPSHOT_REFERENCES_FILE", &used);
    if !succeeds(&mut tests)? {
        return Ok(Outcome::Failed);
    }
    let used = fs::read_to_string(&used).context("could not read the list of snapshots")?;
    let used: BTreeSet<&str> = used.lines().collect();
    let mut unused = tidy::files_ending(shop, ".snap")?;
    unused.retain(|path| !used.contains(shop.root.join(path).to_string_lossy().as_ref()));
    for path in &unused {
        say(&format!("{path}: no test uses this snapshot\n"));
    }
    Ok(Outcome::of(unused.is_empty()))
}
