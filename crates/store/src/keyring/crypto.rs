//! Keys, what they seal, and what is derived from them.
//!
//! A key's own bytes are overwritten when it is dropped. ring expands a key before it uses it, and does
//! not overwrite what it has expanded: so that is made for each call and lives on the stack for no
//! longer than the call. What stays there until the stack is used again is not claimed to be gone.

use std::fmt;
use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize, Zeroizing};

use super::KeyringError;

/// Bytes of a key.
pub(super) const KEY: usize = 32;
/// Bytes of a nonce.
const NONCE: usize = 12;
/// Bytes of what proves that nothing was changed.
const TAG: usize = 16;
/// Bytes that a key takes when it is sealed: nonce, key, tag.
pub(super) const WRAPPED: usize = NONCE + KEY + TAG;
/// What a commitment is to.
const COMMITMENT: &[u8] = b"conv-key/1";

/// Something cannot be sealed, or was not sealed with this key for this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this cannot be sealed or opened with this key")]
pub struct KeyError;

/// A key of 256 bits. It is overwritten when the last holder lets go of it, and never printed.
///
/// What it seals (AES-256-GCM, a random nonce of 96 bits each time) opens with the same key and the
/// same associated data alone. No key may seal more than 2^32 times.
pub struct RecordKey(Zeroizing<[u8; KEY]>);

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordKey")
    }
}

impl RecordKey {
    /// A new key.
    pub(super) fn generate() -> Result<Arc<Self>, KeyringError> {
        Self::made(|bytes| random(bytes))
    }

    /// The key with these bytes.
    pub(super) fn from_bytes(bytes: &[u8; KEY]) -> Arc<Self> {
        let copy = |to: &mut [u8; KEY]| {
            to.copy_from_slice(bytes);
            Ok::<(), std::convert::Infallible>(())
        };
        match Self::made(copy) {
            Ok(key) => key,
        }
    }

    /// The key itself, for whoever keeps the root.
    pub(super) fn bytes(&self) -> &[u8; KEY] {
        &self.0
    }

    /// Fills a key where it will stay: one that is moved leaves its bytes behind.
    fn made<E>(fill: impl FnOnce(&mut [u8; KEY]) -> Result<(), E>) -> Result<Arc<Self>, E> {
        let mut key = Arc::new(Self(Zeroizing::new([0; KEY])));
        if let Some(key) = Arc::get_mut(&mut key) {
            fill(&mut key.0)?;
        }
        Ok(key)
    }

    /// Seals `buffer` and appends what is needed to open it: 28 bytes.
    pub fn seal_in_place(&self, place: &[u8], buffer: &mut Vec<u8>) -> Result<(), KeyError> {
        let mut nonce = [0; NONCE];
        random(&mut nonce).map_err(|_| KeyError)?;
        buffer.reserve_exact(TAG + NONCE);
        self.expanded()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place),
                buffer,
            )
            .map_err(|_| KeyError)?;
        buffer.extend_from_slice(&nonce);
        Ok(())
    }

    /// Opens what [`seal_in_place`](Self::seal_in_place) has made, for the same place.
    pub fn open(&self, place: &[u8], mut sealed: Vec<u8>) -> Result<Vec<u8>, KeyError> {
        let (_, nonce) = sealed.split_last_chunk::<NONCE>().ok_or(KeyError)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        sealed.truncate(sealed.len() - NONCE);
        let length = self
            .expanded()?
            .open_in_place(nonce, Aad::from(place), &mut sealed)
            .map_err(|_| KeyError)?
            .len();
        sealed.truncate(length);
        Ok(sealed)
    }

    /// What a receipt may say of the key: SHA-256 of `conv-key/1` and the key. Should the key ever be
    /// found, everyone can see that it is the one.
    pub fn commitment(&self) -> [u8; 32] {
        let mut input = Zeroizing::new([0; COMMITMENT.len() + KEY]);
        for (to, from) in input.iter_mut().zip(COMMITMENT.iter().chain(self.0.iter())) {
            *to = *from;
        }
        array(digest(&SHA256, input.as_slice()).as_ref())
    }

    /// Seals another key under this one.
    pub(super) fn wrap(&self, place: &[u8], key: &Self) -> Result<[u8; WRAPPED], KeyringError> {
        let mut wrapped = [0; WRAPPED];
        let (nonce, rest) = wrapped.split_at_mut(NONCE);
        random(nonce)?;
        let (sealed, tag) = rest.split_at_mut(KEY);
        sealed.copy_from_slice(key.0.as_slice());
        let made = self.expanded().and_then(|expanded| {
            expanded
                .seal_in_place_separate_tag(
                    Nonce::assume_unique_for_key(array(nonce)),
                    Aad::from(place),
                    sealed,
                )
                .map_err(|_| KeyError)
        });
        let Ok(made) = made else {
            // The key stands there in the clear.
            wrapped.zeroize();
            return Err(KeyringError::Random);
        };
        tag.copy_from_slice(made.as_ref());
        Ok(wrapped)
    }

    /// Opens what [`wrap`](Self::wrap) has made; none if it was not sealed so.
    pub(super) fn unwrap(&self, place: &[u8], wrapped: &[u8]) -> Option<Arc<Self>> {
        let (nonce, rest) = wrapped.split_first_chunk::<NONCE>()?;
        let mut buffer = Zeroizing::new([0; KEY + TAG]);
        buffer.copy_from_slice(rest.get(..KEY + TAG)?);
        let opened = self
            .expanded()
            .ok()?
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(place),
                buffer.as_mut_slice(),
            )
            .ok()?;
        Some(Self::from_bytes(opened.first_chunk()?))
    }

    /// What is derived from this key under a name.
    pub(super) fn derive(&self, name: &str) -> Zeroizing<[u8; 32]> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        let mut context = hmac::Context::with_key(&key);
        context.update(b"parlance secret/1\0");
        context.update(name.as_bytes());
        Zeroizing::new(array(context.sign().as_ref()))
    }

    fn expanded(&self) -> Result<LessSafeKey, KeyError> {
        UnboundKey::new(&AES_256_GCM, self.0.as_slice())
            .map(LessSafeKey::new)
            .map_err(|_| KeyError)
    }
}

/// Random bits, from the operating system.
pub(super) fn random(to: &mut [u8]) -> Result<(), KeyringError> {
    SystemRandom::new()
        .fill(to)
        .map_err(|_| KeyringError::Random)
}

/// The first bytes of `from`; zeros for those that it has not.
pub(super) fn array<const N: usize>(from: &[u8]) -> [u8; N] {
    let mut to = [0; N];
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    to
}
