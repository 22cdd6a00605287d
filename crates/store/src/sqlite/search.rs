//! Finds places among the items of a conversation.
//!
//! Ids rise with sequence numbers, so no index on ids is kept: a search by halves takes about twenty
//! point queries in a million items, and finds the place of an id that is gone as well.

use parlance_domain::ItemId;
use parlance_domain::ids::Ref;
use rusqlite::{Connection, OptionalExtension, params};

use super::apply::Scope;
use super::sql;
use super::value::{Bits, Span};

/// An item that is there.
#[derive(Clone, Copy)]
pub(super) struct ItemAt {
    pub(super) seq: i64,
    pub(super) id: Bits,
    pub(super) modified_at: Option<i64>,
}

/// A place among items, whether there is one at it or not: the items before it have smaller numbers
/// than `below`, those after it have `above` or larger ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) below: i64,
    pub(super) above: i64,
}

impl Gap {
    pub(super) const fn at(seq: i64) -> Self {
        Self {
            below: seq,
            above: seq.saturating_add(1),
        }
    }
}

/// The item with this id.
pub(super) fn find_item(
    db: &Connection,
    of: Scope,
    next_seq: i64,
    id: Bits,
) -> rusqlite::Result<Option<ItemAt>> {
    let seq = lower_bound(db, of, next_seq, id)?;
    Ok(first(db, of, seq, next_seq)?.filter(|item| item.id == id))
}

/// The first item whose id is within the span.
pub(super) fn first_within(
    db: &Connection,
    of: Scope,
    next_seq: i64,
    ids: Span,
) -> rusqlite::Result<Option<ItemAt>> {
    let seq = lower_bound(db, of, next_seq, ids.low)?;
    Ok(first(db, of, seq, next_seq)?.filter(|item| item.id <= ids.high))
}

/// The place of a range of ids.
pub(super) fn gap(
    db: &Connection,
    of: Scope,
    next_seq: i64,
    ids: Ref<ItemId>,
) -> rusqlite::Result<Gap> {
    let below = lower_bound(db, of, next_seq, ids.low().into())?;
    let above = match ids.high().checked_add(1) {
        Some(next) => lower_bound(db, of, next_seq, next.into())?,
        None => next_seq,
    };
    Ok(Gap { below, above })
}

/// A number such that all items below it have ids below `id`, and all others do not.
fn lower_bound(db: &Connection, of: Scope, next_seq: i64, id: Bits) -> rusqlite::Result<i64> {
    let (mut low, mut high) = (0, next_seq);
    while low < high {
        let middle = low.midpoint(high);
        match first(db, of, middle, high)? {
            Some(item) if item.id < id => low = item.seq.saturating_add(1),
            // Removed items leave holes, so there may be nothing between.
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

/// The first item from `low` on and before `end`.
fn first(db: &Connection, of: Scope, low: i64, end: i64) -> rusqlite::Result<Option<ItemAt>> {
    let last = end.saturating_sub(1);
    db.prepare_cached(sql::FIRST_ITEM)?
        .query_row(params![of.project, of.conversation, low, last], |row| {
            Ok(ItemAt {
                seq: row.get(0)?,
                id: row.get(1)?,
                modified_at: row.get(2)?,
            })
        })
        .optional()
}
