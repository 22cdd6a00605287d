//! The use-cases: what a dialect, the command line or the console can have done.
//!
//! Handlers translate, services decide, stores store.

mod access;
mod admin;
mod conversations;
mod erasing;
mod holds;
mod items;
mod models;
mod receipts;
mod turns;

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::clock::{Clock, Timestamp};
use crate::fault::{Conflict, Error, Fault, Noun};
use crate::ids::{Id, IdSource, TurnId};
use crate::model::Principal;
use crate::notary::Notary;
use crate::receipt_log::LogHead;
use crate::store::{Batch, Outcome, Store, StoreError, Write};
use crate::tasks::Tasks;
use crate::upstream::Model;

pub use access::Access;
pub use admin::{MadeKey, NewKey};
pub use conversations::{ConversationDraft, Deleted};
pub use erasing::{EraseOrder, Erasure, Tally};
pub use holds::{AddedHold, HoldTarget};
pub use items::{Appended, ItemDraft};
pub use models::{Chosen, ModelEntry};
pub use receipts::LogExport;
pub use turns::{
    Begun, Closing, Half, ItemName, OutputKind, Overflow, PieceKind, TurnDraft, TurnEnd, TurnEvent,
    TurnStream, TurnTarget,
};

/// How often a write is tried again when somebody else was faster.
const ATTEMPTS_MAX: u32 = 8;

/// What an operator can set of the rules.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Refuse model names and bot ids that name no app, instead of taking the key's app.
    pub strict_names: bool,
    /// The model that answers where an app names none.
    pub default_model: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            strict_names: false,
            default_model: "echo".to_owned(),
        }
    }
}

/// What the service needs of the world.
pub struct Ports {
    /// Where conversations are kept.
    pub store: Arc<dyn Store>,
    /// What answers.
    pub model: Arc<dyn Model>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where ids and secrets come from.
    pub ids: Arc<IdSource>,
    /// Where background work runs.
    pub tasks: Tasks,
    /// Who signs receipts.
    pub notary: Arc<Notary>,
}

/// All use-cases. Cloned freely; all clones are one.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    ports: Ports,
    settings: Settings,
    access: access::Cache,
    turns: turns::Registry,
    waiting: turns::Waiting,
    /// Held by whoever signs receipts. How far their log has come, if that is known for certain.
    signing: tokio::sync::Mutex<Option<LogHead>>,
}

impl Service {
    /// The service over these ports.
    pub fn new(ports: Ports, settings: Settings) -> Self {
        let (access, turns) = (access::Cache::default(), turns::Registry::default());
        let waiting = turns::Waiting::default();
        Self {
            inner: Arc::new(Inner {
                ports,
                settings,
                access,
                turns,
                waiting,
                signing: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.inner.ports.clock.now()
    }

    /// A new id.
    pub fn new_id<I: Id>(&self) -> I {
        self.inner.ports.ids.next()
    }

    /// Fills `bytes` with secret random bits.
    pub fn fill_random(&self, bytes: &mut [u8]) {
        self.inner.ports.ids.fill_random(bytes);
    }

    /// Where background work runs.
    pub fn tasks(&self) -> &Tasks {
        &self.inner.ports.tasks
    }

    /// Whether the store answers.
    pub async fn ready(&self) -> Result<(), Error> {
        self.store().ping().await.map_err(fault)
    }

    /// Does something to its end, whether or not whoever asked for it stays: where a write is not all
    /// that is to be done.
    async fn see_through<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        self.tasks().spawn(async move {
            // Whoever asked may be gone.
            drop(tell.send(work.await));
        });
        told.await.unwrap_or_else(|_| Err(Fault::Internal.into()))
    }

    fn store(&self) -> &dyn Store {
        &*self.inner.ports.store
    }

    fn ids(&self) -> &IdSource {
        &self.inner.ports.ids
    }

    /// Applies a batch. Where an id of it turns out to be taken or not to rise, new ones are given
    /// and it is tried again.
    async fn apply(&self, who: &Principal, batch: &mut Batch) -> Result<Vec<Outcome>, StoreError> {
        self.apply_renewing(who, batch, |_| {}).await
    }

    /// The same; `renewed` is given the batch each time that it has new ids.
    async fn apply_renewing(
        &self,
        who: &Principal,
        batch: &mut Batch,
        renewed: impl Fn(&mut Batch) + Send + Sync,
    ) -> Result<Vec<Outcome>, StoreError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.store().apply(who, batch).await {
                Err(StoreError::StaleItemId { last }) if attempt < ATTEMPTS_MAX => {
                    self.ids().advance_past(last);
                }
                Err(StoreError::IdClash) if attempt < ATTEMPTS_MAX => {}
                result => return result,
            }
            self.renew_ids(batch);
            renewed(batch);
        }
    }

    fn renew_ids(&self, batch: &mut Batch) {
        let mut made = None;
        for write in &mut batch.writes {
            let items = match write {
                Write::Create(new) => {
                    new.id = self.new_id();
                    made = Some(new.id);
                    &mut new.items
                }
                Write::Append { items, .. } => items,
                Write::StartTurn {
                    conversation,
                    turn,
                    input,
                    ..
                } => {
                    let stands_alone = turn.bits() == conversation.bits();
                    // A turn in a new conversation follows it to its new id.
                    *conversation = made.unwrap_or(*conversation);
                    if stands_alone {
                        *turn = TurnId::from_bits(conversation.bits());
                    }
                    input
                }
                Write::FinishTurn { output, .. } => output,
                Write::SetTitle { .. }
                | Write::SetMetadata { .. }
                | Write::SetActive { .. }
                | Write::StartSection { .. }
                | Write::ReplaceItem { .. }
                | Write::RemoveItems { .. }
                | Write::RemoveTurn { .. } => continue,
                Write::Delete { receipt, .. } => {
                    *receipt = self.new_id();
                    continue;
                }
            };
            for item in items {
                item.id = self.new_id();
            }
        }
    }
}

/// The error of one who has named `noun`, where the conversation that it is in is not there.
fn missing_instead(error: Error, noun: Noun) -> Error {
    if error.fault == Fault::NotFound(Noun::Conversation) {
        Fault::NotFound(noun).into()
    } else {
        error
    }
}

/// What a client is told of a store's refusal.
fn fault(error: StoreError) -> Error {
    let fault = match &error {
        StoreError::NoConversation => Fault::NotFound(Noun::Conversation),
        StoreError::NoItem => Fault::NotFound(Noun::Item),
        StoreError::NoAnchor => Fault::NotFound(Noun::AnchorConversation),
        StoreError::NoTurn => Fault::NotFound(Noun::Turn),
        StoreError::DuplicateItem => Fault::Conflict(Conflict::DuplicateItem),
        StoreError::TurnRunning => Fault::Conflict(Conflict::ConversationBusy),
        StoreError::Changed => Fault::Conflict(Conflict::Contended),
        StoreError::Held => Fault::Conflict(Conflict::Held),
        StoreError::Unavailable { .. } => return Error::caused_by(Fault::StoreDown, error),
        StoreError::FixedRoot => {
            let feature = "the renewal of the root key";
            return Error::caused_by(Fault::Unsupported { feature }, error);
        }
        StoreError::IdClash
        | StoreError::StaleItemId { .. }
        | StoreError::NoKey
        | StoreError::NoHold
        | StoreError::NameTaken
        | StoreError::Corrupt { .. } => return Error::caused_by(Fault::Internal, error),
    };
    fault.into()
}
