//! Receipts: what the server says, and signs, of a conversation that it has erased.
//!
//! A receipt holds no content, no user and no id of what was erased: only a hash of the conversation's
//! id, with a salt that nobody but the deleter is given.

use std::time::Duration;

use crate::canonical::Canonical;
use crate::clock::Timestamp;
use crate::ids::{ConversationId, Id, ReceiptId};

use super::ProjectId;

/// What a receipt of this form calls itself.
const FORM: &str = "erasure-receipt/1";
/// What a receipt does not speak of. A closed list: nobody's data comes into it.
const EXCLUSIONS: [&str; 5] = [
    "copies that clients have",
    "what model providers keep",
    "exports, and backups of the keyring, from before the request",
    "logs of reverse proxies",
    "snapshots of the machine",
];

/// How far an erasure has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReceiptState {
    /// The conversation is deleted. Nothing is signed yet.
    Pending,
    /// Its key is destroyed; rows that it sealed may still be there.
    Destroyed,
    /// Its rows are gone as well.
    Complete,
}

impl ReceiptState {
    /// Its name in receipts and lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Destroyed => "destroyed",
            Self::Complete => "complete",
        }
    }
}

/// How deep an erasure goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErasureLevel {
    /// Unreachable, and the rows are removed; nothing was sealed.
    Unreachable,
    /// The key that everything was sealed with is overwritten in place, and that was read back.
    KeyOverwritten,
}

impl ErasureLevel {
    /// The level of what has a key with this commitment, or none.
    pub const fn of(commitment: Option<&[u8; 32]>) -> Self {
        match commitment {
            None => Self::Unreachable,
            Some(_) => Self::KeyOverwritten,
        }
    }

    /// Its name: `L1`, `L2`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "L1",
            Self::KeyOverwritten => "L2",
        }
    }
}

/// About how many items a conversation had: the number of decimal digits, 0 for none. The number
/// itself is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemsBucket(u32);

impl ItemsBucket {
    /// The bucket of so many items.
    pub const fn of(items: u64) -> Self {
        match items.checked_ilog10() {
            None => Self(0),
            Some(log) => Self(log + 1),
        }
    }

    /// The bucket with so many digits, as it is stored.
    pub const fn from_digits(digits: u32) -> Self {
        Self(digits)
    }

    /// The number of digits.
    pub const fn digits(self) -> u32 {
        self.0
    }

    /// Its name: `0`, `1-9`, `10-99`, and so on.
    pub fn name(self) -> String {
        let Some(zeros) = self.0.checked_sub(1) else {
            return "0".to_owned();
        };
        let low = 10_u128.saturating_pow(zeros);
        let high = low.saturating_mul(10).saturating_sub(1);
        format!("{low}-{high}")
    }
}

/// A committed delete, as far as a receipt has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Its receipt.
    pub receipt: ReceiptId,
    /// The tenant.
    pub project: ProjectId,
    /// What was deleted. Kept until the receipt is complete, and no longer.
    pub conversation: ConversationId,
    /// What proves which key it was; none where nothing was sealed.
    pub commitment: Option<[u8; 32]>,
    /// When the request came.
    pub requested_at: Timestamp,
    /// The time on the tombstone.
    pub tombstoned_at: Timestamp,
    /// When the key was known to be destroyed, if that has been signed already.
    pub key_destroyed_at: Option<Timestamp>,
    /// Whether its rows are gone.
    pub is_purged: bool,
    /// About how many items it ever had.
    pub items: ItemsBucket,
}

/// What the server says of an erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its id.
    pub id: ReceiptId,
    /// The tenant.
    pub project: ProjectId,
    /// HMAC-SHA256 of the conversation's 16 bytes, keyed with the deleter's salt.
    pub subject: [u8; 32],
    /// SHA-256 of `conv-key/1` and the key: should the key ever be found, this proves the breach.
    pub commitment: Option<[u8; 32]>,
    /// How far the erasure has come.
    pub state: ReceiptState,
    /// When the request came.
    pub requested_at: Timestamp,
    /// The time on the tombstone.
    pub tombstoned_at: Timestamp,
    /// A time at which the key was destroyed: never before that, and soon after.
    pub key_destroyed_at: Option<Timestamp>,
    /// A time at which the rows were gone: never before that, and soon after.
    pub rows_purged_at: Option<Timestamp>,
    /// About how many items the conversation ever had.
    pub items: ItemsBucket,
}

