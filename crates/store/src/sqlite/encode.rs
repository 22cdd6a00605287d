//! A batch in the form that the writer applies: content sealed, ids and times as they are stored.
//!
//! This happens in the caller's task, because the writer's time is everybody's.

use std::collections::{BTreeMap, BTreeSet};

use parlance_domain::ids::Ref;
use parlance_domain::model::{
    ItemContent, NewConversation, NewItem, Principal, ProjectId, TurnRecord, TurnState, Usage,
};
use parlance_domain::store::{Batch, Require, StoreError, Write};
use parlance_domain::{AppId, ConversationId, ConversationRef, ItemId, Timestamp, TurnId};

use super::value::{Bits, Span, Who, Whose, unavailable};
use crate::codec;
use crate::keyring::KeyRef;
use crate::seal::{Field, NO_KEY, Place, Record, SealError, Sealed, Sealer, Taken, Vault};

/// A batch, ready to be applied.
pub(super) struct Encoded {
    pub(super) who: Who,
    pub(super) require: Vec<AsRead>,
    pub(super) writes: Vec<Change>,
    /// Something in it has no key to be sealed with, because there is no such conversation. It is
    /// applied all the same, for whatever else is to be said of it, and then refused.
    pub(super) keyless: bool,
    /// The keys of the conversations that it makes.
    pub(super) taken: Vec<Taken>,
}

impl Encoded {
    /// Whether it only removes, and so makes room in the end.
    pub(super) fn frees(&self) -> bool {
        self.writes.iter().all(|change| {
            matches!(
                change.what,
                What::Delete(_) | What::Erase(..) | What::Remove(_) | What::RemoveTurn(_)
            )
        })
    }
}

/// [`Require::ItemAsRead`].
pub(super) struct AsRead {
    pub(super) conversation: Span,
    pub(super) item: Bits,
    pub(super) modified_at: Option<i64>,
}

/// A [`Write`]: the conversation and what happens to it.
pub(super) struct Change {
    pub(super) of: Span,
    pub(super) at: i64,
    /// The key that its content is sealed with, if it brings any for a conversation that is there.
    pub(super) sealed_with: Option<KeyRef>,
    pub(super) what: What,
}

pub(super) enum What {
    /// `of` is the range that must be free.
    Create(Box<Created>),
    Add(Addition, Vec<ItemRow>),
    Title(Option<Sealed>),
    Metadata(Option<Sealed>),
    Active(bool),
    Section(Bits),
    Replace(Bits, Sealed),
    Remove(Vec<Bits>),
    RemoveTurn(Bits),
    Delete(Burial),
    /// The same for an operator: what is held is left, and what is not meant.
    Erase(Burial, Meant),
}

/// What an operator's order is about.
#[derive(Clone, Copy)]
pub(super) struct Meant {
    /// Whose, in both realms; whoever's, if none.
    pub(super) whose: Whose,
    /// Only what was last changed before this time.
    pub(super) before: Option<i64>,
}

/// What a delete leaves.
pub(super) struct Burial {
    pub(super) receipt: Bits,
    pub(super) requested_at: i64,
}

/// What items come with.
pub(super) enum Addition {
    Alone,
    Start {
        turn: Bits,
        app: Bits,
        record: Sealed,
    },
    Finish {
        turn: Bits,
        state: i64,
        usage: Usage,
        /// What the record becomes; as before if none.
        record: Option<Sealed>,
    },
}

impl Addition {
    fn start(turn: TurnId, app: AppId, record: Sealed) -> Self {
        Self::Start {
            turn: Bits::of(turn),
            app: Bits::of(app),
            record,
        }
    }

    fn finish(turn: TurnId, state: TurnState, usage: Usage, record: Option<Sealed>) -> Self {
        Self::Finish {
            turn: Bits::of(turn),
            state: codec::state(state),
            usage,
            record,
        }
    }
}

pub(super) struct Created {
    pub(super) id: Bits,
    pub(super) key: KeyRef,
    pub(super) commitment: Option<[u8; 32]>,
    pub(super) app: Bits,
    pub(super) active: bool,
    pub(super) title: Option<Sealed>,
    pub(super) metadata: Option<Sealed>,
    pub(super) extras: Option<Sealed>,
    pub(super) items: Vec<ItemRow>,
}

pub(super) struct ItemRow {
    pub(super) id: Bits,
    pub(super) kind: i64,
    pub(super) item_type: Option<String>,
    pub(super) alias: Option<(Bits, Sealed)>,
    pub(super) body: Sealed,
}

/// The sealers of a batch's conversations.
pub(super) type Sealers = BTreeMap<ConversationId, Sealer>;

/// Encodes batches of one principal.
pub(super) struct Encoder<'a> {
    pub(super) project: ProjectId,
    pub(super) vault: &'a Vault,
    pub(super) sealers: Sealers,
    pub(super) keyless: bool,
    pub(super) taken: BTreeMap<ConversationId, Taken>,
}

