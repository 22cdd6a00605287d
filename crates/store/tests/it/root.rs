//! The root is replaced under a store, and receipts say so.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use parlance_domain::model::ReceiptState::{self, Complete, Destroyed};
use parlance_domain::receipt_log::{Verified, verify};
use parlance_domain::store::{Batch, ReceiptLog, RootRenewal, Store, StoreError};
use parlance_domain::{Id, IdSource, ReceiptId, Timestamp};
use parlance_store::keyring::{Root, RootError};
use parlance_store::{Keys, Options, Renewal, Sqlite};
use parlance_testkit::samples::{notary, principal};
use parlance_testkit::store_suite::receipts::next_batch;
use zeroize::Zeroizing;

use crate::sqlite::{delete, deletion, ids, make, read};

/// A vault that keeps two keys, unless it is out of reach.
#[derive(Clone, Default)]
struct Vault {
    first: Kept,
    second: Kept,
}

/// A key; and whether it is out of reach.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<(Option<[u8; 32]>, bool)>>);

impl Kept {
    fn call<T>(&self, work: impl FnOnce(&mut Option<[u8; 32]>) -> T) -> Result<T, RootError> {
        let mut kept = self.0.lock().unwrap();
        if kept.1 {
            return Err(RootError::Program {
                program: "vault".into(),
                source: std::io::ErrorKind::TimedOut.into(),
            });
        }
        Ok(work(&mut kept.0))
    }
}

impl Root for Kept {
    fn get(&self) -> Result<Zeroizing<[u8; 32]>, RootError> {
        let key = self.call(|key| *key)?;
        key.map(Zeroizing::new)
            .ok_or_else(|| RootError::Absent("the vault".to_owned()))
    }

    fn put(&self, key: &[u8; 32]) -> Result<(), RootError> {
        self.call(|kept| *kept = Some(*key))
    }

    fn destroy(&self) -> Result<(), RootError> {
        self.call(|kept| *kept = None)
    }
}

impl Vault {
    fn set_out_of_reach(&self, is: bool) {
        for kept in [&self.first, &self.second] {
            kept.0.lock().unwrap().1 = is;
        }
    }

    fn keys(&self) -> Vec<[u8; 32]> {
        let kept = [&self.first, &self.second];
        kept.into_iter()
            .filter_map(|kept| kept.0.lock().unwrap().0)
            .collect()
    }
}

impl Root for Vault {
    fn get(&self) -> Result<Zeroizing<[u8; 32]>, RootError> {
        self.first.get()
    }

    fn put(&self, key: &[u8; 32]) -> Result<(), RootError> {
        self.first.put(key)
    }

    fn destroy(&self) -> Result<(), RootError> {
        self.first.destroy()
    }

    fn second(&self) -> Option<&dyn Root> {
        Some(&self.second)
    }
}

fn open(dir: &Path, vault: &Vault, renewal: Renewal) -> Sqlite {
    let keys = Keys::Keyring {
        root: Some(Arc::new(vault.clone())),
        mirror: None,
        renewal,
    };
    let options = Options {
        keys,
        ..Options::default()
    };
    Sqlite::open(dir, options).unwrap()
}

/// A store whose root can be replaced.
struct Place {
    dir: tempfile::TempDir,
    vault: Vault,
    ids: IdSource,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            vault: Vault::default(),
            ids: ids(),
        }
    }

    fn open(&self, renewal: Renewal) -> Sqlite {
        open(self.dir.path(), &self.vault, renewal)
    }

    /// Makes a conversation of so many items and deletes it.
    async fn erase(&self, store: &Sqlite, items: usize) -> ReceiptId {
        let id = make(store, &self.ids, items).await;
        delete(store, id).await;
        ReceiptId::from_bits(id.bits())
    }
}

/// States all that is due, at this microsecond, and gives how much that was.
async fn sign(store: &Sqlite, at: i64) -> usize {
    match next_batch(store, Timestamp::from_micros(at), 100).await {
        None => 0,
        Some(batch) => {
            let count = batch.entries.len();
            store.append_to_log(batch).await.unwrap();
            count
        }
    }
}

