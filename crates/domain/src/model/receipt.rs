//! Receipts: what the server says, and signs, of a conversation that it has erased.
//!
//! A receipt holds no content, no user and no id of what was erased: only a hash of the conversation's
//! id, with a salt that nobody but the deleter is given.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::ids::{ConversationId, ReceiptId};
use crate::receipt_log::{Event, ProvenEntry};

use super::ProjectId;

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

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        let mut all = [Self::Pending, Self::Destroyed, Self::Complete].into_iter();
        all.find(|state| state.name() == name)
    }
}

/// How deep an erasure goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErasureLevel {
    /// Unreachable, and the rows are removed; nothing was sealed.
    Unreachable,
    /// The key that everything was sealed with is overwritten in place, and that was read back.
    KeyOverwritten,
    /// The root is replaced as well, and the one before destroyed, so that no copy from before opens the key.
    RootRenewed,
}

impl ErasureLevel {
    /// The level of what has a key with this commitment, or none, and of which this is said of the root.
    pub const fn of(commitment: Option<&[u8; 32]>, root_renewed_at: Option<Timestamp>) -> Self {
        match (commitment, root_renewed_at) {
            (None, _) => Self::Unreachable,
            (Some(_), None) => Self::KeyOverwritten,
            (Some(_), Some(_)) => Self::RootRenewed,
        }
    }

    /// Its name: `L1`, `L2`, `L3`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "L1",
            Self::KeyOverwritten => "L2",
            Self::RootRenewed => "L3",
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

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        let digits = 0..=u64::MAX.ilog10() + 1;
        digits.map(Self).find(|bucket| bucket.name() == name)
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
    /// When the root was known to be renewed since, if that has been signed already.
    pub root_renewed_at: Option<Timestamp>,
    /// Whether its rows are gone.
    pub is_purged: bool,
    /// Whether the root was renewed since its key was destroyed.
    pub is_renewed: bool,
    /// About how many items it ever had.
    pub items: ItemsBucket,
}

/// What there is to be stated next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// What has come of an erasure.
    Erasure(Erasure),
    /// A receipt that was signed by itself, before there was a log. It comes into the log as it is.
    Carried {
        /// The receipt.
        receipt: ReceiptId,
        /// Its canonical JSON, with the signature of then.
        json: String,
    },
    /// The root was renewed since the key of a receipt was destroyed that is complete otherwise. What it is
    /// about is forgotten, so that it goes by what it has said.
    Renewed {
        /// The receipt.
        receipt: ReceiptId,
        /// Its last statement: canonical JSON.
        said: String,
    },
    /// Something else that has happened.
    Event(Event),
}

