//! Verifies an exported log with nothing but the public key, a line at a time.
//!
//! Memory grows with the receipts only by their ids, by a hash of those that may say one thing more, and by
//! those that are not complete.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};
use std::time::Duration;

use super::document::{Batch, Checkpoint, Flaw, Header, PublicKey, form};
use super::event::{self, EventStatement, Happening};
use super::merkle::{self, Frontier, Hash};
use super::proof::{VouchedReceipt, is_receipt, verify_receipt};
use super::statement::{self, Place, Speaker, Statement};
use super::{BATCH_ENTRIES_READ_MAX, LINE_BYTES_MAX};
use crate::canonical::Canonical;
use crate::clock::Timestamp;
use crate::ids::{HoldId, ReceiptId};
use crate::model::{ErasureLevel, Receipt, ReceiptState};

/// What a log vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// The number of its entries.
    pub entries: u64,
    /// The number of receipts that they are of.
    pub receipts: u64,
    /// The number of receipts that are complete.
    pub complete: u64,
    /// The number of events.
    pub events: u64,
    /// The number of holds that were added and not removed.
    pub holds: u64,
    /// The number of checkpoints.
    pub checkpoints: u64,
    /// When it was exported: all that was signed by then is in it.
    pub at: Timestamp,
    /// The root over all entries.
    pub root: Hash,
}

/// What a log has to hold, besides being right in itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// All of a log that was exported earlier.
    Log {
        /// The number of its entries.
        entries: u64,
        /// The root over them.
        root: Hash,
    },
    /// The statement of a receipt.
    Receipt {
        /// Its place.
        place: u64,
        /// Its hash.
        leaf: Hash,
    },
}

impl Anchor {
    const fn name(&self) -> &'static str {
        match self {
            Self::Log { .. } => "the earlier log",
            Self::Receipt { .. } => "the receipt",
        }
    }

    /// How many entries there must be.
    const fn entries(&self) -> u64 {
        match self {
            Self::Log { entries, .. } => *entries,
            Self::Receipt { place, .. } => place.saturating_add(1),
        }
    }

    /// Checks what was just read.
    fn check(&self, tree: &Frontier, last: Option<Hash>) -> Result<(), Flaw> {
        if tree.size() != self.entries() {
            return Ok(());
        }
        let holds = match self {
            Self::Log { root, .. } => tree.root() == *root,
            Self::Receipt { leaf, .. } => last == Some(*leaf),
        };
        let place = tree.size().saturating_sub(1);
        let what = self.name();
        holds.then_some(()).ok_or(Flaw::Forked { what, place })
    }
}

/// What an entry states.
enum Said {
    Receipt(Statement),
    Event(EventStatement),
}

impl Said {
    fn read(value: &Canonical) -> Result<Self, Flaw> {
        let read = match form(value) {
            Some(statement::FORM) => Statement::read(value).map(Self::Receipt),
            Some(event::FORM) => EventStatement::read(value).map(Self::Event),
            _ => return Err(Flaw::Expected("an entry of the batch")),
        };
        read.map_err(Flaw::Member)
    }
}

/// Verifies a log, line by line.
#[derive(Clone, Debug)]
pub struct Verifier<'k> {
    key: &'k PublicKey,
    anchor: Option<Anchor>,
    header: Option<Header>,
    tree: Frontier,
    last: Option<Hash>,
    /// The batch whose entries are being read, and their hashes so far.
    batch: Option<(Batch, Vec<Hash>)>,
    batches: u64,
    checkpoints: u64,
    /// The size of the last checkpoint.
    checkpointed: u64,
    latest: Timestamp,
    /// The receipts that are not complete.
    open: BTreeMap<ReceiptId, Receipt>,
    /// Those that are, with the hash of all that one repeats which may still say that the root is renewed.
    complete: BTreeMap<ReceiptId, Option<Hash>>,
    events: u64,
    /// All holds that were ever added.
    holds: BTreeMap<HoldId, Hold>,
}

/// What has become of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    InForce,
    Removed,
}

impl<'k> Verifier<'k> {
    /// A verifier that has read nothing. `anchor` is what the log has to hold.
    pub fn new(key: &'k PublicKey, anchor: Option<Anchor>) -> Self {
        Self {
            key,
            anchor,
            header: None,
            tree: Frontier::default(),
            last: None,
            batch: None,
            batches: 0,
            checkpoints: 0,
            checkpointed: 0,
            latest: Timestamp::from_micros(i64::MIN),
            open: BTreeMap::new(),
            complete: BTreeMap::new(),
            events: 0,
            holds: BTreeMap::new(),
        }
    }

    /// Reads the next line, without its end. After an error nothing more must be read.
    pub fn line(&mut self, line: &[u8]) -> Result<(), Flaw> {
        let text = std::str::from_utf8(line).map_err(|_| Flaw::NotCanonical)?;
        let value = Canonical::read(text)?;
        if self.header.is_none() {
            self.header = Some(Header::read(&self.key.open(value)?)?);
            return Ok(());
        }
        match self.batch.take() {
            Some((batch, leaves)) => self.entry(line, &value, batch, leaves),
            None if form(&value) == Some(Checkpoint::FORM) => self.checkpoint(value),
            None if form(&value) == Some(Batch::FORM) => self.begin(value),
            None => Err(Flaw::Expected("a signed batch, a checkpoint, or the end")),
        }
    }