impl Receipt {
    /// The state of this erasure at `now`, a moment at which the store has wiped its key. `subject` is
    /// what the receipt calls the conversation.
    pub fn at(now: Timestamp, erasure: &Erasure, subject: [u8; 32]) -> Self {
        // A clock that was set back makes no time come before its cause.
        let now = now.max(erasure.tombstoned_at);
        let sealed = erasure.commitment.is_some();
        let key_destroyed_at = erasure.key_destroyed_at.or(sealed.then_some(now));
        let purged_at = Some(now).max(key_destroyed_at);
        Self {
            id: erasure.receipt,
            project: erasure.project,
            subject,
            commitment: erasure.commitment,
            state: match (erasure.is_purged, sealed) {
                (true, _) => ReceiptState::Complete,
                (false, true) => ReceiptState::Destroyed,
                (false, false) => ReceiptState::Pending,
            },
            requested_at: erasure.requested_at,
            tombstoned_at: erasure.tombstoned_at,
            key_destroyed_at,
            rows_purged_at: purged_at.filter(|_| erasure.is_purged),
            items: erasure.items,
        }
    }

    /// How deep the erasure goes.
    pub const fn level(&self) -> ErasureLevel {
        ErasureLevel::of(self.commitment.as_ref())
    }

    /// When the last snapshot of the keyring that can hold the key has expired, if snapshots are kept
    /// for `horizon` at most.
    pub fn unreadable_everywhere_by(&self, horizon: Duration) -> Option<Timestamp> {
        self.key_destroyed_at.map(|at| at.later(horizon))
    }

    /// The receipt as it is signed: without the signature. Times are microseconds since 1970.
    pub fn canonical(&self, horizon: Duration, build: &str, key_id: &str) -> Canonical {
        let time = |at: Option<Timestamp>| match at {
            Some(at) => Canonical::Integer(at.micros()),
            None => Canonical::Null,
        };
        let commitment = self.commitment.as_ref().map_or(Canonical::Null, |hash| {
            Canonical::Text(format!("sha256:{}", hex(hash)))
        });
        let exclusions = EXCLUSIONS.map(Canonical::text);
        let horizon_s = i64::try_from(horizon.as_secs()).unwrap_or(i64::MAX);
        let server = [
            ("build", Canonical::text(build)),
            ("key_id", Canonical::text(key_id)),
        ];
        let times = [
            ("requested", time(Some(self.requested_at))),
            ("tombstoned", time(Some(self.tombstoned_at))),
            ("key_destroyed", time(self.key_destroyed_at)),
            ("rows_purged", time(self.rows_purged_at)),
            (
                "unreadable_everywhere_by",
                time(self.unreadable_everywhere_by(horizon)),
            ),
        ];
        Canonical::object([
            ("v", Canonical::text(FORM)),
            ("id", Canonical::Text(self.id.text())),
            ("project", Canonical::Integer(self.project.0)),
            ("subject", Canonical::Text(hex(&self.subject))),
            ("key_commitment", commitment),
            ("level", Canonical::text(self.level().name())),
            ("state", Canonical::text(self.state.name())),
            ("times_us", Canonical::object(times)),
            ("keyring_snapshots_kept_s", Canonical::Integer(horizon_s)),
            ("items", Canonical::Text(self.items.name())),
            ("exclusions", Canonical::List(exclusions.into())),
            ("server", Canonical::object(server)),
        ])
    }
}

/// A signed receipt, as it is stored and given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedReceipt {
    /// Its id.
    pub id: ReceiptId,
    /// The tenant.
    pub project: ProjectId,
    /// What it says.
    pub state: ReceiptState,
    /// What it says of the key.
    pub key_destroyed_at: Option<Timestamp>,
    /// The canonical JSON, signature included.
    pub json: String,
}

/// A receipt in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptEntry {
    /// Its id.
    pub id: ReceiptId,
    /// How far the erasure has come.
    pub state: ReceiptState,
    /// How deep it goes.
    pub level: ErasureLevel,
    /// The time on the tombstone.
    pub tombstoned_at: Timestamp,
}