/// The conversations that the batch makes.
pub(super) fn made(batch: &Batch) -> impl Iterator<Item = ConversationId> {
    batch.writes.iter().filter_map(|write| match write {
        Write::Create(new) => Some(new.id),
        Write::Append { .. }
        | Write::SetTitle { .. }
        | Write::SetMetadata { .. }
        | Write::SetActive { .. }
        | Write::StartSection { .. }
        | Write::ReplaceItem { .. }
        | Write::RemoveItems { .. }
        | Write::StartTurn { .. }
        | Write::FinishTurn { .. }
        | Write::RemoveTurn { .. }
        | Write::Delete { .. } => None,
    })
}

/// The conversations for which the batch has something to seal before it makes them, if it does.
pub(super) fn sealed_for(batch: &Batch) -> BTreeSet<ConversationId> {
    let (mut needed, mut made) = (BTreeSet::new(), BTreeSet::new());
    for write in &batch.writes {
        if let Write::Create(new) = write {
            made.insert(new.id);
        }
        needed.extend(content_of(write).filter(|id| !made.contains(id)));
    }
    needed
}

/// The conversation for which a write brings content.
fn content_of(write: &Write) -> Option<ConversationId> {
    match write {
        Write::Append {
            conversation,
            items,
            ..
        } => (!items.is_empty()).then_some(*conversation),
        Write::FinishTurn {
            conversation,
            output,
            record,
            ..
        } => (!output.is_empty() || record.is_some()).then_some(*conversation),
        Write::SetTitle {
            conversation,
            title,
            ..
        } => title.is_some().then_some(*conversation),
        Write::SetMetadata {
            conversation,
            metadata,
            ..
        } => (!metadata.is_empty()).then_some(*conversation),
        Write::ReplaceItem { conversation, .. } | Write::StartTurn { conversation, .. } => {
            Some(*conversation)
        }
        Write::Create(_)
        | Write::SetActive { .. }
        | Write::StartSection { .. }
        | Write::RemoveItems { .. }
        | Write::RemoveTurn { .. }
        | Write::Delete { .. } => None,
    }
}

