//! Canaries: texts that occur nowhere by chance, put into everything that a client writes, and the
//! search for them in files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use memchr::memmem;
use rand::RngExt;
use rand::distr::Alphanumeric;
use rand::rngs::StdRng;

/// What every canary begins with, so that one search finds all of them, those of earlier processes
/// included.
const MARK: &[u8] = b"cNrY";
/// Random characters after the mark. With the mark, as many as the title that Dify makes of a
/// question keeps of it.
const RANDOM_CHARS: usize = 16;
/// Random characters that are no chance any more: shorter ones are no part of a canary.
const RANDOM_CHARS_MIN: usize = 8;
/// The file that the harness writes itself, to see that the search sees.
const CONTROL: &str = "control";

/// Makes a canary.
pub(super) fn canary(rng: &mut StdRng) -> String {
    let mut text = String::from_utf8_lossy(MARK).into_owned();
    text.extend((0..RANDOM_CHARS).map(|_| char::from(rng.sample(Alphanumeric))));
    text
}

/// The first canary in a text.
pub(super) fn within(text: &str) -> Option<&str> {
    let at = memmem::find(text.as_bytes(), MARK)?;
    text.get(at..at + MARK.len() + RANDOM_CHARS)
}

/// What one search has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Bytes that were searched.
    pub(super) bytes: u64,
    /// Canaries, or what is left of some, by the file that they were found in; the control is not
    /// among them.
    pub(super) canaries: BTreeSet<(PathBuf, String)>,
}

/// Writes the file that every search has to find something in.
pub(super) fn write_control(folder: &Path, rng: &mut StdRng) -> anyhow::Result<String> {
    let control = canary(rng);
    let text = format!("plain text with {control} in it\n");
    fs::write(folder.join(CONTROL), text).context("could not write the control")?;
    Ok(control)
}

/// Searches every byte of every file in a folder and below it. An error if the control is not found:
/// the search is blind then.
pub(super) fn search(folder: &Path, control: &str) -> anyhow::Result<Found> {
    let mut found = Found::default();
    walk(folder, &mut found)?;
    let control = (folder.join(CONTROL), control.to_owned());
    if !found.canaries.remove(&control) {
        anyhow::bail!("the search for canaries is blind: it does not find its control");
    }
    Ok(found)
}

fn walk(folder: &Path, found: &mut Found) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder);
    let entries = entries.with_context(|| format!("could not list `{}`", folder.display()))?;
    for entry in entries {
        let entry = entry.context("could not list a folder")?;
        let kind = entry.file_type().context("a file without a type")?;
        if kind.is_dir() {
            walk(&entry.path(), found)?;
        } else if kind.is_file() {
            // A file that is gone meanwhile holds nothing.
            let bytes = fs::read(entry.path()).unwrap_or_default();
            found.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let canaries = canaries(&bytes).map(|canary| (entry.path(), canary));
            found.canaries.extend(canaries);
        }
    }
    Ok(())
}

/// The canaries in some bytes, also such as are cut off.
fn canaries(bytes: &[u8]) -> impl Iterator<Item = String> {
    memmem::find_iter(bytes, MARK).filter_map(|at| {
        let rest = bytes.get(at + MARK.len()..).unwrap_or_default();
        let random = rest.iter().take(RANDOM_CHARS);
        let random: String = random
            .take_while(|byte| byte.is_ascii_alphanumeric())
            .map(|byte| char::from(*byte))
            .collect();
        let mark = String::from_utf8_lossy(MARK);
        (random.len() >= RANDOM_CHARS_MIN).then(|| format!("{mark}{random}"))
    })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_canary_is_found_between_any_bytes() {
        let canary = canary(&mut StdRng::seed_from_u64(1));
        let bytes = [b"\0\xff".as_slice(), canary.as_bytes(), b"\xfe"].concat();
        assert_eq!(canaries(&bytes).collect::<Vec<_>>(), [canary.as_str()]);
        assert_eq!(within(&format!("a {canary}, b")), Some(canary.as_str()));
    }

    #[test]
    fn what_is_left_of_a_canary_is_found_too() {
        let canary = canary(&mut StdRng::seed_from_u64(1));
        let half = canary.get(..MARK.len() + RANDOM_CHARS_MIN).expect("ASCII");
        assert_eq!(canaries(half.as_bytes()).collect::<Vec<_>>(), [half]);
    }

    #[test]
    fn the_mark_alone_is_no_canary() {
        assert_eq!(canaries(b"cNrY, cNrYabc").count(), 0);
    }

    #[test]
    fn a_search_that_does_not_find_its_control_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut rng = StdRng::seed_from_u64(1);
        let control = write_control(folder.path(), &mut rng).expect("written");
        let found = search(folder.path(), &control).expect("found");
        assert_eq!(found.canaries, BTreeSet::new());
        assert!(search(folder.path(), &canary(&mut rng)).is_err());
    }
}
