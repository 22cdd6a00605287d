//! Deletes a conversation, inside the transaction of its batch.

use parlance_domain::ConversationId;
use parlance_domain::limits::{PURGE_INLINE_BYTES_MAX, PURGE_INLINE_ITEMS_MAX};
use parlance_domain::model::ItemsBucket;
use parlance_domain::store::{Outcome, StoreError};
use rusqlite::{Connection, params};

use super::apply::Head;
use super::encode::Burial;
use super::sql;
use super::value::{Bits, Trouble, Who, count, number};

/// Takes the conversation away and leaves a tombstone, which keeps its place in lists as it was.
/// What is in it goes at once if it is little, else with the sweep. Its receipt begins, to be signed
/// when everybody has been answered.
pub(super) fn bury(
    db: &Connection,
    who: &Who,
    head: &Head,
    at: i64,
    burial: &Burial,
) -> Result<Outcome, Trouble> {
    let rows = head.next_seq.saturating_add(head.turns);
    let waits = rows > number(PURGE_INLINE_ITEMS_MAX) || !is_light(db, who, head)?;
    let begun = db.prepare_cached(sql::BEGIN_RECEIPT)?.execute(params![
        who.project,
        head.id,
        burial.receipt,
        burial.requested_at,
        at,
        ItemsBucket::of(count(head.next_seq)).digits(),
        waits,
    ])?;
    if begun == 0 {
        return Err(StoreError::IdClash.into());
    }
    db.prepare_cached(sql::DELETE)?
        .execute(params![who.project, head.id])?;
    db.prepare_cached(sql::BURY)?.execute(params![
        who.project,
        head.id,
        head.app,
        head.owner,
        head.updated_at,
        at,
        burial.receipt,
    ])?;
    if waits {
        db.prepare_cached(sql::PURGE_LATER)?.execute(params![
            who.project,
            head.id,
            burial.receipt
        ])?;
    } else if rows > 0 {
        for purge in [sql::PURGE_ITEMS, sql::PURGE_ALIASES, sql::PURGE_TURNS] {
            db.prepare_cached(purge)?
                .execute(params![who.project, head.id])?;
        }
    }
    Ok(Outcome::Deleted {
        conversation: head.id.id::<ConversationId>(),
        running: head.running.map(Bits::id),
        receipt: burial.receipt.id(),
    })
}

/// Whether there is so little in a conversation that others can wait while it is overwritten.
fn is_light(db: &Connection, who: &Who, head: &Head) -> Result<bool, Trouble> {
    if head.next_seq == 0 {
        return Ok(true);
    }
    let bytes: i64 = db
        .prepare_cached(sql::ITEM_BYTES)?
        .query_row(params![who.project, head.id], |row| row.get(0))?;
    Ok(bytes <= number(PURGE_INLINE_BYTES_MAX))
}
