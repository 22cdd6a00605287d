//! What is shared between tasks, and how they run: the standard library's locks on tokio, or with the
//! feature `models` those of a scheduler that tries orders of events. No server has that feature.

#[cfg(not(feature = "models"))]
pub(crate) use self::served::{Mutex, aside, point, sleep, spawn};

#[cfg(feature = "models")]
pub(crate) use self::modelled::{Mutex, aside, point, sleep, spawn};

#[cfg(not(feature = "models"))]
mod served {
    use std::future::Future;
    use std::time::Duration;

    pub(crate) use std::sync::Mutex;

    use tokio_util::task::TaskTracker;

    /// Runs `work` in a task that `tracker` waits for.
    pub(crate) fn spawn<F>(tracker: &TaskTracker, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tracker.spawn(work);
    }

    /// Does what takes a while on a thread that answers nobody meanwhile; an error if it panics.
    pub(crate) async fn aside<T: Send + 'static>(
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        tokio::task::spawn_blocking(work).await
    }

    /// Lets some time pass.
    pub(crate) async fn sleep(time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// A moment at which other tasks may go on, where no lock makes it one. They always may.
    pub(crate) const fn point() {}
}

#[cfg(feature = "models")]
mod modelled {
    use std::future::Future;
    use std::time::Duration;

    pub(crate) use shuttle::sync::Mutex;
    use shuttle::sync::atomic::{AtomicBool, Ordering};
    use tokio_util::task::TaskTracker;

    /// Runs `work` in a task that `tracker` waits for.
    pub(crate) fn spawn<F>(tracker: &TaskTracker, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(shuttle::future::spawn(tracker.track_future(work)));
    }

    /// Does it here, after others have had their turn.
    pub(crate) async fn aside<T>(work: impl FnOnce() -> T) -> Result<T, tokio::task::JoinError> {
        shuttle::future::yield_now().await;
        Ok(work())
    }

    /// Lets others go on: there is no time.
    pub(crate) async fn sleep(_: Duration) {
        shuttle::future::yield_now().await;
    }

    /// A moment at which other tasks may go on.
    pub(crate) fn point() {
        AtomicBool::new(false).load(Ordering::SeqCst);
    }
}
