//! Receipts of what was erased, and the log of what they say.

use async_trait::async_trait;
use parlance_domain::model::{
    Due, Erasure, ErasureLevel, ItemsBucket, ProjectId, ReceiptEntry, ReceiptRecord, ReceiptState,
};
use parlance_domain::receipt_log::{
    Event, Frontier, Hash, LogHead, LoggedBatch, NewBatch, NewCheckpoint, ProvenEntry, Stated,
};
use parlance_domain::store::{ReceiptLog, StoreError};
use parlance_domain::{ReceiptId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::value::{Bits, Span, Trouble, Who, corrupt, count, number, time};
use super::writer::Room;
use super::{Sqlite, sql};

/// What stands in the log's columns for an event. No receipt is found by it.
const NO_PROJECT: i64 = 0;
const NO_RECEIPT: &[u8] = &[];

#[async_trait]
impl ReceiptLog for Sqlite {
    async fn record_event(&self, event: Event) -> Result<(), StoreError> {
        self.writer()?
            .transact(Room::Takes, "recording an event", move |db| {
                record_event(db, &event)
            })
            .await
    }

    async fn log_head(&self) -> Result<LogHead, StoreError> {
        self.read("reading how far the log of receipts has come", |db, _| {
            log_head(db)
        })
        .await
    }

    async fn append_to_log(&self, batch: NewBatch) -> Result<(), StoreError> {
        self.writer()?
            .transact(Room::Takes, "appending to the log of receipts", move |db| {
                append(db, &batch)
            })
            .await
    }

    async fn keep_checkpoint(&self, checkpoint: NewCheckpoint) -> Result<(), StoreError> {
        self.writer()?
            .transact(Room::Takes, "keeping a checkpoint", move |db| {
                keep_checkpoint(db, &checkpoint)
            })
            .await
    }

    async fn logged(&self, first: u64, entries_max: u32) -> Result<Vec<LoggedBatch>, StoreError> {
        self.read("reading the log of receipts", move |db, _| {
            logged(db, first, entries_max)
        })
        .await
    }
}

/// Keeps an event until it is stated, in the transaction of what it is about.
pub(super) fn record_event(db: &Connection, event: &Event) -> Result<(), Trouble> {
    match insert_event(db, event)? {
        0 => Err(StoreError::IdClash.into()),
        _ => Ok(()),
    }
}

/// The same, where no event of that id can be. Gives the number of new rows.
pub(super) fn insert_event(db: &Connection, event: &Event) -> rusqlite::Result<usize> {
    db.prepare_cached(sql::RECORD_EVENT)?
        .execute(params![Bits::of(event.id), event.text()])
}

/// What is to be signed, when its keys are destroyed.
pub(super) fn due(db: &Connection, count_max: u32) -> Result<Vec<Due>, Trouble> {
    let mut due = events(db, count_max)?;
    let events = u32::try_from(due.len()).unwrap_or(u32::MAX);
    due.extend(statements(db, count_max.saturating_sub(events))?);
    Ok(due)
}

fn events(db: &Connection, count_max: u32) -> Result<Vec<Due>, Trouble> {
    let mut select = db.prepare_cached(sql::EVENTS_TO_SIGN)?;
    let mut rows = select.query(params![count_max])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        let event = Event::parse(&text).ok_or(corrupt("receipt_events", "event"))?;
        events.push(Due::Event(event));
    }
    Ok(events)
}

