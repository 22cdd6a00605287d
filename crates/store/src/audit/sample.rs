//! Opens some of what is sealed, and cuts pieces from it that are rare enough to be searched for.

use std::collections::BTreeSet;

use parlance_domain::{Id, ItemId, ProjectId};
use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{AuditError, Finding, Report, Row, Subject};
use crate::codec;
use crate::keyring::KeyRef;
use crate::seal::{Field, Place, Record, Sealed, Sealer};

/// Conversations that are opened. Where there are fewer, all are.
const CONVERSATIONS_MAX: usize = 256;
/// Items of each that are opened.
const ITEMS_MAX: usize = 4;
/// Turns of each that are opened, of the first and of the last.
const TURNS_MAX: u32 = 2;
/// Apps, keys and holds that are opened, each.
const OTHERS_MAX: u32 = 256;
/// Bytes of the shortest piece that is searched for. What is shorter stands in files by chance, or because
/// many things are called so.
const PIECE_MIN: usize = 16;
/// Bytes of the longest.
const PIECE_MAX: usize = 48;
/// Different bytes that a piece has at least: what repeats itself is common.
const DIFFERENT_MIN: usize = 8;

/// A piece of content, and whose it is.
pub(super) struct Piece {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) row: Row,
    pub(super) field: &'static str,
}

/// What was opened.
#[derive(Default)]
pub(super) struct Sample {
    pub(super) pieces: Vec<Piece>,
    /// What did not open.
    pub(super) unreadable: Vec<Finding>,
    known: BTreeSet<[u8; 32]>,
    fields: u64,
}

const CONVERSATION: &str = "\
    SELECT id, slot, generation, title, metadata, extras FROM conversations \
    WHERE project = ?1 AND id >= ?2 ORDER BY id LIMIT 1";
const ITEM: &str = "\
    SELECT id, body, alias, kind, type FROM items \
    WHERE project = ?1 AND conversation = ?2 AND seq >= ?3 ORDER BY seq LIMIT 1";
const TURNS: &str = "\
    SELECT id, record FROM turns \
    WHERE project = ?1 AND conversation = ?2 AND record IS NOT NULL ORDER BY id LIMIT ?3";
const LATEST_TURNS: &str = "\
    SELECT id, record FROM turns \
    WHERE project = ?1 AND conversation = ?2 AND record IS NOT NULL ORDER BY id DESC LIMIT ?3";
const APPS: &str = "\
    SELECT project, id, slot, generation, instructions FROM apps \
    WHERE instructions IS NOT NULL ORDER BY random() LIMIT ?1";
const KEYS: &str = "\
    SELECT project, id, slot, generation, user FROM keys \
    WHERE user IS NOT NULL ORDER BY random() LIMIT ?1";

const HOLDS: &str = "\
    SELECT project, id, slot, generation, content FROM holds \
    WHERE content IS NOT NULL ORDER BY random() LIMIT ?1";

/// Takes a sample of all fields that are sealed.
pub(super) fn take(subject: &Subject<'_>, report: &mut Report) -> Result<Sample, AuditError> {
    let mut sample = Sample::default();
    for (project, id) in conversations(subject.db)? {
        if !(subject.going_on)() {
            return Err(AuditError::Stopped);
        }
        sample.conversation(subject, project, id)?;
    }
    sample.others(subject, ("apps", "instructions"), APPS)?;
    sample.others(subject, ("keys", "user"), KEYS)?;
    sample.others(subject, ("holds", "note"), HOLDS)?;
    let clear = clear_words(subject.db)?;
    sample.pieces.retain(|piece| {
        let text = String::from_utf8_lossy(&piece.bytes);
        !clear.iter().any(|word| word.contains(&*text))
    });
    report.fields = sample.fields;
    report.pieces = u64::try_from(sample.pieces.len()).unwrap_or(u64::MAX);
    Ok(sample)
}

/// What stands in the clear on purpose: who writes a name of an app in a conversation has not made it a
/// secret.
fn clear_words(db: &Connection) -> Result<Vec<String>, AuditError> {
    let mut words = Vec::new();
    for select in [
        "SELECT name FROM projects",
        "SELECT name FROM apps",
        "SELECT DISTINCT model FROM apps",
        "SELECT DISTINCT scopes FROM keys WHERE scopes IS NOT NULL",
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL",
    ] {
        let mut select = db.prepare(select)?;
        let rows = select.query_map([], |row| row.get(0))?;
        words.extend(rows.collect::<Result<Vec<String>, _>>()?);
    }
    Ok(words)
}