/// State and level of a receipt, and when it says that the root was renewed.
async fn said(store: &Sqlite, receipt: ReceiptId) -> (ReceiptState, &'static str, Option<i64>) {
    let record = store.receipt(receipt).await.unwrap().unwrap();
    let statement = record
        .proven
        .map_or(String::new(), |proven| proven.statement);
    let value: serde_json::Value = serde_json::from_str(&statement).unwrap_or_default();
    let level = record.entry.level.name();
    assert!(
        statement.is_empty() || value.get("level").is_some_and(|said| said == level),
        "{statement}"
    );
    (
        record.entry.state,
        level,
        value
            .pointer("/times_us/root_renewed")
            .and_then(serde_json::Value::as_i64),
    )
}

/// The whole log is right, and holds as many entries.
async fn verified(store: &Sqlite, entries: u64) {
    let head = store.log_head().await.unwrap();
    let mut log = notary().export_header(&head, Timestamp::from_micros(i64::MAX / 2));
    log.push('\n');
    for batch in store.logged(0, u32::MAX).await.unwrap() {
        for line in std::iter::once(&batch.signed).chain(&batch.statements) {
            log.push_str(line);
            log.push('\n');
        }
    }
    let verified = verify(&mut log.as_bytes(), notary().public_key(), None);
    match verified.unwrap() {
        Verified::Log(log) => assert_eq!(log.entries, entries),
        Verified::Receipt(_) => panic!("it is a log"),
    }
}

#[tokio::test]
async fn receipts_rise_to_the_level_of_what_was_done_after_them() {
    let place = Place::new();
    let store = place.open(Renewal::WhenAsked);
    let (small, large) = (place.erase(&store, 2).await, place.erase(&store, 400).await);
    assert_eq!(sign(&store, 10).await, 2);
    assert_eq!(said(&store, small).await, (Complete, "L2", None));
    assert_eq!(said(&store, large).await, (Destroyed, "L2", None));
    let unsigned = place.erase(&store, 0).await;
    let before = place.vault.keys();
    assert_eq!(store.renew_root().await.unwrap(), RootRenewal::Done);
    assert_ne!(place.vault.keys(), before);
    assert_eq!(place.vault.keys().len(), 1);
    let later = place.erase(&store, 0).await;
    assert_eq!(sign(&store, 20).await, 4);
    assert_eq!(said(&store, small).await, (Complete, "L3", Some(20)));
    assert_eq!(said(&store, large).await, (Destroyed, "L3", Some(20)));
    assert_eq!(said(&store, unsigned).await, (Complete, "L3", Some(20)));
    assert_eq!(said(&store, later).await, (Complete, "L2", None));
    assert_eq!(sign(&store, 30).await, 0, "nothing is said twice");
    while store.sweep(Timestamp::default()).await.unwrap() {}
    assert_eq!(sign(&store, 40).await, 1);
    assert_eq!(said(&store, large).await, (Complete, "L3", Some(20)));
    assert_eq!(store.renew_root().await.unwrap(), RootRenewal::Done);
    let again = store.renew_root().await.unwrap();
    assert_eq!(again, RootRenewal::NothingDeleted);
    assert_eq!(sign(&store, 50).await, 1);
    assert_eq!(said(&store, later).await, (Complete, "L3", Some(50)));
    assert_eq!(said(&store, small).await, (Complete, "L3", Some(20)));
    verified(&store, 8).await;
}

