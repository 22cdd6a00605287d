use std::collections::BTreeMap;
use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use parlance_domain::store::{Batch, Outcome, StoreError, Write};
use parlance_domain::{Clock, IdSource};
use parlance_testkit::ManualClock;
use parlance_testkit::samples::{PROJECT, app, conversation, ids, item, principal, question};
use rusqlite::ffi;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::Instant;

use super::{Ballast, Desk, Told, Tools, USERS_PATIENCE, USERS_PAUSE, Waiting, unused};
use crate::keyring::{self, InUse, Keyring, RecordKey, RootFile};
use crate::seal::Vault;
use crate::sqlite::encode::{Encoder, Sealers};
use crate::sqlite::{Durability, Host, open};

/// A desk without its thread, and what is needed to put something on it.
struct Office {
    desk: Desk,
    ids: IdSource,
    clock: Arc<ManualClock>,
    _dir: tempfile::TempDir,
}

fn office() -> Office {
    let dir = tempfile::tempdir().unwrap();
    let (host, path) = (Host::machine(), dir.path().join("test.db"));
    let tools = Tools {
        writing: open::writer(&host, &path, Durability::Power).unwrap(),
        copying: open::copier(&host, &path).unwrap(),
        vault: Arc::new(Vault::clear(&[0; 32])),
        ballast: Ballast::new(Arc::clone(&host.disk), dir.path(), 0),
    };
    let clock = Arc::new(ManualClock::default());
    Office {
        desk: Desk::new(tools, Arc::default()).unwrap(),
        ids: ids(Arc::<ManualClock>::clone(&clock)),
        clock,
        _dir: dir,
    }
}

impl Office {
    /// Makes a conversation with one item.
    fn create(
        &self,
        alias: Option<&str>,
        text: &str,
    ) -> (Waiting, oneshot::Receiver<Result<Told, StoreError>>) {
        let mut new = conversation(&self.ids, app(1), self.clock.now());
        let mut first = item(&self.ids, question(text));
        first.alias = alias.map(ToOwned::to_owned);
        new.items.push(first);
        let taken = BTreeMap::from([(new.id, self.desk.vault.take().unwrap())]);
        let encoder = Encoder {
            project: PROJECT,
            vault: &self.desk.vault,
            sealers: Sealers::new(),
            keyless: false,
            taken,
        };
        let batch = Batch::of(Write::Create(Box::new(new)));
        let encoded = encoder.batch(&principal("ann"), &batch).unwrap();
        let (answer, answered) = oneshot::channel();
        ((encoded, answer), answered)
    }

    fn conversations(&self) -> i64 {
        let count = "SELECT count(*) FROM conversations";
        self.desk.db.query_row(count, [], |row| row.get(0)).unwrap()
    }
}

fn is_done(answered: &mut oneshot::Receiver<Result<Told, StoreError>>) -> bool {
    match answered.try_recv().unwrap() {
        Ok(told) => told.outcomes == [Outcome::Done],
        Err(StoreError::Unavailable { .. }) => false,
        Err(refusal) => panic!("{refusal}"),
    }
}

#[test]
fn nobody_is_answered_before_the_commit() {
    let office = office();
    let (one, mut first) = office.create(None, "one");
    let (two, mut second) = office.create(None, "two");
    let applied = office.desk.try_commit(&[one, two]).unwrap();
    assert_eq!((applied.len(), office.conversations()), (2, 2));
    for answered in [&mut first, &mut second] {
        // The group was dropped here, without an answer.
        assert_eq!(answered.try_recv().err(), Some(TryRecvError::Closed));
    }
}

#[test]
fn a_batch_that_the_database_cannot_take_harms_no_other() {
    let office = office();
    office.desk.db.execute_batch("DROP TABLE aliases").unwrap();
    let (good, mut good_answer) = office.create(None, "good");
    let (bad, mut bad_answer) = office.create(Some("alias"), "bad");
    let (late, mut late_answer) = office.create(None, "late");
    office.desk.commit_group(&mut vec![good, bad, late]);
    assert!(is_done(&mut good_answer));
    assert!(!is_done(&mut bad_answer));
    assert!(is_done(&mut late_answer));
    assert_eq!(office.conversations(), 2);
}

#[test]
fn a_full_disk_refuses_what_does_not_fit_and_nothing_else() {
    let office = office();
    let pages: i64 = office
        .desk
        .db
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    office
        .desk
        .db
        .pragma_update_and_check(None, "max_page_count", pages + 8, |_| Ok(()))
        .unwrap();
    let (large, mut large_answer) = office.create(None, &"x".repeat(100_000));
    office.desk.commit_group(&mut vec![large]);
    assert!(!is_done(&mut large_answer));
    assert_eq!(office.conversations(), 0);
    let (small, mut small_answer) = office.create(None, "small");
    office.desk.commit_group(&mut vec![small]);
    assert!(is_done(&mut small_answer));
}

#[test]
fn after_a_failed_sync_nothing_is_written() {
    let office = office();
    let failure = ffi::Error::new(ffi::SQLITE_IOERR_FSYNC);
    let failure = rusqlite::Error::SqliteFailure(failure, None);
    drop(office.desk.failed(failure));
    let (one, mut first) = office.create(None, "one");
    let (two, mut second) = office.create(None, "two");
    office.desk.commit_group(&mut vec![one, two]);
    assert!(!is_done(&mut first));
    assert!(!is_done(&mut second));
    assert_eq!(office.conversations(), 0);
}

/// A destroyed key that somebody is using.
fn key_in_use(dir: &Path) -> (Vec<InUse>, Arc<RecordKey>) {
    let options = keyring::Options {
        mirror: None,
        root: Arc::new(RootFile::new(dir.join("root.key"))),
    };
    let keyring = Keyring::create(&dir.join("keyring"), [1; 16], &options).unwrap();
    let (name, key) = keyring.take().unwrap();
    (keyring.wipe(&[name]).unwrap(), key)
}

#[tokio::test(start_paused = true)]
async fn a_delete_waits_for_who_is_using_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let (in_use, key) = key_in_use(dir.path());
    let mut waiting = pin!(unused(&in_use));
    let now = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context))).await;
    assert_eq!(now, Poll::Pending);
    drop(key);
    let began = Instant::now();
    waiting.await;
    assert!(began.elapsed() <= USERS_PAUSE);
}

#[tokio::test(start_paused = true)]
async fn a_delete_does_not_wait_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let (in_use, key) = key_in_use(dir.path());
    let began = Instant::now();
    unused(&in_use).await;
    assert!(began.elapsed() > USERS_PATIENCE && in_use[0].is_used());
    drop(key);
}
