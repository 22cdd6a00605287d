//! What goes on a full disk, and on one where the log of erasures cannot be written.

use std::sync::Arc;

use parlance_domain::ids::{ConversationId, IdSource};
use parlance_domain::model::Principal;
use parlance_domain::store::{Batch, Outcome, Store, StoreError, Write};
use parlance_domain::{Clock, ReceiptId, Timestamp};
use parlance_faultdisk::{Fault, Unsynced, What};
use parlance_testkit::ManualClock;
use parlance_testkit::samples::{self, app, conversation, item, principal, question};

use super::super::Sqlite;
use super::machine::Machine;
use crate::erasures;

/// What the store keeps for deletes.
const BALLAST: u64 = 1 << 20;
/// More than is deleted together with a conversation, so that it is swept.
const LONG: usize = 300_000;

/// A store on a disk without room, with conversations in it.
struct Full {
    machine: Machine,
    store: Sqlite,
    ids: IdSource,
    now: Timestamp,
    made: Vec<ConversationId>,
}

fn ann() -> Principal {
    principal("ann")
}

impl Full {
    async fn new() -> Self {
        let machine = Machine::new(1);
        let store = machine.open_with(BALLAST).unwrap();
        let clock = Arc::new(ManualClock::default());
        let mut full = Self {
            machine,
            store,
            ids: samples::ids(Arc::<ManualClock>::clone(&clock)),
            now: clock.now(),
            made: Vec::new(),
        };
        for _ in 0..4 {
            full.create(LONG).await.unwrap();
        }
        full.store.checkpoint_truncate().await.unwrap();
        full.machine.disk.fill_up();
        full
    }

    async fn create(&mut self, length: usize) -> Result<(), StoreError> {
        let mut new = conversation(&self.ids, app(1), self.now);
        new.items
            .push(item(&self.ids, question(&"x".repeat(length))));
        let id = new.id;
        let batch = Batch::of(Write::Create(Box::new(new)));
        self.store.apply(&ann(), &batch).await?;
        self.made.push(id);
        Ok(())
    }

    async fn delete(&self, at: usize) -> Result<Vec<Outcome>, StoreError> {
        let receipt: ReceiptId = self.ids.next();
        let delete = Write::Delete {
            conversation: self.made[at].into(),
            receipt,
            requested_at: self.now,
            at: self.now,
        };
        self.store.apply(&ann(), &Batch::of(delete)).await
    }

    async fn is_there(&self, at: usize) -> bool {
        let found = self.store.conversation(&ann(), self.made[at].into()).await;
        found.unwrap().is_some()
    }

    async fn sweep(&self) {
        while self.store.sweep(self.now).await.unwrap() {}
    }
}

fn is_unavailable<T>(done: Result<T, StoreError>) -> bool {
    matches!(done, Err(StoreError::Unavailable { .. }))
}

#[tokio::test]
async fn a_delete_is_done_though_the_disk_is_full() {
    let mut full = Full::new().await;
    assert!(is_unavailable(full.create(LONG).await));
    full.delete(0).await.unwrap();
    assert!(!full.is_there(0).await && full.is_there(1).await);
    assert!(full.store.ping().await.is_err(), "it is not ready");
    full.sweep().await;
    let bodies = "SELECT count(*) FROM items WHERE length(body) > 0";
    let left = full
        .store
        .read("counting", move |db, _| {
            Ok(db.query_row(bodies, [], |row| row.get::<_, i64>(0))?)
        })
        .await;
    assert_eq!(left.unwrap(), 3);
}

#[tokio::test]
async fn nothing_but_deletes_is_taken_until_there_is_room_again() {
    let mut full = Full::new().await;
    full.delete(0).await.unwrap();
    assert!(is_unavailable(full.create(10).await));
    full.delete(1).await.unwrap();
    full.machine.disk.make_room();
    assert!(is_unavailable(full.create(10).await), "it is not known yet");
    full.store.checkpoint_truncate().await.unwrap();
    full.store.ping().await.unwrap();
    full.create(LONG).await.unwrap();
}

#[tokio::test]
async fn what_deletes_have_freed_is_enough_to_go_on() {
    let mut full = Full::new().await;
    for at in 0..4 {
        full.delete(at).await.unwrap();
        full.sweep().await;
    }
    for _ in 0..10 {
        full.store.checkpoint_truncate().await.unwrap();
    }
    full.store.ping().await.unwrap();
    full.create(10).await.unwrap();
}

#[tokio::test]
async fn a_start_on_a_full_disk_takes_deletes() {
    let mut full = Full::new().await;
    full.delete(0).await.unwrap();
    full.store.close().await;
    full.store = full.machine.open_with(BALLAST).unwrap();
    assert!(is_unavailable(full.create(10).await));
    full.delete(1).await.unwrap();
    assert!(!full.is_there(1).await && full.is_there(2).await);
}

/// How many keys the log of erasures on the disk has.
fn logged(full: &Full) -> usize {
    let path = full.machine.disk.root().join(erasures::FILE);
    let bytes = full.machine.disk.on_disk(&path).unwrap_or_default();
    let known = erasures::parse(&bytes).unwrap();
    known.iter().flat_map(erasures::Known::erased).count()
}

#[tokio::test]
async fn what_a_full_disk_keeps_from_the_log_of_erasures_comes_into_it_later() {
    let full = Full::new().await;
    full.delete(0).await.unwrap();
    full.delete(1).await.unwrap();
    full.machine.disk.fill_up();
    // Whether there is room for a line depends on what the deletes have left.
    drop(full.store.log_erasures().await);
    full.machine.disk.make_room();
    full.store.log_erasures().await.unwrap();
    assert_eq!(logged(&full), 2);
}

#[tokio::test]
async fn deletes_are_done_though_their_log_cannot_be_written_and_come_into_it_later() {
    let failure = Fault::Fails(std::io::ErrorKind::Other);
    for (what, fault) in [
        (What::Write, failure),
        (What::Sync, failure),
        (What::Write, Fault::NoSpace),
    ] {
        let full = Full::new().await;
        full.machine.disk.make_room();
        full.delete(0).await.unwrap();
        let disk = &full.machine.disk;
        disk.plan_for(disk.calls(), Some(what), fault);
        assert!(is_unavailable(full.store.log_erasures().await), "{fault:?}");
        let fired = disk.fired();
        assert!(fired.iter().all(|fired| fired.call.name == erasures::FILE));
        full.delete(1).await.unwrap();
        full.store.log_erasures().await.unwrap();
        disk.stop();
        disk.reboot(Unsynced::Lost);
        assert_eq!(logged(&full), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn a_log_of_erasures_that_is_lost_is_written_anew_from_the_last_day() {
    let mut full = Full::new().await;
    full.machine.disk.make_room();
    full.delete(0).await.unwrap();
    full.delete(1).await.unwrap();
    full.store.close().await;
    assert_eq!(logged(&full), 2);
    let disk = &full.machine.disk;
    disk.remove(&disk.root().join(erasures::FILE)).unwrap();
    full.store = full.machine.open_with(BALLAST).unwrap();
    assert_eq!(logged(&full), 2);
    let later = full.now.later(std::time::Duration::from_hours(1));
    while full.store.sweep(later).await.unwrap() {}
    full.delete(2).await.unwrap();
    full.store.close().await;
    let disk = &full.machine.disk;
    disk.remove(&disk.root().join(erasures::FILE)).unwrap();
    full.store = full.machine.open_with(BALLAST).unwrap();
    assert_eq!(
        logged(&full),
        2,
        "the first one is forgotten, and no place comes twice"
    );
}
