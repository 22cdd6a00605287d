//! Holds the keyring, the database and the log of erasures against each other.

use std::collections::{BTreeMap, BTreeSet};

use parlance_domain::ProjectId;
use rusqlite::{Connection, OptionalExtension, params};

use super::{AuditError, FINDINGS_MAX, Finding, Report, Row, Subject};
use crate::erasures::{FILE, Known};
use crate::keyring::{KeyRef, Keyring, Standing};

/// The tables whose rows have keys of their own.
const WITH_KEYS: [(&str, &str); 4] = [
    (
        "conversations",
        "SELECT project, id, slot, generation FROM conversations",
    ),
    (
        "apps",
        "SELECT project, id, slot, generation FROM apps WHERE slot IS NOT NULL",
    ),
    (
        "keys",
        "SELECT project, id, slot, generation FROM keys WHERE slot IS NOT NULL",
    ),
    (
        "holds",
        "SELECT project, id, slot, generation FROM holds WHERE slot IS NOT NULL",
    ),
];

/// The tables whose rows belong to a conversation, and the next conversation that one of them is of.
const OF_CONVERSATIONS: [(&str, &str); 3] = [
    (
        "items",
        "SELECT project, conversation FROM items WHERE (project, conversation) > (?1, ?2) \
         ORDER BY project, conversation LIMIT 1",
    ),
    (
        "aliases",
        "SELECT project, conversation FROM aliases WHERE (project, conversation) > (?1, ?2) \
         ORDER BY project, conversation LIMIT 1",
    ),
    (
        "turns",
        "SELECT project, conversation FROM turns WHERE (project, conversation) > (?1, ?2) \
         ORDER BY project, conversation LIMIT 1",
    ),
];

const IS_KNOWN: &str = "\
    SELECT EXISTS (SELECT 1 FROM conversations WHERE project = ?1 AND id = ?2) \
        OR EXISTS (SELECT 1 FROM purges WHERE project = ?1 AND conversation = ?2)";

const UNDEAD: &str = "\
    SELECT t.project, t.id FROM tombstones AS t \
    WHERE EXISTS (SELECT 1 FROM conversations AS c WHERE c.project = t.project AND c.id = t.id)";

const ERASED: &str = "SELECT slot, max(generation) FROM erasures GROUP BY slot";

/// The findings of one look. What is going on meanwhile may be among them.
pub(super) fn look(
    subject: &Subject<'_>,
    report: &mut Report,
) -> Result<BTreeSet<Finding>, AuditError> {
    let Some(keyring) = subject.vault.keyring() else {
        return Ok(BTreeSet::new());
    };
    let mut found = BTreeSet::new();
    let erased = erased(subject, keyring)?;
    report.erased = length(erased.len());
    let rows = rows(subject.db)?;
    report.rows = length(rows.len());
    compare(keyring, &erased, &rows, report, &mut found)?;
    for (table, next) in OF_CONVERSATIONS {
        orphans(subject, table, next, &mut found)?;
    }
    let mut undead = subject.db.prepare(UNDEAD)?;
    let undead = undead.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for row in undead.take(FINDINGS_MAX) {
        let (project, id) = row?;
        let row = Row {
            table: "conversations",
            project: ProjectId(project),
            id,
        };
        found.insert(Finding::Undead(row));
    }
    Ok(found)
}

/// The last key of each slot that is known to be erased: by the log, and by the database.
fn erased(subject: &Subject<'_>, keyring: &Keyring) -> Result<BTreeMap<u32, u64>, AuditError> {
    let mut erased: BTreeMap<u32, u64> = BTreeMap::new();
    let known = Known::read_own(&subject.dir.join(FILE), &keyring.store())?;
    let mut add = |key: KeyRef| {
        let last = erased.entry(key.slot).or_default();
        *last = key.generation.max(*last);
    };
    known.iter().flat_map(Known::erased).for_each(&mut add);
    let mut select = subject.db.prepare(ERASED)?;
    let rows = select.query_map([], |row| crate::sqlite::key_ref(row, 0))?;
    for row in rows {
        add(row?);
    }
    Ok(erased)
}

/// All rows with keys of their own, by these.
fn rows(db: &Connection) -> Result<BTreeMap<KeyRef, Row>, AuditError> {
    let mut all = BTreeMap::new();
    for (table, select) in WITH_KEYS {
        let mut select = db.prepare(select)?;
        let rows = select.query_map([], |row| {
            let name = Row {
                table,
                project: ProjectId(row.get(0)?),
                id: row.get(1)?,
            };
            Ok((crate::sqlite::key_ref(row, 2)?, name))
        })?;
        for row in rows {
            let (key, name) = row?;
            all.insert(key, name);
        }
    }
    Ok(all)
}

fn compare(
    keyring: &Keyring,
    erased: &BTreeMap<u32, u64>,
    rows: &BTreeMap<KeyRef, Row>,
    report: &mut Report,
    found: &mut BTreeSet<Finding>,
) -> Result<(), AuditError> {
    let census = keyring.census()?;
    (report.keys, report.ahead) = (0, 0);
    for (slot, standing) in census.filled() {
        report.keys = report.keys.saturating_add(1);
        let generation = match standing {
            Standing::Key(generation) => Some(generation),
            Standing::Torn => None,
        };
        let last_erased = erased.get(&slot).copied().unwrap_or(0);
        if let Some(generation) = generation.filter(|generation| *generation <= last_erased) {
            found.insert(Finding::LiveKey { slot, generation });
            continue;
        }
        let key = generation.map(|generation| KeyRef { slot, generation });
        if key.is_some_and(|key| rows.contains_key(&key)) {
            continue;
        }
        // Of a stopped store nobody knows which were filled ahead: the next start destroys all of them.
        if census.is_ahead(slot) || !census.is_settled() {
            report.ahead = report.ahead.saturating_add(1);
        } else {
            found.insert(Finding::KeyWithoutRow { slot, generation });
        }
    }
    for (key, row) in rows {
        if census.standing(key.slot) != Some(Standing::Key(key.generation)) {
            found.insert(Finding::RowWithoutKey(*row));
        }
    }
    Ok(())
}

/// Looks at each conversation that has rows in the table.
fn orphans(
    subject: &Subject<'_>,
    table: &'static str,
    next: &str,
    found: &mut BTreeSet<Finding>,
) -> Result<(), AuditError> {
    let mut next = subject.db.prepare(next)?;
    let mut is_known = subject.db.prepare(IS_KNOWN)?;
    let mut at: (i64, [u8; 16]) = (i64::MIN, [0; 16]);
    let mut count = 0;
    while count < FINDINGS_MAX {
        if !(subject.going_on)() {
            return Err(AuditError::Stopped);
        }
        let read = next.query_row(params![at.0, at.1], |row| Ok((row.get(0)?, row.get(1)?)));
        let Some(following) = read.optional()? else {
            break;
        };
        at = following;
        let (project, id) = at;
        if is_known.query_row(params![project, id], |row| row.get(0))? {
            continue;
        }
        count += 1;
        found.insert(Finding::RowsWithoutConversation(Row {
            table,
            project: ProjectId(project),
            id,
        }));
    }
    Ok(())
}

fn length(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
