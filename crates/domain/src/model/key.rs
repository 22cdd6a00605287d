//! Keys: credentials, each made for one dialect.

use std::collections::BTreeSet;

use ring::digest;

use crate::clock::Timestamp;
use crate::ids::{AppId, KeyId};
use crate::model::app::ProjectId;
use crate::model::principal::User;

/// What is stored of a key: its SHA-256. A key has 192 random bits, so a fast hash is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyDigest(pub [u8; 32]);

impl KeyDigest {
    /// The digest of a key.
    pub fn of(key: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, key.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

/// What a key may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scopes {
    /// Everything.
    All,
    /// Only what these permissions of its dialect cover.
    Only(BTreeSet<String>),
}

impl Scopes {
    /// Whether the permission is among them.
    pub fn allow(&self, scope: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(scopes) => scopes.contains(scope),
        }
    }
}

/// A key without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id.
    pub id: KeyId,
    /// The project that it opens.
    pub project: ProjectId,
    /// The app that it speaks for.
    pub app: AppId,
    /// The name of the one dialect that it is for.
    pub dialect: String,
    /// What it may do.
    pub scopes: Scopes,
    /// The only user that it speaks for, if it is bound to one.
    pub user: Option<User>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}
