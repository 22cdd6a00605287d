//! The seam between content and what is stored of it.
//!
//! Only a [`Sealer`] makes a [`Sealed`] from content, and `Sealed` is the only form of content that
//! can be bound to a statement. So whatever is true of the sealer is true of the database.

use std::fmt;

use parlance_domain::ids::Id;
use parlance_domain::model::{ProjectId, User};
use parlance_domain::{AppId, ConversationId, ItemId, KeyId};
use ring::hmac;
use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};

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

/// Seals content before it is queued for writing, and opens it after it was read. Neither happens on
/// the thread that writes.
pub trait Sealer: Send + Sync + 'static {
    /// Seals content for its place.
    fn seal(&self, place: &Place, plain: Vec<u8>) -> Result<Sealed, SealError>;

    /// Opens what was sealed for the same place.
    fn open(&self, place: &Place, sealed: Sealed) -> Result<Vec<u8>, SealError>;

    /// What a user is found by.
    fn owner_hash(&self, project: ProjectId, user: &User) -> [u8; 16];

    /// What an item's alias is found by, within its conversation.
    fn alias_hash(&self, project: ProjectId, conversation: ConversationId, alias: &str)
    -> [u8; 16];
}

/// Seals nothing: content is stored as it is. Hashes are keyed all the same.
pub struct Clear {
    key: hmac::Key,
}

impl Clear {
    /// A sealer whose hashes are keyed with `secret`.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
        }
    }

    fn hash(&self, project: ProjectId, kind: u8, parts: &[&[u8]]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.key);
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

impl Sealer for Clear {
    fn seal(&self, _: &Place, plain: Vec<u8>) -> Result<Sealed, SealError> {
        Ok(Sealed(plain))
    }

    fn open(&self, _: &Place, sealed: Sealed) -> Result<Vec<u8>, SealError> {
        Ok(sealed.0)
    }

    fn owner_hash(&self, project: ProjectId, user: &User) -> [u8; 16] {
        self.hash(project, b'u', &[user.expose().as_bytes()])
    }

    fn alias_hash(
        &self,
        project: ProjectId,
        conversation: ConversationId,
        alias: &str,
    ) -> [u8; 16] {
        let conversation = conversation.bits().to_be_bytes();
        self.hash(project, b'a', &[&conversation, alias.as_bytes()])
    }
}
