//! Deletes a conversation, inside the transaction of its batch.

use parlance_domain::ConversationId;
use parlance_domain::limits::{
    PURGE_BATCH_BYTES_MAX, PURGE_BATCH_ITEMS_MAX, PURGE_INLINE_BYTES_MAX, PURGE_INLINE_ITEMS_MAX,
};
use parlance_domain::model::ItemsBucket;
use parlance_domain::store::{Outcome, StoreError};
use rusqlite::{Connection, params};

use super::apply::Head;
use super::encode::Burial;
use super::value::{Bits, Trouble, Who, count, number};
use super::{erasures, sql};
use crate::keyring::KeyRef;

/// What the deletes of one batch have come to.
#[derive(Default)]
pub(super) struct Graves {
    /// The keys of what was deleted: to be wiped before anybody is told.
    pub(super) erased: Vec<KeyRef>,
    /// Rows and bytes of content that were purged at once.
    rows: i64,
    bytes: i64,
}

/// Takes the conversation away and leaves a tombstone, which keeps its place in lists as it was.
/// What is in it goes at once if it is little, else with the sweep. Its receipt begins, to be signed
/// when everybody has been answered.
pub(super) fn bury(
    db: &Connection,
    who: &Who,
    head: &Head,
    at: i64,
    burial: &Burial,
    graves: &mut Graves,
) -> Result<Outcome, Trouble> {
    let rows = head.next_seq.saturating_add(head.turns);
    let waits = rows > graves.rows_max() || !graves.takes(db, who, head)?;
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
    erasures::note(db, head.key, at)?;
    graves.erased.push(head.key);
    Ok(Outcome::Deleted {
        conversation: head.id.id::<ConversationId>(),
        running: head.running.map(Bits::id),
        receipt: burial.receipt.id(),
    })
}

impl Graves {
    /// How many rows may still be purged at once.
    fn rows_max(&self) -> i64 {
        let left = number(PURGE_BATCH_ITEMS_MAX).saturating_sub(self.rows);
        left.min(number(PURGE_INLINE_ITEMS_MAX))
    }

    /// Whether there is so little in a conversation that others can wait while it is overwritten, with
    /// what goes along. If so, that is counted.
    fn takes(&mut self, db: &Connection, who: &Who, head: &Head) -> Result<bool, Trouble> {
        let mut bytes = 0_i64;
        for (rows, select) in [
            (head.next_seq, sql::ITEM_BYTES),
            (head.turns, sql::TURN_BYTES),
        ] {
            if rows > 0 {
                let mut select = db.prepare_cached(select)?;
                let found = select.query_row(params![who.project, head.id], |row| row.get(0))?;
                bytes = bytes.saturating_add(found);
            }
        }
        let left = number(PURGE_BATCH_BYTES_MAX).saturating_sub(self.bytes);
        if bytes > left.min(number(PURGE_INLINE_BYTES_MAX)) {
            return Ok(false);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        let rows = head.next_seq.saturating_add(head.turns);
        self.rows = self.rows.saturating_add(rows);
        Ok(true)
    }
}
