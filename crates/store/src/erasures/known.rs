//! What a log of erasures says, to whoever has a copy of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use parlance_domain::Timestamp;

use super::{LINE_BYTES_MAX, Line};
use crate::keyring::KeyRef;

/// Why a log of erasures cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be read.
    #[error("could not read `{}`", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is another store's.
    #[error("`{}` is the log of erasures of another store", .0.display())]
    Foreign(PathBuf),
    /// Something in it is neither whole nor what a crash leaves.
    #[error(
        "line {line} of `{}` is damaged, or of a newer version: what it says of erasures cannot be known; use \
         another copy", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
    },
}

/// What a log of erasures says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    store: [u8; 16],
    erased: BTreeMap<u32, u64>,
    from: Timestamp,
    until: Timestamp,
}

impl Known {
    /// Reads a log; none if there is no file, or nothing whole in it. The last line may be torn.
    pub fn read(path: &Path) -> Result<Option<Self>, LogError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(trouble(path)(source)),
        };
        Self::parse(path, &mut BufReader::new(file))
    }

    /// Reads a log that has to be this store's.
    pub fn read_own(path: &Path, store: &[u8; 16]) -> Result<Option<Self>, LogError> {
        let known = Self::read(path)?;
        if known.as_ref().is_some_and(|known| known.store != *store) {
            return Err(LogError::Foreign(path.to_owned()));
        }
        Ok(known)
    }

    fn parse(path: &Path, from: &mut dyn BufRead) -> Result<Option<Self>, LogError> {
        let mut known: Option<Self> = None;
        let (mut number, mut damaged) = (0, None);
        while let Some(line) = next_line(from).map_err(trouble(path))? {
            number += 1;
            let broken = |line| LogError::Damaged {
                path: path.to_owned(),
                line,
            };
            match (Line::parse(&line), &mut known) {
                (Some(Line::Began { store, at }), None) => {
                    known = Some(Self {
                        store,
                        erased: BTreeMap::new(),
                        from: at,
                        until: at,
                    });
                    damaged = None;
                }
                (Some(Line::Began { store, at }), Some(known)) => {
                    if store != known.store {
                        return Err(LogError::Foreign(path.to_owned()));
                    }
                    known.until = at;
                    damaged = None;
                }
                (Some(line), Some(known)) => match damaged {
                    Some(line) => return Err(broken(line)),
                    None => known.take(line),
                },
                (Some(_), None) => return Err(broken(damaged.unwrap_or(number))),
                (None, _) => damaged = damaged.or(Some(number)),
            }
        }
        Ok(known)
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Began { at, .. } | Line::Until(at) => self.until = at,
            Line::Erased(erased) => {
                let last = self.erased.entry(erased.key.slot).or_default();
                *last = erased.key.generation.max(*last);
                self.until = erased.at;
            }
        }
    }

    /// The store's id.
    pub const fn store(&self) -> [u8; 16] {
        self.store
    }

    /// The last key of each slot that is known to be erased, and with it all before it.
    pub fn erased(&self) -> impl Iterator<Item = KeyRef> {
        let key = |(slot, generation): (&u32, &u64)| KeyRef {
            slot: *slot,
            generation: *generation,
        };
        self.erased.iter().map(key)
    }

    /// The time from which on it knows everything.
    pub const fn from(&self) -> Timestamp {
        self.from
    }

    /// The time until which it knows everything: the last line's.
    pub const fn until(&self) -> Timestamp {
        self.until
    }
}

fn trouble(path: &Path) -> impl Fn(io::Error) -> LogError {
    let path = path.to_owned();
    move |source| LogError::Read {
        path: path.clone(),
        source,
    }
}

/// The next line without its end; one that is longer than any, cut off, and so is not whole. None at the end,
/// and for a last line without an end: it is torn.
fn next_line(from: &mut dyn BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::with_capacity(LINE_BYTES_MAX);
    let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    from.take(most).read_until(b'\n', &mut line)?;
    if line.pop_if(|last| *last == b'\n').is_some() {
        return Ok(Some(line));
    }
    if line.len() < LINE_BYTES_MAX {
        return Ok(None);
    }
    skip_line(from).map(|ended| ended.then_some(line))
}

/// Reads on to the end of a line. False if there is none.
fn skip_line(from: &mut dyn BufRead) -> io::Result<bool> {
    loop {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            return Ok(false);
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(buffer.len(), |at| at.saturating_add(1));
        from.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Known>, LogError> {
    Known::parse(Path::new("erasures.log"), &mut { bytes })
}
