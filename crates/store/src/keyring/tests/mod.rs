//! Tests of the keyring: on the real file system, and on a simulated one that fails and loses power.

mod behaviour;
mod crash;
mod mirror;
mod model;
mod refusals;
mod root;
#[cfg(feature = "models")]
mod schedules;
mod sim;
mod snapshot;

use std::path::Path;
use std::sync::{Arc, Mutex};

use zeroize::Zeroizing;

use super::*;

const STORE: [u8; 16] = *b"a store's own id";

/// A root that survives everything, and can be replaced behind the keyring's back.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Option<[u8; 32]>>>);

impl Root for Memory {
    fn get(&self) -> Result<Zeroizing<[u8; 32]>, RootError> {
        let key = *self.0.lock().unwrap();
        key.map(Zeroizing::new)
            .ok_or_else(|| RootError::Absent("memory".to_owned()))
    }

    fn put(&self, key: &[u8; 32]) -> Result<(), RootError> {
        *self.0.lock().unwrap() = Some(*key);
        Ok(())
    }

    fn destroy(&self) -> Result<(), RootError> {
        *self.0.lock().unwrap() = None;
        Ok(())
    }
}

fn options(root: &Memory, mirror: Option<&Path>) -> Options {
    Options {
        mirror: mirror.map(Path::to_owned),
        root: Box::new(root.clone()),
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
    for name in ["header", "segments", "slots"] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}
