//! Medians and the table.

use std::collections::BTreeMap;
use std::time::Duration;

use super::load::{Load, Sample};

/// All samples, by connections and load.
#[derive(Default)]
pub(super) struct Report {
    samples: BTreeMap<(usize, Load), Vec<Sample>>,
}

impl Report {
    pub(super) fn add(&mut self, connections: usize, load: Load, sample: Sample) {
        self.samples
            .entry((connections, load))
            .or_default()
            .push(sample);
    }

    fn rates(&self, connections: usize, load: Load) -> Vec<f64> {
        let samples = self
            .samples
            .get(&(connections, load))
            .map_or(&[][..], Vec::as_slice);
        samples
            .iter()
            .map(|sample| sample.requests_per_second)
            .collect()
    }

    /// The median over the rounds of the ratio to the `hello` of the same round, in percent: what
    /// slows a whole round down is no matter.
    fn ratio(&self, connections: usize, load: Load) -> f64 {
        let hello = self.rates(connections, Load::Hello);
        let rates = self.rates(connections, load);
        median(
            rates
                .iter()
                .zip(&hello)
                .map(|(rate, hello)| 100.0 * rate / hello)
                .collect(),
        )
    }

    /// The table, for people and for Markdown.
    pub(super) fn table(&self) -> String {
        let head = "\n| connections | load | requests/s | of hello | delete p50 | delete p99 |\n\
                    |---:|---|---:|---:|---:|---:|\n";
        let rows = self.samples.iter().map(|((connections, load), samples)| {
            let rate = median(self.rates(*connections, *load));
            let ratio = self.ratio(*connections, *load);
            let deletes = samples
                .iter()
                .flat_map(|sample| sample.deletes.iter().copied());
            let mut times: Vec<Duration> = deletes.collect();
            times.sort_unstable();
            let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
            let name = load.name();
            format!("| {connections} | {name} | {rate:.0} | {ratio:.1} % | {p50} | {p99} |\n")
        });
        let rows: String = rows.collect();
        format!("{head}{rows}{}", self.quiet())
    }

    /// How much `hello` differed between rounds: a busy machine shows here.
    fn quiet(&self) -> String {
        let hello = self.samples.keys().filter(|(_, load)| *load == Load::Hello);
        let spread = |(connections, _): &(usize, Load)| {
            let rates = self.rates(*connections, Load::Hello);
            let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
            let fastest = rates.iter().copied().fold(0.0, f64::max);
            format!("{slowest:.0} to {fastest:.0} ({connections})")
        };
        let spreads: Vec<String> = hello.map(spread).collect();
        format!(
            "\nhello's requests/s, slowest to fastest round (connections): {}\n",
            spreads.join(", ")
        )
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The time that so many percent of the sorted `times` do not exceed.
pub(super) fn percentile(times: &[Duration], percent: usize) -> String {
    per_mille(times, percent * 10)
}

/// The same, for what is rare.
pub(super) fn per_mille(times: &[Duration], per_mille: usize) -> String {
    let at = (times.len() * per_mille).div_ceil(1_000).saturating_sub(1);
    times.get(at).map_or_else(
        || "-".to_owned(),
        |time| format!("{:.2} ms", time.as_secs_f64() * 1e3),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_not_moved_by_one_odd_round() {
        assert!((median(vec![5.0, 900.0, 4.0]) - 5.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), "100.00 ms");
        assert_eq!(percentile(&times, 99), "198.00 ms");
        assert_eq!(percentile(&[], 99), "-");
    }
}
