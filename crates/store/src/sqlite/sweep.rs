//! Removes what deleted conversations have left, a little at a time.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use tokio::time::Instant;

use super::apply::Scope;
use super::sql;
use super::value::{Bits, Trouble};

/// Rows that one statement removes. Few, because a row can be a megabyte.
const STEP_ROWS: i64 = 32;
/// Rows that one sweep removes.
const SWEEP_ROWS_MAX: i64 = 1_000;
/// How long one sweep may keep other writers waiting, about.
const SWEEP_TIME_MAX: Duration = Duration::from_millis(4);
/// Pages that one emptying of the WAL gives back to the file system. Few, because writers wait for it.
const VACUUM_PAGES: u32 = 128;

/// Removes a chunk of rows, or forgets a chunk of tombstones where no rows are left. True as long as
/// there may be more.
///
/// A tombstone is forgotten only when nothing waits to be purged, so never before its own rows.
pub(super) fn sweep(db: &Connection, forget_before: i64) -> Result<bool, Trouble> {
    let next = db
        .prepare_cached(sql::NEXT_PURGE)?
        .query_row([], |row| {
            let scope = Scope {
                project: row.get(0)?,
                conversation: row.get(1)?,
            };
            Ok((scope, row.get::<_, Option<Bits>>(2)?))
        })
        .optional()?;
    if let Some((scope, receipt)) = next {
        if purge_some(db, scope)? {
            db.prepare_cached(sql::PURGED)?
                .execute(params![scope.project, scope.conversation])?;
            db.prepare_cached(sql::WAITS_NO_MORE)?
                .execute(params![scope.project, receipt])?;
        }
        return Ok(true);
    }
    let forgotten = db
        .prepare_cached(sql::FORGET)?
        .execute(params![forget_before, SWEEP_ROWS_MAX])?;
    Ok(rows(forgotten) == SWEEP_ROWS_MAX)
}

/// True if nothing is left.
fn purge_some(db: &Connection, scope: Scope) -> Result<bool, Trouble> {
    let began = Instant::now();
    let mut left = SWEEP_ROWS_MAX;
    let steps = [
        sql::PURGE_SOME_ITEMS,
        sql::PURGE_SOME_ALIASES,
        sql::PURGE_SOME_TURNS,
    ];
    for step in steps {
        let mut delete = db.prepare_cached(step)?;
        loop {
            if left == 0 || began.elapsed() > SWEEP_TIME_MAX {
                return Ok(false);
            }
            let wanted = left.min(STEP_ROWS);
            let gone = delete.execute(params![scope.project, scope.conversation, wanted])?;
            left = left.saturating_sub(rows(gone));
            if rows(gone) < wanted {
                break;
            }
        }
    }
    Ok(true)
}

fn rows(changed: usize) -> i64 {
    i64::try_from(changed).unwrap_or(i64::MAX)
}

/// Gives some free pages back to the file system.
pub(super) fn vacuum(db: &Connection) -> rusqlite::Result<()> {
    let mut vacuum = db.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    let mut freed = vacuum.query([])?;
    // Each step gives back one page.
    while freed.next()?.is_some() {}
    Ok(())
}
