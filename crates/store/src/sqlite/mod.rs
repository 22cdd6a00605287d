//! SQLite: one file, one thread that writes, a few connections that read.

mod admin;
mod apply;
mod encode;
mod list;
mod migrate;
mod open;
mod pool;
mod read;
mod search;
mod sql;
mod sweep;
mod value;
mod writer;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use parlance_domain::clock::Timestamp;
use parlance_domain::ids::{AppId, ConversationRef, TurnId};
use parlance_domain::model::{
    App, Conversation, ConversationQuery, Item, ItemQuery, ItemRef, KeyDigest, KeyRecord, Page,
    Principal, Project, ProjectId, Turn,
};
use parlance_domain::store::{AdminWrite, Batch, Outcome, Store, StoreError};
use rusqlite::Connection;

use self::encode::Encoder;
use self::pool::Pool;
use self::read::Reader;
use self::value::{Trouble, Who};
use self::writer::Writer;
use crate::seal::{Clear, Sealer};

pub use self::open::OpenError;

/// The database's name in the data directory.
const FILE: &str = "parlance.db";
/// Pages that one emptying of the WAL gives back to the file system. Few, because writers wait for it.
const VACUUM_PAGES: u32 = 128;

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Loss of power: every commit is synced.
    #[default]
    Power,
    /// The end of the process, however sudden. Loss of power may take the last commits, never break
    /// the database.
    Process,
}

/// How a database is opened.
pub struct Options {
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// Connections that read.
    pub readers: usize,
    /// What seals content. None stores it in the clear, with hashes keyed by a secret in the database.
    pub sealer: Option<Arc<dyn Sealer>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Power,
            readers: 3,
            sealer: None,
        }
    }
}

