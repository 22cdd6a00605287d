//! What came of many runs.

use super::life::Ending;
use super::run::Counts;

/// Violations that are told at length.
const TOLD_MAX: u64 = 5;

#[derive(Default)]
pub(super) struct Report {
    pub(super) violations: u64,
    counts: Counts,
    told: Vec<String>,
}

impl From<Ending> for Report {
    fn from(ending: Ending) -> Self {
        let Ending { counts, violation } = ending;
        Self {
            violations: u64::from(violation.is_some()),
            counts,
            told: violation.into_iter().collect(),
        }
    }
}

impl Report {
    pub(super) fn add(&mut self, other: Self) {
        self.violations += other.violations;
        self.counts.add(other.counts);
        if self.violations <= TOLD_MAX {
            self.told.extend(other.told);
        }
    }

    /// Says it, in a line if all is well.
    pub(super) fn print(&self, of: &str) {
        for violation in &self.told {
            println!("{violation}\n");
        }
        let Counts {
            runs,
            starts,
            acts,
            faults,
            cuts,
            kills,
            ends,
            broken,
        } = self.counts;
        let violations = self.violations;
        println!(
            "{of}: {runs} runs, {starts} starts, {acts} acts, {faults} faults; {cuts} power cuts, \
             {kills} kills, {ends} processes ended by the keyring, {broken} databases given up; \
             {violations} violations"
        );
    }
}
