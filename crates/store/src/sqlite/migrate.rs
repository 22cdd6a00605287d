//! Brings the schema up to date.
//!
//! `user_version` is the number of the last migration that was applied. A checksum of each is kept,
//! so that a database which was migrated by something else is noticed.

use ring::digest;
use rusqlite::{Connection, TransactionBehavior, params};

use super::open::{OpenError, driver};

/// All migrations, the first one first. One that was released is never changed.
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/sqlite/0001_start.sql")];

const MIGRATING: &str = "migrating it";

/// Applies what is missing, each migration in a transaction of its own.
pub(super) fn migrate(db: &mut Connection) -> Result<(), OpenError> {
    let found: i64 = db
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(driver("reading its version"))?;
    let known = (1..).zip(MIGRATIONS).last().map_or(0, |(number, _)| number);
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    for (number, text) in (1..).zip(MIGRATIONS.iter().copied()) {
        if number <= found {
            check(db, number, text)?;
        } else {
            apply(db, number, text).map_err(driver(MIGRATING))?;
        }
    }
    Ok(())
}

fn check(db: &Connection, number: i64, text: &str) -> Result<(), OpenError> {
    let kept: Vec<u8> = db
        .query_row(
            "SELECT checksum FROM migrations WHERE number = ?1",
            params![number],
            |row| row.get(0),
        )
        .map_err(driver("reading its migrations"))?;
    if kept == checksum(text) {
        return Ok(());
    }
    Err(OpenError::Foreign { number })
}

fn apply(db: &mut Connection, number: i64, text: &str) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations ( \
            number INTEGER NOT NULL PRIMARY KEY, checksum BLOB NOT NULL) STRICT",
    )?;
    transaction.execute_batch(text)?;
    transaction.execute(
        "INSERT INTO migrations (number, checksum) VALUES (?1, ?2)",
        params![number, checksum(text)],
    )?;
    transaction.pragma_update(None, "user_version", number)?;
    transaction.commit()
}

fn checksum(text: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, text.as_bytes())
        .as_ref()
        .to_owned()
}
