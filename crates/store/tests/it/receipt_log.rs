//! The log of receipts as services keep it in a store: signed, broken off, gone on with, exported.

use std::io::Cursor;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use async_trait::async_trait;
use parlance_domain::fault::{Conflict, Error, Fault};
use parlance_domain::receipt_log::{Anchor, Verified, Vouched, verify};
use parlance_domain::service::Ports;
use parlance_domain::store::{Batch, Store, Write};
use parlance_domain::tasks::Tasks;
use parlance_domain::upstream::{Model, ModelError, ModelRequest, ModelStream};
use parlance_domain::{
    Clock, ConversationId, IdSource, NewConversation, NewItem, Service, Settings,
};
use parlance_store::{Memory, Options, Sqlite};
use parlance_testkit::ManualClock;
use parlance_testkit::samples::{self, app, conversation, notary, principal};

/// No test here asks it anything.
struct Silent;

#[async_trait]
impl Model for Silent {
    async fn answer(&self, _: ModelRequest) -> Result<ModelStream, ModelError> {
        Err(ModelError::Down(None))
    }
}

/// A store, and a clock for all that use it.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    _dir: Option<tempfile::TempDir>,
}

impl Shared {
    pub(crate) fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(dir.path(), Options::default()).unwrap();
        Self {
            store: Arc::new(store),
            clock: Arc::default(),
            _dir: Some(dir),
        }
    }

    pub(crate) fn both() -> [Self; 2] {
        let memory = Self {
            store: Arc::new(Memory::default()),
            clock: Arc::default(),
            _dir: None,
        };
        [memory, Self::sqlite()]
    }

    pub(crate) fn service(&self) -> Service {
        self.service_of(1)
    }

    /// A service of its own over the store, as each of several processes has it.
    pub(crate) fn service_of(&self, process: u8) -> Service {
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        let ports = Ports {
            store: Arc::clone(&self.store),
            model: Arc::new(Silent),
            ids: Arc::new(IdSource::new(Arc::clone(&clock), [process; 32])),
            clock,
            tasks: Tasks::default(),
            notary: notary(),
        };
        Service::new(ports, Settings::default())
    }

    /// Makes and deletes so many conversations of so many items.
    async fn erase(&self, service: &Service, count: usize, items: usize) {
        let who = principal("ann");
        for _ in 0..count {
            let mut new = conversation_of(service, items);
            new.at = self.clock.now();
            let id: ConversationId = new.id;
            let create = Batch::of(Write::Create(Box::new(new)));
            self.store.apply(&who, &create).await.unwrap();
            let now = self.clock.now();
            let deleted = service.delete_conversation(&who, id.into(), now).await;
            deleted.unwrap();
        }
    }
}

fn conversation_of(service: &Service, items: usize) -> NewConversation {
    let ids = IdSource::new(Arc::new(ManualClock::default()), [0; 32]);
    let mut new = conversation(&ids, app(1), service.now());
    new.id = service.new_id();
    let item = |_| NewItem {
        id: service.new_id(),
        alias: None,
        content: samples::question("canary"),
    };
    new.items = (0..items).map(item).collect();
    new
}

pub(crate) async fn export(service: &Service) -> String {
    let mut export = service.export_receipts().await.unwrap();
    let mut text = String::new();
    while let Some(piece) = export.next().await.unwrap() {
        text.push_str(&piece);
    }
    text
}

/// Verifies a log that has to hold an earlier one.
pub(crate) fn verified(log: &str, anchor: Option<Anchor>) -> Vouched {
    match verify(&mut Cursor::new(log), notary().public_key(), anchor) {
        Ok(Verified::Log(vouched)) => vouched,
        other => panic!("{other:?}"),
    }
}

fn anchor(vouched: &Vouched) -> Anchor {
    Anchor::Log {
        entries: vouched.entries,
        root: vouched.root,
    }
}

#[tokio::test]
async fn every_delete_comes_into_the_log_in_as_many_batches_as_it_takes() {
    for shared in Shared::both() {
        let service = shared.service();
        shared.erase(&service, 130, 0).await;
        assert_eq!(service.sign_some_receipts().await.unwrap(), 128);
        assert_eq!(service.sign_receipts().await.unwrap(), 2);
        let vouched = verified(&export(&service).await, None);
        assert_eq!((vouched.receipts, vouched.complete), (130, 130));
        assert_eq!(vouched.checkpoints, 1, "the export's own");
    }
}

