//! Faults under the whole store: SQLite's files and the keyring's on one disk, which fails, fills up and
//! loses power at any call, by chance that repeats itself.
//!
//! What clients do is done to a model of the store as well. After a failure it may have been done or not,
//! so there are two models then; what can be read later has to be what one of them holds.
//!
//! `PARLANCE_FAULTS_COUNT` asks for so many random runs, and for every fault at every call of the tour;
//! `PARLANCE_FAULTS_SEED` is the first run's seed. `cargo xtask faults` sets them.

#![expect(
    clippy::format_push_string,
    clippy::future_not_send,
    clippy::match_bool,
    clippy::needless_pass_by_value,
    clippy::string_slice,
    reason = "tests on one thread, over text of their own"
)]

mod check;
mod client;
mod erase;
mod life;
mod machine;
mod report;
mod room;
mod run;
mod view;

use std::thread;

use parlance_faultdisk::Fault;

use self::life::{Ending, FAULTS};
use self::report::Report;

/// Random runs of a test that is not told how many.
const COUNT: u64 = 120;
/// Random runs in which a disk that forgets has to be noticed.
const NOTICED_WITHIN: u64 = 60;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var_os(name)?;
    let number = text.to_str().and_then(|text| text.parse().ok());
    Some(number.expect("a whole number is expected"))
}

/// Does all of this work: on every processor if `many`.
fn all<T: Copy + Sync>(work: &[T], many: bool, one: impl Fn(T) -> Report + Sync) -> Report {
    let threads = match many {
        true => thread::available_parallelism().map_or(1, usize::from),
        false => 1,
    };
    let (next, total) = (
        std::sync::Mutex::new(work.iter()),
        std::sync::Mutex::new(Report::default()),
    );
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some(work) = next.lock().unwrap().next().copied() else {
                        return;
                    };
                    let report = one(work);
                    total.lock().unwrap().add(report);
                }
            });
        }
    });
    total.into_inner().unwrap()
}

#[test]
fn nothing_is_lost_whatever_fails() {
    let count = number("PARLANCE_FAULTS_COUNT");
    let first = number("PARLANCE_FAULTS_SEED").unwrap_or(0);
    let seeds: Vec<u64> = (first..)
        .take(usize::try_from(count.unwrap_or(COUNT)).unwrap())
        .collect();
    let report = all(&seeds, count.is_some(), |seed| {
        life::random(seed, &[]).into()
    });
    report.print("random runs");
    assert_eq!(report.violations, 0);
}

#[test]
fn nothing_is_lost_wherever_something_fails() {
    let is_whole = number("PARLANCE_FAULTS_COUNT").is_some();
    let calls = life::calls_of_a_tour();
    let mut work: Vec<(u64, Fault)> = Vec::new();
    for (call, at) in calls.iter().zip(0..) {
        let faults = FAULTS.into_iter().filter(|fault| call.what.can(*fault));
        if is_whole {
            work.extend(faults.map(|fault| (at, fault)));
        } else {
            // One at each call, in turn.
            let turn = usize::try_from(at).unwrap() % faults.clone().count();
            work.extend(faults.skip(turn).take(1).map(|fault| (at, fault)));
        }
    }
    let report = all(&work, is_whole, |(at, fault)| life::tour(at, fault).into());
    report.print("tours");
    assert_eq!(report.violations, 0);
}

#[test]
fn a_file_whose_syncs_are_left_out_is_noticed() {
    let files = [
        "parlance.db-wal",
        "parlance.db",
        "keyring/slots",
        "keyring/segments",
        "keyring/header",
        "erasures.log",
    ];
    for file in files {
        let noticed = (0..NOTICED_WITHIN).any(|seed| {
            let Ending { violation, .. } = life::random(seed, &[file]);
            violation.is_some()
        });
        assert!(noticed, "nobody misses the syncs of {file}");
    }
}