/// Which conversations are opened: by chance, where they are too many.
fn conversations(db: &Connection) -> Result<Vec<(i64, [u8; 16])>, AuditError> {
    let count: i64 = db.query_row("SELECT count(*) FROM conversations", [], |row| row.get(0))?;
    if usize::try_from(count).is_ok_and(|count| count <= CONVERSATIONS_MAX) {
        let mut all = db.prepare("SELECT project, id FROM conversations")?;
        let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        return Ok(rows.collect::<Result<_, _>>()?);
    }
    let mut ends = db.prepare(
        "SELECT project, min(id), max(id), count(*) FROM conversations GROUP BY project",
    )?;
    let ends = ends.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    })?;
    let mut chosen = Vec::new();
    for end in ends {
        let (project, low, high, within): (i64, [u8; 16], [u8; 16], i64) = end?;
        let (low, high) = (u128::from_be_bytes(low), u128::from_be_bytes(high));
        let wanted = usize::try_from(within).unwrap_or(usize::MAX);
        for _ in 0..wanted.min(CONVERSATIONS_MAX) {
            let offset = random()?.checked_rem(high.saturating_sub(low)).unwrap_or(0);
            chosen.push((project, low.saturating_add(offset).to_be_bytes()));
        }
    }
    // Every project has its share.
    while chosen.len() > CONVERSATIONS_MAX {
        let at = random()? % u128::try_from(chosen.len()).unwrap_or(1);
        chosen.swap_remove(usize::try_from(at).unwrap_or(0));
    }
    Ok(chosen)
}

fn random() -> Result<u128, AuditError> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| AuditError::Random)?;
    Ok(u128::from_be_bytes(bytes))
}

/// Content as it was read, and what opens it.
struct Closed<'a> {
    sealer: &'a Sealer,
    row: Row,
    record: Record,
}

impl Sample {
    /// Opens the next conversation from an id on, and some of its items.
    fn conversation(
        &mut self,
        subject: &Subject<'_>,
        project: i64,
        from: [u8; 16],
    ) -> Result<(), AuditError> {
        let read = subject
            .db
            .prepare_cached(CONVERSATION)?
            .query_row(params![project, from], |row| {
                let key = crate::sqlite::key_ref(row, 1)?;
                let sealed: [Option<Sealed>; 3] = [row.get(3)?, row.get(4)?, row.get(5)?];
                Ok((row.get(0)?, key, sealed))
            })
            .optional()?;
        let Some((id, key, sealed)) = read else {
            return Ok(());
        };
        // It may have been deleted since it was read.
        let Some(sealer) = subject.vault.sealer(key)? else {
            return Ok(());
        };
        let closed = Closed {
            sealer: &sealer,
            row: Row {
                table: "conversations",
                project: ProjectId(project),
                id,
            },
            record: Record::Conversation(Id::from_bits(u128::from_be_bytes(id))),
        };
        for ((field, name), sealed) in [
            (Field::Title, "title"),
            (Field::Metadata, "metadata"),
            (Field::Extras, "extras"),
        ]
        .into_iter()
        .zip(sealed)
        {
            let Some(plain) = self.open(&closed, field, name, sealed) else {
                continue;
            };
            if field == Field::Title {
                self.cut(&closed.row, name, &plain);
            } else {
                self.cut_json(&closed.row, name, &plain);
            }
        }
        self.turns(subject, &sealer, closed.row)?;
        self.items(subject, &sealer, closed.row)
    }

