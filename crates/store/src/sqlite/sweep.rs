//! Removes what deleted conversations have left, a little at a time.

use std::time::Duration;

use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, ToSql, params};
use tokio::time::Instant;

use super::apply::Scope;
use super::sql;
use super::value::{Bits, Trouble};

/// Rows that one statement removes.
const STEP_ROWS: i64 = 32;
/// Bytes of content that one statement removes, unless a single item has more: all of it is overwritten.
const STEP_BYTES_MAX: i64 = 256 << 10;
/// Rows that one sweep removes.
const SWEEP_ROWS_MAX: i64 = 500;
/// How long one sweep may keep other writers waiting, about.
const SWEEP_TIME_MAX: Duration = Duration::from_millis(2);
/// Pages that are given back to the file system at once. Few, because writers wait for it.
const VACUUM_PAGES: u32 = 8;
/// Free pages that are kept for what is written next, 4 MB: what comes and goes takes no pages anew.
const FREE_PAGES_KEPT: u32 = 1_024;

/// Removes a chunk of rows, or forgets a chunk of tombstones and of logged erasures where no rows are left.
/// True as long as there may be more.
///
/// A tombstone is forgotten only when nothing waits to be purged, so never before its own rows.
pub(super) fn sweep(db: &Connection, forget_before: i64) -> Result<bool, Trouble> {
    let mut budget = Budget {
        began: Instant::now(),
        rows: SWEEP_ROWS_MAX,
    };
    // Several, because many small ones come at once where many are erased.
    let mut any = false;
    while let Some((scope, receipt)) = next_purge(db)? {
        any = true;
        if !purge_some(db, scope, &mut budget)? {
            return Ok(true);
        }
        db.prepare_cached(sql::PURGED)?
            .execute(params![scope.project, scope.conversation])?;
        db.prepare_cached(sql::WAITS_NO_MORE)?
            .execute(params![scope.project, receipt])?;
        if budget.is_spent() {
            return Ok(true);
        }
    }
    if any {
        return Ok(true);
    }
    let mut has_more = false;
    for forget in [sql::FORGET, sql::FORGET_ERASED] {
        let forgotten = db
            .prepare_cached(forget)?
            .execute(params![forget_before, SWEEP_ROWS_MAX])?;
        has_more |= rows(forgotten) == SWEEP_ROWS_MAX;
    }
    Ok(has_more)
}

/// What one sweep may still do.
struct Budget {
    began: Instant,
    rows: i64,
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.rows == 0 || self.began.elapsed() > SWEEP_TIME_MAX
    }
}

/// A conversation that has left something, and the receipt that waits for it to be gone.
fn next_purge(db: &Connection) -> rusqlite::Result<Option<(Scope, Option<Bits>)>> {
    let mut select = db.prepare_cached(sql::NEXT_PURGE)?;
    let next = select.query_row([], |row| {
        let scope = Scope {
            project: row.get(0)?,
            conversation: row.get(1)?,
        };
        Ok((scope, row.get(2)?))
    });
    next.optional()
}

/// True if nothing is left.
fn purge_some(db: &Connection, scope: Scope, budget: &mut Budget) -> Result<bool, Trouble> {
    // Turns first: until they are gone, whoever lists turns has to step over them.
    for step in [purge_turns, purge_items, purge_aliases] {
        loop {
            if budget.is_spent() {
                return Ok(false);
            }
            let gone = step(db, scope, budget.rows.min(STEP_ROWS))?;
            if gone == 0 {
                break;
            }
            budget.rows = budget.rows.saturating_sub(gone);
        }
    }
    Ok(true)
}

/// Removes some of the first items. Gives their number: 0 when there are none left, as the others do.
fn purge_items(db: &Connection, scope: Scope, count_max: i64) -> Result<i64, Trouble> {
    let statements = (sql::FIRST_SIZES, sql::PURGE_FIRST_ITEMS);
    purge_first::<i64>(db, scope, count_max, statements)
}

fn purge_turns(db: &Connection, scope: Scope, count_max: i64) -> Result<i64, Trouble> {
    let statements = (sql::FIRST_TURN_SIZES, sql::PURGE_FIRST_TURNS);
    purge_first::<Bits>(db, scope, count_max, statements)
}

/// Removes the first rows, by a key and by how long their content is.
fn purge_first<K: FromSql + ToSql>(
    db: &Connection,
    scope: Scope,
    count_max: i64,
    (sizes, purge): (&str, &str),
) -> Result<i64, Trouble> {
    let mut select = db.prepare_cached(sizes)?;
    let mut sizes = select.query(params![scope.project, scope.conversation, count_max])?;
    let (mut last, mut bytes) = (None, 0_i64);
    while let Some(row) = sizes.next()? {
        bytes = bytes.saturating_add(row.get(1)?);
        if bytes > STEP_BYTES_MAX && last.is_some() {
            break;
        }
        last = Some(row.get::<_, K>(0)?);
    }
    let Some(last) = last else {
        return Ok(0);
    };
    drop(sizes);
    let gone =
        db.prepare_cached(purge)?
            .execute(params![scope.project, scope.conversation, last])?;
    Ok(rows(gone))
}

fn purge_aliases(db: &Connection, scope: Scope, count_max: i64) -> Result<i64, Trouble> {
    let gone = db
        .prepare_cached(sql::PURGE_SOME_ALIASES)?
        .execute(params![scope.project, scope.conversation, count_max])?;
    Ok(rows(gone))
}

fn rows(changed: usize) -> i64 {
    i64::try_from(changed).unwrap_or(i64::MAX)
}

/// Gives some free pages back to the file system, where there are more than are kept for what is written
/// next, or none are to be kept. True as long as there may be more to give.
pub(super) fn vacuum(db: &Connection, keep: bool) -> rusqlite::Result<bool> {
    let free: u32 = db
        .prepare_cached("PRAGMA freelist_count")?
        .query_row([], |row| row.get(0))?;
    if free <= if keep { FREE_PAGES_KEPT } else { 0 } {
        return Ok(false);
    }
    let mut vacuum = db.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    let mut freed = vacuum.query([])?;
    // Each step gives back one page.
    while freed.next()?.is_some() {}
    Ok(true)
}
