//! What is sealed, and what is gone when its key is.

use std::fs;
use std::path::Path;

use parlance_domain::clock::Timestamp;
use parlance_domain::erasing::Erasing;
use parlance_domain::model::{
    App, AppMode, Due, Erasure, Extras, Hold, HoldScope, ItemQuery, KeyDigest, KeyRecord, Native,
    Order, ProjectId, Role, Scopes, TurnState, Usage, User,
};
use parlance_domain::secret::Secret;
use parlance_domain::store::{AdminWrite, Batch, ReceiptLog, Store, StoreError, Write};
use parlance_domain::{ConversationId, IdSource, ItemContent};
use parlance_store::keyring::KeyringError;
use parlance_store::{Keys, OpenError, Options, Sqlite};
use parlance_testkit::samples::{
    app, conversation, happening, item, json, metadata, principal, record,
};
use parlance_testkit::store_suite::receipts::next_batch;
use rusqlite::Connection;

use crate::sqlite::{delete, deletion, ids, make, open, read};

/// A word that stands in everything that is written, and nowhere else.
const CANARY: &str = "canary-7f3a9c";

fn clear(dir: &Path) -> Sqlite {
    let keys = Keys::None { hashing: [7; 32] };
    Sqlite::open(
        dir,
        Options {
            keys,
            ..Options::default()
        },
    )
    .unwrap()
}

/// How often the canary stands in the files of a directory, and how many bytes were searched.
fn search(dir: &Path) -> (usize, usize) {
    let (mut found, mut searched) = (0, 0);
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let (hits, bytes) = if path.is_dir() {
            search(&path)
        } else {
            let bytes = fs::read(&path).unwrap();
            let hits = bytes
                .windows(CANARY.len())
                .filter(|part| *part == CANARY.as_bytes());
            (hits.count(), bytes.len())
        };
        found += hits;
        searched += bytes;
    }
    (found, searched)
}

/// Writes the canary into every field that content can have. Gives the conversation.
async fn write_canaries(store: &Sqlite, ids: &IdSource) -> ConversationId {
    let at = Timestamp::from_micros(5);
    let text = |field: &str| format!("{CANARY} {field}");
    let native = Native {
        dialect: "coze".to_owned(),
        json: json(&format!("\"{CANARY}\"")),
    };
    let message = ItemContent::message(Role::User, &text("message"));
    let rich = ItemContent {
        native: Some(native),
        ..message.clone()
    };
    let mut new = conversation(ids, app(1), at);
    new.title = Some(text("title"));
    new.metadata = metadata(&[(&text("key"), &text("value"))]);
    new.extras = Extras::from([("dify".to_owned(), json(&format!("{{\"a\":\"{CANARY}\"}}")))]);
    let mut aliased = item(ids, rich.clone());
    aliased.alias = Some(text("alias"));
    new.items.push(aliased);
    let id = new.id;
    let (who, turn) = (principal(CANARY), ids.next());
    let answer = ItemContent::message(Role::Assistant, &text("answer"));
    for write in [
        Write::Create(Box::new(new)),
        Write::SetTitle {
            conversation: id,
            title: Some(text("title again")),
            at,
        },
        Write::SetMetadata {
            conversation: id,
            metadata: metadata(&[(CANARY, CANARY)]),
            at,
        },
        Write::Append {
            conversation: id,
            items: vec![item(ids, rich)],
            at,
        },
        Write::StartTurn {
            conversation: id,
            turn,
            app: app(1),
            record: Box::new(record(&text("record"))),
            input: vec![item(ids, message)],
            at,
        },
        Write::FinishTurn {
            conversation: id,
            turn,
            state: TurnState::Completed,
            usage: Usage::default(),
            record: Some(Box::new(record(&text("record again")))),
            output: vec![item(ids, answer)],
            at,
        },
    ] {
        store.apply(&who, &Batch::of(write)).await.unwrap();
    }
    id
}

/// A hold on a user.
fn hold_on(ids: &IdSource, user: &str) -> AdminWrite {
    let at = Timestamp::from_micros(6);
    AdminWrite::AddHold {
        hold: Hold {
            id: ids.next(),
            project: ProjectId(1),
            covers: HoldScope::User(User::parse(user).unwrap().unwrap()),
            note: Some(Secret::new(CANARY)),
            added_at: at,
        },
        event: happening(ids, at),
    }
}

