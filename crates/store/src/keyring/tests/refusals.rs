//! What is refused, and that nothing is changed then.

use std::fs;
use std::path::PathBuf;

use super::*;

/// A keyring with a key that the database refers to, closed.
struct Closed {
    dir: tempfile::TempDir,
    root: Memory,
    mark: Mark,
    key: KeyRef,
}

impl Closed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (root, keyring) = keyring(dir.path());
        let key = take(&keyring, 1)[0];
        Self {
            dir,
            root,
            mark: keyring.mark(),
            key,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("keyring")
    }

    fn open(&self) -> Result<Keyring, KeyringError> {
        Keyring::open(&self.path(), STORE, self.mark, &options(&self.root, None))
    }

    fn bytes(&self) -> Vec<Vec<u8>> {
        ["header", "segments", "slots"]
            .map(|name| fs::read(self.path().join(name)).unwrap_or_default())
            .into()
    }

    /// The error of opening it, which changes nothing.
    fn refusal(&self) -> KeyringError {
        let before = self.bytes();
        let error = self.open().err().unwrap();
        assert_eq!(before, self.bytes());
        assert!(!error.is_fatal());
        error
    }

    /// Opens and settles it, lets the work be done, and closes it.
    fn while_open(&mut self, work: impl FnOnce(&mut Self, &Keyring)) {
        let keyring = self.open().unwrap();
        keyring.settle([self.key].into_iter()).unwrap();
        work(self, &keyring);
        self.mark = keyring.mark();
    }
}

#[test]
fn a_keyring_that_is_not_there_is_refused() {
    let closed = Closed::new();
    fs::remove_dir_all(closed.path()).unwrap();
    assert!(matches!(closed.refusal(), KeyringError::Absent(_)));
    assert!(!closed.path().exists());
}

#[test]
fn a_keyring_without_one_of_its_files_is_refused() {
    for name in ["header", "segments", "slots"] {
        let closed = Closed::new();
        fs::remove_file(closed.path().join(name)).unwrap();
        assert!(matches!(closed.refusal(), KeyringError::Absent(_)));
        assert!(!closed.path().join(name).exists());
    }
}

#[test]
fn another_stores_keyring_is_refused() {
    let closed = Closed::new();
    let other = Keyring::open(
        &closed.path(),
        [7; 16],
        closed.mark,
        &options(&closed.root, None),
    );
    assert!(matches!(other.err(), Some(KeyringError::Foreign(_))));
}

