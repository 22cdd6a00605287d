//! The rules, each a function from the repository's text to what is wrong with it.

use std::collections::BTreeSet;
use std::path::Path;

use super::Tree;

/// Longest production file: its lines before its tests.
const LINES_MAX: usize = 500;
const DIALECTS: &str = "crates/dialects/src/";
const SETTINGS: &str = "crates/server/src/config/settings.rs";
const CONFIGURATION: &str = "docs/configuration.md";
/// Where text is data of tests.
const TEST_DATA: &[&str] = &["crates/testkit/", "fixtures/"];
/// What the domain must not know.
const NOT_IN_DOMAIN: &[&str] = &["axum", "hyper", "reqwest", "rusqlite"];
/// How statements begin. Written in capitals, they are SQL and no prose.
const SQL: &[&str] = &[
    "SELECT ",
    "INSERT INTO ",
    "INSERT OR ",
    "DELETE FROM ",
    "CREATE TABLE ",
    "CREATE INDEX ",
    "ALTER TABLE ",
    "DROP TABLE ",
    "PRAGMA ",
];
/// What is left to do belongs to an issue. In two pieces, as are the next, so that this file passes.
const LEFT_TO_DO: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];
/// Places that exist on one machine only.
const MACHINES: &[&str] = &[concat!("/wo", "rk/"), concat!("/tmp/", "wt")];

/// What is wrong, each with its place.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    let rules: &[fn(&Tree) -> Vec<String>] = &[
        long_files,
        dialects_that_know_another,
        what_the_domain_must_not_know,
        sql_outside_the_store,
        crates_without_invariant,
        fixtures,
        undocumented_settings,
        other_languages,
        leftovers,
    ];
    rules.iter().flat_map(|rule| rule(tree)).collect()
}

fn rust<'a>(tree: &'a Tree, under: &'a str) -> impl Iterator<Item = (&'a String, &'a String)> {
    tree.iter()
        .filter(move |(path, _)| path.starts_with(under) && has_extension(path, "rs"))
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|found| found == extension)
}

/// Whether a file holds tests and nothing else.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// Every line that holds one of `words`, with its place.
fn lines_with<'a>(path: &str, text: &str, words: &'a [&'a str]) -> Vec<(String, &'a str)> {
    let found = |(at, line): (usize, &str)| {
        let word = words.iter().find(|word| line.contains(**word))?;
        Some((format!("{path}:{}", at + 1), *word))
    };
    text.lines().enumerate().filter_map(found).collect()
}

fn long_files(tree: &Tree) -> Vec<String> {
    let long = |(path, text): (&String, &String)| {
        let lines = text
            .lines()
            .take_while(|line| line.trim() != "mod tests {")
            .count();
        let long = lines > LINES_MAX && !is_test(path);
        long.then(|| format!("{path}: {lines} lines, more than {LINES_MAX}"))
    };
    rust(tree, "").filter_map(long).collect()
}

/// The folders of the dialects.
fn dialects(tree: &Tree) -> BTreeSet<&str> {
    tree.keys()
        .filter_map(|path| path.strip_prefix(DIALECTS)?.split_once('/'))
        .map(|(name, _)| name)
        .filter(|name| *name != "kit")
        .collect()
}

fn dialects_that_know_another(tree: &Tree) -> Vec<String> {
    let all = dialects(tree);
    let mut findings = Vec::new();
    for (path, text) in rust(tree, DIALECTS) {
        let Some((own, _)) = path
            .strip_prefix(DIALECTS)
            .and_then(|path| path.split_once('/'))
        else {
            continue;
        };
        for other in all.iter().filter(|other| **other != own) {
            let paths = [format!("crate::{other}"), format!("super::{other}::")];
            for (place, word) in lines_with(path, text, &paths.each_ref().map(String::as_str)) {
                findings.push(format!("{place}: `{own}` must not know `{word}`"));
            }
        }
    }
    findings
}

fn what_the_domain_must_not_know(tree: &Tree) -> Vec<String> {
    let ours = |path: &str| path.starts_with("crates/domain/");
    let files = tree.iter().filter(|(path, _)| ours(path));
    files
        .flat_map(|(path, text)| lines_with(path, text, NOT_IN_DOMAIN))
        .map(|(place, word)| format!("{place}: the domain must not know `{word}`"))
        .collect()
}