    fn turns(&mut self, subject: &Subject<'_>, sealer: &Sealer, of: Row) -> Result<(), AuditError> {
        for select in [TURNS, LATEST_TURNS] {
            let mut select = subject.db.prepare_cached(select)?;
            let rows = select.query_map(params![of.project.0, of.id, TURNS_MAX], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            let rows: Vec<([u8; 16], Sealed)> = rows.collect::<Result<_, _>>()?;
            for (id, record) in rows {
                self.turn(sealer, of, id, record);
            }
        }
        Ok(())
    }

    fn turn(&mut self, sealer: &Sealer, of: Row, id: [u8; 16], record: Sealed) {
        let closed = Closed {
            sealer,
            row: Row {
                table: "turns",
                ..of
            },
            record: Record::Turn {
                conversation: Id::from_bits(u128::from_be_bytes(of.id)),
                turn: Id::from_bits(u128::from_be_bytes(id)),
            },
        };
        let plain = self.open(&closed, Field::TurnRecord, "record", Some(record));
        let Some(record) = plain.and_then(|plain| codec::read_record(&plain)) else {
            return;
        };
        // Not the model's name: it stands in settings and apps, and in whatever a client asks for.
        if let Some(native) = record.native {
            self.cut_json(&closed.row, "record", native.json.text().as_bytes());
        }
        if let Some(error) = record.error {
            self.cut(&closed.row, "record", error.as_bytes());
        }
    }

    fn items(&mut self, subject: &Subject<'_>, sealer: &Sealer, of: Row) -> Result<(), AuditError> {
        let last: Option<i64> = subject
            .db
            .prepare_cached("SELECT max(seq) FROM items WHERE project = ?1 AND conversation = ?2")?
            .query_row(params![of.project.0, of.id], |row| row.get(0))?;
        let Some(last) = last.and_then(|last| u128::try_from(last).ok()) else {
            return Ok(());
        };
        let mut seqs = BTreeSet::from([0, last]);
        for _ in 2..ITEMS_MAX {
            seqs.insert(random()?.checked_rem(last.saturating_add(1)).unwrap_or(0));
        }
        for seq in seqs {
            let read = subject
                .db
                .prepare_cached(ITEM)?
                .query_row(
                    params![of.project.0, of.id, i64::try_from(seq).unwrap_or(i64::MAX)],
                    |row| {
                        let (kind, item_type): (i64, Option<String>) = (row.get(3)?, row.get(4)?);
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?, kind, item_type))
                    },
                )
                .optional()?;
            let Some((id, body, alias, kind, item_type)) = read else {
                continue;
            };
            let item: ItemId = Id::from_bits(u128::from_be_bytes(id));
            let closed = Closed {
                sealer,
                row: Row {
                    table: "items",
                    ..of
                },
                record: Record::Item {
                    conversation: Id::from_bits(u128::from_be_bytes(of.id)),
                    item,
                },
            };
            if let Some(alias) = self.open(&closed, Field::Alias, "alias", alias) {
                self.cut(&closed.row, "alias", &alias);
            }
            if let Some(body) = self.open(&closed, Field::Body, "body", Some(body)) {
                let kind = codec::read_kind(kind, item_type.as_deref());
                let content = kind.and_then(|kind| codec::read_body(kind, &body));
                if let Some(content) = content {
                    self.cut_json(&closed.row, "body", content.payload.text().as_bytes());
                    if let Some(native) = content.native {
                        self.cut_json(&closed.row, "body", native.json.text().as_bytes());
                    }
                }
            }
        }
        Ok(())
    }

    /// Opens the one sealed field of some rows of a table.
    fn others(
        &mut self,
        subject: &Subject<'_>,
        (table, name): (&'static str, &'static str),
        select: &str,
    ) -> Result<(), AuditError> {
        let mut select = subject.db.prepare(select)?;
        let rows = select.query_map([OTHERS_MAX], |row| {
            let name = Row {
                table,
                project: ProjectId(row.get(0)?),
                id: row.get(1)?,
            };
            let key: KeyRef = crate::sqlite::key_ref(row, 2)?;
            Ok((name, key, row.get(4)?))
        })?;
        let rows: Vec<(Row, KeyRef, Option<Sealed>)> = rows.collect::<Result<_, _>>()?;
        for (row, key, sealed) in rows {
            let Some(sealer) = subject.vault.sealer(key)? else {
                continue;
            };
            let bits = u128::from_be_bytes(row.id);
            let (record, field) = match table {
                "apps" => (Record::App(Id::from_bits(bits)), Field::Instructions),
                "holds" => (Record::Hold(Id::from_bits(bits)), Field::Hold),
                _ => (Record::Key(Id::from_bits(bits)), Field::User),
            };
            let closed = Closed {
                sealer: &sealer,
                row,
                record,
            };
            match self.open(&closed, field, name, sealed) {
                Some(plain) if field == Field::Hold => self.cut_json(&row, name, &plain),
                Some(plain) => self.cut(&row, name, &plain),
                None => {}
            }
        }
        Ok(())
    }

    fn open(
        &mut self,
        closed: &Closed<'_>,
        field: Field,
        name: &'static str,
        sealed: Option<Sealed>,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let place = Place {
            project: closed.row.project,
            record: closed.record,
            field,
        };
        self.fields = self.fields.saturating_add(1);
        if let Ok(plain) = closed.sealer.open(&place, sealed?) {
            return Some(Zeroizing::new(plain));
        }
        self.unreadable.push(Finding::Unreadable {
            row: closed.row,
            field: name,
        });
        None
    }

    /// Cuts pieces from all text in JSON.
    fn cut_json(&mut self, row: &Row, field: &'static str, json: &[u8]) {
        let Ok(json) = serde_json::from_slice::<Value>(json) else {
            return;
        };
        let mut left = vec![json];
        while let Some(value) = left.pop() {
            match value {
                Value::String(text) => self.cut(row, field, text.as_bytes()),
                Value::Array(values) => left.extend(values),
                Value::Object(members) => {
                    for (name, value) in members {
                        self.cut(row, field, name.as_bytes());
                        left.push(value);
                    }
                }
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
    }

    /// Cuts pieces from the beginning, the middle and the end of a text, where they are rare enough.
    fn cut(&mut self, row: &Row, field: &'static str, text: &[u8]) {
        let last = text.len().saturating_sub(PIECE_MAX);
        for start in BTreeSet::from([0, last / 2, last]) {
            let rest = text.get(start..).unwrap_or_default();
            let piece = rest.get(..PIECE_MAX).unwrap_or(rest);
            let different: BTreeSet<u8> = piece.iter().copied().collect();
            if piece.len() < PIECE_MIN || different.len() < DIFFERENT_MIN {
                continue;
            }
            let hash = ring::digest::digest(&ring::digest::SHA256, piece);
            let hash: Option<[u8; 32]> = hash.as_ref().try_into().ok();
            if hash.is_some_and(|hash| self.known.insert(hash)) {
                self.pieces.push(Piece {
                    bytes: Zeroizing::new(piece.to_vec()),
                    row: *row,
                    field,
                });
            }
        }
    }
}
