//! What is signed: each document says what it is, and which key signs it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};

use super::merkle::Hash;
use super::statement::{hash, optional_hash, read_hash, read_optional_hash, read_time, time};
use crate::canonical::{Canonical, NotCanonical};
use crate::clock::Timestamp;
use crate::model::{hex, unhex};

const ED25519_PREFIX: &str = "ed25519:";
const SIGNATURE: &str = "signature";
const KEY_ID: &str = "key_id";
/// What stands before the 32 bytes of an Ed25519 key in a `SubjectPublicKeyInfo` (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const PEM_END: &str = "-----END PUBLIC KEY-----";

/// What is wrong with a log or a receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Not canonical JSON.
    #[error("it is not canonical JSON (RFC 8785), byte for byte")]
    NotCanonical,
    /// Longer than any line.
    #[error("it is longer than a line can be")]
    TooLong,
    /// No end of the line.
    #[error("the file ends in the middle of it")]
    CutOff,
    /// Something else has to stand here.
    #[error("here should be {0}")]
    Expected(&'static str),
    /// A member is missing, wrong, or at odds with another.
    #[error("its member `{0}` is missing, wrong, or at odds with another")]
    Member(&'static str),
    /// A signature is not right.
    #[error("its signature is not that of the key over what it says")]
    BadSignature,
    /// Signed with another key.
    #[error("it is signed with another key, `{found}`")]
    OtherKey {
        /// Its key's id.
        found: String,
    },
    /// An entry or a batch stands where another has to.
    #[error("it should be at place {wanted}, and says that it is at {found}")]
    Misplaced {
        /// What comes next.
        wanted: u64,
        /// What it says.
        found: u64,
    },
    /// An entry does not name the one before it.
    #[error("it does not name the entry before it: one was changed, left out or moved")]
    Unchained,
    /// The entries of a batch are not those that were signed.
    #[error("the {count} entries from place {first} on are not those that were signed")]
    NotSigned {
        /// The place of the first.
        first: u64,
        /// Their number.
        count: u64,
    },
    /// A path does not lead from a receipt to what was signed.
    #[error("its path does not lead to what was signed")]
    WrongPath,
    /// A checkpoint or a header was signed over other entries.
    #[error("it was signed over other entries than these")]
    OtherEntries,
    /// There are not as many as the header says.
    #[error("the header speaks of {wanted} {what}, and there are {found}")]
    Number {
        /// What is counted.
        what: &'static str,
        /// What the header says.
        wanted: u64,
        /// What there is.
        found: u64,
    },
    /// A receipt contradicts itself.
    #[error("it contradicts itself: {0}")]
    Contradiction(&'static str),
    /// A receipt contradicts what it has said before.
    #[error("it contradicts what the same receipt has said before")]
    Recanted,
    /// A hold begins a second time, or one ends that is not in force.
    #[error("it speaks of a hold as no earlier event lets it")]
    WrongHold,
    /// A time lies before one that came earlier.
    #[error("its time lies before one that it should come after")]
    TimeGoesBack,
    /// The log does not hold what it is compared with.
    #[error("the log does not hold {what} at place {place}: it is another log, or was forked")]
    Forked {
        /// What it is compared with.
        what: &'static str,
        /// Where it should be.
        place: u64,
    },
    /// The log ends before what it is compared with.
    #[error("the log has {found} entries, and {what} speaks of {wanted}")]
    Shorter {
        /// What it is compared with.
        what: &'static str,
        /// How many entries there have to be.
        wanted: u64,
        /// How many there are.
        found: u64,
    },
}

impl From<NotCanonical> for Flaw {
    fn from(_: NotCanonical) -> Self {
        Self::NotCanonical
    }
}

/// A key file is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no Ed25519 public key in PEM, as `parlance receipts key` prints it")]
pub struct KeyFlaw;

/// The key that verifies receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    bytes: [u8; 32],
    id: String,
}

impl PublicKey {
    /// The key with these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        let fingerprint = digest(&SHA256, &bytes);
        Self {
            bytes,
            id: format!("{ED25519_PREFIX}{}", hex(fingerprint.as_ref())),
        }
    }

    /// Its name: `ed25519:` and the SHA-256 of its 32 bytes.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its PEM: a `SubjectPublicKeyInfo`, which `openssl pkey -pubin` reads.
    pub fn pem(&self) -> String {
        let der = [SPKI_PREFIX.as_slice(), &self.bytes].concat();
        format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", STANDARD.encode(der))
    }

    /// Reads its PEM.
    pub fn from_pem(pem: &str) -> Result<Self, KeyFlaw> {
        let body = pem.trim().strip_prefix(PEM_BEGIN);
        let body = body.and_then(|body| body.strip_suffix(PEM_END));
        let der = STANDARD.decode(body.ok_or(KeyFlaw)?.trim());
        let der = der.map_err(|_| KeyFlaw)?;
        let bytes = der.strip_prefix(&SPKI_PREFIX).ok_or(KeyFlaw)?;
        Ok(Self::new(bytes.try_into().map_err(|_| KeyFlaw)?))
    }

    /// Checks a document's signature, and gives what was signed.
    pub(super) fn open(&self, mut signed: Canonical) -> Result<Canonical, Flaw> {
        let signature = signed.remove(SIGNATURE);
        let signature = signature.as_ref().and_then(Canonical::as_text);
        let digits = signature.and_then(|text| text.strip_prefix(ED25519_PREFIX));
        let signature: Option<[u8; 64]> = digits.and_then(unhex);
        let signature = signature.ok_or(Flaw::Member(SIGNATURE))?;
        let key_id = signed.get(KEY_ID).and_then(Canonical::as_text);
        self.check_id(key_id.ok_or(Flaw::Member(KEY_ID))?)?;
        let key = UnparsedPublicKey::new(&ED25519, &self.bytes);
        key.verify(signed.to_string().as_bytes(), &signature)
            .map_err(|_| Flaw::BadSignature)?;
        Ok(signed)
    }

    /// Checks that it is this key that is named.
    pub(super) fn check_id(&self, key_id: &str) -> Result<(), Flaw> {
        if key_id == self.id {
            return Ok(());
        }
        Err(Flaw::OtherKey {
            found: key_id.to_owned(),
        })
    }
}