fn sql_outside_the_store(tree: &Tree) -> Vec<String> {
    rust(tree, "crates/")
        .filter(|(path, _)| !path.starts_with("crates/store/"))
        .flat_map(|(path, text)| lines_with(path, text, SQL))
        .map(|(place, word)| format!("{place}: SQL (`{}`) outside crates/store", word.trim()))
        .collect()
}

fn crates_without_invariant(tree: &Tree) -> Vec<String> {
    let folder = |path: &String| path.strip_suffix("/Cargo.toml").map(str::to_owned);
    let mut findings = Vec::new();
    for folder in tree.keys().filter_map(folder) {
        let roots = ["lib.rs", "main.rs"].map(|name| format!("{folder}/src/{name}"));
        let Some((root, text)) = roots.iter().find_map(|root| tree.get_key_value(root)) else {
            findings.push(format!("{folder}: this crate has no root"));
            continue;
        };
        let mut head = text.lines().take_while(|line| line.starts_with("//!"));
        if !head.any(|line| line.contains("Invariant:")) {
            findings.push(format!("{root}: its `//!` has no line with `Invariant:`"));
        }
    }
    findings
}

/// Every fixture says where its facts come from, and some test reads it: `.http` scenarios are found
/// by their folder, which is their dialect's; others by their names.
fn fixtures(tree: &Tree) -> Vec<String> {
    let dialects = dialects(tree);
    let mut findings = Vec::new();
    for (path, text) in tree
        .iter()
        .filter(|(path, _)| path.starts_with("fixtures/"))
    {
        if !text.starts_with('#') {
            findings.push(format!(
                "{path}: no `#` lines at its head say where its facts come from"
            ));
        }
        let mut steps = path.split('/').skip(1);
        let known = steps.next().is_some_and(|folder| dialects.contains(folder));
        let found = known && has_extension(path, "http");
        let name = path.rsplit('/').next().unwrap_or(path);
        let named = || rust(tree, "crates/").any(|(_, text)| text.contains(name));
        if !found && !named() {
            findings.push(format!("{path}: no test reads this fixture"));
        }
    }
    findings
}

/// The strings of `const PATHS`, which is how the server knows its settings.
fn settings(text: &str) -> impl Iterator<Item = &str> {
    let list = text
        .split_once("const PATHS: &[&str] = &[")
        .map_or("", |(_, rest)| rest);
    let list = list.split_once("];").map_or("", |(list, _)| list);
    list.split('"').skip(1).step_by(2)
}

fn undocumented_settings(tree: &Tree) -> Vec<String> {
    // Before there is a page, there is nothing to be missing from it.
    let (Some(code), Some(page)) = (tree.get(SETTINGS), tree.get(CONFIGURATION)) else {
        return Vec::new();
    };
    let mut known = settings(code).peekable();
    if known.peek().is_none() {
        return vec![format!(
            "{SETTINGS}: `const PATHS` is not where it was, or empty"
        )];
    }
    known
        .filter(|setting| !page.contains(&format!("`{setting}`")))
        .map(|setting| format!("{CONFIGURATION}: the setting `{setting}` is not described"))
        .collect()
}

/// Whether a letter is of no European language: those cannot be told apart by their letters, and
/// tests of text need some.
fn is_foreign(letter: char) -> bool {
    letter.is_alphabetic() && matches!(u32::from(letter), 0x0370..=0x1cff | 0x2e80..=0xfaff)
}

/// Text in other languages lives in translations of the documentation, `docs/<language>/`, and in
/// tests, where it is data.
fn other_languages(tree: &Tree) -> Vec<String> {
    let translated = |path: &str| {
        let folder = path
            .strip_prefix("docs/")
            .and_then(|path| path.split_once('/'));
        folder.is_some_and(|(folder, _)| folder.len() == 2)
    };
    let data = |path: &str| is_test(path) || TEST_DATA.iter().any(|at| path.starts_with(at));
    let mut findings = Vec::new();
    for (path, text) in tree
        .iter()
        .filter(|(path, _)| !translated(path) && !data(path))
    {
        for (at, line) in text.lines().enumerate() {
            if line.chars().any(is_foreign) {
                findings.push(format!("{path}:{}: not in English", at + 1));
            }
        }
    }
    findings
}

fn leftovers(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in tree {
        for (place, word) in lines_with(path, text, LEFT_TO_DO) {
            findings.push(format!("{place}: a left-over `{word}`"));
        }
        for (place, word) in lines_with(path, text, MACHINES) {
            findings.push(format!("{place}: `{word}` is a place on one machine"));
        }
    }
    findings
}
