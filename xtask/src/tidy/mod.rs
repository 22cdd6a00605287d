//! `cargo xtask tidy`: what the compiler does not check about the repository's text.
//!
//! No rule has exceptions. A rule that gets some keeps them as a list that may only shrink.

mod rules;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::tools::{Shop, say};

/// Folders that hold no text of the project's own.
const SKIPPED: &[&str] = &[
    ".cache",
    ".git",
    "__pycache__",
    "node_modules",
    "parlance-data",
    "target",
];

/// Every text file, by its path from the root, with `/`.
pub(crate) type Tree = BTreeMap<String, String>;

/// Looks at the whole repository and says what is wrong with it.
pub(crate) fn command(shop: &Shop) -> anyhow::Result<bool> {
    let tree = read(&shop.root)?;
    let findings = rules::check(&tree);
    for finding in &findings {
        say(&format!("{finding}\n"));
    }
    say(&format!(
        "{} files, {} findings\n",
        tree.len(),
        findings.len()
    ));
    Ok(findings.is_empty())
}

/// The files whose names end so.
pub(crate) fn files_ending(shop: &Shop, end: &str) -> anyhow::Result<Vec<String>> {
    Ok(read(&shop.root)?
        .into_keys()
        .filter(|path| path.ends_with(end))
        .collect())
}

fn read(root: &Path) -> anyhow::Result<Tree> {
    let mut tree = Tree::new();
    gather(root, "", &mut tree)?;
    Ok(tree)
}

fn gather(folder: &Path, prefix: &str, tree: &mut Tree) -> anyhow::Result<()> {
    let unreadable = || format!("could not read `{}`", folder.display());
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        let kind = entry.file_type().with_context(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        let path = format!("{prefix}{name}");
        if kind.is_dir() {
            gather(&entry.path(), &format!("{path}/"), tree)?;
        } else if kind.is_file() {
            let bytes =
                fs::read(entry.path()).with_context(|| format!("could not read `{path}`"))?;
            // What is not text is nobody's prose.
            if let Ok(text) = String::from_utf8(bytes) {
                tree.insert(path, text);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
