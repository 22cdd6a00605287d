//! `erasures.log`: which keys were erased, so that a snapshot of the keyring from before can be brought up
//! to date.
//!
//! It is made to be copied off the machine while it grows. Nothing personal is in it, and no conversation:
//! a slot says nothing to whoever has not the database of that time.
//!
//! Invariants:
//! * It is only ever appended to. A copy of it is always its beginning.
//! * Every key that was handed out and erased is in it, within about a second, and after a crash when the
//!   store is opened again; a key may be in it twice. The database keeps what is not known to be durable
//!   here, so that no delete waits for it, nor fails with it.
//!
//! # Form
//!
//! Lines of text; numbers are decimal, times microseconds since 1970, and every line ends with a space and a
//! full stop, so that none can be taken for whole that was torn.
//!
//! ```text
//! began 1 0123456789abcdef0123456789abcdef 1767225600000000 .
//! erased 17 42 1767225601000000 .
//! until 1767226200000000 .
//! ```
//!
//! * `began`: version, the store's id, and the time from which on a process has written what follows.
//! * `erased`: slot, generation, time. All generations of the slot up to this one are erased.
//! * `until`: all that was erased before this time is above.
//!
//! What a crash or a failed write has left of a line ends with the next `began`, after which all is said
//! again that may be missing. Damage anywhere else is no such thing, and is refused.

mod append;
mod known;

use parlance_domain::Timestamp;

use crate::keyring::KeyRef;

pub(crate) use append::ErasureLog;
#[cfg(test)]
pub(crate) use known::parse;
pub use known::{Known, LogError};

/// The file's name in the data directory.
pub const FILE: &str = "erasures.log";
/// The version of the form.
const VERSION: u32 = 1;
/// Bytes of the longest line that is whole, with its end.
const LINE_BYTES_MAX: usize = 96;

/// A key that was erased, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Erased {
    pub(crate) key: KeyRef,
    pub(crate) at: Timestamp,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Began { store: [u8; 16], at: Timestamp },
    Erased(Erased),
    Until(Timestamp),
}

impl Line {
    /// The line with its end.
    fn text(self) -> String {
        match self {
            Self::Began { store, at } => {
                let (store, at) = (u128::from_be_bytes(store), at.micros());
                format!("began {VERSION} {store:032x} {at} .\n")
            }
            Self::Erased(Erased { key, at }) => {
                format!("erased {} {} {} .\n", key.slot, key.generation, at.micros())
            }
            Self::Until(at) => format!("until {} .\n", at.micros()),
        }
    }

    /// Reads a line without its end; none if it is not whole.
    fn parse(line: &[u8]) -> Option<Self> {
        let words: Vec<&str> = std::str::from_utf8(line).ok()?.split(' ').collect();
        let read = match *words.as_slice() {
            ["began", version, store, at, "."] => {
                if version.parse() != Ok(VERSION) || store.len() != 32 {
                    return None;
                }
                Self::Began {
                    store: u128::from_str_radix(store, 16).ok()?.to_be_bytes(),
                    at: time(at)?,
                }
            }
            ["erased", slot, generation, at, "."] => Self::Erased(Erased {
                key: KeyRef {
                    slot: slot.parse().ok()?,
                    generation: generation.parse().ok()?,
                },
                at: time(at)?,
            }),
            ["until", at, "."] => Self::Until(time(at)?),
            _ => return None,
        };
        // Numbers can be written in other ways, but not by us.
        (read.text().as_bytes().strip_suffix(b"\n") == Some(line)).then_some(read)
    }
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().map(Timestamp::from_micros)
}

#[cfg(test)]
mod tests;