/// Signs a document: Ed25519 over its canonical text, the key's name included.
pub(crate) fn sign(mut document: Canonical, key: &Ed25519KeyPair, key_id: &str) -> String {
    document.insert(KEY_ID, Canonical::text(key_id));
    let signature = key.sign(document.to_string().as_bytes());
    let signature = format!("{ED25519_PREFIX}{}", hex(signature.as_ref()));
    document.insert(SIGNATURE, Canonical::Text(signature));
    document.to_string()
}

/// What a document says that it is.
pub(super) fn form(document: &Canonical) -> Option<&str> {
    document.get("v").and_then(Canonical::as_text)
}

fn count(document: &Canonical, key: &'static str) -> Result<u64, Flaw> {
    let count = document.get(key).and_then(Canonical::as_count);
    count.ok_or(Flaw::Member(key))
}

fn root(document: &Canonical) -> Result<Hash, Flaw> {
    let root = document.get("root").and_then(read_hash);
    root.ok_or(Flaw::Member("root"))
}

fn at(document: &Canonical) -> Result<Timestamp, Flaw> {
    let at = read_time(document, "at_us").map_err(Flaw::Member)?;
    at.ok_or(Flaw::Member("at_us"))
}

/// Entries that are signed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The place of the first.
    pub(crate) first: u64,
    /// Their number.
    pub(crate) count: u64,
    /// The root over them alone.
    pub(crate) root: Hash,
}

impl Batch {
    pub(super) const FORM: &str = "parlance-receipts/batch/1";

    pub(crate) fn canonical(&self) -> Canonical {
        Canonical::object([
            ("v", Canonical::text(Self::FORM)),
            ("first", Canonical::count(self.first)),
            ("count", Canonical::count(self.count)),
            ("root", hash(&self.root)),
        ])
    }

    pub(super) fn read(document: &Canonical) -> Result<Self, Flaw> {
        if form(document) != Some(Self::FORM) {
            return Err(Flaw::Expected("a signed batch"));
        }
        Ok(Self {
            first: count(document, "first")?,
            count: count(document, "count")?,
            root: root(document)?,
        })
    }
}

/// All entries up to a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Their number.
    pub(crate) size: u64,
    /// The root over all of them.
    pub(crate) root: Hash,
    /// The hash of the last.
    pub(crate) last: Option<Hash>,
    /// When it was signed: not before any time that an entry speaks of as past.
    pub(crate) at: Timestamp,
}

impl Checkpoint {
    pub(super) const FORM: &str = "parlance-receipts/checkpoint/1";

    pub(crate) fn canonical(&self) -> Canonical {
        Canonical::object([
            ("v", Canonical::text(Self::FORM)),
            ("size", Canonical::count(self.size)),
            ("root", hash(&self.root)),
            ("last", optional_hash(self.last)),
            ("at_us", time(Some(self.at))),
        ])
    }

