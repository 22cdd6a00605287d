//! Receipts and their log. Nothing is sealed here, and rows go at once: a receipt is complete as soon as
//! it says anything.

use async_trait::async_trait;
use parlance_domain::ids::ReceiptId;
use parlance_domain::model::{
    Due, Erasure, ErasureLevel, ProjectId, ReceiptEntry, ReceiptRecord, ReceiptState,
};
use parlance_domain::receipt_log::{
    Event, LogHead, LoggedBatch, NewBatch, NewCheckpoint, ProvenEntry, Stated,
};
use parlance_domain::store::{ReceiptLog, StoreError};

use super::{Memory, State};

/// What is known of a delete, and what was said of it.
#[derive(Clone)]
pub(super) struct Receipt {
    pub(super) erasure: Erasure,
    pub(super) state: ReceiptState,
}

/// The log.
#[derive(Clone, Default)]
pub(super) struct Log {
    head: LogHead,
    batches: Vec<NewBatch>,
    checkpoints: Vec<NewCheckpoint>,
}

impl Receipt {
    fn entry(&self) -> ReceiptEntry {
        ReceiptEntry {
            id: self.erasure.receipt,
            state: self.state,
            level: ErasureLevel::of(
                self.erasure.commitment.as_ref(),
                self.erasure.root_renewed_at,
            ),
            tombstoned_at: self.erasure.tombstoned_at,
        }
    }
}

impl Log {
    /// The last entry of a receipt.
    fn last(&self, id: ReceiptId) -> Option<ProvenEntry> {
        let proven = |batch: &NewBatch| {
            let mut entries = (batch.first..).zip(&batch.entries);
            let (place, entry) = entries.find(|(_, entry)| match &entry.of {
                Stated::Receipt { receipt, .. } => *receipt == id,
                Stated::Event(_) => false,
            })?;
            Some(ProvenEntry {
                place,
                statement: entry.statement.clone(),
                first: batch.first,
                leaves: batch.leaves.clone(),
                signed: batch.signed.clone(),
            })
        };
        self.batches.iter().rev().find_map(proven)
    }

    fn logged(&self, batch: &NewBatch) -> LoggedBatch {
        let entries = batch.entries.iter();
        let mut checkpoints = self.checkpoints.iter();
        let size = batch.after.tree.size();
        LoggedBatch {
            first: batch.first,
            signed: batch.signed.clone(),
            statements: entries.map(|entry| entry.statement.clone()).collect(),
            checkpoint: checkpoints
                .find(|checkpoint| checkpoint.after.tree.size() == size)
                .map(|checkpoint| checkpoint.signed.clone()),
        }
    }
}

#[async_trait]
impl ReceiptLog for Memory {
    async fn record_event(&self, event: Event) -> Result<(), StoreError> {
        record(&mut self.state(), event)
    }

    async fn log_head(&self) -> Result<LogHead, StoreError> {
        Ok(self.state().log.head.clone())
    }

    async fn append_to_log(&self, batch: NewBatch) -> Result<(), StoreError> {
        let mut state = self.state();
        let mut changed = state.clone();
        if changed.log.head.tree.size() != batch.first {
            return Err(StoreError::Changed);
        }
        for entry in &batch.entries {
            advance(&mut changed, &entry.of)?;
        }
        changed.log.head = batch.after.clone();
        changed.log.batches.push(batch);
        *state = changed;
        Ok(())
    }

    async fn keep_checkpoint(&self, checkpoint: NewCheckpoint) -> Result<(), StoreError> {
        let mut state = self.state();
        let (size, head) = (checkpoint.after.tree.size(), &state.log.head);
        if head.tree.size() != size || head.checkpointed == size {
            return Err(StoreError::Changed);
        }
        state.log.head = checkpoint.after.clone();
        state.log.checkpoints.push(checkpoint);
        Ok(())
    }

    async fn logged(&self, first: u64, entries_max: u32) -> Result<Vec<LoggedBatch>, StoreError> {
        let log = &self.state().log;
        let batches = log.batches.iter();
        let mut from = batches.skip_while(|batch| batch.first != first);
        let (mut found, mut left) = (
            Vec::new(),
            usize::try_from(entries_max).unwrap_or(usize::MAX),
        );
        while let Some(batch) = from.next().filter(|_| left > 0) {
            found.push(log.logged(batch));
            left = left.saturating_sub(batch.entries.len());
        }
        Ok(found)
    }
}

/// Keeps an event until it is stated.
pub(super) fn record(state: &mut State, event: Event) -> Result<(), StoreError> {
    if state.events.iter().any(|own| own.id == event.id) {
        return Err(StoreError::IdClash);
    }
    state.events.push(event);
    Ok(())
}

/// What is stated is not stated again.
fn advance(state: &mut State, stated: &Stated) -> Result<(), StoreError> {
    match stated {
        Stated::Receipt {
            receipt,
            project,
            state: says,
            key_destroyed_at,
            root_renewed_at,
        } => {
            let found = state.receipts.get_mut(&(*project, *receipt));
            let kept = found.ok_or(StoreError::Changed)?;
            let renews = kept.erasure.root_renewed_at.is_none() && root_renewed_at.is_some();
            if kept.state > *says || (kept.state == *says && !renews) {
                return Err(StoreError::Changed);
            }
            kept.state = *says;
            kept.erasure.key_destroyed_at = *key_destroyed_at;
            kept.erasure.root_renewed_at = *root_renewed_at;
        }
        Stated::Event(id) => {
            let waiting = state.events.len();
            state.events.retain(|own| own.id != *id);
            if state.events.len() == waiting {
                return Err(StoreError::Changed);
            }
        }
    }
    Ok(())
}

pub(super) fn due(state: &State, count_max: u32) -> Vec<Due> {
    let receipts = state.receipts.values();
    let mut due: Vec<Erasure> = receipts
        .filter(|kept| kept.state == ReceiptState::Pending)
        .map(|kept| kept.erasure.clone())
        .collect();
    due.sort_by_key(|erasure| erasure.receipt);
    let events = state.events.iter().cloned().map(Due::Event);
    events
        .chain(due.into_iter().map(Due::Erasure))
        .take(usize::try_from(count_max).unwrap_or(usize::MAX))
        .collect()
}

pub(super) fn list(
    state: &State,
    project: ProjectId,
    after: Option<ReceiptId>,
    count_max: u32,
) -> Vec<ReceiptEntry> {
    let own = state
        .receipts
        .iter()
        .filter(|((of, id), _)| *of == project && after.is_none_or(|after| *id > after));
    own.map(|(_, kept)| kept.entry())
        .take(usize::try_from(count_max).unwrap_or(usize::MAX))
        .collect()
}

pub(super) fn one(state: &State, id: ReceiptId) -> Option<ReceiptRecord> {
    let mut receipts = state.receipts.iter();
    let ((project, _), kept) = receipts.find(|((_, own), _)| *own == id)?;
    Some(ReceiptRecord {
        project: *project,
        entry: kept.entry(),
        proven: state.log.last(id),
    })
}
