//! What a run says: a line now and then, and a summary.

use std::collections::BTreeMap;
use std::time::Duration;

use super::load::Counts;
use super::verify::Verdict;

/// What a run has counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub(super) kills: u64,
    /// Kills while the server was starting.
    pub(super) early: u64,
    /// Commands without a server, half of them killed.
    pub(super) offline: u64,
    pub(super) verdict: Verdict,
    /// Bytes that were searched for canaries.
    pub(super) searched: u64,
    /// Canaries found in the last search: of what lives, and of what does not.
    pub(super) found: (usize, usize),
}

impl Report {
    /// Adds what a comparison has counted; its complaints stay with it.
    pub(super) fn count(&mut self, verdict: &Verdict) {
        self.verdict.compared += verdict.compared;
        self.verdict.sought += verdict.sought;
        self.verdict.made += verdict.made;
        self.verdict.interrupted += verdict.interrupted;
        self.verdict.replies += verdict.replies;
    }

    /// One line.
    pub(super) fn line(&self, counts: &Counts, took: Duration) -> String {
        let acknowledged: u64 = counts.acknowledged.values().sum();
        let deletes = counts.acknowledged.get("delete").copied().unwrap_or(0);
        format!(
            "{:>6} kills in {:>6.1} s: {acknowledged} calls acknowledged, {deletes} deletes, \
             {} unknown, {} conversations compared, {} MB searched\n",
            self.kills,
            took.as_secs_f64(),
            counts.unknown,
            self.verdict.compared,
            self.searched >> 20,
        )
    }

    /// The end.
    pub(super) fn summary(&self, counts: &Counts, took: Duration) -> String {
        let rate = f64::from(u32::try_from(self.kills).unwrap_or(u32::MAX)) / took.as_secs_f64();
        let kinds: Vec<String> = counts
            .acknowledged
            .iter()
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        let (living, gone) = self.found;
        format!(
            "\nkills          {}, {} of them while starting; {rate:.1} a second; {} commands without a server\n\
             acknowledged   {}\n\
             unknown        {} calls, {} of them operators', {} of them answers that had begun; {} creates \
             were done, {} turns were interrupted\n\
             compared       {} conversations in four dialects, {} responses without one, {} deleted ones by \
             their ids\n\
             canaries       {} written; in the last search {living} of what lives and {gone} of what \
             does not; {} bytes searched\n",
            self.kills,
            self.early,
            self.offline,
            kinds.join(", "),
            counts.unknown,
            counts.orders,
            counts.streams,
            self.verdict.made,
            self.verdict.interrupted,
            self.verdict.compared,
            self.verdict.replies,
            self.verdict.sought,
            counts.canaries,
            self.searched,
        )
    }
}

/// The sum of what everybody has counted.
pub(super) fn sum(all: &[&Counts]) -> Counts {
    let mut sum = Counts {
        acknowledged: BTreeMap::new(),
        ..Counts::default()
    };
    for counts in all {
        for (kind, count) in &counts.acknowledged {
            *sum.acknowledged.entry(kind).or_default() += count;
        }
        sum.unknown += counts.unknown;
        sum.orders += counts.orders;
        sum.streams += counts.streams;
        sum.canaries += counts.canaries;
    }
    sum
}
