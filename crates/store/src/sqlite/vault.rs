//! Opens the keyring that belongs to a database, and brings both into step.
//!
//! Invariant: a keyring that is absent, another store's, older or shorter than the database records is
//! an error, and then nothing is changed, least of all swept.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use parlance_domain::Timestamp;
use parlance_domain::fault::Chain;
use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, OptionalExtension, params};

use super::open::{OpenError, driver};
use super::value::{Bits, count, read_key_ref};
use super::{Host, Keys, erasures, sql};
use crate::keyring::{KeyRef, Keyring, KeyringError, Mark, Options, Root, RootFile};
use crate::seal::Vault;

/// The keyring's name in the data directory.
pub(super) const FOLDER: &str = "keyring";
/// How long the filling thread sleeps at most, and how long it waits where the disk is full.
const FILLING_PAUSE: Duration = Duration::from_secs(1);

/// What the database records of its keyring.
struct Recorded {
    store: [u8; 16],
    ready: bool,
    mark: Mark,
}

/// Refuses to make a database beside a keyring: that belongs to another one, which may come back.
pub(super) fn refuse_orphan(
    host: &Host,
    dir: &Path,
    is_new: bool,
    keys: &Keys,
) -> Result<(), OpenError> {
    let path = dir.join(FOLDER);
    match keys {
        Keys::Keyring { .. } if is_new && host.has(&path)? => Err(OpenError::Orphaned { path }),
        Keys::Keyring { .. } | Keys::None { .. } => Ok(()),
    }
}

/// Opens the keyring, or makes it for a new database, and settles what a crash or a restored copy has
/// left on either side.
pub(super) fn open(
    (dir, db): (&Path, &Connection),
    root: Option<Arc<dyn Root>>,
    mirror: Option<PathBuf>,
    host: &Host,
    now: Timestamp,
) -> Result<Vault, OpenError> {
    let folder = dir.join(FOLDER);
    let recorded = match recorded(db).map_err(driver("reading what it records"))? {
        Some(recorded) => recorded,
        None => introduce(db)?,
    };
    let root = root.unwrap_or_else(|| {
        let disk = Arc::clone(&host.disk);
        Arc::new(RootFile::beside_on(disk, &folder, mirror.as_deref()))
    });
    let over = |keyring| Vault::over(keyring).with_end(Arc::clone(&host.end));
    let options = Options { mirror, root };
    if recorded.ready {
        let keyring = Keyring::open_on(
            &*host.disk,
            &folder,
            recorded.store,
            recorded.mark,
            &options,
        )?;
        settle(db, &keyring, now)?;
        return Ok(over(keyring));
    }
    // Nothing is sealed yet. A start that was cut off here before is gone on with.
    let keyring = Keyring::create_on(&*host.disk, &folder, recorded.store, &options)?;
    make_ready(db, keyring.mark()).map_err(driver("recording its keyring"))?;
    Ok(over(keyring))
}

fn recorded(db: &Connection) -> rusqlite::Result<Option<Recorded>> {
    db.query_row("SELECT id, ready, epoch, segments FROM store", [], |row| {
        Ok(Recorded {
            store: row.get(0)?,
            ready: row.get(1)?,
            mark: Mark {
                epoch: count(row.get(2)?),
                segments: row.get(3)?,
            },
        })
    })
    .optional()
}

/// Which store's the database is, and how far it records that its keyring has come; none if it has no keyring
/// yet.
pub(crate) fn recorded_mark(db: &Connection) -> rusqlite::Result<Option<([u8; 16], Mark)>> {
    let recorded = recorded(db)?.filter(|recorded| recorded.ready);
    Ok(recorded.map(|recorded| (recorded.store, recorded.mark)))
}

/// Gives a new database its id.
fn introduce(db: &Connection) -> Result<Recorded, OpenError> {
    let mut store = [0; 16];
    SystemRandom::new()
        .fill(&mut store)
        .map_err(|_| OpenError::Random)?;
    db.execute(
        "INSERT INTO store (only, id, ready, epoch, segments) VALUES (1, ?1, 0, 0, 0)",
        params![store],
    )
    .map_err(driver("giving it an id"))?;
    Ok(Recorded {
        store,
        ready: false,
        mark: Mark::default(),
    })
}