fn statements(db: &Connection, count_max: u32) -> Result<Vec<Due>, Trouble> {
    let mut select = db.prepare_cached(sql::LAST_RENEWED)?;
    // Nothing is recorded where there is no keyring.
    let renewed: i64 = select
        .query_row([], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    let mut select = db.prepare_cached(sql::RECEIPTS_TO_SIGN)?;
    let rows = select.query_map(params![count_max, renewed], |row| {
        let erasure = erasure(row)?;
        Ok(match row.get(11)? {
            None => Due::Erasure(erasure),
            Some(json) => Due::Carried {
                receipt: erasure.receipt,
                json,
            },
        })
    })?;
    let mut due: Vec<Due> = rows.collect::<Result<_, _>>()?;
    let left = count_max.saturating_sub(u32::try_from(due.len()).unwrap_or(u32::MAX));
    let mut select = db.prepare_cached(sql::RECEIPTS_RENEWED)?;
    let rows = select.query_map(params![left, renewed], |row| {
        Ok(match row.get(11)? {
            None => Due::Erasure(erasure(row)?),
            Some(said) => Due::Renewed {
                receipt: row.get::<_, Bits>(0)?.id(),
                said,
            },
        })
    })?;
    due.extend(rows.collect::<Result<Vec<_>, _>>()?);
    Ok(due)
}

fn erasure(row: &Row<'_>) -> rusqlite::Result<Erasure> {
    let waits: bool = row.get(9)?;
    // What a receipt is about that is to be carried over may be forgotten.
    let conversation: Option<Bits> = row.get(8)?;
    Ok(Erasure {
        receipt: row.get::<_, Bits>(0)?.id(),
        project: ProjectId(row.get(1)?),
        requested_at: time(row.get(2)?),
        tombstoned_at: time(row.get(3)?),
        key_destroyed_at: row.get::<_, Option<i64>>(4)?.map(time),
        root_renewed_at: row.get::<_, Option<i64>>(5)?.map(time),
        items: ItemsBucket::from_digits(row.get(6)?),
        commitment: row.get(7)?,
        conversation: conversation.unwrap_or(Bits::MIN).id(),
        is_purged: !waits,
        is_renewed: row.get(10)?,
    })
}

/// The number of the last receipt, as renewals of the root are recorded with.
pub(super) fn last(db: &Connection) -> Result<i64, Trouble> {
    Ok(db.query_row(sql::LAST_RECEIPT, [], |row| row.get(0))?)
}

/// Records that the root was renewed when everything up to this receipt was wiped.
pub(super) fn record_renewal(db: &Connection, last: i64) -> Result<(), Trouble> {
    db.execute(sql::RENEWED, params![last])?;
    Ok(())
}

pub(super) fn log_head(db: &Connection) -> Result<LogHead, Trouble> {
    let mut select = db.prepare_cached(sql::LOG_HEAD)?;
    let (head, size, peaks) = select.query_row([], |row| {
        let head = LogHead {
            tree: Frontier::default(),
            last: row.get(2)?,
            latest: time(row.get(3)?),
            batches: count(row.get(4)?),
            checkpoints: count(row.get(5)?),
            checkpointed: count(row.get(6)?),
            checkpointed_at: time(row.get(7)?),
        };
        Ok((head, count(row.get(0)?), row.get::<_, Vec<u8>>(1)?))
    })?;
    let peaks = hashes(&peaks).ok_or(corrupt("receipt_log_head", "tree"))?;
    let tree = Frontier::new(size, peaks).ok_or(corrupt("receipt_log_head", "tree"))?;
    Ok(LogHead { tree, ..head })
}

fn save_head(db: &Connection, size: u64, after: &LogHead) -> Result<(), Trouble> {
    let saved = db.prepare_cached(sql::SAVE_LOG_HEAD)?.execute(params![
        number(size),
        number(after.tree.size()),
        after.tree.peaks().concat(),
        after.last,
        after.latest.micros(),
        number(after.batches),
        number(after.checkpoints),
        number(after.checkpointed),
        after.checkpointed_at.micros(),
    ])?;
    changed(saved)
}

/// The one row that has to change has not: somebody else was faster.
fn changed(rows: usize) -> Result<(), Trouble> {
    match rows {
        1 => Ok(()),
        _ => Err(StoreError::Changed.into()),
    }
}

pub(super) fn append(db: &Connection, batch: &NewBatch) -> Result<(), Trouble> {
    save_head(db, batch.first, &batch.after)?;
    let mut advance = db.prepare_cached(sql::ADVANCE_RECEIPT)?;
    let mut log = db.prepare_cached(sql::LOG)?;
    for (place, entry) in (batch.first..).zip(&batch.entries) {
        let (place, said) = (number(place), &entry.statement);
        match &entry.of {
            Stated::Receipt {
                receipt,
                project,
                state,
                key_destroyed_at,
                root_renewed_at,
            } => {
                let (project, receipt) = (project.0, Bits::of(*receipt));
                let destroyed_at = key_destroyed_at.map(Timestamp::micros);
                let renewed_at = root_renewed_at.map(Timestamp::micros);
                let state = number_of(*state);
                let advanced = params![project, receipt, state, destroyed_at, renewed_at];
                changed(advance.execute(advanced)?)?;
                log.execute(params![place, project, receipt, said])?;
            }
            Stated::Event(event) => {
                let mut stated = db.prepare_cached(sql::EVENT_IS_STATED)?;
                changed(stated.execute(params![Bits::of(*event)])?)?;
                log.execute(params![place, NO_PROJECT, NO_RECEIPT, said])?;
            }
        }
    }
    db.prepare_cached(sql::LOG_BATCH)?.execute(params![
        number(batch.first),
        batch.leaves.concat(),
        batch.signed,
    ])?;
    Ok(())
}

fn keep_checkpoint(db: &Connection, checkpoint: &NewCheckpoint) -> Result<(), Trouble> {
    let size = checkpoint.after.tree.size();
    save_head(db, size, &checkpoint.after)?;
    let kept = db
        .prepare_cached(sql::LOG_CHECKPOINT)?
        .execute(params![number(size), checkpoint.signed])?;
    changed(kept)
}

fn logged(db: &Connection, mut first: u64, entries_max: u32) -> Result<Vec<LoggedBatch>, Trouble> {
    let mut batches = Vec::new();
    let mut left = u64::from(entries_max);
    while left > 0 {
        let Some((batch, end)) = logged_batch(db, first)? else {
            break;
        };
        batches.push(batch);
        left = left.saturating_sub(end.saturating_sub(first));
        first = end;
    }
    Ok(batches)
}

/// The batch that begins at a place, and the place after it.
fn logged_batch(db: &Connection, first: u64) -> Result<Option<(LoggedBatch, u64)>, Trouble> {
    let found = db
        .prepare_cached(sql::LOGGED_BATCH)?
        .query_row(params![number(first)], |row| {
            Ok((count(row.get(0)?), row.get(1)?))
        })
        .optional()?;
    let Some((entries, signed)) = found else {
        return Ok(None);
    };
    let end = first.saturating_add(entries);
    let mut select = db.prepare_cached(sql::STATEMENTS)?;
    let statements = select.query_map(params![number(first), number(end)], |row| row.get(0))?;
    let statements = statements.collect::<Result<_, _>>()?;
    let checkpoint = db
        .prepare_cached(sql::LOGGED_CHECKPOINT)?
        .query_row(params![number(end)], |row| row.get(0))
        .optional()?;
    let batch = LoggedBatch {
        first,
        signed,
        statements,
        checkpoint,
    };
    Ok(Some((batch, end)))
}

/// Hashes that were put together.
fn hashes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks();
    rest.is_empty().then(|| hashes.to_vec())
}

