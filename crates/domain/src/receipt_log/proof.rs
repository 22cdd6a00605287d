//! A receipt as it is given out: its latest statement, with what proves it alone.

use super::document::{Batch, Flaw, PublicKey};
use super::merkle::{self, Hash, path, root_by};
use super::statement::{Place, Statement, hash, read_hash};
use crate::canonical::{Canonical, NotCanonical};
use crate::model::Receipt;

const PROOF: &str = "proof";
const BATCH: &str = "batch";
const PATH: &str = "path";

/// An entry of the log with its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenEntry {
    /// Its place in the log.
    pub place: u64,
    /// The statement.
    pub statement: String,
    /// The place of its batch's first entry.
    pub first: u64,
    /// The hashes of its batch's entries.
    pub leaves: Vec<Hash>,
    /// The signed batch.
    pub signed: String,
}

impl ProvenEntry {
    /// The receipt as it is given out: the statement with one member more, `proof`, which holds the
    /// signed batch and the path to its root. Canonical JSON.
    pub fn text(&self) -> Result<String, NotCanonical> {
        let mut receipt = Canonical::read(&self.statement)?;
        let at = self.place.checked_sub(self.first);
        let at = at
            .and_then(|at| usize::try_from(at).ok())
            .unwrap_or(usize::MAX);
        let path = path(&self.leaves, at).iter().map(hash).collect();
        let proof = [
            (BATCH, Canonical::read(&self.signed)?),
            (PATH, Canonical::List(path)),
        ];
        receipt.insert(PROOF, Canonical::object(proof));
        Ok(receipt.to_string())
    }
}

/// What a receipt vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VouchedReceipt {
    /// What it says.
    pub receipt: Receipt,
    /// Its place in the log.
    pub place: u64,
    /// The hash of its entry in the log.
    pub leaf: Hash,
}

/// Verifies a receipt as it is given out, which needs nothing but the public key. A line's end after it
/// is let be.
pub fn verify_receipt(given: &[u8], key: &PublicKey) -> Result<VouchedReceipt, Flaw> {
    let text = std::str::from_utf8(given).map_err(|_| Flaw::NotCanonical)?;
    let mut value = Canonical::read(text.strip_suffix('\n').unwrap_or(text))?;
    let mut proof = value.remove(PROOF).ok_or(Flaw::Member(PROOF))?;
    let batch = proof.remove(BATCH).ok_or(Flaw::Member(BATCH))?;
    let steps = proof.remove(PATH).ok_or(Flaw::Member(PATH))?;
    // What is in it beside these, nothing would vouch for.
    if proof != Canonical::object([]) {
        return Err(Flaw::Member(PROOF));
    }
    let statement = Statement::read(&value).map_err(Flaw::Member)?;
    let place = Place::read(&value).map_err(Flaw::Member)?.index;
    key.check_id(&statement.speaker.key_id)?;
    let batch = Batch::read(&key.open(batch)?)?;
    let steps = steps.as_list().ok_or(Flaw::Member(PATH))?;
    let path: Option<Vec<Hash>> = steps.iter().map(read_hash).collect();
    let leaf = merkle::leaf(value.to_string().as_bytes());
    let at = place.checked_sub(batch.first).ok_or(Flaw::WrongPath)?;
    let root = root_by(&path.ok_or(Flaw::Member(PATH))?, leaf, at, batch.count);
    if root != Some(batch.root) {
        return Err(Flaw::WrongPath);
    }
    match statement.receipt.contradiction() {
        Some(what) => Err(Flaw::Contradiction(what)),
        None => Ok(VouchedReceipt {
            receipt: statement.receipt,
            place,
            leaf,
        }),
    }
}

/// Whether a text is a receipt as it is given out, rather than the beginning of an exported log.
pub(super) fn is_receipt(line: &[u8]) -> bool {
    let text = std::str::from_utf8(line).ok();
    let value = text.and_then(|text| Canonical::read(text.trim_end()).ok());
    value.is_some_and(|value| value.get(PROOF).is_some())
}