    fn begin(&mut self, value: Canonical) -> Result<(), Flaw> {
        let batch = Batch::read(&self.key.open(value)?)?;
        if batch.first != self.tree.size() {
            return Err(Flaw::Misplaced {
                wanted: self.tree.size(),
                found: batch.first,
            });
        }
        if batch.count == 0 || batch.count > BATCH_ENTRIES_READ_MAX.into() {
            return Err(Flaw::Member("count"));
        }
        self.batches += 1;
        self.batch = Some((batch, Vec::new()));
        Ok(())
    }

    fn entry(
        &mut self,
        line: &[u8],
        value: &Canonical,
        batch: Batch,
        mut leaves: Vec<Hash>,
    ) -> Result<(), Flaw> {
        let said = Said::read(value)?;
        let place = Place::read(value).map_err(Flaw::Member)?;
        if place.index != self.tree.size() {
            return Err(Flaw::Misplaced {
                wanted: self.tree.size(),
                found: place.index,
            });
        }
        if place.prev != self.last {
            return Err(Flaw::Unchained);
        }
        self.said(said)?;
        let leaf = merkle::leaf(line);
        self.tree.push(leaf);
        self.last = Some(leaf);
        leaves.push(leaf);
        if let Some(anchor) = &self.anchor {
            anchor.check(&self.tree, self.last)?;
        }
        if u64::try_from(leaves.len()).is_ok_and(|len| len < batch.count) {
            self.batch = Some((batch, leaves));
            return Ok(());
        }
        let Batch { first, count, root } = batch;
        let signed = merkle::root(&leaves) == root;
        signed.then_some(()).ok_or(Flaw::NotSigned { first, count })
    }

    fn said(&mut self, said: Said) -> Result<(), Flaw> {
        match said {
            Said::Receipt(said) => {
                self.key.check_id(&said.speaker.key_id)?;
                self.receipt(said.receipt)
            }
            Said::Event(said) => {
                self.key.check_id(&said.speaker.key_id)?;
                self.latest = self.latest.max(said.event.at);
                self.events += 1;
                self.happening(&said.event.what)
            }
        }
    }

    /// Checks an event against what has happened before: a hold begins once, and ends once if it does.
    fn happening(&mut self, what: &Happening) -> Result<(), Flaw> {
        let (hold, wanted, then) = match what {
            Happening::HoldAdded { hold, .. } => (*hold, None, Hold::InForce),
            Happening::HoldRemoved { hold, .. } => (*hold, Some(Hold::InForce), Hold::Removed),
            Happening::Restored(_) => return Ok(()),
        };
        let before = self.holds.insert(hold, then);
        (before == wanted).then_some(()).ok_or(Flaw::WrongHold)
    }

    /// Checks what a receipt says against itself and against what it has said before.
    fn receipt(&mut self, receipt: Receipt) -> Result<(), Flaw> {
        if let Some(what) = receipt.contradiction() {
            return Err(Flaw::Contradiction(what));
        }
        let earlier = self.open.remove(&receipt.id);
        let follows = match (earlier, self.complete.get(&receipt.id)) {
            (None, None) => true,
            (Some(earlier), _) => receipt.follows(&earlier),
            (None, Some(None)) => false,
            (None, Some(Some(repeated))) => {
                receipt.root_renewed_at.is_some() && without_renewal(&receipt) == *repeated
            }
        };
        if !follows {
            return Err(Flaw::Recanted);
        }
        self.latest = self.latest.max(receipt.latest());
        if receipt.state == ReceiptState::Complete {
            let may_rise = receipt.level() == ErasureLevel::KeyOverwritten;
            let repeated = may_rise.then(|| without_renewal(&receipt));
            self.complete.insert(receipt.id, repeated);
        } else {
            self.open.insert(receipt.id, receipt);
        }
        Ok(())
    }

    fn checkpoint(&mut self, value: Canonical) -> Result<(), Flaw> {
        let checkpoint = Checkpoint::read(&self.key.open(value)?)?;
        let wanted = self.tree.size();
        // Each is over more entries than the one before.
        if checkpoint.size != wanted || wanted == self.checkpointed {
            let found = checkpoint.size;
            return Err(Flaw::Misplaced { wanted, found });
        }
        if checkpoint.root != self.tree.root() || checkpoint.last != self.last {
            return Err(Flaw::OtherEntries);
        }
        if checkpoint.at < self.latest {
            return Err(Flaw::TimeGoesBack);
        }
        self.latest = checkpoint.at;
        self.checkpointed = checkpoint.size;
        self.checkpoints += 1;
        Ok(())
    }