/// A receipt as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRecord {
    /// What a list shows of it.
    pub entry: ReceiptEntry,
    /// The canonical JSON, signature included, once it is signed.
    pub json: Option<String>,
}

impl ReceiptId {
    /// What every receipt's id begins with.
    pub const PREFIX: &'static str = "er_";

    /// The text form: `er_` and 32 hexadecimal digits.
    pub fn text(self) -> String {
        format!("{}{}", Self::PREFIX, self.hex())
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix(Self::PREFIX)?;
        crate::ids::Ref::from_hex(hex).and_then(crate::ids::Ref::whole)
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn erasure() -> Erasure {
        Erasure {
            receipt: ReceiptId::from_bits(0xabc),
            project: ProjectId(1),
            conversation: ConversationId::from_bits(7),
            commitment: Some([1; 32]),
            requested_at: Timestamp::from_micros(10),
            tombstoned_at: Timestamp::from_micros(20),
            key_destroyed_at: None,
            is_purged: false,
            items: ItemsBucket::of(12),
        }
    }

    #[test]
    fn items_are_told_by_powers_of_ten() {
        let name = |items| ItemsBucket::of(items).name();
        let cases = [
            (0, "0"),
            (1, "1-9"),
            (9, "1-9"),
            (10, "10-99"),
            (1_000, "1000-9999"),
        ];
        for (items, wanted) in cases {
            assert_eq!(name(items), wanted);
        }
        assert_eq!(name(u64::MAX), "10000000000000000000-99999999999999999999");
    }

    #[test]
    fn an_id_is_read_back_from_its_text() {
        let id = ReceiptId::from_bits(0xabc);
        assert_eq!(id.text(), "er_00000000000000000000000000000abc");
        assert_eq!(ReceiptId::parse(&id.text()), Some(id));
        for wrong in ["", "er_", "er_1", "00000000000000000000000000000abc"] {
            assert_eq!(ReceiptId::parse(wrong), None);
        }
    }

    #[test]
    fn a_receipt_is_destroyed_first_and_then_complete_and_its_time_of_destruction_stays() {
        let now = Timestamp::from_micros(30);
        let first = Receipt::at(now, &erasure(), [2; 32]);
        assert_eq!(first.state, ReceiptState::Destroyed);
        assert_eq!(
            (first.key_destroyed_at, first.rows_purged_at),
            (Some(now), None)
        );
        let again = Erasure {
            key_destroyed_at: first.key_destroyed_at,
            is_purged: true,
            ..erasure()
        };
        let later = Timestamp::from_micros(40);
        let last = Receipt::at(later, &again, [2; 32]);
        assert_eq!(last.state, ReceiptState::Complete);
        assert_eq!(
            (last.key_destroyed_at, last.rows_purged_at),
            (Some(now), Some(later))
        );
    }

    #[test]
    fn no_time_comes_before_its_cause_though_the_clock_is_set_back() {
        let erasure = Erasure {
            is_purged: true,
            ..erasure()
        };
        let receipt = Receipt::at(Timestamp::from_micros(5), &erasure, [2; 32]);
        assert_eq!(receipt.key_destroyed_at, Some(erasure.tombstoned_at));
        let again = Erasure {
            key_destroyed_at: Some(Timestamp::from_micros(90)),
            ..erasure
        };
        let receipt = Receipt::at(Timestamp::from_micros(50), &again, [2; 32]);
        assert_eq!(receipt.rows_purged_at, again.key_destroyed_at);
    }

    #[test]
    fn what_was_not_sealed_claims_no_key() {
        let erasure = Erasure {
            commitment: None,
            is_purged: true,
            ..erasure()
        };
        let receipt = Receipt::at(Timestamp::from_micros(30), &erasure, [2; 32]);
        assert_eq!(receipt.level().name(), "L1");
        assert_eq!(receipt.state, ReceiptState::Complete);
        assert_eq!(receipt.key_destroyed_at, None);
        assert_eq!(
            receipt.unreadable_everywhere_by(Duration::from_secs(1)),
            None
        );
    }
}
