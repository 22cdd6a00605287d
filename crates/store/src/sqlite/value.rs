//! The values that statements are given, and what can go wrong with them.

use parlance_domain::clock::Timestamp;
use parlance_domain::ids::{Id, Ref};
use parlance_domain::model::{Principal, Realm};
use parlance_domain::store::StoreError;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Value, ValueRef};
use rusqlite::{Row, ToSql};

use crate::keyring::KeyRef;
use crate::seal::Vault;

/// An id as it is stored: 16 bytes that sort as the id does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bits([u8; 16]);

impl Bits {
    pub(super) const MIN: Self = Self([0; 16]);
    pub(super) const MAX: Self = Self([0xff; 16]);

    pub(super) fn of<I: Id>(id: I) -> Self {
        Self::from(id.bits())
    }

    /// The bytes, the high one first.
    pub(super) const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub(super) fn id<I: Id>(self) -> I {
        I::from_bits(u128::from_be_bytes(self.0))
    }
}

impl From<u128> for Bits {
    fn from(bits: u128) -> Self {
        Self(bits.to_be_bytes())
    }
}

impl ToSql for Bits {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.0)))
    }
}

impl FromSql for Bits {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(Self)
    }
}

/// A range of ids, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) low: Bits,
    pub(super) high: Bits,
}

impl<I: Id> From<Ref<I>> for Span {
    fn from(of: Ref<I>) -> Self {
        Self {
            low: of.low().into(),
            high: of.high().into(),
        }
    }
}

/// A user, as a keyed hash; none is nobody.
pub(super) type Whose = Option<[u8; 16]>;

/// Whose a conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A user's or nobody's, in one of the two realms.
    Of(Whose, Realm),
    /// Whoever's: for operators alone. No principal comes to be this.
    Anybody,
}

/// What stands after the hash of those who own lone turns, so that no index that leads with the owner gives
/// the one realm to whoever asks for the other.
const LONE: u8 = 1;

impl Owner {
    /// The user; none for nobody, and for anybody.
    pub(super) const fn whose(self) -> Whose {
        match self {
            Self::Of(whose, _) => whose,
            Self::Anybody => None,
        }
    }

    /// The same in the realm that has no mark: what both realms of a user have in common.
    pub(super) const fn base(self) -> Self {
        match self {
            Self::Of(whose, _) => Self::Of(whose, Realm::Conversations),
            Self::Anybody => Self::Anybody,
        }
    }
}

impl FromSql for Owner {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let bytes = value.as_blob()?;
        let (hash, realm) = match (bytes.len(), bytes.split_last()) {
            (0 | 16, _) => (bytes, Realm::Conversations),
            (1 | 17, Some((&LONE, hash))) => (hash, Realm::LoneTurns),
            _ => return Err(FromSqlError::InvalidType),
        };
        Ok(Self::Of(hash.try_into().ok(), realm))
    }
}

impl ToSql for Owner {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let (whose, realm) = match self {
            Self::Of(whose, realm) => (whose, realm),
            Self::Anybody => return Ok(ToSqlOutput::Owned(Value::Null)),
        };
        let hash: &[u8] = whose.as_ref().map_or(&[], |hash| hash);
        Ok(match realm {
            Realm::Conversations => ToSqlOutput::Borrowed(ValueRef::Blob(hash)),
            Realm::LoneTurns => ToSqlOutput::Owned(Value::Blob([hash, &[LONE]].concat())),
        })
    }
}

/// The principal as statements need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    pub(super) project: i64,
    pub(super) owner: Owner,
    pub(super) app: Option<Bits>,
}

impl Who {
    pub(super) fn of(who: &Principal, vault: &Vault) -> Self {
        let hash = |user| vault.owner_hash(who.project, user);
        Self {
            project: who.project.0,
            owner: Owner::Of(who.user.as_ref().map(hash), who.realm),
            app: who.app.map(Bits::of),
        }
    }

    /// The parameters of the statements that look for the principal's conversation among these ids.
    pub(super) fn looking_for(self, of: Span) -> (i64, Bits, Bits, Owner, Option<Bits>) {
        (self.project, of.low, of.high, self.owner, self.app)
    }
}

/// A number as it is stored. None that Parlance counts comes near the end.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads [`number`].
pub(super) fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Reads the two columns that name a row's own key, the first at `at`; none if it has none.
pub(super) fn read_own_key(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<KeyRef>> {
    let slot: Option<u32> = row.get(at)?;
    slot.map(|_| read_key_ref(row, at)).transpose()
}

/// Reads the two columns that name a key, the first at `at`.
pub(crate) fn read_key_ref(row: &Row<'_>, at: usize) -> rusqlite::Result<KeyRef> {
    Ok(KeyRef {
        slot: row.get(at)?,
        generation: count(row.get(at + 1)?),
    })
}

/// Reads a time.
pub(super) fn time(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The store's own answer: nothing is wrong with it.
    Refused(StoreError),
    /// The database failed.
    Driver(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Driver(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl Trouble {
    /// What a caller is told.
    pub(super) fn told(self, during: &'static str) -> StoreError {
        match self {
            Self::Refused(error) => error,
            Self::Driver(error) => unavailable(during, error),
        }
    }
}

/// The store cannot do it, and why.
pub(super) fn unavailable(
    during: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Unavailable {
        during,
        source: Some(source.into()),
    }
}

/// A row cannot be read.
pub(super) const fn corrupt(table: &'static str, column: &'static str) -> StoreError {
    StoreError::Corrupt { table, column }
}