    /// Nothing more comes. What there was is held against the header.
    pub fn finish(self) -> Result<Vouched, Flaw> {
        let header = self
            .header
            .ok_or(Flaw::Expected("the header of an exported log"))?;
        if self.batch.is_some() {
            return Err(Flaw::Expected("an entry of the batch"));
        }
        let entries = self.tree.size();
        for (what, wanted, found) in [
            ("entries", header.entries, entries),
            ("batches", header.batches, self.batches),
            ("checkpoints", header.checkpoints, self.checkpoints),
        ] {
            if wanted != found {
                return Err(Flaw::Number {
                    what,
                    wanted,
                    found,
                });
            }
        }
        if header.root != self.tree.root() {
            return Err(Flaw::OtherEntries);
        }
        if header.at < self.latest {
            return Err(Flaw::TimeGoesBack);
        }
        if let Some(anchor) = self.anchor.filter(|anchor| anchor.entries() > entries) {
            return Err(Flaw::Shorter {
                what: anchor.name(),
                wanted: anchor.entries(),
                found: entries,
            });
        }
        let count = |len| u64::try_from(len).unwrap_or(u64::MAX);
        let holds = self.holds.values();
        let in_force = holds.filter(|hold| **hold == Hold::InForce);
        Ok(Vouched {
            entries,
            receipts: count(self.open.len() + self.complete.len()),
            complete: count(self.complete.len()),
            events: self.events,
            holds: count(in_force.count()),
            checkpoints: self.checkpoints,
            at: header.at,
            root: header.root,
        })
    }
}

/// The hash of all that a receipt says, but for the renewal of the root.
fn without_renewal(receipt: &Receipt) -> Hash {
    let statement = Statement {
        receipt: Receipt {
            root_renewed_at: None,
            ..receipt.clone()
        },
        snapshots_kept: Duration::ZERO,
        speaker: Speaker {
            build: String::new(),
            key_id: String::new(),
        },
    };
    let nowhere = Place {
        index: 0,
        prev: None,
    };
    merkle::leaf(statement.canonical(nowhere).to_string().as_bytes())
}

/// A flaw and its line, from 1. What is wrong with the whole is said of the last line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {flaw}")]
pub struct Located {
    /// The line.
    pub line: u64,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// Why a log is not verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is not right.
    #[error(transparent)]
    Flawed(#[from] Located),
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
}

/// What a file vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// It is an exported log.
    Log(Vouched),
    /// It is one receipt.
    Receipt(Box<VouchedReceipt>),
}

impl Verified {
    /// What a log has to hold that came later.
    pub const fn anchor(&self) -> Anchor {
        match self {
            Self::Log(log) => Anchor::Log {
                entries: log.entries,
                root: log.root,
            },
            Self::Receipt(receipt) => Anchor::Receipt {
                place: receipt.place,
                leaf: receipt.leaf,
            },
        }
    }
}

/// Verifies an exported log to its end, or one receipt. `anchor` is what a log has to hold.
pub fn verify(
    file: &mut dyn BufRead,
    key: &PublicKey,
    anchor: Option<Anchor>,
) -> Result<Verified, VerifyError> {
    let mut lines = Lines {
        file,
        line: Vec::new(),
        number: 0,
    };
    let is_receipt = lines.next()? && is_receipt(&lines.line);
    if is_receipt {
        let receipt = verify_receipt(&lines.line, key).map_err(|flaw| lines.located(flaw))?;
        if lines.next()? {
            return Err(lines.located(Flaw::Expected("the end")).into());
        }
        return Ok(Verified::Receipt(Box::new(receipt)));
    }
    let mut verifier = Verifier::new(key, anchor);
    while !lines.line.is_empty() {
        let text = lines.whole().map_err(|flaw| lines.located(flaw))?;
        verifier.line(text).map_err(|flaw| lines.located(flaw))?;
        lines.next()?;
    }
    let log = verifier.finish().map_err(|flaw| lines.located(flaw))?;
    Ok(Verified::Log(log))
}

/// A file, line by line.
struct Lines<'f> {
    file: &'f mut dyn BufRead,
    /// The present line, with its end; empty where the file ends.
    line: Vec<u8>,
    number: u64,
}

impl Lines<'_> {
    /// Goes to the next line. False if there is none.
    fn next(&mut self) -> io::Result<bool> {
        let bytes_max = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        self.line.clear();
        let mut rest = Read::take(&mut *self.file, bytes_max);
        let read = rest.read_until(b'\n', &mut self.line)?;
        self.number += u64::from(read > 0);
        Ok(read > 0)
    }

    /// The present line without its end.
    fn whole(&self) -> Result<&[u8], Flaw> {
        let whole = self.line.strip_suffix(b"\n");
        whole.ok_or(match self.line.len() {
            LINE_BYTES_MAX => Flaw::TooLong,
            _ => Flaw::CutOff,
        })
    }

    fn located(&self, flaw: Flaw) -> Located {
        Located {
            line: self.number,
            flaw,
        }
    }
}

#[cfg(test)]
mod tests;
