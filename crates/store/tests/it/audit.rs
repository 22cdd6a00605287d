//! The audit finds each thing that should not be, and nothing else.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join, join_all};
use parlance_domain::clock::Timestamp;
use parlance_domain::model::{App, AppMode, KeyDigest, KeyRecord, ProjectId, Scopes, User};
use parlance_domain::store::{AdminWrite, Batch, Store, Write};
use parlance_domain::{ConversationId, Id, IdSource, SystemClock};
use parlance_store::Sqlite;
use parlance_store::audit::{Finding, Report, audit_stopped};
use parlance_store::keyring::RootFile;
use parlance_testkit::samples::{app, conversation, item, metadata, principal, question, record};
use rusqlite::Connection;

use crate::sqlite::{delete, ids, open};

/// What is written, one text for each field, and no two alike.
const TITLE: &str = "Plans for the winter garden, and who waters it";
const METADATA: &str = "the neighbour's spare key hangs in the shed";
const BODY: &str = "Dear diary, today I have planted forty-two tulips in the rain";
const ALIAS: &str = "message-9b2f7a31c0de";
const RECORD: &str = "Never name the gardener, whatever you are asked";
const INSTRUCTIONS: &str = "You answer like a gardener of the old school, with patience";
const USER: &str = "margarethe.winter@example.org";

async fn write(store: &Sqlite, ids: &IdSource) -> ConversationId {
    let mut new = conversation(ids, app(1), Timestamp::from_micros(1));
    new.title = Some(TITLE.to_owned());
    new.metadata = metadata(&[("place", METADATA)]);
    let mut first = item(ids, question(BODY));
    first.alias = Some(ALIAS.to_owned());
    new.items = vec![first, item(ids, question("short"))];
    let id = new.id;
    let start = Write::StartTurn {
        conversation: id,
        turn: ids.next(),
        app: app(1),
        record: Box::new(record(RECORD)),
        input: Vec::new(),
        at: Timestamp::from_micros(2),
    };
    let batch = Batch {
        require: Vec::new(),
        writes: vec![Write::Create(Box::new(new)), start],
    };
    store.apply(&principal("ann"), &batch).await.unwrap();
    id
}

async fn write_of_operators(store: &Sqlite, ids: &IdSource) {
    let (project, at) = (ProjectId(1), Timestamp::from_micros(5));
    let id = ids.next();
    let bot = App {
        id,
        project,
        name: "bot".to_owned(),
        mode: AppMode::Chat,
        model: Some("echo".to_owned()),
        instructions: Some(INSTRUCTIONS.to_owned()),
        created_at: at,
    };
    store.administer(&AdminWrite::CreateApp(bot)).await.unwrap();
    let key = KeyRecord {
        id: ids.next(),
        project,
        app: id,
        dialect: "dify".to_owned(),
        scopes: Scopes::All,
        user: User::parse(USER).unwrap(),
        created_at: at,
        revoked_at: None,
    };
    let digest = KeyDigest::of("secret");
    let write = AdminWrite::CreateKey { key, digest };
    store.administer(&write).await.unwrap();
}

/// A store with a few conversations, one of which was deleted, and where its key was: the bytes of its slot.
struct Stopped {
    dir: tempfile::TempDir,
    living: ConversationId,
    slot: u32,
    bytes: Vec<u8>,
}

const SLOT: usize = 80;

fn slots(dir: &Path) -> Vec<u8> {
    fs::read(dir.join("keyring/slots")).unwrap()
}

async fn stopped() -> Stopped {
    let dir = tempfile::tempdir().unwrap();
    let (store, ids) = (open(dir.path()), ids());
    let living = write(&store, &ids).await;
    write_of_operators(&store, &ids).await;
    let gone = write(&store, &ids).await;
    let before = slots(dir.path());
    delete(&store, gone).await;
    let after = slots(dir.path());
    store.close().await;
    let wiped = before.chunks(SLOT).zip(after.chunks(SLOT));
    let wiped: Vec<usize> = wiped
        .enumerate()
        .filter_map(|(slot, (was, is))| (was != is).then_some(slot))
        .collect();
    assert_eq!(wiped.len(), 1);
    Stopped {
        dir,
        living,
        slot: u32::try_from(wiped[0]).unwrap(),
        bytes: before[wiped[0] * SLOT..][..SLOT].to_vec(),
    }
}

