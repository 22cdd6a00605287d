//! `cargo xtask conformance`: the vendors' own SDKs, unmodified, against the built server; each both
//! at its dialect's prefix and at the root.
//!
//! A script writes a line `{"test": "...", "ok": true}` for each thing it has tried. The lines are
//! compared with `conformance/<dialect>/baseline.jsonl`: what passes now and did not is as much a
//! difference as what does not pass and did.

mod baseline;
mod kit;
mod model;
mod script;
mod server;

use anyhow::{Context, bail};

use crate::stages::Outcome;
use crate::tools::{Shop, must, say};
use kit::{Kit, Tool};
use model::Model;
use script::Job;
pub(crate) use server::Server;

/// What the server is built as, and what drives it where that has to be quick.
pub(crate) const PROFILE: &str = "conformance";

/// The folders of `conformance/` that hold runs.
pub(crate) const DIALECTS: &[&str] = &["openai", "dify", "coze", "openhands", "cross"];

/// The scripts of a dialect, with the tool that each needs.
const fn scripts(dialect: &str) -> &'static [(&'static str, Tool)] {
    match dialect.as_bytes() {
        b"openai" | b"coze" => &[("run.py", Tool::Python), ("run.mjs", Tool::Node)],
        b"dify" => &[("run.mjs", Tool::Node)],
        _ => &[("run.py", Tool::Python)],
    }
}

/// Whether a scripted model answers in the runs of a dialect; `echo` otherwise.
const fn is_scripted(dialect: &str) -> bool {
    matches!(dialect.as_bytes(), b"openai" | b"coze" | b"openhands")
}

/// Where a dialect is spoken to, as baselines call it, and whether its prefix is used.
const PLACES: &[(&str, bool)] = &[("at its prefix", true), ("at the root", false)];

/// Builds the server, and runs the dialects that are named, or all.
pub(crate) fn command(shop: &Shop, dialects: &[&str], bless: bool) -> anyhow::Result<bool> {
    if let Some(unknown) = dialects.iter().find(|dialect| !DIALECTS.contains(dialect)) {
        bail!(
            "there are no runs for `{unknown}`: use {}",
            DIALECTS.join(", ")
        );
    }
    build(shop)?;
    let dialects = if dialects.is_empty() {
        DIALECTS
    } else {
        dialects
    };
    let mut passed = true;
    for dialect in dialects {
        say(&format!("{dialect}\n"));
        passed &= run(shop, dialect, bless)? != Outcome::Failed;
    }
    Ok(passed)
}

/// Builds the server that the runs drive.
pub(crate) fn build(shop: &Shop) -> anyhow::Result<bool> {
    must(&mut shop.cargo(&[
        "build",
        "--package",
        "parlance-server",
        "--profile",
        PROFILE,
    ]))?;
    Ok(true)
}

/// Runs the scripts of one dialect against a server of their own.
pub(crate) fn run(shop: &Shop, dialect: &str, bless: bool) -> anyhow::Result<Outcome> {
    let mut missing = None;
    let mut runnable = Vec::new();
    for (script, tool) in scripts(dialect) {
        match kit::missing(*tool) {
            None => runnable.push((*script, Kit::prepare(shop, *tool)?)),
            Some(what) => missing = Some(format!("{script} needs {what}")),
        }
    }
    let missing = missing.map(|what| Outcome::missing(shop, &what));
    if runnable.is_empty() {
        return Ok(missing.unwrap_or(Outcome::Failed));
    }
    let model = is_scripted(dialect).then(Model::start).transpose()?;
    let server = Server::start(shop, dialect, model.as_ref())?;
    let mut results = Vec::new();
    for (script, kit) in &runnable {
        for (place, prefixed) in PLACES {
            let name = format!("{script} {place}");
            let job = Job {
                shop,
                kit,
                server: &server,
                model: model.as_ref(),
                dialect,
                script,
                prefixed: *prefixed,
            };
            let lines = job.run().with_context(|| format!("{dialect}/{name}"))?;
            results.extend(lines.into_iter().map(|line| line.of(&name)));
        }
    }
    server.stop()?;
    let ran = |run: &str| {
        runnable
            .iter()
            .any(|(script, _)| run.split(' ').next() == Some(*script))
    };
    let same = baseline::compare(shop, dialect, &results, &ran, bless)?;
    Ok(match (same, missing) {
        (true, Some(outcome)) => outcome,
        (same, _) => Outcome::of(same),
    })
}
