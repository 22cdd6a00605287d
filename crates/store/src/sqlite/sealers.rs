//! Finds the keys that a batch is sealed with.

use parlance_domain::ids::{ConversationId, Ref};
use parlance_domain::model::Principal;
use parlance_domain::store::{Batch, StoreError};

use super::Sqlite;
use super::encode::{self, Sealers};
use super::value::unavailable;
use crate::seal::{Sealer, Taken};

impl Sqlite {
    /// What seals the content that a batch brings for conversations that are there. True if one of
    /// them is not.
    pub(super) async fn sealers_for(
        &self,
        who: &Principal,
        batch: &Batch,
    ) -> Result<(Sealers, bool), StoreError> {
        let (mut sealers, mut keyless) = (Sealers::new(), false);
        for conversation in encode::sealed_for(batch) {
            match self.sealer_of(who, conversation).await? {
                Some(sealer) => {
                    sealers.insert(conversation, sealer);
                }
                None => keyless = true,
            }
        }
        Ok((sealers, keyless))
    }

    /// What seals for a conversation; none if it is not there. Whether it is the principal's, the
    /// write itself finds out.
    pub(super) async fn sealer_of(
        &self,
        who: &Principal,
        conversation: ConversationId,
    ) -> Result<Option<Sealer>, StoreError> {
        let name = (who.project, conversation);
        let known = self.references.get(name);
        let reference = if known.is_some() {
            known
        } else {
            let of = Ref::from(conversation).into();
            self.read_as(who, "looking up a key", move |reader| reader.key_of(of))
                .await?
        };
        let Some(reference) = reference else {
            return Ok(None);
        };
        if known.is_none() {
            self.references.put(name, reference);
        }
        self.vault
            .sealer(reference)
            .map_err(|error| unavailable("reading a key", error))
    }

    /// A key for a new record.
    pub(super) fn take_key(&self) -> Result<Taken, StoreError> {
        self.vault
            .take()
            .map_err(|error| unavailable("taking a key", error))
    }
}