#[test]
fn a_copy_from_before_a_refill_is_refused() {
    let mut closed = Closed::new();
    let backup = closed.dir.path().join("backup");
    copy(&closed.path(), &backup);
    closed.while_open(|_, keyring| keyring.refill().unwrap());
    copy(&backup, &closed.path());
    let error = closed.refusal();
    assert!(
        matches!(
            error,
            KeyringError::Older {
                found: 1,
                recorded: 2,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_copy_from_before_a_wipe_is_refused_once_its_slot_was_filled_again() {
    let mut closed = Closed::new();
    let backup = closed.dir.path().join("backup");
    copy(&closed.path(), &backup);
    let before = closed.mark;
    closed.while_open(|closed, keyring| {
        keyring.wipe(&[closed.key]).unwrap();
        let again = take(keyring, fill::BATCH)
            .into_iter()
            .find(|key| key.slot == closed.key.slot);
        closed.key = again.unwrap();
    });
    copy(&backup, &closed.path());
    assert!(matches!(closed.refusal(), KeyringError::Older { .. }));
    // Even if the database has not recorded how far the keyring had come, its keys tell.
    closed.mark = before;
    let bytes = closed.bytes();
    let keyring = closed.open().unwrap();
    let error = keyring.settle([closed.key].into_iter()).unwrap_err();
    assert!(matches!(error, KeyringError::Older { .. }), "{error}");
    assert_eq!(bytes, closed.bytes());
    assert!(matches!(keyring.take(), Err(KeyringError::Unsettled)));
}

#[test]
fn a_copy_from_before_a_wipe_is_wiped_when_it_is_settled() {
    let mut closed = Closed::new();
    let backup = closed.dir.path().join("backup");
    copy(&closed.path(), &backup);
    closed.while_open(|closed, keyring| drop(keyring.wipe(&[closed.key]).unwrap()));
    closed.mark = Mark::default();
    copy(&backup, &closed.path());
    let keyring = closed.open().unwrap();
    assert!(commitment(&keyring, closed.key).is_some());
    keyring.settle(std::iter::empty()).unwrap();
    assert_eq!(commitment(&keyring, closed.key), None);
}

#[test]
fn a_slot_of_an_earlier_generation_than_the_database_refers_to_is_refused() {
    let closed = Closed::new();
    let path = closed.path().join("slots");
    let mut slots = fs::read(&path).unwrap();
    let mut closed = closed;
    closed.while_open(|closed, keyring| {
        keyring.wipe(&[closed.key]).unwrap();
        keyring.refill().unwrap();
        let all = take(keyring, fill::BATCH + 1);
        closed.key = *all.iter().find(|key| key.slot == closed.key.slot).unwrap();
    });
    // The header is today's, the slots are not.
    slots.resize(fs::read(&path).unwrap().len(), 0);
    fs::write(&path, slots).unwrap();
    let bytes = closed.bytes();
    let keyring = closed.open().unwrap();
    let error = keyring.settle([closed.key].into_iter()).unwrap_err();
    assert!(matches!(error, KeyringError::Older { .. }), "{error}");
    assert_eq!(bytes, closed.bytes());
}

#[test]
fn files_that_were_cut_off_are_refused() {
    for (name, length) in [("header", 8_191), ("segments", 63), ("slots", 81_919)] {
        let closed = Closed::new();
        let file = fs::OpenOptions::new()
            .write(true)
            .open(closed.path().join(name));
        file.unwrap().set_len(length).unwrap();
        let error = closed.refusal();
        assert!(
            matches!(error, KeyringError::Shorter { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn fewer_segments_than_recorded_are_refused() {
    let mut closed = Closed::new();
    closed.mark.segments += 1;
    assert!(matches!(closed.refusal(), KeyringError::Shorter { .. }));
    closed.mark.segments -= 1;
    let keyring = closed.open().unwrap();
    let beyond = KeyRef {
        slot: format::SLOTS,
        generation: 1,
    };
    let error = keyring.settle([beyond].into_iter()).unwrap_err();
    assert!(matches!(error, KeyringError::Shorter { .. }), "{error}");
}

#[test]
fn another_root_is_refused() {
    let closed = Closed::new();
    closed.root.put(&[9; 32]).unwrap();
    assert!(matches!(closed.refusal(), KeyringError::RootDoesNotOpen(_)));
}

#[test]
fn a_root_that_is_not_there_is_refused_and_none_is_made() {
    let closed = Closed::new();
    closed.root.destroy().unwrap();
    let error = closed.refusal();
    assert!(
        matches!(error, KeyringError::Root(RootError::Absent(_))),
        "{error}"
    );
    assert!(closed.root.get().is_err());
}

#[test]
fn a_damaged_header_is_refused_and_one_damaged_copy_is_not() {
    let closed = Closed::new();
    let path = closed.path().join("header");
    let whole = fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    // Epoch 1 stands in the second copy, epoch 0 in the first.
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    drop(closed.open().unwrap());
    bytes[4_096 + 20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(
        closed.refusal(),
        KeyringError::Torn { what: "header", .. }
    ));
    // Only the older copy is left: that is an older keyring.
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(closed.refusal(), KeyringError::Older { .. }));
}

#[test]
fn a_header_whose_numbers_were_changed_is_refused() {
    // The epoch of a header without renewals, and the renewals of one with.
    for (renewals, place, length) in [(0, 39, HEADER - 8), (1, 46, HEADER)] {
        let mut closed = Closed::new();
        if renewals > 0 {
            closed.while_open(|_, keyring| {
                keyring.rekey().unwrap();
            });
        }
        let path = closed.path().join("header");
        let mut bytes = fs::read(&path).unwrap();
        let newest = if renewals > 0 { 0 } else { 4_096 };
        let copy = &mut bytes[newest..newest + length];
        copy[place] = 9;
        let (said, sum) = copy.split_at_mut(length - 32);
        sum.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, said).as_ref());
        fs::write(&path, &bytes).unwrap();
        let error = closed.refusal();
        let told = matches!(error, KeyringError::RootDoesNotOpen(_));
        assert!(told, "{error}");
    }
}

#[test]
fn a_newer_version_is_refused() {
    let closed = Closed::new();
    let path = closed.path().join("header");
    let mut bytes = fs::read(&path).unwrap();
    let copy = &mut bytes[4_096..4_096 + HEADER];
    copy[11] = 3;
    let (said, sum) = copy.split_at_mut(HEADER - 32);
    sum.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, said).as_ref());
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(
        closed.refusal(),
        KeyringError::Newer { version: 3, .. }
    ));
}

#[test]
fn a_damaged_segment_is_refused() {
    let closed = Closed::new();
    let path = closed.path().join("segments");
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(
        closed.refusal(),
        KeyringError::Torn {
            what: "segment",
            number: 0,
            ..
        }
    ));
}

#[test]
fn a_keyring_is_not_made_over_another_one() {
    let closed = Closed::new();
    let bytes = closed.bytes();
    let again = Keyring::create(&closed.path(), STORE, &options(&closed.root, None));
    assert!(matches!(again.err(), Some(KeyringError::Exists(_))));
    // Nor where its header has gone.
    fs::remove_file(closed.path().join("header")).unwrap();
    let again = Keyring::create(&closed.path(), STORE, &options(&closed.root, None));
    assert!(matches!(again.err(), Some(KeyringError::Exists(_))));
    assert_eq!(bytes[1..], closed.bytes()[1..]);
}

#[test]
fn making_a_keyring_again_before_it_was_used_gives_the_same_one() {
    let dir = tempfile::tempdir().unwrap();
    let (root, first) = keyring(dir.path());
    let secret = first.secret("users");
    drop(first);
    let again = Keyring::create(&dir.path().join("keyring"), STORE, &options(&root, None)).unwrap();
    assert_eq!(*secret, *again.secret("users"));
    let other = Keyring::create(&dir.path().join("keyring"), [7; 16], &options(&root, None));
    assert!(matches!(other.err(), Some(KeyringError::Exists(_))));
}

#[test]
fn names_that_no_keyring_has_given_are_refused() {
    let closed = Closed::new();
    let keyring = closed.open().unwrap();
    let nothing = KeyRef {
        slot: closed.key.slot,
        generation: 0,
    };
    let later = KeyRef {
        generation: closed.mark.epoch + 1,
        ..closed.key
    };
    assert!(matches!(
        keyring.key(nothing),
        Err(KeyringError::Impossible(_))
    ));
    assert!(matches!(
        keyring.key(later),
        Err(KeyringError::Older { .. })
    ));
    assert!(matches!(
        keyring.wipe(&[nothing]),
        Err(KeyringError::Impossible(_))
    ));
    assert!(matches!(
        keyring.wipe(&[later]),
        Err(KeyringError::Older { .. })
    ));
    let refused = keyring.settle([nothing].into_iter());
    assert!(matches!(refused, Err(KeyringError::Impossible(_))));
}

#[test]
fn nothing_is_taken_before_the_database_was_compared() {
    let closed = Closed::new();
    let keyring = closed.open().unwrap();
    assert!(matches!(keyring.take(), Err(KeyringError::Unsettled)));
    assert!(matches!(keyring.refill(), Err(KeyringError::Unsettled)));
    assert!(!keyring.wants_refill());
    keyring.settle([closed.key].into_iter()).unwrap();
    assert!(keyring.wants_refill());
    keyring.take().unwrap();
    let again = keyring.settle([closed.key].into_iter());
    assert!(matches!(again, Err(KeyringError::Settled)));
}