#[tokio::test]
async fn what_a_restart_has_come_between_is_said_after_it() {
    let place = Place::new();
    let store = place.open(Renewal::WhenAsked);
    let living = make(&store, &place.ids, 1).await;
    let erased = place.erase(&store, 1).await;
    sign(&store, 10).await;
    assert_eq!(store.renew_root().await.unwrap(), RootRenewal::Done);
    store.close().await;
    drop(store);
    let store = place.open(Renewal::WhenAsked);
    assert_eq!(sign(&store, 20).await, 1);
    assert_eq!(said(&store, erased).await, (Complete, "L3", Some(20)));
    let late = place.erase(&store, 1).await;
    assert_eq!(sign(&store, 30).await, 1);
    assert_eq!(said(&store, late).await, (Complete, "L2", None));
    drop(store);
    let store = place.open(Renewal::WhenAsked);
    assert_eq!(sign(&store, 40).await, 0, "a start renews nothing");
    assert_eq!(store.renew_root().await.unwrap(), RootRenewal::Done);
    assert_eq!(sign(&store, 50).await, 1);
    assert_eq!(said(&store, late).await, (Complete, "L3", Some(50)));
    assert!(read(&store, living).await.is_some());
    verified(&store, 4).await;
}

#[tokio::test]
async fn renewed_with_every_delete_the_first_statement_says_so() {
    let place = Place::new();
    let store = place.open(Renewal::WithDeletes);
    let living = make(&store, &place.ids, 1).await;
    for at in 11..16 {
        let before = place.vault.keys();
        let erased = place.erase(&store, 1).await;
        assert_ne!(place.vault.keys(), before);
        assert_eq!(sign(&store, at).await, 1);
        assert_eq!(said(&store, erased).await, (Complete, "L3", Some(at)));
    }
    let large = place.erase(&store, 400).await;
    sign(&store, 20).await;
    assert_eq!(said(&store, large).await, (Destroyed, "L3", Some(20)));
    let again = store.renew_root().await.unwrap();
    assert_eq!(again, RootRenewal::NothingDeleted);
    assert!(read(&store, living).await.is_some());
    verified(&store, 6).await;
}

#[tokio::test]
async fn a_delete_whose_renewal_fails_is_done_and_is_not_answered_as_if_all_were_well() {
    let place = Place::new();
    let store = place.open(Renewal::WithDeletes);
    let id = make(&store, &place.ids, 1).await;
    place.vault.set_out_of_reach(true);
    let who = principal("ann");
    let failed = store.apply(&who, &Batch::of(deletion(id))).await;
    assert!(
        matches!(failed, Err(StoreError::Unavailable { .. })),
        "{failed:?}"
    );
    assert!(
        read(&store, id).await.is_none(),
        "it is deleted all the same"
    );
    let receipt = store.receipt_of(&who, id.into()).await.unwrap().unwrap();
    assert_eq!(sign(&store, 10).await, 1);
    assert_eq!(said(&store, receipt).await, (Complete, "L2", None));
    let failed = store.renew_root().await;
    assert!(
        matches!(failed, Err(StoreError::Unavailable { .. })),
        "{failed:?}"
    );
    assert_eq!(sign(&store, 20).await, 0);
    place.vault.set_out_of_reach(false);
    let next = place.erase(&store, 0).await;
    assert_eq!(
        store.renew_root().await.unwrap(),
        RootRenewal::NothingDeleted
    );
    assert_eq!(sign(&store, 30).await, 2);
    assert_eq!(said(&store, receipt).await, (Complete, "L3", Some(30)));
    assert_eq!(said(&store, next).await, (Complete, "L3", Some(30)));
    verified(&store, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_write_and_delete_while_the_root_is_renewed() {
    let place = Place::new();
    let store = place.open(Renewal::WhenAsked);
    let mut living = Vec::new();
    let is_over = AtomicBool::new(false);
    let renewing = async {
        for _ in 0..20 {
            store.renew_root().await.unwrap();
        }
        is_over.store(true, Ordering::Release);
    };
    let writing = async {
        let mut round = 0;
        while round < 50 || !is_over.load(Ordering::Acquire) {
            round += 1;
            living.push(make(&store, &place.ids, 1).await);
            place.erase(&store, 1).await;
        }
    };
    tokio::join!(renewing, writing);
    for id in &living {
        assert!(read(&store, *id).await.is_some());
    }
    drop(store);
    let store = place.open(Renewal::WhenAsked);
    for id in living {
        assert!(read(&store, id).await.is_some(), "and after a restart");
    }
}