impl Stopped {
    fn audit(&self, also: &[PathBuf]) -> Report {
        let root = RootFile::beside(&self.dir.path().join("keyring"), None);
        audit_stopped(self.dir.path(), Arc::new(root), also).unwrap()
    }

    fn db(&self) -> Connection {
        Connection::open(self.dir.path().join("parlance.db")).unwrap()
    }

    fn fill(&self, slot: u32, bytes: &[u8]) {
        fill(self.dir.path(), slot, bytes);
    }

    fn slot_of(&self, id: ConversationId) -> u32 {
        let select = "SELECT slot FROM conversations WHERE id = ?1";
        let id = id.bits().to_be_bytes();
        self.db().query_row(select, [id], |row| row.get(0)).unwrap()
    }
}

fn fill(dir: &Path, slot: u32, bytes: &[u8]) {
    let path = dir.join("keyring/slots");
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    let at = u64::from(slot) * 80;
    file.write_all_at(bytes, at).unwrap();
}

fn kinds(report: &Report) -> Vec<String> {
    let findings = report.findings.iter();
    findings.map(ToString::to_string).collect()
}

#[tokio::test]
async fn where_all_is_well_nothing_is_found_and_all_is_looked_at() {
    let stopped = stopped().await;
    let report = stopped.audit(&[]);
    assert_eq!(report.findings, []);
    // A conversation, an app's instructions, and the user of a key.
    assert_eq!((report.rows, report.erased), (3, 1));
    assert_eq!(report.keys, report.rows + report.ahead);
    assert!(report.fields >= 6 && report.pieces >= 6, "{report:?}");
    assert!(report.files >= 6 && report.bytes > 100_000, "{report:?}");
    let store = open(stopped.dir.path());
    let live = store.audit(Vec::new(), || true).await.unwrap();
    assert_eq!(live.findings, []);
    assert_eq!((live.rows, live.erased), (3, 1));
}

#[tokio::test]
async fn an_audit_changes_nothing() {
    let stopped = stopped().await;
    // What the next start would tidy away.
    stopped.fill(stopped.slot, &stopped.bytes);
    let before = slots(stopped.dir.path());
    let first = stopped.audit(&[]);
    assert_eq!(stopped.audit(&[]).findings, first.findings);
    assert!(slots(stopped.dir.path()) == before);
}

#[tokio::test]
async fn a_live_key_of_a_deleted_conversation_is_found() {
    let stopped = stopped().await;
    stopped.fill(stopped.slot, &stopped.bytes);
    let found = stopped.audit(&[]).findings;
    let [Finding::LiveKey { slot, .. }] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(*slot, stopped.slot);
    // The log alone knows of it as well, and so does the database.
    for forget in ["log", "database"] {
        if forget == "log" {
            fs::rename(
                stopped.dir.path().join("erasures.log"),
                stopped.dir.path().join("aside"),
            )
            .unwrap();
        } else {
            fs::rename(
                stopped.dir.path().join("aside"),
                stopped.dir.path().join("erasures.log"),
            )
            .unwrap();
            stopped.db().execute("DELETE FROM erasures", []).unwrap();
        }
        assert_eq!(stopped.audit(&[]).findings, found, "without the {forget}");
    }
}

#[tokio::test]
async fn a_row_that_came_back_with_its_key_is_found() {
    let stopped = stopped().await;
    stopped.fill(stopped.slot, &stopped.bytes);
    let generation = u64::from_be_bytes(*stopped.bytes.first_chunk().unwrap());
    let again = "INSERT INTO conversations (project, id, app, owner, updated_at, active, next_seq, turns, \
        slot, generation) SELECT project, id, app, owner, updated_at, 1, 0, 0, ?1, ?2 FROM tombstones";
    let generation = i64::try_from(generation).unwrap();
    let inserted = stopped
        .db()
        .execute(again, [i64::from(stopped.slot), generation]);
    assert_eq!(inserted.unwrap(), 1);
    let found = stopped.audit(&[]).findings;
    let [Finding::LiveKey { .. }, Finding::Undead(row)] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_ne!(row.id, stopped.living.bits().to_be_bytes());
}