impl Encoder<'_> {
    pub(super) fn batch(mut self, who: &Principal, batch: &Batch) -> Result<Encoded, StoreError> {
        let require = batch.require.iter().map(|require| {
            let Require::ItemAsRead {
                conversation,
                item,
                modified_at,
            } = require;
            AsRead {
                conversation: Ref::from(*conversation).into(),
                item: Bits::of(*item),
                modified_at: modified_at.map(Timestamp::micros),
            }
        });
        let mut writes = Vec::with_capacity(batch.writes.len());
        for write in &batch.writes {
            // Not before: a conversation of the same id may be there, with a key of its own.
            if let Write::Create(new) = write
                && let Some(taken) = self.taken.get(&new.id)
            {
                self.sealers.insert(new.id, taken.sealer().clone());
            }
            writes.push(self.change(write)?);
        }
        Ok(Encoded {
            who: Who::of(who, self.vault),
            require: require.collect(),
            writes,
            keyless: self.keyless,
            taken: self.taken.into_values().collect(),
        })
    }

    fn change(&self, write: &Write) -> Result<Change, StoreError> {
        let (of, at) = target(write);
        let sealer = content_of(write).and_then(|id| self.sealers.get(&id));
        Ok(Change {
            of: of.into(),
            at: at.micros(),
            sealed_with: sealer.map(Sealer::reference),
            what: self.what(write)?,
        })
    }

    fn what(&self, write: &Write) -> Result<What, StoreError> {
        Ok(match write {
            Write::Create(new) => What::Create(Box::new(self.created(new)?)),
            Write::SetTitle {
                conversation,
                title,
                ..
            } => What::Title(self.title(*conversation, title.as_deref())?),
            Write::SetMetadata {
                conversation,
                metadata,
                ..
            } => {
                let plain = codec::metadata(metadata);
                What::Metadata(self.field(*conversation, Field::Metadata, plain)?)
            }
            Write::SetActive { active, .. } => What::Active(*active),
            Write::StartSection { section, .. } => What::Section(Bits::of(*section)),
            Write::ReplaceItem {
                conversation: id,
                item,
                content,
                ..
            } => What::Replace(Bits::of(*item), self.body(*id, *item, content)?),
            Write::RemoveItems { items, .. } => {
                What::Remove(items.iter().map(|item| Bits::of(*item)).collect())
            }
            Write::Delete {
                receipt,
                requested_at,
                ..
            } => What::Delete(Burial {
                receipt: Bits::of(*receipt),
                requested_at: requested_at.micros(),
            }),
            Write::RemoveTurn { turn, .. } => What::RemoveTurn(Bits::of(*turn)),
            Write::Append {
                conversation,
                items,
                ..
            } => What::Add(Addition::Alone, self.items(*conversation, items)?),
            Write::StartTurn {
                conversation: id,
                turn,
                app,
                record,
                input,
                ..
            } => {
                let (turn, app, record) = (*turn, *app, self.record(*id, *turn, record)?);
                What::Add(Addition::start(turn, app, record), self.items(*id, input)?)
            }
            Write::FinishTurn {
                conversation: id,
                turn,
                state,
                usage,
                record,
                output,
                ..
            } => {
                let record = record.as_ref();
                let record = record.map(|record| self.record(*id, *turn, record));
                let finish = Addition::finish(*turn, *state, *usage, record.transpose()?);
                What::Add(finish, self.items(*id, output)?)
            }
        })
    }

    fn record(
        &self,
        conversation: ConversationId,
        turn: TurnId,
        record: &TurnRecord,
    ) -> Result<Sealed, StoreError> {
        let of = Record::Turn { conversation, turn };
        self.seal(of, Field::TurnRecord, codec::record(record))
    }

    fn body(
        &self,
        conversation: ConversationId,
        item: ItemId,
        content: &ItemContent,
    ) -> Result<Sealed, StoreError> {
        let record = Record::Item { conversation, item };
        self.seal(record, Field::Body, codec::body(content))
    }

    fn created(&self, new: &NewConversation) -> Result<Created, StoreError> {
        let taken = self.taken.get(&new.id);
        Ok(Created {
            id: Bits::of(new.id),
            key: taken.map_or(NO_KEY, Taken::key),
            commitment: taken.and_then(|taken| taken.sealer().commitment()),
            app: Bits::of(new.app),
            active: new.active,
            title: self.title(new.id, new.title.as_deref())?,
            metadata: self.field(new.id, Field::Metadata, codec::metadata(&new.metadata))?,
            extras: self.field(new.id, Field::Extras, codec::extras(&new.extras))?,
            items: self.items(new.id, &new.items)?,
        })
    }

    fn items(
        &self,
        conversation: ConversationId,
        items: &[NewItem],
    ) -> Result<Vec<ItemRow>, StoreError> {
        items
            .iter()
            .map(|item| self.item(conversation, item))
            .collect()
    }

    fn item(&self, conversation: ConversationId, item: &NewItem) -> Result<ItemRow, StoreError> {
        let record = Record::Item {
            conversation,
            item: item.id,
        };
        let alias = match &item.alias {
            None => None,
            Some(alias) => {
                let hash = self.vault.alias_hash(self.project, conversation, alias);
                let sealed = self.seal(record, Field::Alias, alias.as_bytes().to_vec())?;
                Some((Bits::from(u128::from_be_bytes(hash)), sealed))
            }
        };
        Ok(ItemRow {
            id: Bits::of(item.id),
            kind: codec::kind(&item.content.kind),
            item_type: codec::item_type(&item.content.kind).map(ToOwned::to_owned),
            alias,
            body: self.body(conversation, item.id, &item.content)?,
        })
    }

    fn title(&self, of: ConversationId, title: Option<&str>) -> Result<Option<Sealed>, StoreError> {
        self.field(
            of,
            Field::Title,
            title.map(|title| title.as_bytes().to_vec()),
        )
    }

    fn field(
        &self,
        conversation: ConversationId,
        field: Field,
        plain: Option<Vec<u8>>,
    ) -> Result<Option<Sealed>, StoreError> {
        let record = Record::Conversation(conversation);
        plain
            .map(|plain| self.seal(record, field, plain))
            .transpose()
    }

    fn seal(&self, record: Record, field: Field, plain: Vec<u8>) -> Result<Sealed, StoreError> {
        let (Record::Conversation(conversation)
        | Record::Item { conversation, .. }
        | Record::Turn { conversation, .. }) = record
        else {
            return Err(unavailable(SEALING, SealError));
        };
        match self.sealers.get(&conversation) {
            Some(sealer) => seal(sealer, self.project, record, field, plain),
            // Never stored: the batch is refused. Content that has no key must not come near a file.
            None => Ok(Sealed::from_bytes(Vec::new())),
        }
    }
}

const SEALING: &str = "sealing content";

/// Seals one field of one record.
pub(super) fn seal(
    sealer: &Sealer,
    project: ProjectId,
    record: Record,
    field: Field,
    plain: Vec<u8>,
) -> Result<Sealed, StoreError> {
    let place = Place {
        project,
        record,
        field,
    };
    sealer
        .seal(&place, plain)
        .map_err(|error| unavailable(SEALING, error))
}

/// The conversation that a write is about, and when it is made.
fn target(write: &Write) -> (ConversationRef, Timestamp) {
    match write {
        Write::Create(new) => (Ref::clashing_with(new.id), new.at),
        Write::Delete {
            conversation, at, ..
        } => (*conversation, *at),
        // Changes nothing that has a time.
        Write::SetActive { conversation, .. } => (*conversation, Timestamp::default()),
        Write::RemoveTurn { conversation, .. } => (Ref::from(*conversation), Timestamp::default()),
        Write::Append {
            conversation, at, ..
        }
        | Write::SetTitle {
            conversation, at, ..
        }
        | Write::SetMetadata {
            conversation, at, ..
        }
        | Write::StartSection {
            conversation, at, ..
        }
        | Write::ReplaceItem {
            conversation, at, ..
        }
        | Write::RemoveItems {
            conversation, at, ..
        }
        | Write::StartTurn {
            conversation, at, ..
        }
        | Write::FinishTurn {
            conversation, at, ..
        } => (Ref::from(*conversation), *at),
    }
}
