//! What was erased, on its way to `erasures.log`.
//!
//! A delete notes its key in its own transaction, and the log is written afterwards: so no delete waits for
//! the log, none fails with it, and after a crash nothing is missing. What stands in the log is kept for a
//! day more, as long as a snapshot of the keyring may be, so that a log that is lost can be written again.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parlance_domain::fault::Chain;
use parlance_domain::store::StoreError;
use parlance_domain::{Clock, Timestamp};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::open::{OpenError, driver};
use super::value::{Trouble, count, number, time, unavailable};
use super::writer::Room;
use super::{Sqlite, sql};
use crate::erasures::{Erased, ErasureLog};
use crate::keyring::KeyRef;
use crate::seal::NO_KEY;

/// Keys that are written to the log at once.
const BATCH: u32 = 4_096;
/// How old the log's last line may get: whoever has a copy of it knows at least this exactly until when.
const UNTIL_EVERY: Duration = Duration::from_mins(10);

const LOGGING: &str = "writing the log of erasures";

/// The log, and the one that writes it.
pub(super) type Log = Arc<Mutex<ErasureLog>>;

/// Notes that a key is erased, in the transaction that does it.
pub(super) fn note(db: &Connection, key: KeyRef, at: i64) -> rusqlite::Result<()> {
    if key == NO_KEY {
        return Ok(());
    }
    db.prepare_cached(sql::NOTE_ERASED)?
        .execute(params![key.slot, number(key.generation), at])?;
    Ok(())
}

/// The next keys that were erased after a place, and the place of the last one.
fn erased_after(db: &Connection, place: i64) -> rusqlite::Result<(Vec<Erased>, i64)> {
    let mut select = db.prepare_cached(sql::ERASED_AFTER)?;
    let mut rows = select.query(params![place, BATCH])?;
    let (mut erased, mut last) = (Vec::new(), place);
    while let Some(row) = rows.next()? {
        last = row.get(0)?;
        erased.push(Erased {
            key: KeyRef {
                slot: row.get(1)?,
                generation: count(row.get(2)?),
            },
            at: time(row.get(3)?),
        });
    }
    Ok((erased, last))
}

/// The last place that is durably in the log.
fn logged(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached(sql::LOGGED)?
        .query_row([], |row| row.get(0))
}

fn set_logged(db: &Connection, place: i64) -> rusqlite::Result<()> {
    db.prepare_cached(sql::SET_LOGGED)?.execute([place])?;
    Ok(())
}

/// Completes the log when the store is opened. A log that is not there is made of what is still known. That
/// it cannot be written is no reason not to serve: it is tried again.
pub(super) fn complete(
    db: &Connection,
    log: &mut ErasureLog,
    clock: &dyn Clock,
) -> Result<(), OpenError> {
    let reading = || driver("reading what was erased");
    let exists = match log.exists() {
        Ok(exists) => exists,
        Err(error) => {
            complain(&error);
            return Ok(());
        }
    };
    let mut place = if exists {
        logged(db).map_err(reading())?
    } else {
        0
    };
    loop {
        let (erased, last) = erased_after(db, place).map_err(reading())?;
        if erased.is_empty() && (exists || log.last().is_some()) {
            return Ok(());
        }
        if let Err(error) = log.append(clock.now(), &erased) {
            complain(&error);
            return Ok(());
        }
        set_logged(db, last).map_err(driver("recording what was logged"))?;
        place = last;
    }
}

fn complain(error: &io::Error) {
    tracing::warn!(
        error = %Chain(error),
        "`erasures.log` is behind: what is missing in it is kept in the database, and written when it can be"
    );
}

impl Sqlite {
    /// Brings `erasures.log` up to date, and makes it durable. An error means that it is behind: nothing is
    /// lost, and the next call goes on with it.
    pub async fn log_erasures(&self) -> Result<(), StoreError> {
        self.bring_log_up_to_date(|last, now| last.later(UNTIL_EVERY) <= now)
            .await
    }

    /// The same at the end, so that the log says until when it knows everything.
    pub(super) async fn close_log(&self) {
        if let Err(error) = self.bring_log_up_to_date(|_, _| true).await {
            tracing::warn!(error = %Chain(&error), "`erasures.log` is behind until the next start");
        }
    }

    async fn bring_log_up_to_date(
        &self,
        is_old: impl Fn(Timestamp, Timestamp) -> bool,
    ) -> Result<(), StoreError> {
        let Some(log) = &self.log else {
            return Ok(());
        };
        let mut log = Arc::clone(log).lock_owned().await;
        loop {
            let now = self.clock.now();
            let (erased, last) = self
                .read(LOGGING, |db, _| Ok(erased_after(db, logged(db)?)?))
                .await?;
            let is_all = erased.is_empty();
            if is_all && !log.last().is_some_and(|last| is_old(last, now)) {
                return Ok(());
            }
            let written = spawn_blocking(move || {
                let written = if is_all {
                    log.note_until(now)
                } else {
                    log.append(now, &erased)
                };
                (log, written)
            });
            let (returned, written) = written.await.map_err(|error| unavailable(LOGGING, error))?;
            written.map_err(|error| unavailable(LOGGING, error))?;
            if is_all {
                return Ok(());
            }
            log = returned;
            self.writer()?
                .transact(Room::Frees, LOGGING, move |db| {
                    set_logged(db, last).map_err(Trouble::from)
                })
                .await?;
        }
    }
}

/// What a store's database knows of erasures that is not in its log yet; none if it is another store's, or of
/// a version that did not know of them. For a database that nobody uses.
pub(crate) fn unlogged(path: &Path, store: &[u8; 16]) -> rusqlite::Result<Option<Vec<Erased>>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    if !db.table_exists(None, "erasures")? {
        return Ok(None);
    }
    let own: Option<[u8; 16]> = db
        .query_row("SELECT id FROM store", [], |row| row.get(0))
        .optional()?;
    if own != Some(*store) {
        return Ok(None);
    }
    let mut place = logged(&db)?;
    let mut all = Vec::new();
    loop {
        let (erased, last) = erased_after(&db, place)?;
        if erased.is_empty() {
            return Ok(Some(all));
        }
        all.extend(erased);
        place = last;
    }
}