    pub(super) fn read(document: &Canonical) -> Result<Self, Flaw> {
        if form(document) != Some(Self::FORM) {
            return Err(Flaw::Expected("a checkpoint"));
        }
        Ok(Self {
            size: count(document, "size")?,
            root: root(document)?,
            last: read_optional_hash(document, "last").map_err(Flaw::Member)?,
            at: at(document)?,
        })
    }
}

/// The first line of an exported log: what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) entries: u64,
    pub(crate) batches: u64,
    pub(crate) checkpoints: u64,
    /// The root over all entries.
    pub(crate) root: Hash,
    /// When it was exported: not before any time that an entry or a checkpoint speaks of as past.
    pub(crate) at: Timestamp,
}

impl Header {
    pub(super) const FORM: &str = "parlance-receipts/export/1";

    pub(crate) fn canonical(&self) -> Canonical {
        Canonical::object([
            ("v", Canonical::text(Self::FORM)),
            ("entries", Canonical::count(self.entries)),
            ("batches", Canonical::count(self.batches)),
            ("checkpoints", Canonical::count(self.checkpoints)),
            ("root", hash(&self.root)),
            ("at_us", time(Some(self.at))),
        ])
    }

    pub(super) fn read(document: &Canonical) -> Result<Self, Flaw> {
        if form(document) != Some(Self::FORM) {
            return Err(Flaw::Expected("the header of an exported log"));
        }
        Ok(Self {
            entries: count(document, "entries")?,
            batches: count(document, "batches")?,
            checkpoints: count(document, "checkpoints")?,
            root: root(document)?,
            at: at(document)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(seed: u8) -> (Ed25519KeyPair, PublicKey) {
        use ring::signature::KeyPair;
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let key = PublicKey::new(pair.public_key().as_ref().try_into().unwrap());
        (pair, key)
    }

    #[test]
    fn a_key_is_written_as_the_standards_example_is() {
        // RFC 8410, section 10.1.
        let pem = "-----BEGIN PUBLIC KEY-----\n\
            MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
            -----END PUBLIC KEY-----\n";
        let key = PublicKey::from_pem(pem).unwrap();
        assert_eq!(key.pem(), pem);
        assert_eq!(key.bytes[..4], [0x19, 0xbf, 0x44, 0x09]);
        assert_eq!(PublicKey::from_pem(&pem.replace('\n', "\r\n")), Ok(key));
        for wrong in [
            "",
            "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
            &pem.replace("MCow", "MCox"),
            &pem.replace("ZuE=", "Zu=="),
            &pem.replace("PUBLIC", "PRIVATE"),
        ] {
            assert_eq!(PublicKey::from_pem(wrong), Err(KeyFlaw), "{wrong}");
        }
    }

    #[test]
    fn a_document_is_opened_by_its_key_alone() {
        let (signing, key) = pair(1);
        let batch = Batch {
            first: 3,
            count: 2,
            root: [4; 32],
        };
        let signed = sign(batch.canonical(), &signing, key.id());
        let signed = Canonical::read(&signed).unwrap();
        let opened = key.open(signed.clone()).unwrap();
        assert_eq!(Batch::read(&opened), Ok(batch));
        let other = pair(2).1.open(signed.clone());
        let found = key.id().to_owned();
        assert_eq!(other, Err(Flaw::OtherKey { found }));
        let mut posing = signed.clone();
        posing.insert(KEY_ID, Canonical::text(pair(2).1.id()));
        assert_eq!(pair(2).1.open(posing), Err(Flaw::BadSignature));
        let mut unsigned = signed;
        unsigned.remove(SIGNATURE);
        assert_eq!(key.open(unsigned), Err(Flaw::Member(SIGNATURE)));
    }

    #[test]
    fn a_signature_for_one_purpose_serves_no_other() {
        let checkpoint = Checkpoint {
            size: 1,
            root: [1; 32],
            last: Some([2; 32]),
            at: Timestamp::from_micros(3),
        };
        let header = Header {
            entries: 1,
            batches: 1,
            checkpoints: 1,
            root: [1; 32],
            at: Timestamp::from_micros(3),
        };
        let (checkpoint, header) = (checkpoint.canonical(), header.canonical());
        assert!(Checkpoint::read(&checkpoint).is_ok() && Header::read(&header).is_ok());
        for (one, other) in [
            (
                Header::read(&checkpoint).err(),
                "the header of an exported log",
            ),
            (Batch::read(&checkpoint).err(), "a signed batch"),
            (Checkpoint::read(&header).err(), "a checkpoint"),
        ] {
            assert_eq!(one, Some(Flaw::Expected(other)));
        }
    }
}
