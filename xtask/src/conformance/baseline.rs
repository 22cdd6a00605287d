//! What the runs are compared with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::Context;

use super::script::Tested;
use crate::tools::{Shop, say};

const NEW_TEST: &str = "NEW TEST ";
/// Most new tests that are named.
const NEW_SHOWN_MAX: usize = 10;

/// Compares results with the committed ones; false if anything differs. `ran` says which runs took
/// place; the lines of others stay as they are. With `bless`, the results are committed instead.
pub(super) fn compare(
    shop: &Shop,
    dialect: &str,
    results: &[Tested],
    ran: &dyn Fn(&str) -> bool,
    bless: bool,
) -> anyhow::Result<bool> {
    let file = shop
        .root
        .join("conformance")
        .join(dialect)
        .join("baseline.jsonl");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let old: Vec<Tested> = text.lines().map(Tested::parse).collect::<Result<_, _>>()?;
    let differences = differences(&old, results, ran);
    let (new, worse): (Vec<_>, Vec<_>) = differences
        .iter()
        .partition(|line| line.starts_with(NEW_TEST));
    // A script that was just written has nothing but new tests.
    for difference in worse.iter().chain(new.iter().take(NEW_SHOWN_MAX)) {
        say(&format!("  {difference}\n"));
    }
    if let Some(more) = new
        .len()
        .checked_sub(NEW_SHOWN_MAX)
        .filter(|more| *more > 0)
    {
        say(&format!("  {NEW_TEST} and {more} more\n"));
    }
    let failing = results.iter().filter(|result| !result.ok);
    let known = failing.filter(|result| old.iter().any(|old| named_alike(old, result) && !old.ok));
    let known = known.count();
    if known > 0 {
        say(&format!("  {known} known failures\n"));
    }
    if bless {
        let kept = old.iter().filter(|line| !ran(&line.run));
        let lines: Vec<String> = results
            .iter()
            .chain(kept)
            .map(|line| line.line() + "\n")
            .collect();
        fs::write(&file, lines.concat()).context("could not write the baseline")?;
        return Ok(true);
    }
    if !differences.is_empty() {
        say(&format!(
            "  `cargo xtask conformance {dialect} --bless` accepts this\n"
        ));
    }
    Ok(differences.is_empty())
}

fn named_alike(one: &Tested, other: &Tested) -> bool {
    (&one.run, &one.test) == (&other.run, &other.test)
}

fn differences(old: &[Tested], new: &[Tested], ran: &dyn Fn(&str) -> bool) -> Vec<String> {
    let name = |line: &Tested| (line.run.clone(), line.test.clone());
    let before: BTreeMap<_, bool> = old.iter().map(|line| (name(line), line.ok)).collect();
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for line in new {
        if !seen.insert(name(line)) {
            found.push(format!("TWICE     {}: {}", line.run, line.test));
        }
        let what = match (before.get(&name(line)), line.ok) {
            (Some(true), true) | (Some(false), false) => continue,
            (Some(true) | None, false) => "NEW FAIL ",
            (Some(false), true) => "NEW PASS ",
            (None, true) => NEW_TEST,
        };
        let why = if line.why.is_empty() {
            String::new()
        } else {
            format!(": {}", line.why)
        };
        found.push(format!("{what} {}: {}{why}", line.run, line.test));
    }
    let gone = old
        .iter()
        .filter(|line| ran(&line.run) && !seen.contains(&name(line)));
    found.extend(gone.map(|line| format!("GONE      {}: {}", line.run, line.test)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(test: &str, ok: bool) -> Tested {
        Tested {
            run: "run.py".to_owned(),
            test: test.to_owned(),
            ok,
            why: String::new(),
        }
    }

    #[track_caller]
    fn check(old: &[Tested], new: &[Tested], expected: &[&str]) {
        assert_eq!(differences(old, new, &|_| true), expected);
    }

    #[test]
    fn what_is_as_it_was_is_no_difference() {
        check(
            &[line("a", true), line("b", false)],
            &[line("b", false), line("a", true)],
            &[],
        );
    }

    #[test]
    fn new_passes_are_differences_as_new_failures_are() {
        let new = [line("a", false), line("b", true)];
        let expected = ["NEW FAIL  run.py: a", "NEW PASS  run.py: b"];
        check(&[line("a", true), line("b", false)], &new, &expected);
    }

    #[test]
    fn tests_that_come_and_go_are_differences() {
        let expected = ["NEW TEST  run.py: b", "GONE      run.py: a"];
        check(&[line("a", true)], &[line("b", true)], &expected);
    }

    #[test]
    fn a_run_that_did_not_take_place_is_not_missed() {
        assert_eq!(
            differences(&[line("a", true)], &[], &|_| false),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_line_of_a_baseline_is_read_as_it_was_written() {
        let line = line("a \"name\"", true);
        assert_eq!(Tested::parse(&line.line()).expect("a line"), line);
    }
}
