//! What a keyring does when nothing goes wrong.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;

#[test]
fn what_a_key_has_sealed_opens_with_it_at_its_place_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (_, keyring) = keyring(dir.path());
    let (at, key) = keyring.take().unwrap();
    let (_, other) = keyring.take().unwrap();
    let mut sealed = b"words".to_vec();
    key.seal_in_place(b"here", &mut sealed).unwrap();
    assert_eq!(sealed.len(), 5 + 28);
    let mut again = b"words".to_vec();
    key.seal_in_place(b"here", &mut again).unwrap();
    assert_ne!(sealed, again, "nonces are random");
    let same = keyring.key(at).unwrap().unwrap();
    assert_eq!(same.open(b"here", sealed.clone()).unwrap(), b"words");
    assert_eq!(key.open(b"there", sealed.clone()), Err(KeyError));
    assert_eq!(other.open(b"here", sealed.clone()), Err(KeyError));
    assert_eq!(key.open(b"here", sealed[..20].to_vec()), Err(KeyError));
    sealed[0] ^= 1;
    assert_eq!(key.open(b"here", sealed), Err(KeyError));
    assert_eq!(format!("{key:?}"), "RecordKey");
}

#[test]
fn a_wipe_tells_which_keys_are_being_used() {
    let dir = tempfile::tempdir().unwrap();
    let (_, keyring) = keyring(dir.path());
    let keys = take(&keyring, 3);
    let used = keyring.key(keys[1]).unwrap().unwrap();
    let told = keyring.wipe(&keys).unwrap();
    let names: Vec<KeyRef> = told.iter().map(|used| used.key).collect();
    assert_eq!(names, [keys[1]]);
    assert!(told[0].is_used());
    drop(used);
    assert!(!told[0].is_used());
}

#[test]
fn a_commitment_is_the_hash_that_receipts_promise() {
    let key = RecordKey::from_bytes(&[1; 32]);
    let input = [b"conv-key/1".as_slice(), &[1; 32]].concat();
    let hash = ring::digest::digest(&ring::digest::SHA256, &input);
    assert_eq!(key.commitment(), hash.as_ref());
}

#[test]
fn files_are_their_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (_, keyring) = keyring(dir.path());
    keyring.refill().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let at = dir.path().join("keyring");
    assert_eq!(mode(&at), 0o700);
    for name in ["header", "segments", "slots"] {
        assert_eq!(mode(&at.join(name)), 0o600, "{name}");
    }
}

#[test]
fn keys_and_secrets_are_the_same_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (root, first) = keyring(dir.path());
    let keys = take(&first, 3_000);
    let known: Vec<_> = keys.iter().map(|at| commitment(&first, *at)).collect();
    let secret = first.secret("users");
    assert_ne!(*secret, *first.secret("aliases"));
    let mark = first.mark();
    drop(first);
    let again = Keyring::open(
        &dir.path().join("keyring"),
        STORE,
        mark,
        &options(&root, None),
    );
    let again = again.unwrap();
    let erased = again.settle(keys.iter().copied()).unwrap();
    assert_eq!(erased, []);
    let found: Vec<_> = keys.iter().map(|at| commitment(&again, *at)).collect();
    assert_eq!(known, found);
    assert!(found.iter().all(Option::is_some));
    assert_eq!(*secret, *again.secret("users"));
}

#[test]
fn threads_that_take_at_once_get_different_keys() {
    let dir = tempfile::tempdir().unwrap();
    let (_, keyring) = keyring(dir.path());
    let all: Vec<KeyRef> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| take(&keyring, 1_500)))
            .collect();
        let taken = threads.into_iter().map(|thread| thread.join().unwrap());
        taken.flatten().collect()
    });
    let slots: BTreeSet<u32> = all.iter().map(|key| key.slot).collect();
    assert_eq!(slots.len(), 6_000);
}

#[test]
fn threads_that_take_wipe_and_read_at_once_disturb_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (_, keyring) = keyring(dir.path());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let (mine, key) = keyring.take().unwrap();
                    let (gone, _) = keyring.take().unwrap();
                    keyring.wipe(&[gone]).unwrap();
                    assert!(keyring.key(gone).unwrap().is_none());
                    keyring.cache.evict(mine);
                    assert_eq!(commitment(&keyring, mine), Some(key.commitment()));
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..200 {
                keyring.refill().unwrap();
            }
        });
    });
}

#[test]
fn a_wiped_key_is_gone_from_cache_and_file_and_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let (_, keyring) = keyring(dir.path());
    let keys = take(&keyring, 3);
    keyring.wipe(&keys[..2]).unwrap();
    keyring.wipe(&keys[..2]).unwrap();
    assert_eq!(commitment(&keyring, keys[0]), None);
    assert_eq!(commitment(&keyring, keys[1]), None);
    assert!(commitment(&keyring, keys[2]).is_some());
    let slots = fs::read(dir.path().join("keyring/slots")).unwrap();
    for key in &keys[..2] {
        let at = narrow(key.slot) * format::SLOT;
        assert_eq!(slots[at..at + format::SLOT], [0; format::SLOT]);
    }
}

