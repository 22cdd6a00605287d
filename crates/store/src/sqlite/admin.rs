//! Projects, apps and keys.

use parlance_domain::clock::Timestamp;
use parlance_domain::model::{
    App, AppMode, HoldScope, KeyDigest, KeyRecord, Project, ProjectId, TurnFailure, TurnState, User,
};
use parlance_domain::secret::Secret;
use parlance_domain::store::{AdminWrite, StoreError};
use parlance_domain::{AppId, KeyId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::encode::seal;
use super::holds::{self, Subject};
use super::read::open;
use super::sql;
use super::value::{Bits, Trouble, corrupt, number, read_key_ref, read_own_key, time, unavailable};
use super::writer::Room;
use crate::codec;
use crate::keyring::KeyRef;
use crate::seal::{Field, Place, Record, Sealed, Sealer, Taken, Vault};

const PROJECTS: &str = "SELECT id, name, created_at FROM projects ORDER BY id";
const APPS: &str = "\
    SELECT id, name, mode, model, created_at, instructions, slot, generation FROM apps \
    WHERE project = ?1 ORDER BY id";
const APP: &str = "\
    SELECT id, name, mode, model, created_at, instructions, slot, generation FROM apps \
    WHERE project = ?1 AND id = ?2";
const KEYS: &str = "\
    SELECT project, id, app, dialect, created_at, revoked_at, scopes, user, slot, generation \
    FROM keys \
    WHERE project = ?1 ORDER BY id";
pub(super) const KEY: &str = "\
    SELECT project, id, app, dialect, created_at, revoked_at, scopes, user, slot, generation \
    FROM keys \
    WHERE digest = ?1";
const KEY_OF_ID: &str = "\
    SELECT project, id, app, dialect, created_at, revoked_at, scopes, user, slot, generation \
    FROM keys \
    WHERE project = ?1 AND id = ?2";

pub(super) fn projects(db: &Connection) -> Result<Vec<Project>, Trouble> {
    let mut select = db.prepare_cached(PROJECTS)?;
    let rows = select.query_map([], |row| {
        Ok(Project {
            id: ProjectId(row.get(0)?),
            name: row.get(1)?,
            created_at: time(row.get(2)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn apps(
    db: &Connection,
    vault: &Vault,
    project: ProjectId,
) -> Result<Vec<App>, Trouble> {
    let mut select = db.prepare_cached(APPS)?;
    let mut rows = select.query(params![project.0])?;
    let mut apps = Vec::new();
    while let Some(row) = rows.next()? {
        apps.push(read_app(vault, project, row)?);
    }
    Ok(apps)
}

pub(super) fn app(
    db: &Connection,
    vault: &Vault,
    project: ProjectId,
    id: AppId,
) -> Result<Option<App>, Trouble> {
    let mut select = db.prepare_cached(APP)?;
    let mut rows = select.query(params![project.0, Bits::of(id)])?;
    rows.next()?
        .map(|row| read_app(vault, project, row))
        .transpose()
}

fn read_app(vault: &Vault, project: ProjectId, row: &Row<'_>) -> Result<App, Trouble> {
    let id: AppId = row.get::<_, Bits>(0)?.id();
    let place = Place {
        project,
        record: Record::App(id),
        field: Field::Instructions,
    };
    let mode: String = row.get(2)?;
    let instructions = match row.get::<_, Option<Sealed>>(5)? {
        None => None,
        Some(sealed) => {
            let sealer = sealer(vault, row, 6)?.ok_or(corrupt("apps", "slot"))?;
            let bytes = open(&sealer, &place, sealed)?;
            Some(codec::text(&bytes).ok_or(corrupt("apps", "instructions"))?)
        }
    };
    Ok(App {
        id,
        project,
        name: row.get(1)?,
        mode: AppMode::parse(&mode).ok_or(corrupt("apps", "mode"))?,
        model: Some(row.get(3)?).filter(|model: &String| !model.is_empty()),
        instructions,
        created_at: time(row.get(4)?),
    })
}

/// A key as a reader finds it.
pub(super) enum FoundKey {
    /// All of it.
    Whole(KeyRecord),
    /// What its user is sealed with is gone: the row does without by now, but the reading had begun before.
    Retired(KeyId),
}

impl FoundKey {
    /// All of it, when it is read for the second time.
    pub(super) fn whole(self) -> Result<KeyRecord, StoreError> {
        match self {
            Self::Whole(key) => Ok(key),
            Self::Retired(_) => Err(corrupt("keys", "slot")),
        }
    }
}

pub(super) fn keys(
    db: &Connection,
    vault: &Vault,
    project: ProjectId,
) -> Result<Vec<FoundKey>, Trouble> {
    let mut select = db.prepare_cached(KEYS)?;
    let mut rows = select.query(params![project.0])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(read_key(vault, row)?);
    }
    Ok(keys)
}

pub(super) fn key(
    db: &Connection,
    vault: &Vault,
    digest: KeyDigest,
) -> Result<Option<FoundKey>, Trouble> {
    let mut select = db.prepare_cached(KEY)?;
    let mut rows = select.query(params![digest.0])?;
    rows.next()?.map(|row| read_key(vault, row)).transpose()
}

pub(super) fn key_of_id(
    db: &Connection,
    vault: &Vault,
    project: ProjectId,
    id: KeyId,
) -> Result<FoundKey, Trouble> {
    let mut select = db.prepare_cached(KEY_OF_ID)?;
    let mut rows = select.query(params![project.0, Bits::of(id)])?;
    let row = rows.next()?.ok_or(StoreError::NoKey)?;
    read_key(vault, row)
}

fn read_key(vault: &Vault, row: &Row<'_>) -> Result<FoundKey, Trouble> {
    let project = ProjectId(row.get(0)?);
    let id: KeyId = row.get::<_, Bits>(1)?.id();
    let place = Place {
        project,
        record: Record::Key(id),
        field: Field::User,
    };
    let scopes: Option<String> = row.get(6)?;
    let user = match row.get::<_, Option<Sealed>>(7)? {
        None => None,
        Some(sealed) => {
            let Some(sealer) = sealer(vault, row, 8)? else {
                return Ok(FoundKey::Retired(id));
            };
            let bytes = open(&sealer, &place, sealed)?;
            let text = codec::text(&bytes).ok_or(corrupt("keys", "user"))?;
            User::parse(&text).map_err(|_| corrupt("keys", "user"))?
        }
    };
    Ok(FoundKey::Whole(KeyRecord {
        id,
        project,
        app: row.get::<_, Bits>(2)?.id(),
        dialect: row.get(3)?,
        scopes: codec::read_scopes(scopes.as_deref()).ok_or(corrupt("keys", "scopes"))?,
        user,
        created_at: time(row.get(4)?),
        revoked_at: row.get::<_, Option<i64>>(5)?.map(time),
    }))
}

/// What opens the content of a row that has a key of its own, unless that is gone; the columns that name it
/// begin at `at`.
pub(super) fn sealer(vault: &Vault, row: &Row<'_>, at: usize) -> Result<Option<Sealer>, Trouble> {
    let found = vault.sealer(read_key_ref(row, at)?);
    Ok(found.map_err(|error| unavailable("reading a key", error))?)
}

/// An administrative write, its content sealed with a key of its own.
pub(super) struct Encoded {
    write: AdminWrite,
    sealed: Option<(Sealed, Taken)>,
    /// What a hold may cover.
    subject: Option<Subject>,
}

/// What a row with a key of its own keeps: the content, and the key's slot and generation.
pub(super) type Columns<'a> = (Option<&'a Sealed>, Option<u32>, Option<i64>);

impl Encoded {
    /// Seals the write's content. `taken` is used up only if there is any.
    pub(super) fn of(
        vault: &Vault,
        write: &AdminWrite,
        taken: Option<Taken>,
    ) -> Result<Self, StoreError> {
        let mut encoded = Self {
            write: write.clone(),
            sealed: None,
            subject: subject(vault, write),
        };
        if let (Some((project, record, field, plain)), Some(taken)) = (content(write), taken) {
            let sealed = seal(taken.sealer(), project, record, field, plain)?;
            encoded.sealed = Some((sealed, taken));
        }
        Ok(encoded)
    }

    /// The write is committed.
    pub(super) fn keep(mut self) {
        if let Some((_, taken)) = &mut self.sealed {
            taken.keep();
        }
    }

    /// What its row keeps: the content, and the key that it is sealed with.
    fn columns(&self) -> Columns<'_> {
        match &self.sealed {
            None => (None, None, None),
            Some((sealed, taken)) => {
                let key = taken.key();
                (Some(sealed), Some(key.slot), Some(number(key.generation)))
            }
        }
    }
}

/// The content that a write brings.
pub(super) fn content(write: &AdminWrite) -> Option<(ProjectId, Record, Field, Vec<u8>)> {
    match write {
        AdminWrite::CreateApp(app) => {
            let plain = app.instructions.as_ref()?.as_bytes().to_vec();
            Some((app.project, Record::App(app.id), Field::Instructions, plain))
        }
        AdminWrite::CreateKey { key, .. } => {
            let plain = key.user.as_ref()?.expose().as_bytes().to_vec();
            Some((key.project, Record::Key(key.id), Field::User, plain))
        }
        // Also where there is nothing to say, so that a hold that was removed is known by its key.
        AdminWrite::AddHold { hold, .. } => {
            let user = match &hold.covers {
                HoldScope::User(user) => Some(user.expose()),
                HoldScope::Conversation(_) | HoldScope::Project => None,
            };
            let plain = codec::hold(user, hold.note.as_ref().map(Secret::expose));
            Some((hold.project, Record::Hold(hold.id), Field::Hold, plain))
        }
        AdminWrite::CreateProject(_)
        | AdminWrite::RevokeKey { .. }
        | AdminWrite::RetireKey { .. }
        | AdminWrite::RemoveHold { .. } => None,
    }
}

/// What a hold covers, or may cover, of what a write is about.
fn subject(vault: &Vault, write: &AdminWrite) -> Option<Subject> {
    match write {
        AdminWrite::AddHold { hold, .. } => Some(Subject::of(vault, hold.project, &hold.covers)),
        AdminWrite::RetireKey { project, user, .. } => Some(Subject::user(vault, *project, user)),
        AdminWrite::CreateProject(_)
        | AdminWrite::CreateApp(_)
        | AdminWrite::CreateKey { .. }
        | AdminWrite::RevokeKey { .. }
        | AdminWrite::RemoveHold { .. } => None,
    }
}

/// What a write does to the room on the disk.
pub(super) const fn room(write: &AdminWrite) -> Room {
    match write {
        AdminWrite::RetireKey { .. } => Room::Frees,
        AdminWrite::CreateProject(_)
        | AdminWrite::CreateApp(_)
        | AdminWrite::CreateKey { .. }
        | AdminWrite::RevokeKey { .. }
        | AdminWrite::AddHold { .. }
        | AdminWrite::RemoveHold { .. } => Room::Takes,
    }
}

/// Applies one administrative write. Gives the key of what it has removed, to be wiped before anybody is
/// told.
pub(super) fn administer(db: &Connection, encoded: &Encoded) -> Result<Option<KeyRef>, Trouble> {
    let needed = || encoded.subject.as_ref().ok_or(corrupt("holds", "subject"));
    match &encoded.write {
        AdminWrite::CreateProject(project) => create_project(db, project)?,
        AdminWrite::CreateApp(app) => create_app(db, app, encoded)?,
        AdminWrite::CreateKey { key, digest } => create_key(db, key, *digest, encoded)?,
        AdminWrite::RetireKey {
            project, key, at, ..
        } => return retire_key(db, *project, *key, *at, needed()?),
        AdminWrite::AddHold { hold, event } => {
            holds::add(db, hold, needed()?, encoded.columns(), event)?;
        }
        AdminWrite::RemoveHold {
            project,
            hold,
            event,
        } => return holds::remove(db, *project, *hold, event),
        AdminWrite::RevokeKey { project, key, at } => {
            let found = db
                .prepare_cached(
                    "UPDATE keys SET revoked_at = coalesce(revoked_at, ?3) \
                     WHERE project = ?1 AND id = ?2",
                )?
                .execute(params![project.0, Bits::of(*key), at.micros()])?;
            if found == 0 {
                return Err(StoreError::NoKey.into());
            }
        }
    }
    Ok(None)
}

fn retire_key(
    db: &Connection,
    project: ProjectId,
    key: KeyId,
    at: Timestamp,
    user: &Subject,
) -> Result<Option<KeyRef>, Trouble> {
    if holds::covers_user(db, project.0, user)? {
        return Err(StoreError::Held.into());
    }
    let sealed_with = db
        .prepare_cached("SELECT slot, generation FROM keys WHERE project = ?1 AND id = ?2")?
        .query_row(params![project.0, Bits::of(key)], |row| {
            read_own_key(row, 0)
        })
        .optional()?;
    let sealed_with = sealed_with.ok_or(StoreError::NoKey)?;
    db.prepare_cached(
        "UPDATE keys SET revoked_at = coalesce(revoked_at, ?3), user = NULL, slot = NULL, \
            generation = NULL \
         WHERE project = ?1 AND id = ?2",
    )?
    .execute(params![project.0, Bits::of(key), at.micros()])?;
    Ok(sealed_with)
}

fn create_project(db: &Connection, project: &Project) -> Result<(), Trouble> {
    let named: bool = db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM projects WHERE name = ?1)")?
        .query_row(params![project.name], |row| row.get(0))?;
    if named {
        return Err(StoreError::NameTaken.into());
    }
    let inserted = db
        .prepare_cached(
            "INSERT OR IGNORE INTO projects (id, name, created_at) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![
            project.id.0,
            project.name,
            project.created_at.micros()
        ])?;
    unless_taken(inserted)
}

fn create_app(db: &Connection, app: &App, encoded: &Encoded) -> Result<(), Trouble> {
    let (instructions, slot, generation) = encoded.columns();
    let named: bool = db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM apps WHERE project = ?1 AND name = ?2)")?
        .query_row(params![app.project.0, app.name], |row| row.get(0))?;
    if named {
        return Err(StoreError::NameTaken.into());
    }
    let inserted = db
        .prepare_cached(
            "INSERT OR IGNORE INTO apps (project, id, name, mode, model, created_at, \
                instructions, slot, generation) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            app.project.0,
            Bits::of(app.id),
            app.name,
            app.mode.name(),
            app.model.as_deref().unwrap_or_default(),
            app.created_at.micros(),
            instructions,
            slot,
            generation,
        ])?;
    unless_taken(inserted)
}

