//! Background work that shutdown waits for.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::sync;

/// Everything that runs beside requests. Cloned freely; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stopping: CancellationToken,
}

impl Tasks {
    /// Runs `work` in a task of its own.
    pub fn spawn<F>(&self, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        sync::spawn(&self.tracker, work);
    }

    /// Done as soon as the server is asked to stop.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Lets some time pass; false if the server is asked to stop before it has.
    pub async fn pause(&self, time: Duration) -> bool {
        let passed = self.stopping.run_until_cancelled(sync::sleep(time));
        passed.await.is_some()
    }

    /// Waits until nothing runs, without asking it to stop.
    pub async fn idle(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Asks all work to stop, and waits until it has.
    pub async fn shut_down(&self) {
        self.stopping.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