#[test]
fn a_wipe_of_an_earlier_generation_leaves_the_later_key() {
    let dir = tempfile::tempdir().unwrap();
    let (_, keyring) = keyring(dir.path());
    let old = take(&keyring, 1)[0];
    keyring.wipe(&[old]).unwrap();
    let later = take(&keyring, 3 * fill::BATCH);
    let new = *later.iter().find(|key| key.slot == old.slot).unwrap();
    assert!(new.generation > old.generation);
    keyring.wipe(&[old]).unwrap();
    assert!(commitment(&keyring, new).is_some());
    keyring.cache.evict(new);
    assert!(commitment(&keyring, new).is_some());
    assert_eq!(commitment(&keyring, old), None);
    keyring.wipe(&[old, new]).unwrap();
    assert_eq!(commitment(&keyring, new), None);
}

#[test]
fn a_key_that_was_given_back_is_wiped_with_the_next_wipe() {
    let dir = tempfile::tempdir().unwrap();
    let (_, keyring) = keyring(dir.path());
    let keys = take(&keyring, 2);
    keyring.give_back(keys[0]);
    keyring.wipe(&[]).unwrap();
    assert_eq!(commitment(&keyring, keys[0]), None);
    assert!(locked(&keyring.stock).free.contains(keys[0].slot));
    assert_eq!(locked(&keyring.stock).returned, []);
    assert!(commitment(&keyring, keys[1]).is_some());
}

#[test]
fn settling_wipes_what_nothing_refers_to_and_tells_what_was_erased() {
    let dir = tempfile::tempdir().unwrap();
    let (root, first) = keyring(dir.path());
    let keys = take(&first, 4);
    first.wipe(&keys[1..3]).unwrap();
    let later = take(&first, 3 * fill::BATCH);
    let new = *later.iter().find(|key| key.slot == keys[1].slot).unwrap();
    let wiped = *later.iter().find(|key| key.slot == keys[2].slot).unwrap();
    first.wipe(&[wiped]).unwrap();
    let mark = first.mark();
    drop(first);
    let path = dir.path().join("keyring");
    let again = Keyring::open(&path, STORE, mark, &options(&root, None)).unwrap();
    // A database of an earlier time refers to the keys that were wiped since.
    let live = [keys[0], keys[1], keys[2], new];
    let erased = again.settle(live.into_iter()).unwrap();
    assert_eq!(erased, [keys[1], keys[2]]);
    assert!(commitment(&again, keys[0]).is_some());
    assert!(commitment(&again, new).is_some());
    assert_eq!(commitment(&again, keys[3]), None);
    let slots = fs::read(path.join("slots")).unwrap();
    let filled: Vec<usize> = slots
        .chunks(format::SLOT)
        .enumerate()
        .filter_map(|(slot, bytes)| bytes.iter().any(|byte| *byte != 0).then_some(slot))
        .collect();
    let mut kept = [narrow(keys[0].slot), narrow(new.slot)];
    kept.sort_unstable();
    assert_eq!(filled, kept);
    let taken = take(&again, 10);
    assert!(taken.iter().all(|key| key.generation > mark.epoch));
}

#[test]
fn the_cache_is_bounded_and_finds_what_it_let_go_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (_, keyring) = keyring(dir.path());
    let keys = take(&keyring, 20 * cache::SHARD_KEYS);
    assert_eq!(keyring.cache.len(), 16 * cache::SHARD_KEYS);
    assert!(matches!(keyring.cache.get(keys[0]), Found::Unknown));
    assert!(commitment(&keyring, keys[0]).is_some());
    assert!(matches!(keyring.cache.get(keys[0]), Found::Key(_)));
    keyring.wipe(&keys).unwrap();
    assert_eq!(keyring.cache.len(), 0);
}

#[test]
fn a_key_leaves_memory_with_its_last_holder() {
    let dir = tempfile::tempdir().unwrap();
    let (_, keyring) = keyring(dir.path());
    let (at, key) = keyring.take().unwrap();
    let weak = Arc::downgrade(&key);
    keyring.wipe(&[at]).unwrap();
    assert!(weak.upgrade().is_some(), "whoever holds it can go on");
    drop(key);
    assert!(weak.upgrade().is_none());
}

#[test]
fn whoever_fills_the_stock_is_told_when_it_is_low() {
    let dir = tempfile::tempdir().unwrap();
    let (_, keyring) = keyring(dir.path());
    assert!(keyring.wants_refill());
    keyring.refill().unwrap();
    assert!(!keyring.wants_refill());
    assert!(!keyring.wait_for_want(Duration::ZERO));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            while !keyring.wait_for_want(Duration::from_secs(10)) {}
            keyring.refill().unwrap();
        });
        take(&keyring, fill::BATCH / 2 + 1);
        waiting.join().unwrap();
    });
    assert!(!keyring.wants_refill());
}