fn create_key(
    db: &Connection,
    key: &KeyRecord,
    digest: KeyDigest,
    encoded: &Encoded,
) -> Result<(), Trouble> {
    let (user, slot, generation) = encoded.columns();
    let inserted = db
        .prepare_cached(
            "INSERT OR IGNORE INTO keys (project, id, digest, app, dialect, created_at, \
                revoked_at, scopes, user, slot, generation) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            key.project.0,
            Bits::of(key.id),
            digest.0,
            Bits::of(key.app),
            key.dialect,
            key.created_at.micros(),
            key.revoked_at.map(Timestamp::micros),
            codec::scopes(&key.scopes),
            user,
            slot,
            generation,
        ])?;
    unless_taken(inserted)
}

pub(super) fn unless_taken(inserted: usize) -> Result<(), Trouble> {
    match inserted {
        0 => Err(StoreError::IdClash.into()),
        _ => Ok(()),
    }
}

/// Marks all running turns as interrupted, and gives their number.
pub(super) fn fail_running_turns(db: &Connection, at: Timestamp) -> Result<u64, Trouble> {
    let mut select = db.prepare_cached(sql::RUNNING)?;
    let running = select
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<Result<Vec<(i64, Bits, Bits, i64)>, _>>()?;
    let failed = codec::state(TurnState::Failed(TurnFailure::Interrupted));
    let mut turns = 0;
    for (project, conversation, turn, next_seq) in running {
        db.prepare_cached(sql::FAIL_TURN)?.execute(params![
            project,
            conversation,
            turn,
            failed,
            at.micros(),
            next_seq
        ])?;
        db.prepare_cached(sql::STOP_RUNNING)?
            .execute(params![project, conversation])?;
        turns += 1;
    }
    Ok(turns)
}
