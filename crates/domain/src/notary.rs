//! Who signs receipts.

use std::fmt;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::canonical::Canonical;
use crate::clock::Timestamp;
use crate::ids::{ConversationId, Id, ReceiptId};
use crate::limits::KEYRING_SNAPSHOT_HOURS;
use crate::model::{Erasure, Receipt, SignedReceipt, hex};
use crate::secret::Secret;

/// Salts, hashes and signs. Its secrets are the store's, so that they stay the same as long as the
/// store does.
pub struct Notary {
    salting: hmac::Key,
    signing: Ed25519KeyPair,
    key_id: String,
    build: String,
}

impl fmt::Debug for Notary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notary({})", self.key_id)
    }
}

/// The secret cannot be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret cannot be a signing key")]
pub struct BadSeed;

impl Notary {
    /// A notary with these secrets. `build` names the program that signs.
    pub fn new(salting: &[u8; 32], signing: &[u8; 32], build: &str) -> Result<Self, BadSeed> {
        let signing = Ed25519KeyPair::from_seed_unchecked(signing).map_err(|_| BadSeed)?;
        let fingerprint = digest(&SHA256, signing.public_key().as_ref());
        Ok(Self {
            salting: hmac::Key::new(hmac::HMAC_SHA256, salting),
            key_id: format!("ed25519:{}", hex(fingerprint.as_ref())),
            signing,
            build: build.to_owned(),
        })
    }

    /// The bytes of the public key.
    pub fn public_key(&self) -> &[u8] {
        self.signing.public_key().as_ref()
    }

    /// The salt of a receipt, 64 hexadecimal digits. It is derived and kept nowhere; the deleter alone
    /// is given it, and can show with it which conversation the receipt is about.
    pub fn salt(&self, receipt: ReceiptId) -> Secret {
        Secret::new(hex(self.salt_of(receipt).as_ref()))
    }

    /// What a receipt calls the conversation.
    pub fn subject(&self, receipt: ReceiptId, conversation: ConversationId) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.salt_of(receipt).as_ref());
        let tag = hmac::sign(&key, &conversation.bits().to_be_bytes());
        let mut subject = [0; 32];
        for (to, from) in subject.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        subject
    }

    fn salt_of(&self, receipt: ReceiptId) -> hmac::Tag {
        hmac::sign(&self.salting, &receipt.bits().to_be_bytes())
    }

    /// Signs what is known of an erasure at `now`, a moment at which its key is destroyed: the
    /// signature is over the canonical JSON without the member `signature`.
    pub fn sign(&self, now: Timestamp, erasure: &Erasure) -> SignedReceipt {
        let subject = self.subject(erasure.receipt, erasure.conversation);
        let receipt = Receipt::at(now, erasure, subject);
        let horizon = Duration::from_secs(KEYRING_SNAPSHOT_HOURS * 3_600);
        let mut value = receipt.canonical(horizon, &self.build, &self.key_id);
        let signature = self.signing.sign(value.to_string().as_bytes());
        let signature = format!("ed25519:{}", hex(signature.as_ref()));
        value.insert("signature", Canonical::Text(signature));
        SignedReceipt {
            id: receipt.id,
            project: receipt.project,
            state: receipt.state,
            key_destroyed_at: receipt.key_destroyed_at,
            json: value.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;
    use crate::model::{ItemsBucket, ProjectId};

    fn notary(signing: u8) -> Notary {
        Notary::new(&[1; 32], &[signing; 32], "parlance 0").unwrap()
    }

    fn erasure() -> Erasure {
        Erasure {
            receipt: ReceiptId::from_bits(0xabc),
            project: ProjectId(1),
            conversation: ConversationId::from_bits(0x0192_f00d_cafe_7000_8000_1234_5678_9abc),
            commitment: Some([1; 32]),
            requested_at: Timestamp::from_micros(10),
            tombstoned_at: Timestamp::from_micros(20),
            key_destroyed_at: None,
            is_purged: true,
            items: ItemsBucket::of(3),
        }
    }

    fn unhex(digits: &str) -> Vec<u8> {
        let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
        let pairs = digits.as_bytes().chunks(2);
        let byte = |pair: &[u8]| pair.iter().fold(0, |byte, next| byte << 4 | digit(*next));
        pairs.map(byte).collect()
    }

    /// What was signed, and the signature.
    fn split(json: &str) -> (String, Vec<u8>) {
        let (before, rest) = json.split_once("\"signature\":\"ed25519:").unwrap();
        let (digits, after) = rest.split_once("\",").unwrap();
        (format!("{before}{after}"), unhex(digits))
    }

    #[test]
    fn a_signature_verifies_and_any_change_breaks_it() {
        let (notary, other) = (notary(2), notary(3));
        let signed = notary.sign(Timestamp::from_micros(30), &erasure());
        let (message, signature) = split(&signed.json);
        let key = UnparsedPublicKey::new(&ED25519, notary.public_key());
        key.verify(message.as_bytes(), &signature).unwrap();
        let changed = message.replace("\"1-9\"", "\"0\"");
        assert!(key.verify(changed.as_bytes(), &signature).is_err());
        let other = UnparsedPublicKey::new(&ED25519, other.public_key());
        assert!(other.verify(message.as_bytes(), &signature).is_err());
    }

    #[test]
    fn the_text_is_the_same_for_the_same_facts_and_holds_no_raw_id() {
        let erasure = erasure();
        let sign = || notary(2).sign(Timestamp::from_micros(30), &erasure).json;
        assert_eq!(sign(), sign());
        let (hex, dashed) = (erasure.conversation.hex(), erasure.conversation.dashed());
        let decimal = erasure.conversation.decimal().to_string();
        for raw in [hex, dashed, decimal] {
            assert!(!sign().contains(&raw), "{raw}");
        }
        let salt = notary(2).salt(erasure.receipt);
        assert!(!sign().contains(salt.expose()));
    }

    #[test]
    fn the_salt_leads_from_the_conversation_to_the_subject() {
        let (notary, erasure) = (notary(2), erasure());
        let salt = notary.salt(erasure.receipt);
        let salt = unhex(salt.expose());
        let key = hmac::Key::new(hmac::HMAC_SHA256, &salt);
        let tag = hmac::sign(&key, &erasure.conversation.bits().to_be_bytes());
        let subject = notary.subject(erasure.receipt, erasure.conversation);
        assert_eq!(tag.as_ref(), subject);
        let json = notary.sign(Timestamp::from_micros(30), &erasure).json;
        assert!(json.contains(&format!("\"subject\":\"{}\"", hex(&subject))));
        let another = ReceiptId::from_bits(0xabd);
        assert_ne!(notary.subject(another, erasure.conversation), subject);
    }
}
