//! SQLite: one file, one thread that writes, a few connections that read.

mod admin;
mod apply;
mod bury;
mod encode;
mod ending;
mod erasing;
mod erasures;
mod holds;
mod host;
mod keeping;
mod list;
mod migrate;
mod open;
mod options;
mod pool;
mod read;
mod receipts;
mod references;
mod rekey;
mod renew;
mod sealers;
mod search;
mod sql;
mod sweep;
mod turning;
mod turns;
mod value;
mod vault;
mod writer;

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use async_trait::async_trait;
use parlance_domain::clock::{Clock, Timestamp};
use parlance_domain::ids::{AppId, ConversationId, ConversationRef, ReceiptId, Ref, TurnId};
use parlance_domain::model::{
    App, Conversation, ConversationQuery, Due, Item, ItemQuery, ItemRef, KeyDigest, KeyRecord,
    Page, Principal, Project, ProjectId, ReceiptEntry, ReceiptRecord, Turn, TurnQuery,
};
use parlance_domain::store::{AdminWrite, Batch, Outcome, RootRenewal, Store, StoreError};
use rusqlite::Connection;
use zeroize::Zeroizing;

use self::admin::FoundKey;
use self::encode::Encoder;
use self::host::Host;
use self::pool::Pool;
use self::read::Reader;
use self::references::References;
use self::value::{Trouble, Who};
use self::vault::Filler;
use self::writer::{Ballast, Room, Tools, Wiped, Writer};
use crate::erasures::ErasureLog;
use crate::keyring::{KeyRef, Keyring};
use crate::seal::Vault;

pub(crate) use self::erasures::unlogged;
pub(crate) use self::keeping::{make_ready_again, open_as_it_is};
pub use self::open::OpenError;
pub use self::options::{Durability, Keys, Options};
pub(crate) use self::value::read_key_ref as key_ref;
pub(crate) use self::vault::recorded_mark;

/// The database's name in the data directory.
const FILE: &str = "parlance.db";

const LOOKING_UP: &str = "looking up a key";

/// A store in an SQLite database.
pub struct Sqlite {
    // Taken only when it is dropped: the writer ends when nobody can send to it any more.
    writer: Option<Writer>,
    readers: Pool,
    vault: Arc<Vault>,
    references: References,
    filler: Mutex<Option<Filler>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// None where there are no keys to be erased.
    log: Option<erasures::Log>,
    clock: Arc<dyn Clock>,
    dir: PathBuf,
    /// Whether the root key is a plain file in the keyring.
    has_root_file: bool,
}

impl Sqlite {
    fn open_on(host: &Host, dir: &Path, options: Options) -> Result<Self, OpenError> {
        let path = dir.join(FILE);
        let is_new = !host.has(&path)?;
        // Before the database is made, so that a refusal leaves everything as it was.
        vault::refuse_orphan(host, dir, is_new, &options.keys)?;
        let db = open::writer(host, &path, options.durability)?;
        let now = options.clock.now();
        let has_root_file = matches!(options.keys, Keys::Keyring { root: None, .. });
        let vault = Arc::new(match options.keys {
            Keys::Keyring {
                root,
                mirror,
                renewal,
            } => vault::open((dir, &db), root, mirror, host, now)?.with_renewal(renewal),
            Keys::None { hashing } => Vault::clear(&hashing),
        });
        let mut log = vault.keyring().map(|keyring| {
            let disk = Arc::clone(&host.disk);
            ErasureLog::new(disk, dir, keyring.store())
        });
        if let Some(log) = &mut log {
            erasures::complete(&db, log, &*options.clock)?;
        }
        let readers = (0..options.readers.max(1))
            .map(|_| open::reader(host, &path))
            .collect::<Result<_, _>>()?;
        let filler = Filler::start(&vault, host.fills_ahead).map_err(OpenError::Thread)?;
        let tools = Tools {
            writing: db,
            copying: open::copier(host, &path)?,
            vault: Arc::clone(&vault),
            ballast: Ballast::new(Arc::clone(&host.disk), dir, options.ballast_bytes),
        };
        let (writer, thread) = Writer::start(tools).map_err(OpenError::Thread)?;
        Ok(Self {
            writer: Some(writer),
            readers: Pool::new(readers),
            vault,
            references: References::default(),
            filler: Mutex::new(Some(filler)),
            thread: Mutex::new(Some(thread)),
            log: log.map(|log| Arc::new(tokio::sync::Mutex::new(log))),
            clock: options.clock,
            dir: dir.to_owned(),
            has_root_file,
        })
    }