async fn write_canaries_of_operators(store: &Sqlite, ids: &IdSource) {
    let at = Timestamp::from_micros(5);
    let (project, id) = (ProjectId(1), ids.next());
    let instructions = Some(CANARY.to_owned());
    let (name, mode, model) = ("bot".to_owned(), AppMode::Chat, Some("echo".to_owned()));
    let bot = App {
        id,
        project,
        name,
        mode,
        model,
        instructions,
        created_at: at,
    };
    store.administer(&AdminWrite::CreateApp(bot)).await.unwrap();
    let key = KeyRecord {
        id: ids.next(),
        project,
        app: id,
        dialect: "dify".to_owned(),
        scopes: Scopes::All,
        user: User::parse(CANARY).unwrap(),
        created_at: at,
        revoked_at: None,
    };
    let digest = KeyDigest::of("secret");
    store
        .administer(&AdminWrite::CreateKey {
            key: key.clone(),
            digest,
        })
        .await
        .unwrap();
    assert_eq!(store.key(&digest).await.unwrap(), Some(key));
    let hold = hold_on(ids, CANARY);
    store.administer(&hold).await.unwrap();
    let read = store.app(project, id).await.unwrap().unwrap();
    assert_eq!(read.instructions.as_deref(), Some(CANARY));
}

#[tokio::test]
async fn no_content_is_in_any_file_before_or_after_a_delete() {
    let dir = tempfile::tempdir().unwrap();
    let (store, ids) = (open(dir.path()), ids());
    let id = write_canaries(&store, &ids).await;
    write_canaries_of_operators(&store, &ids).await;
    let (found, searched) = search(dir.path());
    assert!(
        found == 0 && searched > 10_000,
        "{found} in {searched} bytes"
    );
    release_all(&store, &ids).await;
    let who = principal(CANARY);
    store.apply(&who, &Batch::of(deletion(id))).await.unwrap();
    assert_eq!(search(dir.path()).0, 0);
    store.close().await;
    assert_eq!(search(dir.path()).0, 0);
}

#[tokio::test]
async fn the_search_finds_content_that_is_not_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, ids) = (clear(dir.path()), ids());
    write_canaries(&store, &ids).await;
    write_canaries_of_operators(&store, &ids).await;
    assert!(
        search(dir.path()).0 >= 19,
        "one for each field: {:?}",
        search(dir.path())
    );
}

#[tokio::test]
async fn a_copy_of_the_data_from_before_a_delete_does_not_bring_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, ids) = (open(dir.path()), ids());
    let (erased, kept) = (make(&store, &ids, 3).await, make(&store, &ids, 3).await);
    let who = principal("ann");
    let mut turns = Vec::new();
    for conversation in [erased, kept] {
        let turn = ids.next();
        let start = Write::StartTurn {
            conversation,
            turn,
            app: app(1),
            record: Box::new(record("kept")),
            input: Vec::new(),
            at: Timestamp::from_micros(2),
        };
        store.apply(&who, &Batch::of(start)).await.unwrap();
        turns.push(turn);
    }
    store.close().await;
    drop(store);
    let backup = dir.path().join("backup.db");
    fs::copy(dir.path().join("parlance.db"), &backup).unwrap();
    let store = open(dir.path());
    delete(&store, erased).await;
    store.close().await;
    drop(store);
    fs::copy(&backup, dir.path().join("parlance.db")).unwrap();
    let store = open(dir.path());
    assert_eq!(read(&store, erased).await, None);
    assert!(read(&store, kept).await.is_some());
    let query = ItemQuery::first(Order::OldestFirst, 9);
    let items = store
        .items(&principal("ann"), kept.into(), &query)
        .await
        .unwrap();
    assert_eq!(items.rows.len(), 3);
    assert_eq!(store.turn(&who, turns[0].into()).await.unwrap(), None);
    let left = store.turn(&who, turns[1].into()).await.unwrap().unwrap();
    assert_eq!(left.record, record("kept"));
    while store.sweep(Timestamp::default()).await.unwrap() {}
    store.close().await;
    let db = Connection::open(dir.path().join("parlance.db")).unwrap();
    for (table, wanted) in [("items", 3), ("turns", 1)] {
        let count = format!("SELECT count(*) FROM {table}");
        let rows: i64 = db.query_row(&count, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, wanted, "what was erased is swept: {table}");
    }
}

/// Removes all holds.
async fn release_all(store: &Sqlite, ids: &IdSource) {
    let project = ProjectId(1);
    for hold in store.holds(project).await.unwrap() {
        let write = AdminWrite::RemoveHold {
            project,
            hold: hold.id,
            event: happening(ids, Timestamp::from_micros(7)),
        };
        store.administer(&write).await.unwrap();
    }
}