/// A store in an SQLite database.
pub struct Sqlite {
    // Taken only when it is dropped: the writer ends when nobody can send to it any more.
    writer: Option<Writer>,
    readers: Pool,
    sealer: Arc<dyn Sealer>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Sqlite {
    /// Opens the database in this directory, or makes it. Blocks for a few syncs.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        let path = dir.join(FILE);
        let db = open::writer(&path, options.durability)?;
        let sealer = match options.sealer {
            Some(sealer) => sealer,
            None => Arc::new(Clear::new(&open::hashing_secret(&db)?)),
        };
        let readers = (0..options.readers.max(1))
            .map(|_| open::reader(&path))
            .collect::<Result<_, _>>()?;
        let (writer, thread) = Writer::start(db).map_err(OpenError::Thread)?;
        Ok(Self {
            writer: Some(writer),
            readers: Pool::new(readers),
            sealer,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Writes what is waiting, empties the WAL and ends the writer. Later writes are refused.
    pub async fn close(&self) {
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
        let thread = self.take_thread();
        let ended = tokio::task::spawn_blocking(move || join(thread)).await;
        if ended.is_err() {
            tracing::error!("the end of the writing thread could not be awaited");
        }
    }

    /// Gives free pages back to the file system and empties the WAL, so that nothing that was deleted
    /// lingers in it. False if a reader was in the way: then it should be tried again.
    pub async fn checkpoint_truncate(&self) -> Result<bool, StoreError> {
        self.writer()?
            .outside("emptying the WAL", |db| {
                vacuum(db)?;
                writer::checkpoint(db)
            })
            .await
    }

    fn take_thread(&self) -> Option<JoinHandle<()>> {
        self.thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn writer(&self) -> Result<&Writer, StoreError> {
        self.writer.as_ref().ok_or(StoreError::Unavailable {
            during: "shutting down",
            source: None,
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        during: &'static str,
        work: impl FnOnce(&Connection, &dyn Sealer) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        let sealer = Arc::clone(&self.sealer);
        self.readers
            .read(during, move |db| work(db, &*sealer))
            .await
    }

    async fn read_as<T: Send + 'static>(
        &self,
        who: &Principal,
        during: &'static str,
        work: impl FnOnce(&Reader<'_>) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (project, who) = (who.project, Who::of(who, &*self.sealer));
        self.read(during, move |db, sealer| {
            work(&Reader {
                db,
                project,
                who,
                sealer,
            })
        })
        .await
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        drop(self.writer.take());
        join(self.take_thread());
    }
}

fn join(thread: Option<JoinHandle<()>>) {
    let ended = thread.map_or(Ok(()), JoinHandle::join);
    if ended.is_err() {
        tracing::error!("the writing thread has panicked");
    }
}

fn vacuum(db: &Connection) -> rusqlite::Result<()> {
    let mut vacuum = db.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    let mut freed = vacuum.query([])?;
    // Each step gives back one page.
    while freed.next()?.is_some() {}
    Ok(())
}

#[async_trait]
impl Store for Sqlite {
    async fn conversation(
        &self,
        who: &Principal,
        id: ConversationRef,
    ) -> Result<Option<Conversation>, StoreError> {
        self.read_as(who, "reading a conversation", move |reader| {
            reader.conversation(id.into())
        })
        .await
    }

    async fn conversations(
        &self,
        who: &Principal,
        query: &ConversationQuery,
    ) -> Result<Page<Conversation>, StoreError> {
        let query = query.clone();
        self.read_as(who, "listing conversations", move |reader| {
            reader.conversations(&query)
        })
        .await
    }

    async fn items(
        &self,
        who: &Principal,
        of: ConversationRef,
        query: &ItemQuery,
    ) -> Result<Page<Item>, StoreError> {
        let query = query.clone();
        self.read_as(who, "listing items", move |reader| {
            reader.items(of.into(), &query)
        })
        .await
    }

    async fn item(
        &self,
        who: &Principal,
        of: ConversationRef,
        item: &ItemRef,
    ) -> Result<Item, StoreError> {
        let item = item.clone();
        self.read_as(who, "reading an item", move |reader| {
            reader.item(of.into(), &item)
        })
        .await
    }

    async fn turns(
        &self,
        who: &Principal,
        of: ConversationRef,
        turns: &[TurnId],
    ) -> Result<Vec<Turn>, StoreError> {
        let turns = turns.to_owned();
        self.read_as(who, "reading turns", move |reader| {
            reader.turns(of.into(), &turns)
        })
        .await
    }

    async fn apply(&self, who: &Principal, batch: &Batch) -> Result<Vec<Outcome>, StoreError> {
        let encoder = Encoder {
            project: who.project,
            sealer: &*self.sealer,
        };
        let encoded = encoder.batch(who, batch)?;
        self.writer()?.apply(encoded).await
    }

    async fn key(&self, digest: &KeyDigest) -> Result<Option<KeyRecord>, StoreError> {
        let digest = *digest;
        self.read("looking up a key", move |db, sealer| {
            admin::key(db, sealer, digest)
        })
        .await
    }

    async fn projects(&self) -> Result<Vec<Project>, StoreError> {
        self.read("listing projects", |db, _| admin::projects(db))
            .await
    }

    async fn apps(&self, project: ProjectId) -> Result<Vec<App>, StoreError> {
        self.read("listing apps", move |db, sealer| {
            admin::apps(db, sealer, project)
        })
        .await
    }

    async fn app(&self, project: ProjectId, id: AppId) -> Result<Option<App>, StoreError> {
        self.read("reading an app", move |db, sealer| {
            admin::app(db, sealer, project, id)
        })
        .await
    }

    async fn keys(&self, project: ProjectId) -> Result<Vec<KeyRecord>, StoreError> {
        self.read("listing keys", move |db, sealer| {
            admin::keys(db, sealer, project)
        })
        .await
    }

    async fn administer(&self, write: &AdminWrite) -> Result<(), StoreError> {
        let write = admin::Encoded::of(&*self.sealer, write)?;
        self.writer()?
            .transact("administering", move |db| admin::administer(db, &write))
            .await
    }

    async fn fail_running_turns(&self, at: Timestamp) -> Result<u64, StoreError> {
        self.writer()?
            .transact("ending turns", move |db| admin::fail_running_turns(db, at))
            .await
    }

    async fn sweep(&self, forget_before: Timestamp) -> Result<bool, StoreError> {
        let before = forget_before.micros();
        self.writer()?
            .transact("sweeping", move |db| sweep::sweep(db, before))
            .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        if self.writer()?.is_broken() {
            return Err(StoreError::Unavailable {
                during: "writing",
                source: None,
            });
        }
        self.read("answering a ping", |db, _| {
            Ok(db.query_row("SELECT 1", [], |_| Ok(()))?)
        })
        .await
    }
}
