//! Receipts: signed after the answer, found again by the deleter, shown to operators.

use super::{Service, fault};
use crate::fault::Error;
use crate::ids::{ConversationRef, ReceiptId};
use crate::model::{Principal, ProjectId, ReceiptEntry, ReceiptRecord};
use crate::secret::Secret;

/// Receipts that are signed in one step, which is one commit.
const SIGNED_AT_ONCE_MAX: u32 = 128;
/// Receipts that are read at once for a list.
const LISTED_AT_ONCE_MAX: u32 = 1_000;

impl Service {
    /// Signs every receipt that has something new to say: first that the key is destroyed, then that
    /// all rows are gone. Gives their number.
    pub async fn sign_receipts(&self) -> Result<u64, Error> {
        let mut count = 0;
        loop {
            let signed = self.sign_some_receipts().await?;
            if signed == 0 {
                return Ok(count);
            }
            count += signed;
        }
    }

    /// Signs some of the receipts that have something new to say, few enough not to be in anybody's
    /// way. Gives their number; 0 when there is none left.
    pub async fn sign_some_receipts(&self) -> Result<u64, Error> {
        // One signer at a time, so that no two say different times of one erasure.
        let _only = self.inner.signing.lock().await;
        let due = self.store().receipts_to_sign(SIGNED_AT_ONCE_MAX).await;
        let due = due.map_err(fault)?;
        if due.is_empty() {
            return Ok(0);
        }
        // Taken only now: the keys of all that the store gives are destroyed by then.
        let now = self.now();
        let notary = &self.inner.ports.notary;
        let signed: Vec<_> = due
            .iter()
            .map(|erasure| notary.sign(now, erasure))
            .collect();
        self.store().store_signed(&signed).await.map_err(fault)?;
        Ok(u64::try_from(signed.len()).unwrap_or(u64::MAX))
    }

    /// The receipt of a conversation that the principal has deleted within a day.
    pub async fn receipt_of(
        &self,
        who: &Principal,
        conversation: ConversationRef,
    ) -> Result<Option<ReceiptId>, Error> {
        let found = self.store().receipt_of(who, conversation).await;
        found.map_err(fault)
    }

    /// The salt of a receipt: for the deleter alone.
    pub fn receipt_salt(&self, receipt: ReceiptId) -> Secret {
        self.inner.ports.notary.salt(receipt)
    }

    /// All receipts of a project, oldest first.
    pub async fn receipts(&self, project: ProjectId) -> Result<Vec<ReceiptEntry>, Error> {
        let mut all: Vec<ReceiptEntry> = Vec::new();
        loop {
            let after = all.last().map(|entry| entry.id);
            let page = self.store().receipts(project, after, LISTED_AT_ONCE_MAX);
            let page = page.await.map_err(fault)?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// One receipt, if the project has it.
    pub async fn receipt(
        &self,
        project: ProjectId,
        receipt: ReceiptId,
    ) -> Result<Option<ReceiptRecord>, Error> {
        self.store().receipt(project, receipt).await.map_err(fault)
    }
}
