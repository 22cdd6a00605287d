//! Replaces the root under the database.

use std::sync::Arc;

use parlance_domain::model::Due;
use parlance_domain::store::{RootRenewal, StoreError};

use super::value::unavailable;
use super::writer::Room;
use super::{Sqlite, receipts};
use crate::keyring::{KeyringError, Rekeyed};

const RENEWING: &str = "renewing the root key";

impl Sqlite {
    /// See [`Store::renew_root`](parlance_domain::Store::renew_root).
    pub(super) async fn replace_root(&self) -> Result<RootRenewal, StoreError> {
        let last = self.read("counting receipts", |db, _| receipts::last(db));
        let last = last.await?;
        // From here on the keys of all of them are wiped.
        self.writer()?.wiped().await?;
        let vault = Arc::clone(&self.vault);
        let renewal = tokio::task::spawn_blocking(move || vault.rekey()).await;
        let renewal = renewal.map_err(|error| unavailable(RENEWING, error))?;
        let renewal = renewal.map_err(|error| {
            if matches!(error, KeyringError::FixedRoot) {
                return StoreError::FixedRoot;
            }
            unavailable(RENEWING, error)
        })?;
        self.writer()?
            .transact(Room::Frees, RENEWING, move |db| {
                receipts::record_renewal(db, last)
            })
            .await?;
        Ok(match renewal {
            Rekeyed::Done { .. } => RootRenewal::Done,
            Rekeyed::NothingWiped => RootRenewal::NothingDeleted,
        })
    }
}

/// Notes that the root was replaced since the key was destroyed.
pub(super) fn is_renewed(due: &mut Due) {
    match due {
        Due::Erasure(erasure) => erasure.is_renewed = true,
        // They come again, when the renewal is recorded.
        Due::Carried { .. } | Due::Renewed { .. } | Due::Event(_) => {}
    }
}
