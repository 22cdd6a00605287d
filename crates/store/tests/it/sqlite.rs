//! What SQLite alone promises.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join;
use parlance_domain::clock::Timestamp;
use parlance_domain::model::{Conversation, ItemQuery, KeyDigest, KeyRecord, Order, Scopes, User};
use parlance_domain::store::{AdminWrite, Batch, Store, StoreError, Write};
use parlance_domain::{ConversationId, Id, IdSource, ReceiptId, SystemClock};
use parlance_store::{Durability, OpenError, Options, Sqlite};
use parlance_testkit::samples::{PROJECT, app, conversation, item, principal, question};
use rusqlite::{Connection, OpenFlags};

pub(crate) fn open(dir: &Path) -> Sqlite {
    Sqlite::open(dir, Options::default()).unwrap()
}

/// A connection of its own to the database, as another process would have it.
fn look(dir: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    Connection::open_with_flags(dir.join("parlance.db"), flags).unwrap()
}

fn rows(db: &Connection, table: &str) -> i64 {
    let count = format!("SELECT count(*) FROM {table}");
    db.query_row(&count, [], |row| row.get(0)).unwrap()
}

pub(crate) fn ids() -> IdSource {
    IdSource::new(Arc::new(SystemClock), [3; 32])
}

/// Makes a conversation with so many items.
pub(crate) async fn make(store: &Sqlite, ids: &IdSource, count: usize) -> ConversationId {
    let mut new = conversation(ids, app(1), Timestamp::from_micros(1));
    new.title = Some("canary in the title".to_owned());
    for number in 0..count {
        let text = format!("canary {number}");
        let mut item = item(ids, question(&text));
        item.alias = Some(text);
        new.items.push(item);
    }
    let id = new.id;
    let batch = Batch::of(Write::Create(Box::new(new)));
    store.apply(&principal("ann"), &batch).await.unwrap();
    id
}

pub(crate) async fn read(store: &Sqlite, id: ConversationId) -> Option<Conversation> {
    let who = principal("ann");
    store.conversation(&who, id.into()).await.unwrap()
}

pub(crate) fn deletion(id: ConversationId) -> Write {
    Write::Delete {
        conversation: id.into(),
        // One receipt for each conversation.
        receipt: ReceiptId::from_bits(id.bits()),
        requested_at: Timestamp::from_micros(1),
        at: Timestamp::from_micros(2),
    }
}

pub(crate) async fn delete(store: &Sqlite, id: ConversationId) {
    let batch = Batch::of(deletion(id));
    store.apply(&principal("ann"), &batch).await.unwrap();
}

#[tokio::test]
async fn a_reopened_store_has_everything() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let id = make(&store, &ids(), 3).await;
    let before = read(&store, id).await;
    store.close().await;
    drop(store);
    let store = open(dir.path());
    assert_eq!(read(&store, id).await, before);
    let query = ItemQuery::first(Order::OldestFirst, 9);
    let page = store.items(&principal("ann"), id.into(), &query).await;
    assert_eq!(page.unwrap().rows.len(), 3);
}

/// Every file of a store that is in use.
const FILES: [&str; 7] = [
    "parlance.db",
    "parlance.db-wal",
    "keyring/header",
    "keyring/segments",
    "keyring/segments-2",
    "keyring/slots",
    "keyring/root.key",
];

#[tokio::test]
async fn what_is_acknowledged_is_in_the_file_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let ids = ids();
    for count in 1..=5 {
        make(&store, &ids, 1).await;
        assert_eq!(rows(&look(dir.path()), "conversations"), count);
    }
    // A copy of the files is what a killed process leaves.
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("keyring")).unwrap();
    for file in FILES {
        std::fs::copy(dir.path().join(file), copy.path().join(file)).unwrap();
    }
    let reopened = open(copy.path());
    let id = make(&reopened, &ids, 0).await;
    assert!(read(&reopened, id).await.is_some());
    assert_eq!(rows(&look(copy.path()), "conversations"), 6);
}