fn make_ready(db: &Connection, mark: Mark) -> rusqlite::Result<()> {
    super::writer::record(db, mark)?;
    db.execute("UPDATE store SET ready = 1", [])?;
    Ok(())
}

/// Tells the keyring what is alive, and buries what has lost its key: that was erased, and this
/// database is a copy from before.
fn settle(db: &Connection, keyring: &Keyring, now: Timestamp) -> Result<(), OpenError> {
    let live = every_key(db).map_err(driver("reading the names of its keys"))?;
    let erased: BTreeSet<KeyRef> = keyring.settle(live.into_iter())?.into_iter().collect();
    if erased.is_empty() {
        return Ok(());
    }
    tracing::warn!(
        erased = erased.len(),
        "the database holds what was erased after it was written: it is removed now"
    );
    bury(db, &erased, now).map_err(driver("removing what was erased"))
}

fn every_key(db: &Connection) -> rusqlite::Result<Vec<KeyRef>> {
    let mut select = db.prepare(sql::EVERY_KEY)?;
    select.query_map([], |row| read_key_ref(row, 0))?.collect()
}

/// Removes the conversations whose keys are gone, and the content of apps, keys and holds that lost theirs.
fn bury(db: &Connection, erased: &BTreeSet<KeyRef>, now: Timestamp) -> rusqlite::Result<()> {
    let work = db.unchecked_transaction()?;
    let mut gone: Vec<(i64, Bits)> = Vec::new();
    {
        let mut select = work.prepare(sql::EVERY_CONVERSATION)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            if erased.contains(&read_key_ref(row, 2)?) {
                gone.push((row.get(0)?, row.get(1)?));
            }
        }
    }
    for (project, conversation) in gone {
        work.execute(sql::DELETE, params![project, conversation])?;
        // Its receipt was begun where it was deleted; this copy of the database knows of none.
        work.execute(
            sql::PURGE_LATER,
            params![project, conversation, None::<Bits>],
        )?;
    }
    for key in erased {
        // Whoever has no log of that time learns of it so.
        erasures::note(&work, *key, now.micros())?;
        let generation = super::value::number(key.generation);
        work.execute(sql::BLANK_APP, params![key.slot, generation])?;
        work.execute(sql::BLANK_KEY, params![key.slot, generation])?;
        work.execute(sql::BLANK_HOLD, params![key.slot, generation])?;
    }
    work.commit()
}

/// The thread that fills slots ahead, so that a new record never waits for a sync of its own. It has
/// ended when this is dropped: nobody else may open the keyring before.
pub(super) struct Filler {
    vault: Arc<Vault>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Filler {
    /// Starts it, where there is a keyring to fill. Unless it `is_wanted`, whoever takes a key fills them.
    pub(super) fn start(vault: &Arc<Vault>, is_wanted: bool) -> io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let mut filler = Self {
            vault: Arc::clone(vault),
            stopping,
            thread: None,
        };
        if is_wanted && vault.keyring().is_some() {
            let (vault, stopping) = (Arc::clone(vault), Arc::clone(&filler.stopping));
            let builder = Builder::new().name("parlance-keyring".to_owned());
            filler.thread = Some(builder.spawn(move || fill(&vault, &stopping))?);
        }
        Ok(filler)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(keyring) = self.vault.keyring() {
            keyring.wake();
        }
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the thread that fills the keyring has panicked");
        }
    }
}

fn fill(vault: &Vault, stopping: &AtomicBool) {
    let Some(keyring) = vault.keyring() else {
        return;
    };
    while !stopping.load(Ordering::Acquire) {
        if !keyring.wait_for_want(FILLING_PAUSE) {
            continue;
        }
        if !fill_some(vault, keyring) {
            std::thread::park_timeout(FILLING_PAUSE);
        }
    }
}

/// Fills a batch of slots if it is time to. False if there is no room.
pub(super) fn fill_some(vault: &Vault, keyring: &Keyring) -> bool {
    match keyring.refill() {
        Ok(()) => true,
        Err(error @ KeyringError::Empty(_)) => {
            tracing::warn!(error = %Chain(&error), "there is no room for new keys");
            false
        }
        Err(error) => {
            tracing::error!(error = %Chain(&error), "the keyring failed: stopping at once");
            vault.end();
        }
    }
}
