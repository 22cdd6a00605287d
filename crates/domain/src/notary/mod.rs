//! Who signs receipts, and what else comes into their log.

use std::fmt;
use std::time::Duration;

use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::canonical::Canonical;
use crate::clock::Timestamp;
use crate::ids::{ConversationId, HoldId, Id, ReceiptId};
use crate::limits::KEYRING_SNAPSHOT_HOURS;
use crate::model::{Due, Erasure, Receipt, hex};
use crate::receipt_log::{
    Batch, Checkpoint, EventStatement, Header, LogEntry, LogHead, NewBatch, NewCheckpoint, Place,
    PublicKey, Speaker, Stated, Statement, merkle, sign,
};
use crate::secret::Secret;

/// Salts, hashes and signs. Its secrets are the store's, so that they stay the same as long as the
/// store does.
pub struct Notary {
    salting: hmac::Key,
    signing: Ed25519KeyPair,
    public: PublicKey,
    build: String,
}

impl fmt::Debug for Notary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notary({})", self.public.id())
    }
}

/// The secret cannot be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret cannot be a signing key")]
pub struct BadSeed;

/// What a receipt has said before makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("receipt {receipt} cannot say more: in what it has said `{member}` cannot be read")]
pub struct Unreadable {
    receipt: ReceiptId,
    member: &'static str,
}

impl Notary {
    /// A notary with these secrets. `build` names the program that signs.
    pub fn new(salting: &[u8; 32], signing: &[u8; 32], build: &str) -> Result<Self, BadSeed> {
        let signing = Ed25519KeyPair::from_seed_unchecked(signing).map_err(|_| BadSeed)?;
        let public = signing.public_key().as_ref();
        Ok(Self {
            salting: hmac::Key::new(hmac::HMAC_SHA256, salting),
            public: PublicKey::new(public.try_into().map_err(|_| BadSeed)?),
            signing,
            build: build.to_owned(),
        })
    }

    /// The key that verifies what it signs.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The salt of a receipt, 64 hexadecimal digits. It is derived and kept nowhere; the deleter alone
    /// is given it, and can show with it which conversation the receipt is about.
    pub fn salt(&self, receipt: ReceiptId) -> Secret {
        Secret::new(hex(self.salt_of(receipt).as_ref()))
    }

    /// What a receipt calls the conversation.
    pub fn subject(&self, receipt: ReceiptId, conversation: ConversationId) -> [u8; 32] {
        salted(self.salt_of(receipt), &conversation.bits().to_be_bytes())
    }

    fn salt_of(&self, receipt: ReceiptId) -> hmac::Tag {
        hmac::sign(&self.salting, &receipt.bits().to_be_bytes())
    }

    /// The salt of a hold, 64 hexadecimal digits, derived as that of a receipt is. Whoever has it can show
    /// which conversation or user the log's event is about.
    pub fn hold_salt(&self, hold: HoldId) -> Secret {
        Secret::new(hex(self.salt_of_hold(hold).as_ref()))
    }

    /// What the log calls what a hold covers: `covered` is a conversation's 16 bytes, or a user's name.
    pub fn hold_subject(&self, hold: HoldId, covered: &[u8]) -> [u8; 32] {
        salted(self.salt_of_hold(hold), covered)
    }

    fn salt_of_hold(&self, hold: HoldId) -> hmac::Tag {
        // The word keeps it apart from the salt of a receipt, whatever the ids are.
        let name = [HoldId::PREFIX.as_bytes(), &hold.bits().to_be_bytes()].concat();
        hmac::sign(&self.salting, &name)
    }

    /// States all that is due, at `now`, a moment at which the keys are destroyed, as the log's next
    /// entries, under one signature. `due` is not empty.
    pub fn state(
        &self,
        head: &LogHead,
        now: Timestamp,
        due: &[Due],
    ) -> Result<NewBatch, Unreadable> {
        let mut after = head.clone();
        let (mut entries, mut leaves) = (Vec::with_capacity(due.len()), Vec::new());
        for due in due {
            let place = Place {
                index: after.tree.size(),
                prev: after.last,
            };
            let said = self.say(now, due, place)?;
            let leaf = merkle::leaf(said.entry.statement.as_bytes());
            after.tree.push(leaf);
            after.last = Some(leaf);
            after.latest = after.latest.max(said.latest);
            leaves.push(leaf);
            entries.push(said.entry);
        }
        after.batches += 1;
        let batch = Batch {
            first: head.tree.size(),
            count: after.tree.size().saturating_sub(head.tree.size()),
            root: merkle::root(&leaves),
        };
        Ok(NewBatch {
            first: batch.first,
            entries,
            leaves,
            signed: self.sign(batch.canonical()),
            after,
        })
    }