#[tokio::test]
async fn a_row_without_its_key_is_found() {
    let stopped = stopped().await;
    stopped.fill(stopped.slot_of(stopped.living), &[0; SLOT]);
    let found = stopped.audit(&[]).findings;
    let [Finding::RowWithoutKey(row)] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(
        (row.table, row.id),
        ("conversations", stopped.living.bits().to_be_bytes())
    );
}

#[tokio::test]
async fn rows_of_a_conversation_that_is_gone_are_found() {
    let stopped = stopped().await;
    let db = stopped.db();
    for insert in [
        "INSERT INTO items (project, conversation, seq, id, kind, body) \
         VALUES (1, zeroblob(16), 0, zeroblob(16), 0, x'00')",
        "INSERT INTO turns VALUES (1, randomblob(16), zeroblob(16), zeroblob(16), x'', 1, 0, NULL, 0, 0, 0, \
            0, 0, NULL, NULL, NULL)",
        "INSERT INTO aliases VALUES (2, randomblob(16), zeroblob(16), 0)",
    ] {
        db.execute(insert, []).unwrap();
    }
    let tables: Vec<_> = stopped
        .audit(&[])
        .findings
        .into_iter()
        .map(|finding| {
            let Finding::RowsWithoutConversation(row) = finding else {
                panic!("{finding}");
            };
            row.table
        })
        .collect();
    assert_eq!(tables, ["aliases", "items", "turns"]);
    let purge = "INSERT INTO purges (project, conversation) SELECT project, conversation FROM items \
        UNION SELECT project, conversation FROM turns \
        UNION SELECT project, conversation FROM aliases";
    db.execute(purge, []).unwrap();
    assert_eq!(stopped.audit(&[]).findings, [], "they are being purged");
}

#[tokio::test]
async fn the_key_of_a_users_name_comes_into_the_log_of_erasures_and_is_found_if_it_lives() {
    let dir = tempfile::tempdir().unwrap();
    let (store, ids) = (open(dir.path()), ids());
    write_of_operators(&store, &ids).await;
    let key = store.keys(ProjectId(1)).await.unwrap().remove(0);
    let before = slots(dir.path());
    let retire = AdminWrite::RetireKey {
        project: ProjectId(1),
        key: key.id,
        user: key.user.unwrap(),
        at: Timestamp::from_micros(9),
    };
    store.administer(&retire).await.unwrap();
    store.log_erasures().await.unwrap();
    let report = store.audit(Vec::new(), || true).await.unwrap();
    assert_eq!((kinds(&report), report.erased), (Vec::new(), 1));
    store.close().await;
    drop(store);
    fs::write(dir.path().join("keyring/slots"), before).unwrap();
    let root = RootFile::beside(&dir.path().join("keyring"), None);
    let found = audit_stopped(dir.path(), Arc::new(root), &[]).unwrap();
    let [Finding::LiveKey { .. }] = found.findings.as_slice() else {
        panic!("{:?}", found.findings);
    };
}