pub(super) fn of(db: &Connection, who: &Who, of: Span) -> Result<Option<ReceiptId>, Trouble> {
    let mut select = db.prepare_cached(sql::RECEIPT_OF)?;
    let found = select.query_row(who.looking_for(of), |row| row.get::<_, Bits>(0));
    Ok(found.optional()?.map(Bits::id))
}

pub(super) fn list(
    db: &Connection,
    project: ProjectId,
    after: Option<ReceiptId>,
    count_max: u32,
) -> Result<Vec<ReceiptEntry>, Trouble> {
    let after = after.map_or(Bits::MIN, Bits::of);
    let mut select = db.prepare_cached(sql::RECEIPTS)?;
    let mut rows = select.query(params![project.0, after, count_max])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(entry(row)?);
    }
    Ok(entries)
}

/// A receipt, whatever project it is of: one that has said something is found by that.
pub(super) fn one(db: &Connection, id: ReceiptId) -> Result<Option<ReceiptRecord>, Trouble> {
    let id = Bits::of(id);
    let said = db
        .prepare_cached(sql::LAST_STATEMENT)?
        .query_row(params![id], |row| {
            Ok((count(row.get(0)?), row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let (project, proven) = if let Some((place, project, statement)) = said {
        (project, Some(prove(db, place, statement)?))
    } else {
        let mut select = db.prepare_cached(sql::OPEN_RECEIPT)?;
        let found = select.query_row(params![id], |row| row.get(0)).optional()?;
        let Some(project) = found else {
            return Ok(None);
        };
        (project, None)
    };
    let mut select = db.prepare_cached(sql::RECEIPT)?;
    let mut rows = select.query(params![project, id])?;
    let Some(row) = rows.next()? else {
        return Err(corrupt("receipt_log", "receipt").into());
    };
    Ok(Some(ReceiptRecord {
        project: ProjectId(project),
        entry: entry(row)?,
        proven,
    }))
}

/// An entry with its batch.
fn prove(db: &Connection, place: u64, statement: String) -> Result<ProvenEntry, Trouble> {
    let mut select = db.prepare_cached(sql::BATCH_OF)?;
    let (first, leaves, signed) = select.query_row(params![number(place)], |row| {
        Ok((count(row.get(0)?), row.get::<_, Vec<u8>>(1)?, row.get(2)?))
    })?;
    Ok(ProvenEntry {
        place,
        statement,
        first,
        leaves: hashes(&leaves).ok_or(corrupt("receipt_batches", "leaves"))?,
        signed,
    })
}

fn entry(row: &Row<'_>) -> Result<ReceiptEntry, Trouble> {
    let commitment: Option<[u8; 32]> = row.get(2)?;
    let renewed_at = row.get::<_, Option<i64>>(3)?.map(time);
    Ok(ReceiptEntry {
        id: row.get::<_, Bits>(0)?.id(),
        state: state(row.get(1)?)?,
        level: ErasureLevel::of(commitment.as_ref(), renewed_at),
        tombstoned_at: time(row.get(4)?),
    })
}

const fn number_of(state: ReceiptState) -> i64 {
    match state {
        ReceiptState::Pending => 0,
        ReceiptState::Destroyed => 1,
        ReceiptState::Complete => 2,
    }
}

fn state(number: i64) -> Result<ReceiptState, StoreError> {
    match number {
        0 => Ok(ReceiptState::Pending),
        1 => Ok(ReceiptState::Destroyed),
        2 => Ok(ReceiptState::Complete),
        _ => Err(corrupt("receipts", "state")),
    }
}
