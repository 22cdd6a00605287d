//! A machine with a disk that fails, and the processes that run on it one after the other.

use std::any::Any;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parlance_faultdisk::{Disk, NAME, register};
use parlance_testkit::ManualClock;

use super::super::{Host, Keys, OpenError, Options, Sqlite};
use crate::keyring::Root;
use crate::keyring::tests::Memory;
use crate::seal::Renewal;

/// Bytes that are kept for deletes.
const BALLAST: u64 = 1 << 17;

/// What a thread ends with whose process ends.
struct Ended;

/// The machine.
pub(super) struct Machine {
    pub(super) disk: Disk,
    /// What keeps the root, if it can be replaced; else a file on the disk does.
    root: Option<Memory>,
    has_ended: Arc<AtomicBool>,
}

impl Machine {
    pub(super) fn new(seed: u64) -> Self {
        register();
        Self {
            disk: Disk::new(seed),
            root: seed.is_multiple_of(2).then(Memory::default),
            has_ended: Arc::default(),
        }
    }

    /// Opens the store, or makes it.
    pub(super) fn open(&self) -> Result<Sqlite, OpenError> {
        self.open_with(BALLAST)
    }

    /// Opens it, and lets it keep so many bytes for deletes.
    pub(super) fn open_with(&self, ballast_bytes: u64) -> Result<Sqlite, OpenError> {
        let (disk, has_ended) = (self.disk.clone(), Arc::clone(&self.has_ended));
        let host = Host {
            disk: Arc::new(self.disk.clone()),
            vfs: Some(NAME),
            fills_ahead: false,
            end: Arc::new(move || {
                disk.stop();
                has_ended.store(true, Ordering::SeqCst);
                // Without a message: nothing has gone wrong in the test.
                resume_unwind(Box::new(Ended))
            }),
        };
        let root: Option<Arc<dyn Root>> = match &self.root {
            Some(root) => Some(Arc::new(root.clone())),
            None => None,
        };
        let options = Options {
            readers: 2,
            ballast_bytes,
            clock: Arc::new(ManualClock::default()),
            keys: Keys::Keyring {
                root,
                mirror: None,
                renewal: Renewal::default(),
            },
            ..Options::default()
        };
        Sqlite::open_on(&host, self.disk.root(), options)
    }

    /// Whether the store has ended its process since the last call.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.swap(false, Ordering::SeqCst)
    }
}

/// Does what may end the process. False if it has.
pub(super) fn survives(work: impl FnOnce()) -> bool {
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    done.map_err(|why: Box<dyn Any + Send>| {
        if !why.is::<Ended>() {
            resume_unwind(why);
        }
    })
    .is_ok()
}