    /// A secret of the store: always the same for the same name.
    pub fn secret(&self, name: &str) -> Zeroizing<[u8; 32]> {
        self.vault.secret(name)
    }

    /// Forgets the names of the keys of what was deleted.
    fn forget_deleted(&self, project: ProjectId, outcomes: &[Outcome]) {
        for outcome in outcomes {
            if let Outcome::Deleted { conversation, .. } = outcome {
                self.references.forget((project, *conversation));
            }
        }
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
        work: impl FnOnce(&Connection, &Vault) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.readers.read(during, move |db| work(db, &vault)).await
    }

    async fn read_as<T: Send + 'static>(
        &self,
        who: &Principal,
        during: &'static str,
        work: impl FnOnce(&Reader<'_>) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (project, who) = (who.project, Who::of(who, &self.vault));
        self.read(during, move |db, vault| {
            work(&Reader {
                db,
                project,
                who,
                vault,
            })
        })
        .await
    }
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

    async fn turn(&self, who: &Principal, turn: Ref<TurnId>) -> Result<Option<Turn>, StoreError> {
        self.read_as(who, "reading a turn", move |reader| reader.turn(turn))
            .await
    }

    async fn turn_page(
        &self,
        who: &Principal,
        query: &TurnQuery,
    ) -> Result<Page<Turn>, StoreError> {
        let query = query.clone();
        self.read_as(who, "listing turns", move |reader| reader.turn_page(&query))
            .await
    }

    async fn apply(&self, who: &Principal, batch: &Batch) -> Result<Vec<Outcome>, StoreError> {
        let (sealers, keyless) = self.sealers_for(who, batch).await?;
        let mut taken = BTreeMap::new();
        for conversation in encode::made(batch) {
            taken.insert(conversation, self.take_key()?);
        }
        let made: Vec<(ConversationId, KeyRef)> =
            taken.iter().map(|(id, taken)| (*id, taken.key())).collect();
        let project = who.project;
        let encoder = Encoder {
            project,
            vault: &self.vault,
            sealers,
            keyless,
            taken,
        };
        let encoded = encoder.batch(who, batch)?;
        let outcomes = self.writer()?.apply(encoded).await?;
        // Only now: an id may have been taken already, by a conversation with another key.
        for (conversation, key) in made {
            self.references.put((project, conversation), key);
        }
        self.forget_deleted(project, &outcomes);
        Ok(outcomes)
    }

    async fn erase(
        &self,
        project: ProjectId,
        conversation: ConversationRef,
        receipt: ReceiptId,
        at: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let outcomes = self
            .writer()?
            .apply(erasing::erasure(project, conversation, receipt, at))
            .await?;
        self.forget_deleted(project, &outcomes);
        let outcome = outcomes.into_iter().next();
        outcome.ok_or(StoreError::NoConversation)
    }

    async fn key(&self, digest: &KeyDigest) -> Result<Option<KeyRecord>, StoreError> {
        let digest = *digest;
        let look_up = move |db: &Connection, vault: &Vault| admin::key(db, vault, digest);
        match self.read(LOOKING_UP, look_up).await? {
            Some(FoundKey::Retired(_)) => self.read(LOOKING_UP, look_up).await?,
            found => found,
        }
        .map(FoundKey::whole)
        .transpose()
    }

    async fn projects(&self) -> Result<Vec<Project>, StoreError> {
        self.read("listing projects", |db, _| admin::projects(db))
            .await
    }

