//! Receipts: signed after the answer, found again by the deleter, shown to whoever has the id.

use std::sync::Arc;

use super::{ATTEMPTS_MAX, Service, fault};
use crate::clock::Timestamp;
use crate::fault::{Conflict, Error, Fault};
use crate::ids::{ConversationRef, ReceiptId};
use crate::model::{Due, Principal, ProjectId, ReceiptEntry, ReceiptRecord};
use crate::receipt_log::{
    BATCH_ENTRIES_MAX, CHECKPOINT_EVERY, LogHead, LoggedBatch, NewBatch, PublicKey,
};
use crate::secret::Secret;
use crate::store::{RootRenewal, StoreError};
use crate::sync::aside;

/// Receipts that are read at once for a list.
const LISTED_AT_ONCE_MAX: u32 = 1_000;
/// Entries of the log that are read at once for an export: about 350 kB.
const EXPORTED_AT_ONCE: u32 = 256;

/// An export of the log, from its beginning to where it ended when the export began. It is given piece
/// by piece, and holds no more of the log than one.
pub struct LogExport {
    service: Service,
    /// The first line; none once it is given.
    header: Option<String>,
    /// The place of the next entry.
    next: u64,
    /// The number of entries.
    end: u64,
}

impl Service {
    /// Signs every receipt that has something new to say: that the key is destroyed, that all rows are
    /// gone, that the root was renewed. Gives the number of statements.
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
        // One signer at a time. Others that share the store are found out when the batch is appended.
        let mut known = self.inner.signing.lock().await;
        for _ in 0..ATTEMPTS_MAX {
            // Read before what is due, so that nothing which was signed in between is signed again.
            let head = self.take_head(&mut known).await?;
            let due = self.store().receipts_to_sign(BATCH_ENTRIES_MAX).await;
            let due = due.map_err(fault)?;
            if due.is_empty() {
                *known = Some(head);
                return Ok(0);
            }
            let count = u64::try_from(due.len()).unwrap_or(u64::MAX);
            // Taken only now: the keys of all that the store gives are destroyed by then.
            let batch = self.state(head, self.now(), due).await?;
            let after = batch.after.clone();
            match self.store().append_to_log(batch).await {
                Ok(()) => {
                    *known = Some(after);
                    return Ok(count);
                }
                Err(StoreError::Changed) => {}
                Err(error) => return Err(fault(error)),
            }
        }
        Err(Fault::Conflict(Conflict::Contended).into())
    }

    /// How far the log has come. It is forgotten with that: after whatever fails or is broken off, it is
    /// not known whether a batch was appended.
    async fn take_head(&self, known: &mut Option<LogHead>) -> Result<LogHead, Error> {
        match known.take() {
            Some(head) => Ok(head),
            None => self.store().log_head().await.map_err(fault),
        }
    }

    /// Writes and hashes statements, on a thread that answers nobody meanwhile.
    async fn state(&self, head: LogHead, now: Timestamp, due: Vec<Due>) -> Result<NewBatch, Error> {
        let notary = Arc::clone(&self.inner.ports.notary);
        let stated = aside(move || notary.state(&head, now, &due)).await;
        let internal = |error| Error::caused_by(Fault::Internal, error);
        let batch = stated.map_err(|error| Error::caused_by(Fault::Internal, error))?;
        batch.map_err(internal)
    }

    /// Signs a checkpoint if there are entries without one, and the last one was signed an hour ago.
    pub async fn checkpoint_receipts(&self) -> Result<(), Error> {
        let due = |head: &LogHead| {
            let (last, now) = (head.checkpointed_at, self.now());
            // A time to come is that of a clock which was set back since.
            last > now || last.later(CHECKPOINT_EVERY) <= now
        };
        self.checkpoint_if(due).await.map(drop)
    }

    /// Signs a checkpoint if there are entries without one and it is due. Gives how far the log has come.
    async fn checkpoint_if(&self, is_due: impl Fn(&LogHead) -> bool) -> Result<LogHead, Error> {
        let mut known = self.inner.signing.lock().await;
        for _ in 0..ATTEMPTS_MAX {
            // Read anew: others that share the store may have appended.
            *known = None;
            let head = self.store().log_head().await.map_err(fault)?;
            if !head.has_news() || !is_due(&head) {
                *known = Some(head.clone());
                return Ok(head);
            }
            let new = self.inner.ports.notary.checkpoint(&head, self.now());
            let after = new.after.clone();
            match self.store().keep_checkpoint(new).await {
                Ok(()) => {
                    *known = Some(after.clone());
                    return Ok(after);
                }
                Err(StoreError::Changed) => {}
                Err(error) => return Err(fault(error)),
            }
        }
        Err(Fault::Conflict(Conflict::Contended).into())
    }

    /// Begins an export of the log, with a checkpoint over all that it holds. What there is to sign is
    /// signed first.
    pub async fn export_receipts(&self) -> Result<LogExport, Error> {
        self.sign_receipts().await?;
        let head = self.checkpoint_if(|_| true).await?;
        let header = self.inner.ports.notary.export_header(&head, self.now());
        Ok(LogExport {
            service: self.clone(),
            header: Some(header),
            next: 0,
            end: head.tree.size(),
        })
    }

    /// Replaces the root that all keys are sealed under, so that no copy of them from before opens what
    /// was deleted before the call. The receipts of that say so when they are signed next.
    pub async fn renew_root(&self) -> Result<RootRenewal, Error> {
        self.store().renew_root().await.map_err(fault)
    }

    /// The key that verifies receipts.
    pub fn receipts_key(&self) -> &PublicKey {
        self.inner.ports.notary.public_key()
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

    /// One receipt, whatever project it is of: for whoever has its id.
    pub async fn receipt(&self, receipt: ReceiptId) -> Result<Option<ReceiptRecord>, Error> {
        self.store().receipt(receipt).await.map_err(fault)
    }
}

impl LogExport {
    /// The next piece: whole lines, some hundred kilobytes at most. None at the end.
    pub async fn next(&mut self) -> Result<Option<String>, Error> {
        if let Some(mut header) = self.header.take() {
            header.push('\n');
            return Ok(Some(header));
        }
        if self.next == self.end {
            return Ok(None);
        }
        let page = self.service.store().logged(self.next, EXPORTED_AT_ONCE);
        let page = page.await.map_err(fault)?;
        let mut text = String::new();
        for batch in page {
            if self.next == self.end {
                break;
            }
            self.next = write_batch(&mut text, &batch);
        }
        // A log without the entries that it counts is not exported as if it were whole.
        if text.is_empty() {
            return Err(Fault::Internal.into());
        }
        Ok(Some(text))
    }
}

/// Writes a batch as lines, and gives the place of the entry after it.
fn write_batch(text: &mut String, batch: &LoggedBatch) -> u64 {
    let signed = std::iter::once(&batch.signed);
    for line in signed.chain(&batch.statements).chain(&batch.checkpoint) {
        text.push_str(line);
        text.push('\n');
    }
    let count = u64::try_from(batch.statements.len()).unwrap_or(u64::MAX);
    batch.first.saturating_add(count)
}
