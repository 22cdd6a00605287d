//! Ids: one 128-bit `UUIDv7` inside, a text form per dialect outside.
//!
//! Invariant: ids that one process makes rise strictly, and the 21 bits after the millisecond differ
//! within it, so that [`Id::decimal`], a prefix of the id, names it as well.

use std::cmp::max;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::clock::{Clock, Timestamp};

/// Bits of the counter that follows the millisecond: `rand_a` and the first nine of `rand_b`.
const TAIL_BITS: u32 = 21;
const TAIL_MAX: u32 = (1 << TAIL_BITS) - 1;
/// Bits that are random in every id.
const LOW_BITS: u32 = 53;
const LOW_MAX: u128 = (1 << LOW_BITS) - 1;
/// The largest millisecond that a [`Id::decimal`] can carry in 63 bits: the year 2109.
const DECIMAL_MILLIS_MAX: u64 = (1 << 42) - 1;

/// A kind of id. The text forms are the same for all kinds; dialects add their prefixes.
pub trait Id: Copy + Eq + Ord + fmt::Debug + Send + Sync + 'static {
    /// The id with these bits.
    fn from_bits(bits: u128) -> Self;

    /// All 128 bits.
    fn bits(self) -> u128;

    /// 32 lower-case hexadecimal digits.
    fn hex(self) -> String {
        format!("{:032x}", self.bits())
    }

    /// The dashed form of a UUID, lower case.
    fn dashed(self) -> String {
        let hex = self.hex();
        let mut dashed = String::with_capacity(36);
        for (at, digit) in hex.chars().enumerate() {
            if matches!(at, 8 | 12 | 16 | 20) {
                dashed.push('-');
            }
            dashed.push(digit);
        }
        dashed
    }

    /// The decimal of the millisecond and the 21 bits after it: Coze's form, 19 digits.
    fn decimal(self) -> u64 {
        let (millis, tail) = split(self.bits());
        (millis << TAIL_BITS) | u64::from(tail)
    }

    /// When the id was made, to the millisecond.
    fn made_at(self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(split(self.bits()).0).unwrap_or(i64::MAX))
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl Id for $name {
            fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            fn bits(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:032x})"), self.0)
            }
        }
    )*};
}

ids! {
    /// Names a conversation.
    ConversationId
    /// Names an item of a conversation. Items' ids rise with their sequence numbers.
    ItemId
    /// Names a turn.
    TurnId
    /// Names a section. The first section of a conversation has the conversation's bits.
    SectionId
    /// Names an app.
    AppId
    /// Names a key; not the key itself.
    KeyId
    /// Names a receipt of an erasure.
    ReceiptId
    /// Names an event in the log of receipts.
    EventId
    /// Names a legal hold.
    HoldId
}

/// The text form of ids that no dialect knows: a prefix and 32 hexadecimal digits.
macro_rules! prefixed {
    ($($name:ident $prefix:literal)*) => {$(
        impl $name {
            /// What every text form begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The text form: the prefix and 32 hexadecimal digits.
            pub fn text(self) -> String {
                format!("{}{}", Self::PREFIX, self.hex())
            }

            /// Reads the text form. Upper case is accepted in the digits.
            pub fn parse(text: &str) -> Option<Self> {
                Ref::from_hex(text.strip_prefix(Self::PREFIX)?).and_then(Ref::whole)
            }
        }
    )*};
}

prefixed! {
    ReceiptId "er_"
    EventId "ev_"
    HoldId "ho_"
}

/// What a client wrote to name something: a whole id, or a prefix of one. Both are a range of ids
/// that holds one living thing at most.
pub struct Ref<I> {
    low: u128,
    high: u128,
    of: PhantomData<I>,
}

/// Names a conversation as a client does.
pub type ConversationRef = Ref<ConversationId>;

impl<I: Id> Ref<I> {
    /// Reads 32 hexadecimal digits. Upper case is accepted.
    pub fn from_hex(text: &str) -> Option<Self> {
        // `from_str_radix` alone would also take a leading `+`.
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(text, 16)
            .ok()
            .map(|bits| I::from_bits(bits).into())
    }

    /// Reads the dashed form of a UUID. Upper case is accepted.
    pub fn from_dashed(text: &str) -> Option<Self> {
        let dashed_right = text.len() == 36
            && text
                .bytes()
                .enumerate()
                .all(|(at, b)| matches!(at, 8 | 13 | 18 | 23) == (b == b'-'));
        if !dashed_right {
            return None;
        }
        Self::from_hex(&text.replace('-', ""))
    }