    fn say(&self, now: Timestamp, due: &Due, place: Place) -> Result<Said, Unreadable> {
        let statement = match due {
            Due::Erasure(erasure) => Statement {
                receipt: self.receipt(now, erasure),
                snapshots_kept: Duration::from_secs(KEYRING_SNAPSHOT_HOURS * 3_600),
                speaker: self.speaker(self.build.clone()),
            },
            Due::Carried { receipt, json } => {
                let carried = carried_over(*receipt, json)?;
                Statement {
                    speaker: self.speaker(carried.speaker.build),
                    ..carried
                }
            }
            Due::Event(event) => {
                let said = EventStatement {
                    event: event.clone(),
                    speaker: self.speaker(self.build.clone()),
                };
                let of = Stated::Event(event.id);
                return Ok(Said::new(of, event.at, &said.canonical(place)));
            }
            Due::Renewed { receipt, said } => {
                let said = carried_over(*receipt, said)?;
                Statement {
                    receipt: said.receipt.renewed(now),
                    snapshots_kept: said.snapshots_kept,
                    speaker: self.speaker(self.build.clone()),
                }
            }
        };
        let receipt = &statement.receipt;
        let of = Stated::Receipt {
            receipt: receipt.id,
            project: receipt.project,
            state: receipt.state,
            key_destroyed_at: receipt.key_destroyed_at,
            root_renewed_at: receipt.root_renewed_at,
        };
        Ok(Said::new(of, receipt.latest(), &statement.canonical(place)))
    }

    fn speaker(&self, build: String) -> Speaker {
        Speaker {
            build,
            key_id: self.public.id().to_owned(),
        }
    }

    fn receipt(&self, now: Timestamp, erasure: &Erasure) -> Receipt {
        let subject = self.subject(erasure.receipt, erasure.conversation);
        Receipt::at(now, erasure, subject)
    }

    /// Signs all entries so far, at `now`.
    pub fn checkpoint(&self, head: &LogHead, now: Timestamp) -> NewCheckpoint {
        let at = now.max(head.latest);
        let checkpoint = Checkpoint {
            size: head.tree.size(),
            root: head.tree.root(),
            last: head.last,
            at,
        };
        NewCheckpoint {
            signed: self.sign(checkpoint.canonical()),
            after: LogHead {
                latest: at,
                checkpoints: head.checkpoints.saturating_add(1),
                checkpointed: head.tree.size(),
                checkpointed_at: now,
                ..head.clone()
            },
        }
    }

    /// The first line of the log as it is exported at `now`, without the line's end.
    pub fn export_header(&self, head: &LogHead, now: Timestamp) -> String {
        let header = Header {
            entries: head.tree.size(),
            batches: head.batches,
            checkpoints: head.checkpoints,
            root: head.tree.root(),
            at: now.max(head.latest),
        };
        self.sign(header.canonical())
    }

    fn sign(&self, document: Canonical) -> String {
        sign(document, &self.signing, self.public.id())
    }
}

/// HMAC-SHA256 keyed with a salt.
fn salted(salt: hmac::Tag, what: &[u8]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, salt.as_ref());
    let tag = hmac::sign(&key, what);
    let mut subject = [0; 32];
    for (to, from) in subject.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    subject
}

/// An entry that is written.
struct Said {
    entry: LogEntry,
    /// The latest time that it speaks of as past.
    latest: Timestamp,
}

impl Said {
    fn new(of: Stated, latest: Timestamp, statement: &Canonical) -> Self {
        let statement = statement.to_string();
        Self {
            entry: LogEntry { of, statement },
            latest,
        }
    }
}

/// Reads what a receipt has said before.
fn carried_over(receipt: ReceiptId, json: &str) -> Result<Statement, Unreadable> {
    let unreadable = |member| Unreadable { receipt, member };
    let value = Canonical::read(json).map_err(|_| unreadable("v"))?;
    Statement::read(&value).map_err(unreadable)
}

#[cfg(test)]
mod tests;
