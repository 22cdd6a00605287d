//! Legal holds. What one covers is found by its subject, without looking at others.

use parlance_domain::model::{HoldEntry, HoldScope, ProjectId, User};
use parlance_domain::receipt_log::Event;
use parlance_domain::secret::Secret;
use parlance_domain::store::StoreError;
use parlance_domain::{Hold, HoldId, Id};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::admin::{Columns, sealer, unless_taken};
use super::read::open;
use super::value::{Bits, Owner, Trouble, Whose, corrupt, read_own_key, time};
use super::{receipts, sql};
use crate::codec;
use crate::keyring::KeyRef;
use crate::seal::{Field, Place, Record, Sealed, Vault};

/// What stands before a conversation's id, and before a user's hash, in a subject.
const CONVERSATION: u8 = 1;
const USER: u8 = 2;

/// What a hold covers, as it is looked for: a word and an id or a hash; nothing for the whole project.
pub(super) struct Subject(Vec<u8>);

impl Subject {
    pub(super) fn of(vault: &Vault, project: ProjectId, covers: &HoldScope) -> Self {
        match covers {
            HoldScope::Conversation(id) => Self::conversation(Bits::of(*id)),
            HoldScope::User(user) => Self::user(vault, project, user),
            HoldScope::Project => Self(Vec::new()),
        }
    }

    pub(super) fn user(vault: &Vault, project: ProjectId, user: &User) -> Self {
        Self::owner(Some(vault.owner_hash(project, user)))
    }

    fn conversation(id: Bits) -> Self {
        Self([&[CONVERSATION], id.bytes().as_slice()].concat())
    }

    /// No hold is on those that are nobody's alone. A user's covers both realms.
    fn owner(whose: Whose) -> Self {
        let hash: &[u8] = whose.as_ref().map_or(&[], |hash| hash);
        Self([&[USER], hash].concat())
    }
}

/// Whether a hold covers a conversation.
pub(super) fn covers(
    db: &Connection,
    project: i64,
    conversation: Bits,
    owner: Owner,
) -> Result<bool, Trouble> {
    let (one, all) = (
        Subject::conversation(conversation),
        Subject::owner(owner.whose()),
    );
    are_held(db, project, [&one, &all])
}

/// Whether a hold covers all that is a user's.
pub(super) fn covers_user(db: &Connection, project: i64, user: &Subject) -> Result<bool, Trouble> {
    are_held(db, project, [user, user])
}

fn are_held(db: &Connection, project: i64, [one, other]: [&Subject; 2]) -> Result<bool, Trouble> {
    let mut select = db.prepare_cached(sql::IS_HELD)?;
    Ok(select.query_row(params![project, one.0, other.0], |row| row.get(0))?)
}

/// Keeps a hold, with the event that tells of it.
pub(super) fn add(
    db: &Connection,
    hold: &Hold,
    subject: &Subject,
    (content, slot, generation): Columns<'_>,
    event: &Event,
) -> Result<(), Trouble> {
    if let HoldScope::Conversation(id) = hold.covers {
        let mut select = db.prepare_cached(sql::LIVES)?;
        let lives: bool =
            select.query_row(params![hold.project.0, Bits::of(id)], |row| row.get(0))?;
        if !lives {
            return Err(StoreError::NoConversation.into());
        }
    }
    let inserted = db.prepare_cached(sql::ADD_HOLD)?.execute(params![
        hold.project.0,
        Bits::of(hold.id),
        subject.0,
        hold.added_at.micros(),
        slot,
        generation,
        content,
    ])?;
    unless_taken(inserted)?;
    receipts::record_event(db, event)
}

/// Removes a hold, with the event that tells of it. Gives the key that its content is sealed with.
pub(super) fn remove(
    db: &Connection,
    project: ProjectId,
    hold: HoldId,
    event: &Event,
) -> Result<Option<KeyRef>, Trouble> {
    let key = db
        .prepare_cached(sql::HOLD_KEY)?
        .query_row(params![project.0, Bits::of(hold)], |row| {
            read_own_key(row, 0)
        })
        .optional()?;
    let key = key.ok_or(StoreError::NoHold)?;
    db.prepare_cached(sql::REMOVE_HOLD)?
        .execute(params![project.0, Bits::of(hold)])?;
    receipts::record_event(db, event)?;
    Ok(key)
}

pub(super) fn list(
    db: &Connection,
    vault: &Vault,
    project: ProjectId,
) -> Result<Vec<HoldEntry>, Trouble> {
    let mut select = db.prepare_cached(sql::HOLDS)?;
    let mut rows = select.query(params![project.0])?;
    let mut holds = Vec::new();
    while let Some(row) = rows.next()? {
        holds.extend(read(vault, project, row)?);
    }
    Ok(holds)
}

/// None if it is removed by now, though it was not when the reading began: then its key is gone.
fn read(vault: &Vault, project: ProjectId, row: &Row<'_>) -> Result<Option<HoldEntry>, Trouble> {
    let id: HoldId = row.get::<_, Bits>(0)?.id();
    let subject: Vec<u8> = row.get(1)?;
    let (user, note) = match row.get::<_, Option<Sealed>>(3)? {
        // Of a hold that was removed after this copy of the data was made.
        None => (None, None),
        Some(sealed) => {
            let place = Place {
                project,
                record: Record::Hold(id),
                field: Field::Hold,
            };
            let Some(sealer) = sealer(vault, row, 4)? else {
                return Ok(None);
            };
            let bytes = open(&sealer, &place, sealed)?;
            codec::read_hold(&bytes).ok_or(corrupt("holds", "content"))?
        }
    };
    let unreadable = || Trouble::from(corrupt("holds", "subject"));
    let covers = match subject.split_first() {
        None => Some(HoldScope::Project),
        Some((&CONVERSATION, rest)) => {
            let bits: [u8; 16] = rest.try_into().map_err(|_| unreadable())?;
            let id = Id::from_bits(u128::from_be_bytes(bits));
            Some(HoldScope::Conversation(id))
        }
        Some((&USER, _)) => user.map(HoldScope::User),
        Some(_) => return Err(unreadable()),
    };
    Ok(Some(HoldEntry {
        id,
        covers,
        note: note.map(Secret::new),
        added_at: time(row.get(2)?),
    }))
}
