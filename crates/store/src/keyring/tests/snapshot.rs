//! Copies of one instant, what stands in slots, and old copies that are brought up to date.

use std::fs;

use super::*;
use crate::keyring::snapshot::Standing;

/// Puts a snapshot into a folder of its own, and opens it.
fn reopened(dir: &Path, root: &Memory, snapshot: &Snapshot) -> Keyring {
    let dir = dir.join("copy");
    fs::create_dir(&dir).unwrap();
    for (name, bytes) in &snapshot.files {
        fs::write(dir.join(name), bytes).unwrap();
    }
    Keyring::open(&dir, STORE, snapshot.mark, &options(root, None)).unwrap()
}

#[test]
fn a_snapshot_has_every_key_that_was_handed_out_and_none_that_was_erased() {
    let dir = tempfile::tempdir().unwrap();
    let (root, keyring) = keyring(dir.path());
    let keys = take(&keyring, 1_500);
    keyring.wipe(&keys[..10]).unwrap();
    let snapshot = keyring.snapshot().unwrap();
    assert_eq!(snapshot.mark, keyring.mark());
    let copy = reopened(dir.path(), &root, &snapshot);
    for key in &keys[10..] {
        assert_eq!(commitment(&copy, *key), commitment(&keyring, *key));
    }
    assert!(
        keys[..10]
            .iter()
            .all(|key| commitment(&copy, *key).is_none())
    );
    assert_eq!(*copy.secret("users"), *keyring.secret("users"));
}

#[test]
fn an_old_copy_forgets_what_was_erased_since_and_never_uses_a_name_of_its_other_life() {
    let dir = tempfile::tempdir().unwrap();
    let (root, keyring) = keyring(dir.path());
    let keys = take(&keyring, 4);
    let snapshot = keyring.snapshot().unwrap();
    // The first is erased; the second too, and a key of a later generation that came into its slot; the
    // third is, as far as the log knows, of a time long before.
    let later = KeyRef {
        generation: keys[1].generation + 9,
        ..keys[1]
    };
    let beyond = KeyRef {
        slot: 1 << 20,
        generation: 3,
    };
    let copy = reopened(dir.path(), &root, &snapshot);
    let erased = [keys[0], later, beyond];
    assert_eq!(copy.resume(erased.into_iter()).unwrap(), 2);
    assert!(copy.mark().epoch > keyring.mark().epoch + (1 << 32));
    let there: Vec<bool> = keys
        .iter()
        .map(|key| commitment(&copy, *key).is_some())
        .collect();
    assert_eq!(there, [false, false, true, true]);
    let mark = copy.mark();
    drop(copy);
    let copy = dir.path().join("copy");
    let again = Keyring::open(&copy, STORE, mark, &options(&root, None)).unwrap();
    again.settle(keys[2..].iter().copied()).unwrap();
    for (key, _) in (0..3_000).map(|_| again.take().unwrap()) {
        assert!(key.generation > keyring.mark().epoch + (1 << 32));
    }
}

#[test]
fn a_census_tells_what_stands_in_slots_and_what_was_filled_ahead() {
    let dir = tempfile::tempdir().unwrap();
    let (_, keyring) = keyring(dir.path());
    let keys = take(&keyring, 3);
    keyring.wipe(&keys[..1]).unwrap();
    keyring.give_back(keys[1]);
    let census = keyring.census().unwrap();
    assert!(census.is_settled());
    assert_eq!(census.standing(keys[0].slot), None);
    assert_eq!(
        census.standing(keys[2].slot),
        Some(Standing::Key(keys[2].generation))
    );
    let mut unknown = census.filled().filter(|(slot, _)| !census.is_ahead(*slot));
    assert_eq!(
        unknown.next(),
        Some((keys[2].slot, Standing::Key(keys[2].generation)))
    );
    assert_eq!(unknown.next(), None);
    assert!(census.is_ahead(keys[1].slot), "it was given back");
    assert!(census.filled().count() > 1_000);
}

#[test]
fn a_census_sees_what_only_the_mirror_has() {
    let dir = tempfile::tempdir().unwrap();
    let mirror = dir.path().join("mirror");
    let root = Memory::default();
    let options = options(&root, Some(&mirror));
    let keyring = Keyring::create(&dir.path().join("keyring"), STORE, &options).unwrap();
    let keys = take(&keyring, 1);
    keyring.wipe(&keys).unwrap();
    let slots = fs::OpenOptions::new()
        .write(true)
        .open(mirror.join("slots"));
    let planted = [5; 80];
    std::os::unix::fs::FileExt::write_all_at(
        &slots.unwrap(),
        &planted,
        80 * u64::from(keys[0].slot),
    )
    .unwrap();
    let census = keyring.census().unwrap();
    let generation = u64::from_be_bytes([5; 8]);
    let found = census
        .filled()
        .any(|found| found == (keys[0].slot, Standing::Key(generation)));
    assert!(found);
}

#[test]
fn a_snapshot_of_a_keyring_whose_root_was_renewed_is_whole_until_it_is_renewed_again() {
    let dir = tempfile::tempdir().unwrap();
    let (root, keyring) = keyring(dir.path());
    let keys = take(&keyring, 1_500);
    keyring.wipe(&keys[..3]).unwrap();
    keyring.rekey().unwrap();
    let (census, snapshot) = (keyring.census().unwrap(), keyring.snapshot().unwrap());
    let copy = reopened(dir.path(), &root, &snapshot);
    for key in &keys[3..] {
        let standing = census.standing(key.slot);
        assert_eq!(standing, Some(Standing::Key(key.generation)));
        assert_eq!(commitment(&copy, *key), commitment(&keyring, *key));
    }
    assert!(
        keys[..3]
            .iter()
            .all(|key| census.standing(key.slot) != Some(Standing::Key(key.generation)))
    );
    assert_eq!(copy.resume(std::iter::once(keys[3])).unwrap(), 1);
    assert!(commitment(&copy, keys[3]).is_none());
    drop(copy);
    // What it leads to is destroyed by the next renewal.
    keyring.wipe(&keys[4..5]).unwrap();
    keyring.rekey().unwrap();
    let copy = dir.path().join("copy");
    let opened = Keyring::open(&copy, STORE, snapshot.mark, &options(&root, None));
    assert!(opened.is_err(), "a copy outlives its root");
}
