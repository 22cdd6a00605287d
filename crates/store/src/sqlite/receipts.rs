//! Receipts of what was erased.

use parlance_domain::model::{
    Erasure, ErasureLevel, ItemsBucket, ProjectId, ReceiptEntry, ReceiptRecord, ReceiptState,
    SignedReceipt,
};
use parlance_domain::store::StoreError;
use parlance_domain::{ReceiptId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::sql;
use super::value::{Bits, Span, Trouble, Who, corrupt, time};

/// What is to be signed, when its keys are destroyed.
pub(super) fn due(db: &Connection, count_max: u32) -> Result<Vec<Erasure>, Trouble> {
    let mut select = db.prepare_cached(sql::RECEIPTS_TO_SIGN)?;
    let rows = select.query_map(params![count_max], |row| {
        let waits: bool = row.get(8)?;
        Ok(Erasure {
            project: ProjectId(row.get(0)?),
            receipt: row.get::<_, Bits>(1)?.id(),
            requested_at: time(row.get(2)?),
            tombstoned_at: time(row.get(3)?),
            key_destroyed_at: row.get::<_, Option<i64>>(4)?.map(time),
            items: ItemsBucket::from_digits(row.get(5)?),
            commitment: row.get(6)?,
            conversation: row.get::<_, Bits>(7)?.id(),
            is_purged: !waits,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn keep(db: &Connection, receipts: &[SignedReceipt]) -> Result<(), Trouble> {
    let mut update = db.prepare_cached(sql::KEEP_RECEIPT)?;
    for receipt in receipts {
        update.execute(params![
            receipt.project.0,
            Bits::of(receipt.id),
            number_of(receipt.state),
            receipt.key_destroyed_at.map(Timestamp::micros),
            receipt.json,
        ])?;
    }
    Ok(())
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

pub(super) fn one(
    db: &Connection,
    project: ProjectId,
    id: ReceiptId,
) -> Result<Option<ReceiptRecord>, Trouble> {
    let mut select = db.prepare_cached(sql::RECEIPT)?;
    let mut rows = select.query(params![project.0, Bits::of(id)])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some(ReceiptRecord {
        entry: entry(row)?,
        json: row.get(4)?,
    }))
}

fn entry(row: &Row<'_>) -> Result<ReceiptEntry, Trouble> {
    let commitment: Option<[u8; 32]> = row.get(2)?;
    Ok(ReceiptEntry {
        id: row.get::<_, Bits>(0)?.id(),
        state: state(row.get(1)?)?,
        level: ErasureLevel::of(commitment.as_ref()),
        tombstoned_at: time(row.get(3)?),
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