    /// Reads the decimal form, a prefix of the id.
    pub fn from_decimal(text: &str) -> Option<Self> {
        let canonical = !text.is_empty()
            && text.len() <= 19
            && text.bytes().all(|b| b.is_ascii_digit())
            && !text.starts_with('0');
        let number: u64 = canonical.then(|| text.parse().ok()).flatten()?;
        let millis = number >> TAIL_BITS;
        let tail = u32::try_from(number & u64::from(TAIL_MAX)).ok()?;
        (millis <= DECIMAL_MILLIS_MAX).then(|| Self {
            low: join(millis, tail, 0),
            high: join(millis, tail, LOW_MAX),
            of: PhantomData,
        })
    }

    /// The id itself, where it is named whole.
    pub fn whole(self) -> Option<I> {
        (self.low == self.high).then(|| I::from_bits(self.low))
    }

    /// The first id that is meant.
    pub const fn low(self) -> u128 {
        self.low
    }

    /// The last id that is meant.
    pub const fn high(self) -> u128 {
        self.high
    }

    /// Whether this names `id`.
    pub fn names(self, id: I) -> bool {
        (self.low..=self.high).contains(&id.bits())
    }

    /// All ids whose decimal form clashes with that of `id`.
    pub fn clashing_with(id: I) -> Self {
        let (millis, tail) = split(id.bits());
        Self {
            low: join(millis, tail, 0),
            high: join(millis, tail, LOW_MAX),
            of: PhantomData,
        }
    }
}

impl<I: Id> From<I> for Ref<I> {
    fn from(id: I) -> Self {
        Self {
            low: id.bits(),
            high: id.bits(),
            of: PhantomData,
        }
    }
}

impl<I> Clone for Ref<I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I> Copy for Ref<I> {}

impl<I> PartialEq for Ref<I> {
    fn eq(&self, other: &Self) -> bool {
        (self.low, self.high) == (other.low, other.high)
    }
}

impl<I> Eq for Ref<I> {}

impl<I> fmt::Debug for Ref<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ref({:032x}..={:032x})", self.low, self.high)
    }
}

/// Makes ids. One per process: what it makes rises strictly, whatever the clock does.
pub struct IdSource {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    rng: StdRng,
    millis: u64,
    tail: u32,
}

impl IdSource {
    /// A source whose random bits follow from `seed`: from the operating system in a server, fixed
    /// in a test.
    pub fn new(clock: Arc<dyn Clock>, seed: [u8; 32]) -> Self {
        let state = State {
            rng: StdRng::from_seed(seed),
            millis: 0,
            tail: 0,
        };
        Self {
            clock,
            state: Mutex::new(state),
        }
    }

    /// A new id, larger than every one before it.
    pub fn next<I: Id>(&self) -> I {
        let now = u64::try_from(self.clock.now().millis()).unwrap_or(0);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let millis = max(now, state.millis);
        let (millis, tail) = if millis > state.millis {
            // The top bit is left clear, so that a millisecond has room for a million more.
            (millis, state.rng.next_u32() & (TAIL_MAX >> 1))
        } else if state.tail == TAIL_MAX {
            (millis + 1, state.rng.next_u32() & (TAIL_MAX >> 1))
        } else {
            (millis, state.tail + 1)
        };
        (state.millis, state.tail) = (millis, tail);
        let low = u128::from(state.rng.next_u64()) & LOW_MAX;
        I::from_bits(join(millis, tail, low))
    }

    /// Makes every later id larger than `id`: for a clock that was set back since `id` was made.
    pub fn advance_past<I: Id>(&self, id: I) {
        let (millis, tail) = split(id.bits());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if (millis, tail) > (state.millis, state.tail) {
            (state.millis, state.tail) = (millis, tail);
        }
    }

    /// Fills `bytes` with secret random bits.
    pub fn fill_random(&self, bytes: &mut [u8]) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .rng
            .fill_bytes(bytes);
    }
}

/// Puts a `UUIDv7` together (RFC 9562, section 5.7).
const fn join(millis: u64, tail: u32, low: u128) -> u128 {
    let millis = widen(millis) & ((1 << 48) - 1);
    let tail = widen_tail(tail);
    let (rand_a, rand_b_top) = (tail >> 9, tail & 0x1ff);
    (millis << 80) | (0x7 << 76) | (rand_a << 64) | (0b10 << 62) | (rand_b_top << LOW_BITS) | low
}

/// The millisecond and the 21 bits after it.
fn split(bits: u128) -> (u64, u32) {
    let millis = u64::try_from(bits >> 80).unwrap_or(u64::MAX);
    let tail = ((bits >> 64) & 0xfff) << 9 | ((bits >> LOW_BITS) & 0x1ff);
    (millis, u32::try_from(tail).unwrap_or(TAIL_MAX))
}

#[expect(clippy::as_conversions, reason = "`From` is not const")]
const fn widen(number: u64) -> u128 {
    number as u128
}

#[expect(clippy::as_conversions, reason = "`From` is not const")]
const fn widen_tail(number: u32) -> u128 {
    number as u128
}

#[cfg(test)]
mod tests;