#[tokio::test]
async fn a_copy_of_the_data_from_before_knows_no_user_of_a_retired_key_or_of_a_removed_hold() {
    let dir = tempfile::tempdir().unwrap();
    let (store, ids) = (open(dir.path()), ids());
    let id = make(&store, &ids, 1).await;
    write_canaries_of_operators(&store, &ids).await;
    store.administer(&hold_on(&ids, "ann")).await.unwrap();
    store.close().await;
    drop(store);
    let backup = dir.path().join("backup.db");
    fs::copy(dir.path().join("parlance.db"), &backup).unwrap();
    let store = open(dir.path());
    let before = store.holds(ProjectId(1)).await.unwrap();
    assert!(before.iter().all(|hold| hold.covers.is_some()));
    release_all(&store, &ids).await;
    let digest = KeyDigest::of("secret");
    let key = store.key(&digest).await.unwrap().unwrap();
    let retire = AdminWrite::RetireKey {
        project: ProjectId(1),
        key: key.id,
        user: key.user.unwrap(),
        at: Timestamp::from_micros(8),
    };
    store.administer(&retire).await.unwrap();
    store.close().await;
    drop(store);
    fs::copy(&backup, dir.path().join("parlance.db")).unwrap();
    let store = open(dir.path());
    let key = store.key(&digest).await.unwrap().unwrap();
    assert!(key.user.is_none() && key.revoked_at.is_some());
    // They are in force all the same: only an operator ends a hold.
    let held = store.holds(ProjectId(1)).await.unwrap();
    let known = held
        .iter()
        .any(|hold| hold.covers.is_some() || hold.note.is_some());
    assert!(held.len() == 2 && !known);
    let batch = Batch::of(deletion(id));
    let refused = store.apply(&principal("ann"), &batch).await;
    assert!(matches!(refused, Err(StoreError::Held)), "{refused:?}");
    release_all(&store, &ids).await;
    store.apply(&principal("ann"), &batch).await.unwrap();
}

#[tokio::test]
async fn a_keyring_that_is_not_the_databases_own_is_refused_and_nothing_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, ids) = (open(dir.path()), ids());
    let id = make(&store, &ids, 1).await;
    store.close().await;
    drop(store);
    let other = tempfile::tempdir().unwrap();
    let stranger = open(other.path());
    make(&stranger, &ids, 1).await;
    stranger.close().await;
    drop(stranger);
    let keyring = dir.path().join("keyring");
    let aside = dir.path().join("aside");
    fs::rename(&keyring, &aside).unwrap();
    let refused = || Sqlite::open(dir.path(), Options::default()).err().unwrap();
    let content = || {
        let db = Connection::open(dir.path().join("parlance.db")).unwrap();
        let all = "SELECT group_concat(hex(id) || hex(title) || slot || '-' || generation) \
            FROM conversations, (SELECT group_concat(hex(body)) FROM items)";
        db.query_row(all, [], |row| row.get::<_, String>(0))
            .unwrap()
    };
    let before = content();
    assert!(matches!(
        refused(),
        OpenError::Keyring(KeyringError::Absent(_))
    ));
    assert!(!keyring.exists());
    copy(&other.path().join("keyring"), &keyring);
    assert!(matches!(
        refused(),
        OpenError::Keyring(KeyringError::Foreign(_))
    ));
    fs::remove_dir_all(&keyring).unwrap();
    copy(&aside, &keyring);
    let slots = fs::OpenOptions::new()
        .write(true)
        .open(keyring.join("slots"))
        .unwrap();
    slots.set_len(80).unwrap();
    assert!(matches!(
        refused(),
        OpenError::Keyring(KeyringError::Shorter { .. })
    ));
    assert!(content() == before, "the database says what it said");
    fs::remove_dir_all(&keyring).unwrap();
    fs::rename(&aside, &keyring).unwrap();
    assert!(read(&open(dir.path()), id).await.is_some());
}

#[tokio::test]
async fn a_keyring_of_an_earlier_time_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, ids) = (open(dir.path()), ids());
    store.close().await;
    drop(store);
    let earlier = dir.path().join("earlier");
    copy(&dir.path().join("keyring"), &earlier);
    let store = open(dir.path());
    make(&store, &ids, 1).await;
    store.close().await;
    drop(store);
    fs::remove_dir_all(dir.path().join("keyring")).unwrap();
    fs::rename(&earlier, dir.path().join("keyring")).unwrap();
    let refused = Sqlite::open(dir.path(), Options::default()).err().unwrap();
    let older = matches!(
        refused,
        OpenError::Keyring(KeyringError::Older { .. } | KeyringError::Shorter { .. })
    );
    assert!(older, "{refused:?}");
}