impl Due {
    /// The receipt, if it is about one.
    pub const fn receipt(&self) -> Option<ReceiptId> {
        match self {
            Self::Erasure(erasure) => Some(erasure.receipt),
            Self::Carried { receipt, .. } | Self::Renewed { receipt, .. } => Some(*receipt),
            Self::Event(_) => None,
        }
    }
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
    /// A time at which the root was replaced and destroyed since the key was: never before that, and soon
    /// after.
    pub root_renewed_at: Option<Timestamp>,
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
        let after = Some(now).max(key_destroyed_at);
        let renewed_at = after.filter(|_| erasure.is_renewed && sealed);
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
            rows_purged_at: after.filter(|_| erasure.is_purged),
            root_renewed_at: erasure.root_renewed_at.or(renewed_at),
            items: erasure.items,
        }
    }

    /// The same at `now`, when the root was renewed since the key was destroyed.
    #[must_use]
    pub fn renewed(self, now: Timestamp) -> Self {
        let renewed_at = self.key_destroyed_at.map(|destroyed| destroyed.max(now));
        Self {
            root_renewed_at: self.root_renewed_at.or(renewed_at),
            ..self
        }
    }

    /// How deep the erasure goes.
    pub const fn level(&self) -> ErasureLevel {
        ErasureLevel::of(self.commitment.as_ref(), self.root_renewed_at)
    }

    /// When the last snapshot of the keyring that can hold the key has expired, if snapshots are kept
    /// for `horizon` at most, or no snapshot could be opened any more.
    pub fn unreadable_everywhere_by(&self, horizon: Duration) -> Option<Timestamp> {
        let expired = self.key_destroyed_at.map(|at| at.later(horizon));
        let times = [expired, self.root_renewed_at];
        times.into_iter().flatten().min()
    }

    /// What contradicts itself in it, if anything does: times that come before their causes, or a state
    /// that they do not speak for.
    pub fn contradiction(&self) -> Option<&'static str> {
        let (destroyed, purged) = (self.key_destroyed_at, self.rows_purged_at);
        let times = [
            Some(self.requested_at),
            Some(self.tombstoned_at),
            destroyed,
            purged,
        ];
        if !times.into_iter().flatten().is_sorted() {
            return Some("its times are not in the order of what they are of");
        }
        if self.commitment.is_some() != destroyed.is_some() {
            return Some("a key is destroyed if there was one, and only then");
        }
        if self
            .root_renewed_at
            .is_some_and(|at| destroyed.is_none_or(|before| at < before))
        {
            return Some("the root is renewed after the key is destroyed, and not without that");
        }
        let state = match (purged, destroyed) {
            (Some(_), _) => ReceiptState::Complete,
            (None, Some(_)) => ReceiptState::Destroyed,
            (None, None) => ReceiptState::Pending,
        };
        (self.state != state).then_some("its state is not what its times say")
    }

    /// The latest time that it speaks of as past.
    pub fn latest(&self) -> Timestamp {
        let times = [
            self.key_destroyed_at,
            self.rows_purged_at,
            self.root_renewed_at,
        ];
        times
            .into_iter()
            .flatten()
            .fold(self.tombstoned_at, Timestamp::max)
    }

    /// Whether `self` says something that `earlier`, a statement of the same receipt, has left open, and
    /// takes back or changes nothing in it: so a level only rises.
    pub fn follows(&self, earlier: &Self) -> bool {
        let next = Self {
            state: self.state,
            rows_purged_at: earlier.rows_purged_at.or(self.rows_purged_at),
            root_renewed_at: earlier.root_renewed_at.or(self.root_renewed_at),
            ..earlier.clone()
        };
        next == *self && next != *earlier
    }
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
    /// The tenant.
    pub project: ProjectId,
    /// What a list shows of it.
    pub entry: ReceiptEntry,
    /// Its latest statement, with what proves it, once there is one.
    pub proven: Option<ProvenEntry>,
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(bytes.len() * 2);
    for digit in bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]) {
        digits.extend(char::from_digit(digit.into(), 16));
    }
    digits
}

