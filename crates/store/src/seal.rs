//! The seam between content and what is stored of it.
//!
//! Only a [`Sealer`] makes a [`Sealed`] from content, and `Sealed` is the only form of content that
//! can be bound to a statement. So whatever is true of the sealer is true of the database.
//!
//! A sealer holds one record's key. Content is bound to its place by associated data, so that no
//! ciphertext opens in another row, column or project.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use parlance_domain::fault::Chain;
use parlance_domain::ids::Id;
use parlance_domain::model::{ProjectId, User};
use parlance_domain::{AppId, ConversationId, HoldId, ItemId, KeyId, TurnId};
use ring::hmac;
use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};
use zeroize::Zeroizing;

use crate::keyring::{InUse, KeyRef, Keyring, KeyringError, RecordKey, Rekeyed};

/// The name of no key, where nothing is sealed.
pub(crate) const NO_KEY: KeyRef = KeyRef {
    slot: 0,
    generation: 0,
};
/// The version of the associated data's form.
const FORM: u8 = 1;

/// The record that content belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A conversation.
    Conversation(ConversationId),
    /// An item of a conversation; sealed with what the conversation is sealed with.
    Item {
        /// The conversation.
        conversation: ConversationId,
        /// The item.
        item: ItemId,
    },
    /// A key.
    Key(KeyId),
    /// An app.
    App(AppId),
    /// A hold.
    Hold(HoldId),
    /// A turn; sealed with what its conversation is sealed with.
    Turn {
        /// The conversation.
        conversation: ConversationId,
        /// The turn.
        turn: TurnId,
    },
}

/// The field of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// A conversation's title.
    Title,
    /// A conversation's metadata.
    Metadata,
    /// What single dialects keep with a conversation.
    Extras,
    /// What an item says.
    Body,
    /// The id that a client chose for an item.
    Alias,
    /// The user of a key.
    User,
    /// The instructions of an app.
    Instructions,
    /// What a hold says: a user and a note.
    Hold,
    /// What is kept of a turn beside its items.
    TurnRecord,
}

/// Where a piece of content stands: what it is sealed for, and opens at nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The tenant.
    pub project: ProjectId,
    /// The record.
    pub record: Record,
    /// The field of it.
    pub field: Field,
}

/// Content as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// What a sealer has made.
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What a sealer opens.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

impl ToSql for Sealed {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.0)))
    }
}

impl FromSql for Sealed {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_blob().map(|bytes| Self(bytes.to_owned()))
    }
}

/// Content cannot be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("content cannot be sealed or opened")]
pub struct SealError;

impl Place {
    /// What binds content to this place.
    fn associated_data(&self) -> Vec<u8> {
        let (kind, first, second) = match self.record {
            Record::Conversation(id) => (1, id.bits(), 0),
            Record::Item { conversation, item } => (2, conversation.bits(), item.bits()),
            Record::Key(id) => (3, id.bits(), 0),
            Record::App(id) => (4, id.bits(), 0),
            Record::Hold(id) => (5, id.bits(), 0),
            Record::Turn { conversation, turn } => (6, conversation.bits(), turn.bits()),
        };
        let field = match self.field {
            Field::Title => 1,
            Field::Metadata => 2,
            Field::Extras => 3,
            Field::Body => 4,
            Field::Alias => 5,
            Field::User => 6,
            Field::Instructions => 7,
            Field::Hold => 8,
            Field::TurnRecord => 9,
        };
        let mut data = Vec::with_capacity(43);
        data.push(FORM);
        data.extend_from_slice(&self.project.0.to_be_bytes());
        data.push(kind);
        data.extend_from_slice(&first.to_be_bytes());
        data.extend_from_slice(&second.to_be_bytes());
        data.push(field);
        data
    }
}

/// Seals and opens the content of one record: of a conversation with all that is in it, of a key, of
/// an app, of a hold. Neither happens on the thread that writes.
#[derive(Clone)]
pub struct Sealer {
    reference: KeyRef,
    key: Option<Arc<RecordKey>>,
}

impl Sealer {
    /// The name of the key that it seals with.
    pub const fn reference(&self) -> KeyRef {
        self.reference
    }

    /// What a receipt may say of the key; none where nothing is sealed.
    pub fn commitment(&self) -> Option<[u8; 32]> {
        self.key.as_ref().map(|key| key.commitment())
    }

    /// Seals content for its place.
    pub fn seal(&self, place: &Place, plain: Vec<u8>) -> Result<Sealed, SealError> {
        match &self.key {
            None => Ok(Sealed(plain)),
            Some(key) => {
                let mut buffer = plain;
                key.seal_in_place(&place.associated_data(), &mut buffer)
                    .map_err(|_| SealError)?;
                Ok(Sealed(buffer))
            }
        }
    }

    /// Opens what was sealed for the same place.
    pub fn open(&self, place: &Place, sealed: Sealed) -> Result<Vec<u8>, SealError> {
        match &self.key {
            None => Ok(sealed.0),
            Some(key) => key
                .open(&place.associated_data(), sealed.0)
                .map_err(|_| SealError),
        }
    }
}

/// Where keys come from and where they end: the keyring, or nothing at all.
pub struct Vault {
    keyring: Option<Keyring>,
    hashing: hmac::Key,
    renewal: Renewal,
    end: End,
}

/// When the root key is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Renewal {
    /// When somebody asks for it.
    #[default]
    WhenAsked,
    /// With every delete as well, before its answer. All deletes of a commit share one renewal. A delete
    /// whose renewal fails is done, and is answered as if it were not known to be.
    WithDeletes,
}

/// What ends the process at once, as the machine's loss of power does.
pub(crate) type End = Arc<dyn Fn() -> Infallible + Send + Sync>;