#[tokio::test]
async fn a_keyring_without_a_database_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).close().await;
    fs::remove_file(dir.path().join("parlance.db")).unwrap();
    let refused = Sqlite::open(dir.path(), Options::default()).err().unwrap();
    assert!(matches!(refused, OpenError::Orphaned { .. }), "{refused:?}");
    assert!(dir.path().join("keyring/root.key").exists());
    assert!(
        !dir.path().join("parlance.db").exists(),
        "and no database is made for it"
    );
}

#[tokio::test]
async fn content_does_not_open_in_another_row_or_column() {
    let dir = tempfile::tempdir().unwrap();
    let (store, ids) = (open(dir.path()), ids());
    let (one, two) = (make(&store, &ids, 2).await, make(&store, &ids, 2).await);
    store.close().await;
    drop(store);
    for moved in [
        // The title of another conversation.
        "UPDATE conversations SET title = (SELECT title FROM conversations LIMIT 1 OFFSET 1)",
        // The title as metadata of the same one.
        "UPDATE conversations SET metadata = title",
        // Another item of the same conversation.
        "UPDATE items SET body = (SELECT body FROM items AS other WHERE seq = 1 \
            AND other.conversation = items.conversation)",
        // A conversation's title under another's name.
        "UPDATE conversations SET slot = (SELECT max(slot) FROM conversations), \
            generation = (SELECT max(generation) FROM conversations)",
    ] {
        let copy_of = tempfile::tempdir().unwrap();
        fs::copy(
            dir.path().join("parlance.db"),
            copy_of.path().join("parlance.db"),
        )
        .unwrap();
        copy(&dir.path().join("keyring"), &copy_of.path().join("keyring"));
        let db = Connection::open(copy_of.path().join("parlance.db")).unwrap();
        db.execute(moved, []).unwrap();
        drop(db);
        let store = open(copy_of.path());
        let who = principal("ann");
        let query = ItemQuery::first(Order::OldestFirst, 9);
        let mut refused = 0;
        for id in [one, two] {
            refused += u32::from(store.conversation(&who, id.into()).await.is_err());
            refused += u32::from(store.items(&who, id.into(), &query).await.is_err());
        }
        assert!(refused > 0, "{moved}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// Signs what is due, and gives it.
async fn sign(store: &Sqlite) -> Vec<Erasure> {
    let now = Timestamp::from_micros(9);
    let Some(batch) = next_batch(store, now, 9).await else {
        return Vec::new();
    };
    let due = store.receipts_to_sign(9).await.unwrap().into_iter();
    store.append_to_log(batch).await.unwrap();
    due.filter_map(|due| match due {
        Due::Erasure(erasure) => Some(erasure),
        Due::Carried { .. } | Due::Renewed { .. } | Due::Event(_) => None,
    })
    .collect()
}

/// How many receipts still name a conversation.
fn named_in_receipts(dir: &Path) -> i64 {
    let db = Connection::open(dir.join("parlance.db")).unwrap();
    let count = "SELECT count(conversation) FROM receipts";
    db.query_row(count, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_receipt_has_the_commitment_of_the_key_and_forgets_the_conversation_when_complete() {
    let dir = tempfile::tempdir().unwrap();
    let (store, ids) = (open(dir.path()), ids());
    let (small, large) = (make(&store, &ids, 3).await, make(&store, &ids, 100).await);
    delete(&store, small).await;
    delete(&store, large).await;
    let due = sign(&store).await;
    let purged: Vec<_> = due
        .iter()
        .map(|due| (due.conversation, due.is_purged))
        .collect();
    assert_eq!(purged, [(small, true), (large, false)]);
    let commitments: Vec<_> = due.iter().map(|due| due.commitment.unwrap()).collect();
    assert_ne!(commitments[0], commitments[1]);
    assert_eq!(named_in_receipts(dir.path()), 1);
    assert!(sign(&store).await.is_empty(), "nothing new");
    while store.sweep(Timestamp::default()).await.unwrap() {}
    assert_eq!(sign(&store).await.len(), 1);
    assert_eq!(named_in_receipts(dir.path()), 0);
}

#[tokio::test]
async fn where_nothing_is_sealed_there_is_no_receipt_before_the_rows_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (store, ids) = (clear(dir.path()), ids());
    let id = make(&store, &ids, 100).await;
    delete(&store, id).await;
    assert!(sign(&store).await.is_empty());
    while store.sweep(Timestamp::default()).await.unwrap() {}
    let due = sign(&store).await;
    assert_eq!((due.len(), due[0].commitment), (1, None));
}

#[tokio::test]
async fn the_secrets_of_a_store_stay_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let secret = |store: &Sqlite| *store.secret("receipt signing");
    let store = open(dir.path());
    let first = secret(&store);
    assert_ne!(first, *store.secret("receipt salt"));
    store.close().await;
    drop(store);
    assert_eq!(secret(&open(dir.path())), first);
}