    async fn apps(&self, project: ProjectId) -> Result<Vec<App>, StoreError> {
        self.read("listing apps", move |db, vault| {
            admin::apps(db, vault, project)
        })
        .await
    }

    async fn app(&self, project: ProjectId, id: AppId) -> Result<Option<App>, StoreError> {
        self.read("reading an app", move |db, vault| {
            admin::app(db, vault, project, id)
        })
        .await
    }

    async fn keys(&self, project: ProjectId) -> Result<Vec<KeyRecord>, StoreError> {
        let listed = self.read("listing keys", move |db, vault| {
            admin::keys(db, vault, project)
        });
        let mut keys = Vec::new();
        for found in listed.await? {
            let found = match found {
                FoundKey::Retired(id) => {
                    let again = self.read(LOOKING_UP, move |db, vault| {
                        admin::key_of_id(db, vault, project, id)
                    });
                    again.await?
                }
                found @ FoundKey::Whole(_) => found,
            };
            keys.push(found.whole()?);
        }
        Ok(keys)
    }

    async fn administer(&self, write: &AdminWrite) -> Result<(), StoreError> {
        let taken = match admin::content(write) {
            Some(_) => Some(self.take_key()?),
            None => None,
        };
        let mark = self
            .vault
            .keyring()
            .filter(|_| taken.is_some())
            .map(Keyring::mark);
        let room = admin::room(write);
        let now = self.clock.now().micros();
        let write = admin::Encoded::of(&self.vault, write, taken)?;
        self.writer()?
            .transact_wiping(room, "administering", move |db| {
                let removed = admin::administer(db, &write)?;
                if let Some(key) = removed {
                    erasures::note(db, key, now)?;
                }
                if let Some(mark) = mark {
                    writer::record(db, mark)?;
                }
                // Kept before the commit, because a key must never go back once its row may be
                // there. If the commit fails, the next start finds that nothing refers to it.
                write.keep();
                Ok(removed)
            })
            .await
    }

    async fn fail_running_turns(&self, at: Timestamp) -> Result<u64, StoreError> {
        self.writer()?
            .transact(Room::Frees, "ending turns", move |db| {
                admin::fail_running_turns(db, at)
            })
            .await
    }

    async fn sweep(&self, forget_before: Timestamp) -> Result<bool, StoreError> {
        let before = forget_before.micros();
        self.writer()?
            .transact(Room::Frees, "sweeping", move |db| sweep::sweep(db, before))
            .await
    }

    async fn receipts_to_sign(&self, count_max: u32) -> Result<Vec<Due>, StoreError> {
        let due = self.read("looking for receipts", move |db, _| {
            receipts::due(db, count_max)
        });
        let mut due = due.await?;
        // What a reader sees may be committed without being wiped yet.
        if !due.is_empty() && self.writer()?.wiped().await? == Wiped::AndRenewed {
            due.iter_mut().for_each(rekey::is_renewed);
        }
        Ok(due)
    }

    async fn renew_root(&self) -> Result<RootRenewal, StoreError> {
        self.replace_root().await
    }

    async fn receipt_of(
        &self,
        who: &Principal,
        of: ConversationRef,
    ) -> Result<Option<ReceiptId>, StoreError> {
        self.read_as(who, "looking up a receipt", move |reader| {
            receipts::of(reader.db, &reader.who, of.into())
        })
        .await
    }

    async fn receipts(
        &self,
        project: ProjectId,
        after: Option<ReceiptId>,
        count_max: u32,
    ) -> Result<Vec<ReceiptEntry>, StoreError> {
        self.read("listing receipts", move |db, _| {
            receipts::list(db, project, after, count_max)
        })
        .await
    }

    async fn receipt(&self, id: ReceiptId) -> Result<Option<ReceiptRecord>, StoreError> {
        self.read("reading a receipt", move |db, _| receipts::one(db, id))
            .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let writer = self.writer()?;
        if writer.health().is_broken() || writer.health().is_failing() {
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
