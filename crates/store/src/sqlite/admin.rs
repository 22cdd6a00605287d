//! Projects, apps and keys.

use parlance_domain::clock::Timestamp;
use parlance_domain::model::{
    App, AppMode, KeyDigest, KeyRecord, Project, ProjectId, TurnFailure, TurnState, User,
};
use parlance_domain::store::{AdminWrite, StoreError};
use parlance_domain::{AppId, KeyId};
use rusqlite::{Connection, Row, params};

use super::encode::Encoder;
use super::read::open;
use super::sql;
use super::value::{Bits, Trouble, corrupt, time};
use crate::codec;
use crate::seal::{Field, Place, Record, Sealed, Sealer};

const PROJECTS: &str = "SELECT id, name, created_at FROM projects ORDER BY id";
const APPS: &str = "\
    SELECT id, name, mode, model, created_at, instructions FROM apps \
    WHERE project = ?1 ORDER BY id";
const APP: &str = "\
    SELECT id, name, mode, model, created_at, instructions FROM apps \
    WHERE project = ?1 AND id = ?2";
const KEYS: &str = "\
    SELECT project, id, app, dialect, created_at, revoked_at, scopes, user FROM keys \
    WHERE project = ?1 ORDER BY id";
pub(super) const KEY: &str = "\
    SELECT project, id, app, dialect, created_at, revoked_at, scopes, user FROM keys \
    WHERE digest = ?1";

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
    sealer: &dyn Sealer,
    project: ProjectId,
) -> Result<Vec<App>, Trouble> {
    let mut select = db.prepare_cached(APPS)?;
    let mut rows = select.query(params![project.0])?;
    let mut apps = Vec::new();
    while let Some(row) = rows.next()? {
        apps.push(read_app(sealer, project, row)?);
    }
    Ok(apps)
}

pub(super) fn app(
    db: &Connection,
    sealer: &dyn Sealer,
    project: ProjectId,
    id: AppId,
) -> Result<Option<App>, Trouble> {
    let mut select = db.prepare_cached(APP)?;
    let mut rows = select.query(params![project.0, Bits::of(id)])?;
    rows.next()?
        .map(|row| read_app(sealer, project, row))
        .transpose()
}

fn read_app(sealer: &dyn Sealer, project: ProjectId, row: &Row<'_>) -> Result<App, Trouble> {
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
            let bytes = open(sealer, &place, sealed)?;
            Some(codec::text(&bytes).ok_or(corrupt("apps", "instructions"))?)
        }
    };
    Ok(App {
        id,
        project,
        name: row.get(1)?,
        mode: AppMode::parse(&mode).ok_or(corrupt("apps", "mode"))?,
        model: row.get(3)?,
        instructions,
        created_at: time(row.get(4)?),
    })
}

pub(super) fn keys(
    db: &Connection,
    sealer: &dyn Sealer,
    project: ProjectId,
) -> Result<Vec<KeyRecord>, Trouble> {
    let mut select = db.prepare_cached(KEYS)?;
    let mut rows = select.query(params![project.0])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(read_key(sealer, row)?);
    }
    Ok(keys)
}

pub(super) fn key(
    db: &Connection,
    sealer: &dyn Sealer,
    digest: KeyDigest,
) -> Result<Option<KeyRecord>, Trouble> {
    let mut select = db.prepare_cached(KEY)?;
    let mut rows = select.query(params![digest.0])?;
    rows.next()?.map(|row| read_key(sealer, row)).transpose()
}

fn read_key(sealer: &dyn Sealer, row: &Row<'_>) -> Result<KeyRecord, Trouble> {
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
            let bytes = open(sealer, &place, sealed)?;
            let text = codec::text(&bytes).ok_or(corrupt("keys", "user"))?;
            User::parse(&text).map_err(|_| corrupt("keys", "user"))?
        }
    };
    Ok(KeyRecord {
        id,
        project,
        app: row.get::<_, Bits>(2)?.id(),
        dialect: row.get(3)?,
        scopes: codec::read_scopes(scopes.as_deref()).ok_or(corrupt("keys", "scopes"))?,
        user,
        created_at: time(row.get(4)?),
        revoked_at: row.get::<_, Option<i64>>(5)?.map(time),
    })
}

/// An administrative write, its content sealed.
pub(super) struct Encoded {
    write: AdminWrite,
    sealed: Option<Sealed>,
}

impl Encoded {
    pub(super) fn of(sealer: &dyn Sealer, write: &AdminWrite) -> Result<Self, StoreError> {
        let (project, record, field, plain) = match write {
            AdminWrite::CreateApp(app) => {
                let plain = app.instructions.as_ref().map(String::as_bytes);
                (app.project, Record::App(app.id), Field::Instructions, plain)
            }
            AdminWrite::CreateKey { key, .. } => {
                let plain = key.user.as_ref().map(|user| user.expose().as_bytes());
                (key.project, Record::Key(key.id), Field::User, plain)
            }
            AdminWrite::CreateProject(_) | AdminWrite::RevokeKey { .. } => {
                return Ok(Self {
                    write: write.clone(),
                    sealed: None,
                });
            }
        };
        let encoder = Encoder { project, sealer };
        let sealed = plain
            .map(|plain| encoder.seal(record, field, plain.to_vec()))
            .transpose()?;
        Ok(Self {
            write: write.clone(),
            sealed,
        })
    }
}

/// Applies one administrative write.
pub(super) fn administer(db: &Connection, encoded: &Encoded) -> Result<(), Trouble> {
    match &encoded.write {
        AdminWrite::CreateProject(project) => create_project(db, project),
        AdminWrite::CreateApp(app) => create_app(db, app, encoded.sealed.as_ref()),
        AdminWrite::CreateKey { key, digest } => {
            create_key(db, key, *digest, encoded.sealed.as_ref())
        }
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
            Ok(())
        }
    }
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

fn create_app(db: &Connection, app: &App, instructions: Option<&Sealed>) -> Result<(), Trouble> {
    let named: bool = db
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM apps WHERE project = ?1 AND name = ?2)")?
        .query_row(params![app.project.0, app.name], |row| row.get(0))?;
    if named {
        return Err(StoreError::NameTaken.into());
    }
    let inserted = db
        .prepare_cached(
            "INSERT OR IGNORE INTO apps (project, id, name, mode, model, created_at, instructions) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            app.project.0,
            Bits::of(app.id),
            app.name,
            app.mode.name(),
            app.model,
            app.created_at.micros(),
            instructions,
        ])?;
    unless_taken(inserted)
}

fn create_key(
    db: &Connection,
    key: &KeyRecord,
    digest: KeyDigest,
    user: Option<&Sealed>,
) -> Result<(), Trouble> {
    let inserted = db
        .prepare_cached(
            "INSERT OR IGNORE INTO keys (project, id, digest, app, dialect, created_at, \
                revoked_at, scopes, user) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
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
        ])?;
    unless_taken(inserted)
}

fn unless_taken(inserted: usize) -> Result<(), Trouble> {
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
        db.prepare_cached(sql::FINISH_TURN)?.execute(params![
            project,
            conversation,
            turn,
            failed,
            at.micros(),
            0,
            0,
            next_seq
        ])?;
        db.prepare_cached(sql::STOP_RUNNING)?
            .execute(params![project, conversation])?;
        turns += 1;
    }
    Ok(turns)
}
