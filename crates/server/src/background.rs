//! What goes on beside requests: sweeping after deletes, signing their receipts and checkpoints of their
//! log, writing the log of erasures, erasing what is kept no longer, renewing the root key, emptying the
//! write-ahead log, metrics.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use parlance_domain::fault::Chain;
use parlance_domain::limits::TOMBSTONE_HOURS;
use parlance_domain::store::{RootRenewal, StoreError};
use parlance_domain::tasks::Tasks;
use parlance_domain::{Clock, Service, Store, SystemClock};
use parlance_store::sqlite::Sqlite;

use crate::retention::Keeper;

/// How often the sweeper looks for work. Rows of a deleted conversation are gone within 60 seconds.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// What the sweeper leaves to other writers between two chunks.
const SWEEP_PAUSE: Duration = Duration::from_millis(2);
/// What is left to other writers between two portions of pages that go back to the file system: with it
/// about three megabytes a second do.
const GIVE_BACK_PAUSE: Duration = Duration::from_millis(10);
/// Portions that go back before it is looked again whether there is something to sweep.
const GIVEN_BACK_TOGETHER: u32 = 50;
/// How often the signer looks for receipts. What it signs is about a moment at most so long ago.
const SIGN_EVERY: Duration = Duration::from_secs(1);
/// What the signer leaves to other writers between two steps. A step keeps them for about a millisecond,
/// and signs more receipts than there can be deletes in the meantime.
const SIGN_PAUSE: Duration = Duration::from_millis(5);
/// How often it is looked whether the log of receipts is due for a checkpoint.
const LOG_CHECKPOINT_LOOK: Duration = Duration::from_mins(1);
/// How often what was erased is written to the log of erasures.
const LOG_ERASURES_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked for conversations that are kept no longer.
const RETENTION_LOOK: Duration = Duration::from_mins(5);
/// How often the write-ahead log is emptied.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);
const METRICS_EVERY: Duration = Duration::from_secs(5);
const TOMBSTONES_KEPT: Duration = Duration::from_secs(TOMBSTONE_HOURS * 3600);

/// When the root key is renewed first, unless that is later than the next time: nobody knows what was
/// deleted before the start without a renewal after it.
const REKEY_FIRST: Duration = Duration::from_mins(1);

/// Starts all of it; it ends with `tasks`.
pub(crate) fn start(
    (tasks, service): (&Tasks, &Service),
    store: &Arc<Sqlite>,
    keeper: Keeper,
    rekey_every: Option<Duration>,
    metrics: PrometheusHandle,
) {
    if let Some(period) = rekey_every {
        renew_root_every(tasks, period, service.clone());
    }
    let sweeping = Arc::clone(store);
    every(tasks, SWEEP_EVERY, move || {
        let store = Arc::clone(&sweeping);
        async move { sweep(&store).await }
    });
    let signing = service.clone();
    every(tasks, SIGN_EVERY, move || {
        let service = signing.clone();
        async move {
            sign(&service).await;
        }
    });
    let signing = service.clone();
    every(tasks, LOG_CHECKPOINT_LOOK, move || {
        let service = signing.clone();
        async move {
            if let Err(error) = service.checkpoint_receipts().await {
                tracing::warn!(error = %Chain(&error), "could not sign a checkpoint of the receipts");
            }
        }
    });
    let logging = Arc::clone(store);
    every(tasks, LOG_ERASURES_EVERY, move || {
        let store = Arc::clone(&logging);
        async move {
            if let Err(error) = store.log_erasures().await {
                tracing::warn!(
                    error = %Chain(&error),
                    "`erasures.log` is behind: what is missing in it is in the database, and follows"
                );
            }
        }
    });
    every(tasks, RETENTION_LOOK, move || {
        let keeper = keeper.clone();
        async move { keeper.look().await }
    });
    let checkpointing = Arc::clone(store);
    every(tasks, CHECKPOINT_EVERY, move || {
        let store = Arc::clone(&checkpointing);
        async move {
            if let Err(error) = store.checkpoint_truncate().await {
                tracing::warn!(error = %Chain(&error), "could not empty the write-ahead log");
            }
        }
    });
    every(tasks, METRICS_EVERY, move || {
        metrics.run_upkeep();
        std::future::ready(())
    });
}

/// Runs `work` again and again, with a pause of `period` between, until the server stops.
fn every<F>(tasks: &Tasks, period: Duration, work: impl Fn() -> F + Send + 'static)
where
    F: Future<Output = ()> + Send,
{
    let stopping = tasks.stopping();
    tasks.spawn(async move {
        while stopping
            .run_until_cancelled(tokio::time::sleep(period))
            .await
            .is_some()
        {
            stopping.run_until_cancelled(work()).await;
        }
    });
}

/// Renews the root key again and again, until the server stops. A renewal that has begun is not broken off.
fn renew_root_every(tasks: &Tasks, period: Duration, service: Service) {
    let stopping = tasks.stopping();
    tasks.spawn(async move {
        let mut pause = period.min(REKEY_FIRST);
        while stopping
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_some()
        {
            pause = period;
            match service.renew_root().await {
                Ok(RootRenewal::Done) => tracing::info!("renewed the root key"),
                Ok(RootRenewal::NothingDeleted) => {}
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "could not renew the root key: erasure is at level L2");
                }
            }
        }
    });
}

/// Signs what is due, and leaves the store to requests in between: nobody waits for a signature.
async fn sign(service: &Service) {
    loop {
        match service.sign_some_receipts().await {
            Ok(0) => return,
            Ok(_) => tokio::time::sleep(SIGN_PAUSE).await,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "could not sign receipts");
                return;
            }
        }
    }
}

/// Sweeps; when nothing is left to sweep, gives the file system what that has left free.
async fn sweep(store: &Sqlite) {
    if let Err(error) = sweep_all(store).await {
        tracing::warn!(error = %Chain(&error), "could not sweep after deletes");
    }
}

async fn sweep_all(store: &Sqlite) -> Result<(), StoreError> {
    let forget_before = SystemClock.now().earlier(TOMBSTONES_KEPT);
    loop {
        while store.sweep(forget_before).await? {
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
        // What is deleted meanwhile waits for these, which is less than the sweeper's next look.
        for _ in 0..GIVEN_BACK_TOGETHER {
            if !store.give_back().await? {
                return Ok(());
            }
            tokio::time::sleep(GIVE_BACK_PAUSE).await;
        }
    }
}
