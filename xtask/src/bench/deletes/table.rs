//! The tables, for people and for Markdown.

use std::time::Duration;

use super::Deleted;
use super::others::Times;
use crate::bench::report::{per_mille, percentile};

/// What stands above the rows of what others notice.
pub(crate) const OTHERS: &str = "\n| deleted meanwhile | others' writes | p50 | p99 | p99.9 | max | \
                                 small deletes | p50 | p99 | max |\n\
                                 |---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n";

/// Two tables: what who deletes notices, and what others notice.
#[derive(Default)]
pub(super) struct Table {
    deletes: Vec<String>,
    others: Vec<String>,
}

impl Table {
    /// A time without deletes.
    pub(super) fn control(&mut self, when: &str, times: Times) {
        self.others.push(others(&format!("none, {when}"), times));
    }

    /// The deletes of one size.
    pub(super) fn deletes(&mut self, size: usize, mut deleted: Deleted, times: Times) {
        deleted.answers.sort_unstable();
        deleted.gone_after.sort_unstable();
        let answers = &deleted.answers;
        let seconds = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
        let gone = &deleted.gone_after;
        self.deletes.push(format!(
            "| {size} | {} | {} | {} | {} | {:.1} s | {:.1} s | {} MB |\n",
            answers.len(),
            percentile(answers, 50),
            percentile(answers, 99),
            percentile(answers, 100),
            seconds(gone.get(gone.len() / 2)),
            seconds(gone.last()),
            deleted.wal_bytes >> 20,
        ));
        self.others.push(others(&size.to_string(), times));
    }

    /// Both tables.
    pub(super) fn text(&self, free_bytes: i64) -> String {
        let deletes = "\n| items | deletes | answer p50 | p99 | max | rows gone after, median | max | \
                       WAL at most |\n|---:|---:|---:|---:|---:|---:|---:|---:|\n";
        format!(
            "{deletes}{}{OTHERS}{}\nfree pages in the database at the end: {} MB\n",
            self.deletes.concat(),
            self.others.concat(),
            free_bytes >> 20,
        )
    }
}

/// What others notice meanwhile.
pub(crate) fn others(what: &str, mut times: Times) -> String {
    times.writes.sort_unstable();
    times.small_deletes.sort_unstable();
    let (writes, small) = (&times.writes, &times.small_deletes);
    format!(
        "| {what} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
        writes.len(),
        percentile(writes, 50),
        percentile(writes, 99),
        per_mille(writes, 999),
        percentile(writes, 100),
        small.len(),
        percentile(small, 50),
        percentile(small, 99),
        percentile(small, 100),
    )
}