/// Reads lower-case hexadecimal digits: exactly two for each byte.
pub(crate) fn unhex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let lower = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != N * 2 || !digits.bytes().all(|byte| lower(&byte)) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Id;

    fn erasure() -> Erasure {
        Erasure {
            receipt: ReceiptId::from_bits(0xabc),
            project: ProjectId(1),
            conversation: ConversationId::from_bits(7),
            commitment: Some([1; 32]),
            requested_at: Timestamp::from_micros(10),
            tombstoned_at: Timestamp::from_micros(20),
            key_destroyed_at: None,
            root_renewed_at: None,
            is_purged: false,
            is_renewed: false,
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
    fn a_name_of_items_and_of_a_state_is_read_back() {
        for items in [0, 1, 10, 99, 100, u64::MAX] {
            let bucket = ItemsBucket::of(items);
            assert_eq!(ItemsBucket::parse(&bucket.name()), Some(bucket));
        }
        assert_eq!(ItemsBucket::parse("2-9"), None);
        for state in [ReceiptState::Pending, ReceiptState::Complete] {
            assert_eq!(ReceiptState::parse(state.name()), Some(state));
        }
        assert_eq!(ReceiptState::parse("Complete"), None);
    }

    #[test]
    fn hexadecimal_digits_are_read_in_the_one_form_that_is_written() {
        assert_eq!(unhex(&hex(&[0, 0x1f, 0xab])), Some([0, 0x1f, 0xab]));
        for wrong in ["001fA", "001fAB", "+01fab", "001fa", "001fab0", "é1fab"] {
            assert_eq!(unhex::<3>(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_receipt_that_contradicts_itself_is_noticed() {
        let at = Timestamp::from_micros;
        let right = Receipt::at(at(30), &erasure(), [2; 32]);
        assert_eq!(right.contradiction(), None);
        let wrong: [fn(&mut Receipt); 8] = [
            |receipt| receipt.root_renewed_at = Some(Timestamp::from_micros(29)),
            |receipt| {
                receipt.root_renewed_at = Some(Timestamp::from_micros(40));
                receipt.key_destroyed_at = None;
                receipt.commitment = None;
            },
            |receipt| receipt.requested_at = Timestamp::from_micros(21),
            |receipt| receipt.key_destroyed_at = Some(Timestamp::from_micros(19)),
            |receipt| receipt.key_destroyed_at = None,
            |receipt| receipt.commitment = None,
            |receipt| receipt.state = ReceiptState::Complete,
            |receipt| receipt.rows_purged_at = Some(Timestamp::from_micros(40)),
        ];
        for make in wrong {
            let mut receipt = right.clone();
            make(&mut receipt);
            assert!(receipt.contradiction().is_some(), "{receipt:?}");
        }
    }

    #[test]
    fn a_complete_receipt_says_what_the_first_has_said() {
        let at = Timestamp::from_micros;
        let first = Receipt::at(at(30), &erasure(), [2; 32]);
        let again = Erasure {
            key_destroyed_at: first.key_destroyed_at,
            is_purged: true,
            ..erasure()
        };
        let last = Receipt::at(at(40), &again, [2; 32]);
        assert!(last.follows(&first));
        assert!(!first.follows(&first), "it says nothing new");
        assert!(!first.follows(&last), "it says less");
        let other = Receipt::at(at(40), &again, [3; 32]);
        assert!(!other.follows(&first), "it is about something else");
        assert_eq!((first.latest(), last.latest()), (at(30), at(40)));
    }

    #[test]
    fn the_renewal_of_the_root_is_said_once_whatever_else_is_said_when() {
        let at = Timestamp::from_micros;
        let first = Receipt::at(at(30), &erasure(), [2; 32]);
        assert_eq!(first.level().name(), "L2");
        let renewed = Erasure {
            key_destroyed_at: first.key_destroyed_at,
            is_renewed: true,
            ..erasure()
        };
        let second = Receipt::at(at(40), &renewed, [2; 32]);
        assert_eq!(second, first.clone().renewed(at(40)));
        assert_eq!(second.level().name(), "L3");
        assert_eq!(second.state, ReceiptState::Destroyed);
        assert_eq!(
            (second.root_renewed_at, second.latest()),
            (Some(at(40)), at(40))
        );
        assert_eq!(second.contradiction(), None);
        assert!(second.follows(&first));
        assert!(!first.follows(&second), "a level never falls");
        let later = Erasure {
            root_renewed_at: second.root_renewed_at,
            is_purged: true,
            ..renewed
        };
        let last = Receipt::at(at(50), &later, [2; 32]);
        assert_eq!(last.root_renewed_at, Some(at(40)));
        assert!(last.follows(&second) && last.follows(&first));
        assert_eq!(last.clone().renewed(at(60)), last, "it was said before");
        let mut moved = last.clone();
        moved.root_renewed_at = Some(at(41));
        assert!(!moved.follows(&second), "a time that was said stays");
    }

    #[test]
    fn a_renewed_root_makes_snapshots_unreadable_before_they_expire() {
        let at = Timestamp::from_micros;
        let hour = Duration::from_hours(1);
        let first = Receipt::at(at(30), &erasure(), [2; 32]);
        let expired = at(30).later(hour);
        assert_eq!(first.unreadable_everywhere_by(hour), Some(expired));
        let soon = first.clone().renewed(at(40));
        assert_eq!(soon.unreadable_everywhere_by(hour), Some(at(40)));
        let late = first.renewed(expired.later(hour));
        assert_eq!(late.unreadable_everywhere_by(hour), Some(expired));
    }

    #[test]
    fn a_clock_that_is_set_back_renews_no_root_before_the_key_is_destroyed() {
        let first = Receipt::at(Timestamp::from_micros(30), &erasure(), [2; 32]);
        let renewed = first.clone().renewed(Timestamp::from_micros(5));
        assert_eq!(renewed.root_renewed_at, first.key_destroyed_at);
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
            is_renewed: true,
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
