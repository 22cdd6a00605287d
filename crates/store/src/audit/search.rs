//! Searches files for all pieces at once, in time that grows with the files alone.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use rusqlite::Connection;

use super::sample::Sample;
use super::{AuditError, Finding, Report, Subject};

/// Places in one file that are told.
const PLACES_MAX: usize = 100;
/// Whether a piece stands in a receipt, which is in the clear for everybody: somebody has copied it into a
/// conversation.
const IN_RECEIPTS: &str = "\
    SELECT EXISTS (SELECT 1 FROM receipt_log WHERE instr(CAST(statement AS BLOB), ?1)) \
        OR EXISTS (SELECT 1 FROM receipt_batches WHERE instr(CAST(signed AS BLOB), ?1))";

/// Searches the data directory, and what is to be searched besides.
pub(super) fn search(
    subject: &Subject<'_>,
    sample: &Sample,
    report: &mut Report,
) -> Result<BTreeSet<Finding>, AuditError> {
    let mut found = BTreeSet::new();
    let patterns = sample.pieces.iter().map(|piece| piece.bytes.as_slice());
    let machine = AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(patterns)
        .map_err(|error| AuditError::Search(Box::new(error)))?;
    for path in files(subject)? {
        let file = match File::open(&path) {
            Ok(file) => file,
            // A running store removes and renames.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(AuditError::File { path, source }),
        };
        let mut reading = Reading {
            file,
            bytes: 0,
            going_on: subject.going_on,
        };
        let mut places = 0;
        for hit in machine.stream_find_iter(&mut reading) {
            let hit = match hit {
                Ok(hit) => hit,
                Err(_) if !(subject.going_on)() => return Err(AuditError::Stopped),
                Err(source) => return Err(AuditError::File { path, source }),
            };
            let Some(piece) = sample.pieces.get(hit.pattern().as_usize()) else {
                continue;
            };
            if places == PLACES_MAX || is_in_receipts(subject.db, &piece.bytes)? {
                continue;
            }
            places += 1;
            found.insert(Finding::Plaintext {
                path: path.clone(),
                offset: u64::try_from(hit.start()).unwrap_or(u64::MAX),
                row: piece.row,
                field: piece.field,
            });
        }
        report.files = report.files.saturating_add(1);
        report.bytes = report.bytes.saturating_add(reading.bytes);
    }
    Ok(found)
}

fn is_in_receipts(db: &Connection, piece: &[u8]) -> Result<bool, AuditError> {
    Ok(db
        .prepare_cached(IN_RECEIPTS)?
        .query_row([piece], |row| row.get(0))?)
}

/// All files that are searched, each once.
fn files(subject: &Subject<'_>) -> Result<BTreeSet<PathBuf>, AuditError> {
    let mut files = BTreeSet::new();
    let mut left = vec![subject.dir.to_owned()];
    left.extend(subject.also.iter().cloned());
    let given = left.len();
    let mut number = 0;
    while let Some(path) = left.get(number).cloned() {
        let is_given = number < given;
        number += 1;
        list(&path, is_given, &mut left, &mut files)
            .map_err(|source| AuditError::File { path, source })?;
    }
    Ok(files)
}

/// Adds a file to the files, or what is in a folder to what is left to be looked at.
fn list(
    path: &Path,
    is_given: bool,
    left: &mut Vec<PathBuf>,
    files: &mut BTreeSet<PathBuf>,
) -> io::Result<()> {
    // Whoever names a link means what it leads to; the others lead nowhere else.
    let kind = if is_given {
        fs::metadata(path)
    } else {
        fs::symlink_metadata(path)
    };
    let kind = match kind {
        Ok(kind) => kind,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_given => return Ok(()),
        Err(error) => return Err(error),
    };
    if kind.is_file() {
        files.insert(path.canonicalize()?);
    } else if kind.is_dir() {
        for entry in fs::read_dir(path)? {
            left.push(entry?.path());
        }
    }
    Ok(())
}

/// A file that is read, and counted, until it is time to stop.
struct Reading<'a> {
    file: File,
    bytes: u64,
    going_on: &'a dyn Fn() -> bool,
}

impl Read for Reading<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if !(self.going_on)() {
            return Err(io::Error::other("it is time to stop"));
        }
        let read = self.file.read(to)?;
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}
