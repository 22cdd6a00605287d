//! Audits and backups, as operators see them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parlance_domain::fault::Chain;
use parlance_store::Sqlite;
use parlance_store::audit::{AuditError, Report, audit_stopped};
use parlance_store::backup::{Made, Options};
use tokio_util::sync::CancellationToken;

use super::execute::{line, time};
use super::{Output, Piece, Refusal};
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::wiring::root_beside;

const HOUR: Duration = Duration::from_hours(1);

/// What audits and backups are made with: the store itself, since they are about its files.
#[derive(Clone)]
pub(crate) struct Upkeep {
    pub(crate) store: Arc<Sqlite>,
    pub(crate) stopping: CancellationToken,
}

impl Upkeep {
    /// True until the server stops.
    fn going_on(&self) -> impl Fn() -> bool + Send + 'static {
        let stopping = self.stopping.clone();
        move || !stopping.is_cancelled()
    }

    /// Looks for what should not be.
    pub(super) async fn audit(&self, also: Vec<PathBuf>) -> Result<Output, Refusal> {
        show(self.store.audit(also, self.going_on()).await)
    }

    /// Makes a backup in a folder.
    pub(super) async fn back_up(&self, to: PathBuf, hours: u64) -> Result<Output, Refusal> {
        let kept = u32::try_from(hours).map_err(|_| Refusal::usage("that is too long"))?;
        let options = Options {
            snapshot_kept: (kept > 0).then(|| HOUR * kept),
        };
        let made = self.store.back_up(to, options, self.going_on()).await;
        let made = made.map_err(|error| Refusal::failed(Chain(&error).to_string()))?;
        Ok(Output::from(describe(&made)))
    }
}

/// Looks at a store that nobody uses, without opening it for use: that would tidy away what is looked for.
pub(super) fn audit_without_server(
    config: &Config,
    dir: &DataDir,
    also: &[PathBuf],
) -> Result<Output, Refusal> {
    let root = root_beside(&config.keyring, &dir.path().join("keyring"));
    show(audit_stopped(dir.path(), root, also))
}

fn show(report: Result<Report, AuditError>) -> Result<Output, Refusal> {
    let report = report.map_err(|error| Refusal::failed(Chain(&error).to_string()))?;
    let counts = count(&report);
    if report.findings.is_empty() {
        return Ok(Output::from(counts));
    }
    let found = report.findings.iter().map(|finding| format!("{finding}\n"));
    let mut pieces = vec![Piece::Data(found.collect())];
    pieces.extend(counts.lines().map(|line| Piece::Note(line.to_owned())));
    let message = match report.findings.len() {
        1 => "the audit found something that should not be".to_owned(),
        more => format!("the audit found {more} things that should not be"),
    };
    Ok(Output::Said(pieces.into(), Some(Refusal::failed(message))))
}

fn count(report: &Report) -> String {
    let rows = [
        ("rows with keys", report.rows),
        ("keys", report.keys),
        ("not used yet", report.ahead),
        ("erased in slots", report.erased),
        ("fields opened", report.fields),
        ("pieces sought", report.pieces),
        ("files searched", report.files),
        ("bytes searched", report.bytes),
    ];
    table(rows.map(|(name, value)| (name, value.to_string())))
}

fn describe(made: &Made) -> String {
    let expires = made
        .expires_at
        .map_or_else(|| "no snapshot".to_owned(), time);
    table([
        ("data of", time(made.taken_at)),
        ("keyring expires", expires),
        ("files", made.files.to_string()),
        ("unchanged", made.unchanged.to_string()),
        ("bytes written", made.written.to_string()),
    ])
}

fn table<const ROWS: usize>(rows: [(&str, String); ROWS]) -> String {
    let mut text = String::new();
    for (name, value) in rows {
        line(&mut text, &[&format!("{name:<16}"), &value]);
    }
    text
}