#[tokio::test]
async fn a_service_that_was_overtaken_goes_on_where_the_log_ends() {
    for shared in Shared::both() {
        let (one, other) = (shared.service_of(1), shared.service_of(2));
        for signer in [&one, &other, &other, &one, &one, &other] {
            shared.erase(&one, 2, 0).await;
            assert_eq!(signer.sign_receipts().await.unwrap(), 2);
        }
        assert_eq!(verified(&export(&one).await, None).receipts, 12);
        assert_eq!(export(&one).await, export(&other).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signers_and_exporters_at_once_leave_one_log() {
    for shared in Shared::both() {
        let services: Vec<Service> = vec![shared.service_of(1); 3];
        let work = services.iter().map(|service| {
            let (service, shared) = (service.clone(), &shared);
            async move {
                let mut earlier = None;
                for _ in 0..10 {
                    shared.erase(&service, 3, 0).await;
                    match service.sign_receipts().await {
                        Ok(_) => {}
                        Err(error) => contended(&error),
                    }
                    match service.export_receipts().await {
                        Err(error) => contended(&error),
                        Ok(mut export) => {
                            let mut text = String::new();
                            while let Some(piece) = export.next().await.unwrap() {
                                text.push_str(&piece);
                            }
                            earlier = Some(anchor(&verified(&text, earlier.clone())));
                        }
                    }
                }
            }
        });
        let work: Vec<_> = work.collect();
        join_all(work).await;
        let vouched = verified(&export(&services[0]).await, None);
        assert_eq!((vouched.receipts, vouched.entries), (90, 90));
    }
}

/// The only thing that may go wrong where several share a store.
fn contended(error: &Error) {
    let fault = &error.fault;
    assert_eq!(fault, &Fault::Conflict(Conflict::Contended));
}

async fn join_all(work: Vec<impl Future<Output = ()>>) {
    let mut work: Vec<_> = work.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|context| {
        work.retain_mut(|one| one.as_mut().poll(context).is_pending());
        if work.is_empty() {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    })
    .await;
}

fn is_done<F: Future>(work: Pin<&mut F>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    work.poll(&mut context).is_ready()
}

/// Begins to sign, and is gone after so many steps: as a task that is dropped when the server stops.
async fn break_off(service: &Service, steps: usize) {
    let mut signing = pin!(service.sign_some_receipts());
    for _ in 0..steps {
        if is_done(signing.as_mut()) {
            return;
        }
        // The store's thread and others have their turn.
        tokio::task::yield_now().await;
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn signing_that_is_broken_off_anywhere_leaves_a_log_that_goes_on() {
    let shared = Shared::sqlite();
    let service = shared.service();
    let mut earlier = None;
    for steps in [0, 1, 2, 3, 5, 8, 13, 30, 100, 300, 1_000, 3_000] {
        shared.erase(&service, 3, 0).await;
        break_off(&service, steps).await;
        let vouched = verified(&export(&service).await, earlier);
        earlier = Some(anchor(&vouched));
    }
    let vouched = verified(&export(&service).await, earlier);
    assert_eq!((vouched.receipts, vouched.entries), (36, 36));
}

#[tokio::test]
async fn a_large_conversations_receipt_has_two_entries() {
    let shared = Shared::sqlite();
    let service = shared.service();
    shared.erase(&service, 1, 500).await;
    let first = verified(&export(&service).await, None);
    assert_eq!((first.entries, first.complete), (1, 0));
    shared.clock.advance(Duration::from_secs(7));
    while shared.store.sweep(service.now()).await.unwrap() {}
    let last = verified(&export(&service).await, Some(anchor(&first)));
    assert_eq!((last.entries, last.receipts, last.complete), (2, 1, 1));
    assert_eq!(last.at, shared.clock.now());
}

#[tokio::test]
async fn a_checkpoint_is_signed_once_an_hour_where_there_is_something_new() {
    for shared in Shared::both() {
        let service = shared.service();
        let checkpoints = async || {
            service.checkpoint_receipts().await.unwrap();
            shared.store.log_head().await.unwrap().checkpoints
        };
        assert_eq!(checkpoints().await, 0, "there is nothing yet");
        shared.erase(&service, 1, 0).await;
        assert_eq!(checkpoints().await, 0, "nothing is signed yet");
        service.sign_receipts().await.unwrap();
        assert_eq!(checkpoints().await, 1);
        shared.erase(&service, 1, 0).await;
        service.sign_receipts().await.unwrap();
        shared.clock.advance(Duration::from_mins(59));
        assert_eq!(checkpoints().await, 1);
        shared.clock.advance(Duration::from_mins(1));
        assert_eq!(checkpoints().await, 2);
        shared.clock.advance(Duration::from_hours(9));
        assert_eq!(checkpoints().await, 2, "there is nothing new");
        shared.erase(&service, 1, 0).await;
        service.sign_receipts().await.unwrap();
        assert_eq!(checkpoints().await, 3);
        let exported = verified(&export(&service).await, None);
        assert_eq!(exported.checkpoints, 3, "the last one is over all");
    }
}

#[tokio::test]
async fn a_clock_that_was_wrong_once_stops_no_checkpoints() {
    let shared = Shared::sqlite();
    let service = shared.service();
    let right = shared.clock.now();
    let year = Duration::from_hours(365 * 24);
    shared.clock.advance(year);
    shared.erase(&service, 1, 0).await;
    let wrong = export(&service).await;
    shared.clock.set(right);
    for hour in 1..4 {
        shared.clock.advance(Duration::from_hours(1));
        shared.erase(&service, 1, 0).await;
        service.sign_receipts().await.unwrap();
        service.checkpoint_receipts().await.unwrap();
        service.checkpoint_receipts().await.unwrap();
        let kept = shared.store.log_head().await.unwrap().checkpoints;
        assert_eq!(kept, 1 + hour);
    }
    let vouched = verified(
        &export(&service).await,
        Some(anchor(&verified(&wrong, None))),
    );
    assert_eq!(vouched.at, right.later(year), "no time goes back");
}