#[tokio::test]
async fn a_closed_store_refuses_writes_and_leaves_no_wal() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    make(&store, &ids(), 1).await;
    store.close().await;
    store.close().await;
    let wal = std::fs::metadata(dir.path().join("parlance.db-wal"));
    assert!(wal.map_or(0, |wal| wal.len()) == 0);
    let late = store.apply(&principal("ann"), &Batch::default()).await;
    assert!(matches!(late, Err(StoreError::Unavailable { .. })));
}

#[tokio::test]
async fn the_file_is_nobody_elses_to_read() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    make(&store, &ids(), 1).await;
    for file in ["parlance.db", "parlance.db-wal", "parlance.db-shm"] {
        let mode = std::fs::metadata(dir.path().join(file)).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let db = Connection::open(dir.path().join("parlance.db")).unwrap();
    db.pragma_update(None, "user_version", 1_000).unwrap();
    let refused = Sqlite::open(dir.path(), Options::default()).err();
    assert!(
        matches!(refused, Some(OpenError::Newer { found: 1_000, .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_database_of_another_migration_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let db = Connection::open(dir.path().join("parlance.db")).unwrap();
    db.execute("UPDATE migrations SET checksum = x'00'", [])
        .unwrap();
    let refused = Sqlite::open(dir.path(), Options::default()).err();
    assert!(matches!(refused, Some(OpenError::Foreign { number: 1 })));
}

#[tokio::test]
async fn nothing_of_a_deleted_conversation_is_left_in_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        durability: Durability::Process,
        ..Options::default()
    };
    let store = Sqlite::open(dir.path(), options).unwrap();
    let ids = ids();
    for count in [0, 5, 200] {
        let id = make(&store, &ids, count).await;
        delete(&store, id).await;
    }
    while store.sweep(Timestamp::from_micros(0)).await.unwrap() {}
    let db = look(dir.path());
    for table in ["conversations", "items", "aliases", "turns", "purges"] {
        assert_eq!(rows(&db, table), 0, "{table}");
    }
    assert_eq!(rows(&db, "tombstones"), 3);
    drop(db);
    assert!(store.checkpoint_truncate().await.unwrap());
    for file in ["parlance.db", "parlance.db-wal"] {
        let bytes = std::fs::read(dir.path().join(file)).unwrap();
        let found = bytes.windows(6).filter(|window| window == b"canary");
        assert_eq!(found.count(), 0, "{file}");
    }
}

#[tokio::test]
async fn the_room_of_what_is_deleted_goes_back_to_the_file_system() {
    // Far more than the free pages that are kept for what is written next.
    const ITEM: u64 = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let ids = ids();
    let mut new = conversation(&ids, app(1), Timestamp::from_micros(1));
    let text = "x".repeat(ITEM.try_into().unwrap());
    new.items = (0..16).map(|_| item(&ids, question(&text))).collect();
    let id = new.id;
    let batch = Batch::of(Write::Create(Box::new(new)));
    store.apply(&principal("ann"), &batch).await.unwrap();
    let length = async || {
        assert!(store.checkpoint_truncate().await.unwrap());
        std::fs::metadata(dir.path().join("parlance.db"))
            .unwrap()
            .len()
    };
    let full = length().await;
    assert!(!store.give_back().await.unwrap(), "nothing is free");
    delete(&store, id).await;
    while store.sweep(Timestamp::from_micros(0)).await.unwrap() {}
    while store.give_back().await.unwrap() {}
    let left = length().await;
    assert!(full > 16 * ITEM, "{full}");
    assert!(left < 8 * ITEM, "{left} of {full}");
    // What is kept is not given back bit by bit.
    assert!(!store.give_back().await.unwrap());
    assert_eq!(length().await, left);
}

#[tokio::test]
async fn a_reader_keeps_the_wal_from_being_emptied_and_that_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let ids = ids();
    make(&store, &ids, 1).await;
    let db = look(dir.path());
    db.execute_batch("BEGIN").unwrap();
    assert_eq!(rows(&db, "conversations"), 1);
    make(&store, &ids, 1).await;
    assert!(!store.checkpoint_truncate().await.unwrap());
    db.execute_batch("COMMIT").unwrap();
    assert!(store.checkpoint_truncate().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appends_neither_get_lost_nor_mix() {
    const EACH: usize = 60;
    let dir = tempfile::tempdir().unwrap();
    let (store, ids) = (Arc::new(open(dir.path())), Arc::new(ids()));
    let id = make(&store, &ids, 0).await;
    let writers = ["a", "b", "c", "d"].map(|name| {
        let (store, ids) = (Arc::clone(&store), Arc::clone(&ids));
        async move {
            for number in 0..EACH {
                append_pair(&store, &ids, id, &format!("{name}{number}")).await;
            }
        }
    });
    let mut tasks = tokio::task::JoinSet::new();
    for writer in writers {
        tasks.spawn(writer);
    }
    tasks.join_all().await;
    let query = ItemQuery::first(Order::OldestFirst, 1_000);
    let page = store.items(&principal("ann"), id.into(), &query).await;
    let items = page.unwrap().rows;
    assert_eq!(items.len(), 4 * 2 * EACH);
    for (pair, seq) in items.chunks(2).zip((0..).step_by(2)) {
        assert_eq!((pair[0].seq, pair[1].seq), (seq, seq + 1));
        assert_eq!(pair[0].content.text(), pair[1].content.text());
    }
    assert!(items.is_sorted_by_key(|item| item.id));
}

/// Appends two items of the same text, with later ids if others were faster.
async fn append_pair(store: &Sqlite, ids: &IdSource, conversation: ConversationId, text: &str) {
    loop {
        let items = vec![item(ids, question(text)), item(ids, question(text))];
        let batch = Batch::of(Write::Append {
            conversation,
            items,
            at: Timestamp::from_micros(3),
        });
        let applied = store.apply(&principal("ann"), &batch).await;
        if let Err(StoreError::StaleItemId { last }) = applied {
            ids.advance_past(last);
            continue;
        }
        applied.unwrap();
        return;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_read_while_what_their_users_are_sealed_with_is_destroyed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let ids = ids();
    let at = Timestamp::from_micros(1);
    let user = User::parse("ann").unwrap().unwrap();
    let mut digests = Vec::new();
    for number in 0..200_u32 {
        let key = KeyRecord {
            id: ids.next(),
            project: PROJECT,
            app: app(1),
            dialect: "dify".to_owned(),
            scopes: Scopes::All,
            user: Some(user.clone()),
            created_at: at,
            revoked_at: None,
        };
        let digest = KeyDigest::of(&number.to_string());
        digests.push((key.id, digest));
        let create = AdminWrite::CreateKey { key, digest };
        store.administer(&create).await.unwrap();
    }
    let done = AtomicBool::new(false);
    let retire = async {
        for (key, _) in &digests {
            let retire = AdminWrite::RetireKey {
                project: PROJECT,
                key: *key,
                user: user.clone(),
                at,
            };
            store.administer(&retire).await.unwrap();
        }
        done.store(true, Ordering::Relaxed);
    };
    let read = async {
        while !done.load(Ordering::Relaxed) {
            for (id, digest) in digests.iter().rev() {
                let key = store.key(digest).await.unwrap().unwrap();
                assert_eq!(key.id, *id);
                assert_eq!(key.user.is_none(), key.revoked_at.is_some());
            }
            let listed = store.keys(PROJECT).await.unwrap();
            assert_eq!(listed.len(), digests.len());
            assert!(
                listed
                    .iter()
                    .all(|key| key.user.is_none() == key.revoked_at.is_some())
            );
        }
    };
    join(retire, read).await;
}
