//! Tests of the keyring: on the real file system, and on a simulated one that fails and loses power.

mod attack;
mod behaviour;
mod crash;
mod mirror;
mod model;
mod refusals;
mod rekey;
mod root;
#[cfg(feature = "models")]
mod schedules;
mod sim;
mod snapshot;

use std::path::Path;
use std::sync::{Arc, Mutex};

use zeroize::Zeroizing;

use super::*;
use sim::Sim;

const STORE: [u8; 16] = *b"a store's own id";

/// A root that survives everything, and can be replaced behind the keyring's back.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    first: Kept,
    second: Kept,
}

/// A place for a root.
#[derive(Clone, Default)]
struct Kept {
    key: Arc<Mutex<Option<[u8; 32]>>>,
    /// Whose calls, and with that whose faults, its calls are.
    calls: Option<Sim>,
    /// What fails is done all the same.
    fails_late: bool,
}

impl Kept {
    fn call<T>(&self, work: impl FnOnce(&mut Option<[u8; 32]>) -> T) -> Result<T, RootError> {
        let called = self.calls.as_ref().map_or(Ok(false), Sim::call);
        let mut key = self.key.lock().unwrap();
        match called {
            Ok(_) => Ok(work(&mut key)),
            Err(source) => {
                if self.fails_late {
                    work(&mut key);
                }
                Err(RootError::Program {
                    program: "memory".into(),
                    source,
                })
            }
        }
    }
}

impl Root for Kept {
    fn get(&self) -> Result<Zeroizing<[u8; 32]>, RootError> {
        let key = self.call(|key| *key)?;
        key.map(Zeroizing::new)
            .ok_or_else(|| RootError::Absent("memory".to_owned()))
    }

    fn put(&self, key: &[u8; 32]) -> Result<(), RootError> {
        self.call(|kept| *kept = Some(*key))
    }

    fn destroy(&self) -> Result<(), RootError> {
        self.call(|kept| *kept = None)
    }
}

impl Memory {
    /// The same, of which every call is one to this disk.
    fn on(sim: &Sim, fails_late: bool) -> Self {
        let kept = || Kept {
            calls: Some(sim.clone()),
            fails_late,
            ..Kept::default()
        };
        Self {
            first: kept(),
            second: kept(),
        }
    }

    /// Every key that it has.
    fn all(&self) -> Vec<[u8; 32]> {
        let kept = [&self.first, &self.second];
        let keys = kept.into_iter().map(|kept| *kept.key.lock().unwrap());
        keys.flatten().collect()
    }
}

impl Root for Memory {
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

fn options(root: &Memory, mirror: Option<&Path>) -> Options {
    Options {
        mirror: mirror.map(Path::to_owned),
        root: Arc::new(root.clone()),
    }
}

/// A new keyring on the real file system.
fn keyring(dir: &Path) -> (Memory, Keyring) {
    let root = Memory::default();
    let keyring = Keyring::create(&dir.join("keyring"), STORE, &options(&root, None)).unwrap();
    (root, keyring)
}

/// Takes as many keys.
fn take(keyring: &Keyring, count: usize) -> Vec<KeyRef> {
    let take = |_| keyring.take().unwrap().0;
    (0..count).map(take).collect()
}

/// The commitment of a key, as something that can be compared and printed.
fn commitment(keyring: &Keyring, at: KeyRef) -> Option<[u8; 32]> {
    keyring.key(at).unwrap().map(|key| key.commitment())
}

/// Copies the files of a keyring, as a backup does.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in ["header", "segments", "segments-2", "slots"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}
