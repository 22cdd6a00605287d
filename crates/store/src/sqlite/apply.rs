//! Applies encoded batches, inside a transaction that the writer has begun.
//!
//! Invariant: a write checks before it changes, so a refusal of a batch's only write has changed
//! nothing. See [`refuses_first`] for the exceptions.

use parlance_domain::SectionId;
use parlance_domain::model::first_section;
use parlance_domain::store::{Left, Outcome, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

use super::bury::{Graves, bury};
use super::encode::{Addition, AsRead, Burial, Change, Created, Encoded, ItemRow, Meant, What};
use super::search::{ItemAt, find_item};
use super::value::{Bits, Owner, Span, Trouble, Who, corrupt, count, number, read_key_ref};
use super::{holds, sql, turning};
use crate::keyring::KeyRef;

/// Whether a refusal of the batch always comes before its first change, so that nothing needs to be
/// taken back.
pub(super) fn refuses_first(batch: &Encoded) -> bool {
    if batch.keyless {
        return false;
    }
    match batch.writes.as_slice() {
        [] => true,
        [Change { what, .. }] => match what {
            What::Create(new) => no_aliases(&new.items),
            // Whether a turn is new turns out when it is inserted, before all else.
            What::Add(_, items) => no_aliases(items),
            What::Remove(items) => items.len() <= 1,
            What::Title(_)
            | What::Metadata(_)
            | What::Active(_)
            | What::Section(_)
            | What::Replace(..)
            | What::RemoveTurn(_)
            | What::Delete(_)
            | What::Erase(..) => true,
        },
        _ => false,
    }
}

fn no_aliases(items: &[ItemRow]) -> bool {
    items.iter().all(|item| item.alias.is_none())
}

/// What applying a batch has come to, once it is committed.
pub(super) struct Done {
    pub(super) outcomes: Vec<Outcome>,
    /// The keys of what was deleted: to be wiped before anybody is told.
    pub(super) erased: Vec<KeyRef>,
}

/// Checks the batch's preconditions and applies its writes.
pub(super) fn apply(db: &Connection, batch: &Encoded) -> Result<Done, Trouble> {
    for require in &batch.require {
        check(db, &batch.who, require)?;
    }
    let mut done = Done {
        outcomes: Vec::with_capacity(batch.writes.len()),
        erased: Vec::new(),
    };
    let mut graves = Graves::default();
    for change in &batch.writes {
        let outcome = write(db, &batch.who, change, &mut graves)?;
        done.outcomes.push(outcome);
    }
    done.erased = graves.erased;
    if batch.keyless {
        return Err(StoreError::NoConversation.into());
    }
    Ok(done)
}

fn check(db: &Connection, who: &Who, require: &AsRead) -> Result<(), Trouble> {
    let found = match head(db, who, require.conversation) {
        Ok(head) => find_item(db, head.scope(who), head.next_seq, require.item)?,
        Err(Trouble::Refused(StoreError::NoConversation)) => None,
        Err(trouble) => return Err(trouble),
    };
    match found {
        Some(item) if item.modified_at == require.modified_at => Ok(()),
        _ => Err(StoreError::Changed.into()),
    }
}

/// A conversation as far as writes are concerned.
pub(super) struct Head {
    pub(super) id: Bits,
    pub(super) app: Bits,
    pub(super) updated_at: i64,
    section: Option<Bits>,
    pub(super) running: Option<Bits>,
    pub(super) next_seq: i64,
    last_item: Option<Bits>,
    pub(super) turns: i64,
    pub(super) key: KeyRef,
    pub(super) owner: Owner,
}

/// A conversation that was found to be the principal's.
#[derive(Clone, Copy)]
pub(super) struct Scope {
    pub(super) project: i64,
    pub(super) conversation: Bits,
}

impl Head {
    fn scope(&self, who: &Who) -> Scope {
        Scope {
            project: who.project,
            conversation: self.id,
        }
    }

    /// [`StoreError::Held`] if a hold covers the conversation.
    fn refuse_held(&self, db: &Connection, who: &Who) -> Result<(), Trouble> {
        if holds::covers(db, who.project, self.id, self.owner)? {
            return Err(StoreError::Held.into());
        }
        Ok(())
    }

    fn touch(&mut self, at: i64) {
        self.updated_at = self.updated_at.max(at);
    }

    fn section_id(&self) -> SectionId {
        self.section
            .map_or_else(|| first_section(self.id.id()), Bits::id)
    }
}

fn head(db: &Connection, who: &Who, of: Span) -> Result<Head, Trouble> {
    let found = db
        .prepare_cached(sql::HEAD)?
        .query_row(who.looking_for(of), |row| {
            Ok(Head {
                id: row.get(0)?,
                app: row.get(1)?,
                updated_at: row.get(2)?,
                section: row.get(3)?,
                running: row.get(4)?,
                next_seq: row.get(5)?,
                last_item: row.get(6)?,
                turns: row.get(7)?,
                key: read_key_ref(row, 8)?,
                owner: row.get(10)?,
            })
        })
        .optional()?;
    found.ok_or_else(|| StoreError::NoConversation.into())
}

fn save(db: &Connection, who: &Who, head: &Head) -> Result<(), Trouble> {
    db.prepare_cached(sql::SAVE_HEAD)?.execute(params![
        who.project,
        head.id,
        head.updated_at,
        head.section,
        head.running,
        head.next_seq,
        head.last_item,
        head.turns,
    ])?;
    Ok(())
}

fn write(
    db: &Connection,
    who: &Who,
    change: &Change,
    graves: &mut Graves,
) -> Result<Outcome, Trouble> {
    if let What::Create(new) = &change.what {
        return create(db, who, change, new);
    }
    if let What::Erase(burial, meant) = &change.what {
        return erase(db, who, change, (burial, *meant), graves);
    }
    let mut head = head(db, who, change.of)?;
    if change.what.destroys() {
        head.refuse_held(db, who)?;
    }
    if let What::Delete(burial) = &change.what {
        return bury(db, who, &head, change.at, burial, graves);
    }
    // What is sealed with another key than the row's could never be opened again.
    if change.sealed_with.is_some_and(|key| key != head.key) {
        return Err(corrupt("conversations", "slot").into());
    }
    head.touch(change.at);
    match &change.what {
        // Done above.
        What::Create(_) | What::Delete(_) | What::Erase(..) => {}
        What::Add(addition, items) => return add(db, who, head, change.at, addition, items),
        What::Title(title) => {
            db.prepare_cached(sql::SET_TITLE)?.execute(params![
                who.project,
                head.id,
                head.updated_at,
                title
            ])?;
        }
        What::Metadata(metadata) => {
            db.prepare_cached(sql::SET_METADATA)?.execute(params![
                who.project,
                head.id,
                head.updated_at,
                metadata
            ])?;
        }
        What::Active(active) => {
            db.prepare_cached(sql::SET_ACTIVE)?
                .execute(params![who.project, head.id, active])?;
        }
        What::Section(section) => {
            head.section = Some(*section);
            save(db, who, &head)?;
        }
        What::Replace(item, body) => {
            let item = needed_item(db, who, &head, *item)?;
            db.prepare_cached(sql::REPLACE_ITEM)?.execute(params![
                who.project,
                head.id,
                item.seq,
                body,
                change.at
            ])?;
            save(db, who, &head)?;
        }
        What::Remove(items) => {
            for item in items {
                remove_item(db, who, &head, *item)?;
            }
            save(db, who, &head)?;
        }
        What::RemoveTurn(turn) => {
            turning::remove(db, head.scope(who), &mut head, *turn)?;
            save(db, who, &head)?;
        }
    }
    Ok(Outcome::Done)
}

/// Deletes a conversation if it is still to be erased.
fn erase(
    db: &Connection,
    who: &Who,
    change: &Change,
    (burial, meant): (&Burial, Meant),
    graves: &mut Graves,
) -> Result<Outcome, Trouble> {
    let head = match head(db, who, change.of) {
        Ok(head) if meant.is(&head) => head,
        Ok(_) | Err(Trouble::Refused(StoreError::NoConversation)) => {
            return Ok(Outcome::Left(Left::NotThere));
        }
        Err(trouble) => return Err(trouble),
    };
    match head.refuse_held(db, who) {
        Ok(()) => bury(db, who, &head, change.at, burial, graves),
        Err(Trouble::Refused(StoreError::Held)) => Ok(Outcome::Left(Left::Held)),
        Err(trouble) => Err(trouble),
    }
}

fn create(db: &Connection, who: &Who, change: &Change, new: &Created) -> Result<Outcome, Trouble> {
    let taken: bool = db
        .prepare_cached(sql::IS_TAKEN)?
        .query_row(params![who.project, change.of.low, change.of.high], |row| {
            row.get(0)
        })?;
    if taken {
        return Err(StoreError::IdClash.into());
    }
    let last_item = rising(None, &new.items)?;
    db.prepare_cached(sql::CREATE)?.execute(params![
        who.project,
        new.id,
        new.app,
        who.owner,
        change.at,
        new.active,
        length(&new.items),
        last_item,
        new.title,
        new.metadata,
        new.extras,
        new.key.slot,
        number(new.key.generation),
        new.commitment,
    ])?;
    let place = ItemPlace {
        scope: Scope {
            project: who.project,
            conversation: new.id,
        },
        first_seq: 0,
        section: None,
        turn: None,
    };
    place.add(db, &new.items)?;
    Ok(Outcome::Done)
}

fn add(
    db: &Connection,
    who: &Who,
    mut head: Head,
    at: i64,
    addition: &Addition,
    items: &[ItemRow],
) -> Result<Outcome, Trouble> {
    match addition {
        Addition::Start { .. } if head.running.is_some() => {
            return Err(StoreError::TurnRunning.into());
        }
        Addition::Finish { turn, .. } if head.running != Some(*turn) => {
            return Err(StoreError::NoTurn.into());
        }
        Addition::Alone | Addition::Start { .. } | Addition::Finish { .. } => {}
    }
    head.last_item = rising(head.last_item, items)?;
    let place = ItemPlace {
        scope: head.scope(who),
        first_seq: head.next_seq,
        section: head.section,
        turn: addition.turn(),
    };
    head.next_seq = head.next_seq.saturating_add(length(items));
    let first_seq = place.first_seq;
    turning::note(db, place.scope, &mut head, (at, first_seq), addition)?;
    save(db, who, &head)?;
    let added = Outcome::Added {
        first_seq: count(place.first_seq),
        section: head.section_id(),
    };
    place.add(db, items)?;
    Ok(added)
}

impl What {
    /// Whether it destroys something that a client has said, or was told.
    const fn destroys(&self) -> bool {
        match self {
            Self::Replace(..)
            | Self::Remove(_)
            | Self::RemoveTurn(_)
            | Self::Delete(_)
            | Self::Erase(..) => true,
            Self::Create(_)
            | Self::Add(..)
            | Self::Title(_)
            | Self::Metadata(_)
            | Self::Active(_)
            | Self::Section(_) => false,
        }
    }
}

impl Addition {
    const fn turn(&self) -> Option<Bits> {
        match self {
            Self::Alone => None,
            Self::Start { turn, .. } | Self::Finish { turn, .. } => Some(*turn),
        }
    }
}

impl Meant {
    /// Whether an operator means this conversation.
    fn is(self, head: &Head) -> bool {
        let whose = self.whose.is_none() || self.whose == head.owner.whose();
        whose && self.before.is_none_or(|before| head.updated_at < before)
    }
}

/// The highest id after `items` were added; [`StoreError::StaleItemId`] if they do not rise.
fn rising(mut last: Option<Bits>, items: &[ItemRow]) -> Result<Option<Bits>, StoreError> {
    for item in items {
        if let Some(last) = last.filter(|last| *last >= item.id) {
            return Err(StoreError::StaleItemId { last: last.id() });
        }
        last = Some(item.id);
    }
    Ok(last)
}

fn length(items: &[ItemRow]) -> i64 {
    number(u64::try_from(items.len()).unwrap_or(u64::MAX))
}

/// Where items are added.
struct ItemPlace {
    scope: Scope,
    first_seq: i64,
    section: Option<Bits>,
    turn: Option<Bits>,
}

impl ItemPlace {
    fn add(&self, db: &Connection, items: &[ItemRow]) -> Result<(), Trouble> {
        if items.is_empty() {
            return Ok(());
        }
        let Scope {
            project,
            conversation,
        } = self.scope;
        let mut insert = db.prepare_cached(sql::ADD_ITEM)?;
        for (item, seq) in items.iter().zip(self.first_seq..) {
            let (hash, alias) = item.alias.as_ref().map(|(hash, text)| (hash, text)).unzip();
            if let Some(hash) = hash {
                let inserted = db.prepare_cached(sql::ADD_ALIAS)?.execute(params![
                    project,
                    conversation,
                    hash,
                    seq
                ])?;
                if inserted == 0 {
                    return Err(StoreError::DuplicateItem.into());
                }
            }
            insert.execute(params![
                project,
                conversation,
                seq,
                item.id,
                item.kind,
                item.item_type,
                self.turn,
                self.section,
                hash,
                alias,
                item.body,
            ])?;
        }
        Ok(())
    }
}

fn needed_item(db: &Connection, who: &Who, head: &Head, item: Bits) -> Result<ItemAt, Trouble> {
    find_item(db, head.scope(who), head.next_seq, item)?.ok_or_else(|| StoreError::NoItem.into())
}

fn remove_item(db: &Connection, who: &Who, head: &Head, item: Bits) -> Result<(), Trouble> {
    let item = needed_item(db, who, head, item)?;
    let alias: Option<Bits> = db
        .prepare_cached(sql::ITEM_ALIAS)?
        .query_row(params![who.project, head.id, item.seq], |row| row.get(0))?;
    if let Some(alias) = alias {
        db.prepare_cached(sql::REMOVE_ALIAS)?
            .execute(params![who.project, head.id, alias])?;
    }
    db.prepare_cached(sql::REMOVE_ITEM)?
        .execute(params![who.project, head.id, item.seq])?;
    Ok(())
}