impl Vault {
    /// Keys of this keyring, hashes with its secret.
    pub fn over(keyring: Keyring) -> Self {
        let hashing = hmac::Key::new(hmac::HMAC_SHA256, &*keyring.secret("hashing"));
        Self {
            keyring: Some(keyring),
            hashing,
            renewal: Renewal::default(),
            end: Arc::new(|| std::process::abort()),
        }
    }

    /// The same, with another end.
    pub(crate) fn with_end(self, end: End) -> Self {
        Self { end, ..self }
    }

    /// The same, with another time for renewals.
    pub(crate) fn with_renewal(self, renewal: Renewal) -> Self {
        Self { renewal, ..self }
    }

    /// Ends the process, because nobody knows what the disk holds of the keys: whoever went on would
    /// promise that they are there, or gone, and could not know. The next start finds out.
    pub(crate) fn end(&self) -> ! {
        match (self.end)() {}
    }

    /// No keys: content is stored as it is. For tests that compare, never for a server.
    pub fn clear(secret: &[u8; 32]) -> Self {
        Self {
            keyring: None,
            hashing: hmac::Key::new(hmac::HMAC_SHA256, secret),
            renewal: Renewal::default(),
            end: Arc::new(|| std::process::abort()),
        }
    }

    /// The keyring, if there is one.
    pub const fn keyring(&self) -> Option<&Keyring> {
        self.keyring.as_ref()
    }

    /// A key for a new record.
    pub fn take(self: &Arc<Self>) -> Result<Taken, KeyringError> {
        let (reference, key) = match &self.keyring {
            None => (NO_KEY, None),
            Some(keyring) => {
                let (reference, key) = keyring.take()?;
                (reference, Some(key))
            }
        };
        let sealer = Sealer { reference, key };
        Ok(Taken {
            vault: Arc::clone(self),
            sealer,
            kept: false,
        })
    }

    /// What seals and opens a record; none if its key is gone, and the record with it.
    pub fn sealer(&self, key: KeyRef) -> Result<Option<Sealer>, KeyringError> {
        let Some(keyring) = &self.keyring else {
            return Ok(Some(Sealer {
                reference: NO_KEY,
                key: None,
            }));
        };
        let found = keyring.key(key)?;
        Ok(found.map(|found| Sealer {
            reference: key,
            key: Some(found),
        }))
    }

    /// A secret of the store: always the same for the same name.
    pub fn secret(&self, name: &str) -> Zeroizing<[u8; 32]> {
        if let Some(keyring) = &self.keyring {
            return keyring.secret(name);
        }
        let tag = hmac::sign(&self.hashing, name.as_bytes());
        let mut secret = Zeroizing::new([0; 32]);
        for (to, from) in secret.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        secret
    }

    /// Destroys keys. When this returns, nothing that they sealed can be opened any more, but by those
    /// who had begun before.
    pub fn wipe(&self, keys: &[KeyRef]) -> Result<Vec<InUse>, KeyringError> {
        match &self.keyring {
            Some(keyring) if !keys.is_empty() => keyring.wipe(keys),
            _ => Ok(Vec::new()),
        }
    }

    /// Replaces the root, so that no copy of the keys from before opens what was wiped before the call.
    /// Ends the process where nobody knows what came of it.
    pub(crate) fn rekey(&self) -> Result<Rekeyed, KeyringError> {
        let keyring = self.keyring.as_ref().ok_or(KeyringError::FixedRoot)?;
        keyring.rekey().inspect_err(|error| {
            if error.is_fatal() {
                tracing::error!(error = %Chain(error), "the keyring failed: stopping at once");
                self.end();
            }
        })
    }

    /// Waits for the renewal of the root that is under way, and lets none begin any more.
    pub(crate) fn end_renewals(&self) {
        if let Some(keyring) = &self.keyring {
            keyring.end_renewals();
        }
    }

    /// Replaces the root after a wipe, if that is to be done with every delete. Whether the root was
    /// replaced since everything was wiped that was wiped before the call.
    pub(crate) fn after_wipe(&self) -> Result<bool, KeyringError> {
        match (&self.keyring, self.renewal) {
            (None, _) => Ok(false),
            (Some(keyring), Renewal::WhenAsked) => Ok(keyring.is_renewed()),
            (Some(_), Renewal::WithDeletes) => self.rekey().map(|_| true),
        }
    }

    /// What a user is found by.
    pub fn owner_hash(&self, project: ProjectId, user: &User) -> [u8; 16] {
        self.hash(project, b'u', &[user.expose().as_bytes()])
    }

    /// What an item's alias is found by, within its conversation.
    pub fn alias_hash(
        &self,
        project: ProjectId,
        conversation: ConversationId,
        alias: &str,
    ) -> [u8; 16] {
        let conversation = conversation.bits().to_be_bytes();
        self.hash(project, b'a', &[&conversation, alias.as_bytes()])
    }

    fn hash(&self, project: ProjectId, kind: u8, parts: &[&[u8]]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.hashing);
        context.update(&[kind]);
        context.update(&project.0.to_be_bytes());
        for part in parts {
            context.update(part);
        }
        let tag = context.sign();
        let mut hash = [0; 16];
        for (to, from) in hash.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        hash
    }
}

/// A key that was taken for a record that is not committed yet. Unless it is kept, it goes back.
pub struct Taken {
    vault: Arc<Vault>,
    sealer: Sealer,
    kept: bool,
}

impl Taken {
    /// What the record's row keeps.
    pub const fn key(&self) -> KeyRef {
        self.sealer.reference
    }

    /// What seals the record.
    pub const fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// The record is committed, and the key is its own.
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let (false, Some(keyring)) = (self.kept, &self.vault.keyring) {
            keyring.give_back(self.key());
        }
    }
}