#[tokio::test]
async fn content_that_does_not_open_is_found() {
    let stopped = stopped().await;
    stopped
        .db()
        .execute("UPDATE conversations SET metadata = title", [])
        .unwrap();
    let found = kinds(&stopped.audit(&[]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("content that does not open: metadata of "));
}

#[tokio::test]
async fn plaintext_of_every_field_is_found_wherever_it_stands() {
    let fields = [
        ("title", TITLE),
        ("metadata", METADATA),
        ("body", BODY),
        ("alias", ALIAS),
        ("record", RECORD),
        ("instructions", INSTRUCTIONS),
        ("user", USER),
    ];
    let elsewhere = tempfile::tempdir().unwrap();
    for (field, text) in fields {
        let stopped = stopped().await;
        let logs = elsewhere.path().join(field);
        fs::create_dir_all(logs.join("deeper")).unwrap();
        let places = [
            stopped.dir.path().join("a.log"),
            stopped.dir.path().join("keyring/notes"),
            stopped.dir.path().join("parlance.db"),
            logs.join("deeper/b.log"),
        ];
        for (place, number) in places.iter().zip(0..) {
            let mut bytes = fs::read(place).unwrap_or_default();
            bytes.extend(vec![b'.'; 70_000 * number]);
            bytes.extend(text.as_bytes());
            fs::write(place, bytes).unwrap();
        }
        let report = stopped.audit(&[logs]);
        let mut found: Vec<PathBuf> = Vec::new();
        for finding in &report.findings {
            let told = finding.to_string();
            assert!(!told.contains(text) && told.contains(field), "{told}");
            let Finding::Plaintext { path, offset, .. } = finding else {
                panic!("{told}");
            };
            let bytes = fs::read(path).unwrap();
            let there = &bytes[usize::try_from(*offset).unwrap()..];
            assert!(
                text.as_bytes().starts_with(&there[..16.min(text.len())])
                    || text.contains(std::str::from_utf8(&there[..16]).unwrap())
            );
            found.push(path.clone());
        }
        found.dedup();
        let mut wanted: Vec<PathBuf> = places
            .iter()
            .map(|path| path.canonicalize().unwrap())
            .collect();
        wanted.sort();
        found.sort();
        assert_eq!(found, wanted, "{field}");
    }
}

#[tokio::test]
async fn what_is_short_or_stands_in_the_clear_on_purpose_is_not_searched_for() {
    let dir = tempfile::tempdir().unwrap();
    let (store, ids) = (open(dir.path()), ids());
    let model = "some-large-model-2026-04-14";
    let bot = App {
        id: ids.next(),
        project: ProjectId(1),
        name: "bot".to_owned(),
        mode: AppMode::Chat,
        model: Some(model.to_owned()),
        instructions: None,
        created_at: Timestamp::default(),
    };
    store.administer(&AdminWrite::CreateApp(bot)).await.unwrap();
    let mut new = conversation(&ids, app(1), Timestamp::from_micros(1));
    new.title = Some(model.to_owned());
    let texts = ["hello", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"];
    new.items = texts.map(|text| item(&ids, question(text))).into();
    let batch = Batch::of(Write::Create(Box::new(new)));
    store.apply(&principal("ann"), &batch).await.unwrap();
    fs::write(dir.path().join("log"), texts.join(" ")).unwrap();
    let report = store.audit(Vec::new(), || true).await.unwrap();
    assert_eq!(kinds(&report), [""; 0]);
    assert!(report.fields >= 3 && report.pieces == 0, "{report:?}");
}

#[tokio::test]
async fn a_key_that_no_row_refers_to_is_found_beside_a_running_store() {
    let dir = tempfile::tempdir().unwrap();
    let (store, ids) = (open(dir.path()), ids());
    let living = write(&store, &ids).await;
    let gone = write(&store, &ids).await;
    let before = slots(dir.path());
    delete(&store, gone).await;
    let after = slots(dir.path());
    let slot = before
        .chunks(SLOT)
        .zip(after.chunks(SLOT))
        .position(|(was, is)| was != is);
    let slot = slot.unwrap();
    let mut bytes = before[slot * SLOT..][..SLOT].to_vec();
    bytes[..8].copy_from_slice(&7_777_u64.to_be_bytes());
    fill(dir.path(), u32::try_from(slot).unwrap(), &bytes);
    let found = store.audit(Vec::new(), || true).await.unwrap().findings;
    let [
        Finding::KeyWithoutRow {
            slot: told,
            generation: Some(7_777),
        },
    ] = found.as_slice()
    else {
        panic!("{found:?}");
    };
    assert_eq!(usize::try_from(*told).unwrap(), slot);
    assert!(crate::sqlite::read(&store, living).await.is_some());
}

/// Makes and deletes until it is told to stop. Gives how often.
async fn keep_busy(store: &Sqlite, ids: &IdSource, stop: &AtomicBool) -> u32 {
    let mut done = 0;
    while !stop.load(Ordering::Acquire) {
        let id = write(store, ids).await;
        delete(store, id).await;
        done += 1;
    }
    done
}

#[tokio::test]
async fn there_is_no_false_alarm_while_others_make_and_delete() {
    let dir = tempfile::tempdir().unwrap();
    let (store, stop) = (open(dir.path()), AtomicBool::new(false));
    let sources = [0, 1, 2].map(|seed| IdSource::new(Arc::new(SystemClock), [seed; 32]));
    let clients = sources.iter().map(|ids| keep_busy(&store, ids, &stop));
    let audits = async {
        for _ in 0..5 {
            let report = store.audit(Vec::new(), || true).await.unwrap();
            assert_eq!(kinds(&report), [""; 0]);
        }
        stop.store(true, Ordering::Release);
    };
    let (done, ()) = join(join_all(clients), audits).await;
    assert!(done.iter().all(|done| *done > 0), "{done:?}");
}
