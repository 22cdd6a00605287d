//! Two copies: kept in step, mended where one is behind, refused where they contradict each other.

use std::fs;
use std::path::PathBuf;

use super::*;

struct Pair {
    dir: tempfile::TempDir,
    root: Memory,
}

fn files(dir: &Path) -> Vec<Vec<u8>> {
    ["header", "segments", "slots"]
        .map(|name| fs::read(dir.join(name)).unwrap())
        .into()
}

impl Pair {
    fn new() -> (Self, Keyring) {
        let pair = Self {
            dir: tempfile::tempdir().unwrap(),
            root: Memory::default(),
        };
        let keyring = Keyring::create(&pair.main(), STORE, &pair.options()).unwrap();
        (pair, keyring)
    }

    fn main(&self) -> PathBuf {
        self.dir.path().join("main")
    }

    fn mirror(&self) -> PathBuf {
        self.dir.path().join("mirror")
    }

    fn options(&self) -> Options {
        options(&self.root, Some(&self.mirror()))
    }

    fn open(&self) -> Result<Keyring, KeyringError> {
        Keyring::open(&self.main(), STORE, Mark::default(), &self.options())
    }

    /// Keeps a copy of one of the two, to be put back later.
    fn save(&self, from: &Path) -> PathBuf {
        let to = self.dir.path().join("saved");
        copy(from, &to);
        to
    }

    /// The header that holds and all else are the same.
    fn assert_same(&self) {
        let header = |dir: &Path| {
            let files = Files::open(&disk::Machine, dir).unwrap().unwrap();
            files.read_header().unwrap().bytes
        };
        assert_eq!(header(&self.main()), header(&self.mirror()));
        assert!(files(&self.main())[1..] == files(&self.mirror())[1..]);
    }

    /// All that is used is the same. What was used before the last renewal may differ.
    fn assert_in_step(&self) {
        let used = |dir: &Path| {
            let files = Files::open(&disk::Machine, dir).unwrap().unwrap();
            let copy = files.read_header().unwrap();
            let mut parts = vec![copy.bytes.to_vec()];
            for segment in 0..copy.header.segments {
                let record = files.read_record(copy.header.side(), segment).unwrap();
                let frame = format::frame_of(segment, &record).unwrap();
                let mut slots = vec![0; format::SEGMENT];
                files
                    .read_slots(format::first_place(frame), &mut slots)
                    .unwrap();
                parts.extend([record.to_vec(), slots]);
            }
            parts
        };
        assert!(used(&self.main()) == used(&self.mirror()));
    }

    fn refusal(&self) -> KeyringError {
        let before = (files(&self.main()), files(&self.mirror()));
        let error = self.open().err().unwrap();
        assert!(before == (files(&self.main()), files(&self.mirror())));
        error
    }
}

#[test]
fn every_write_and_wipe_goes_to_both() {
    let (pair, keyring) = Pair::new();
    let keys = take(&keyring, 10);
    pair.assert_same();
    keyring.wipe(&keys[..5]).unwrap();
    pair.assert_same();
    take(&keyring, 2_000);
    pair.assert_same();
    drop(keyring);
    drop(pair.open().unwrap());
    pair.assert_same();
}

#[test]
fn a_mirror_that_is_not_there_is_made() {
    let (pair, keyring) = Pair::new();
    let keys = take(&keyring, 1_500);
    drop(keyring);
    fs::remove_dir_all(pair.mirror()).unwrap();
    let keyring = pair.open().unwrap();
    pair.assert_same();
    keyring.settle(keys.iter().copied()).unwrap();
    pair.assert_same();
    drop(keyring);
    // It is as good as the first.
    fs::remove_dir_all(pair.main()).unwrap();
    assert!(matches!(pair.open().err(), Some(KeyringError::Absent(_))));
    fs::rename(pair.mirror(), pair.main()).unwrap();
    let keyring = pair.open().unwrap();
    assert!(commitment(&keyring, keys[7]).is_some());
    pair.assert_same();
}

#[test]
fn a_copy_that_is_behind_is_brought_up_to_date_whichever_it_is() {
    for main_is_behind in [false, true] {
        let (pair, keyring) = Pair::new();
        let behind = if main_is_behind {
            pair.main()
        } else {
            pair.mirror()
        };
        let keys = take(&keyring, 3);
        let saved = pair.save(&behind);
        keyring.wipe(&keys[..1]).unwrap();
        let later = take(&keyring, 3_000);
        drop(keyring);
        fs::remove_dir_all(&behind).unwrap();
        copy(&saved, &behind);
        let keyring = pair.open().unwrap();
        pair.assert_same();
        assert_eq!(commitment(&keyring, keys[0]), None);
        for key in keys[1..].iter().chain(&later) {
            assert!(commitment(&keyring, *key).is_some());
        }
    }
}

#[test]
fn a_wipe_that_reached_one_copy_is_finished_in_the_other() {
    for main_is_behind in [false, true] {
        let (pair, keyring) = Pair::new();
        let behind = if main_is_behind {
            pair.main()
        } else {
            pair.mirror()
        };
        let keys = take(&keyring, 3);
        let saved = pair.save(&behind);
        keyring.wipe(&keys[..1]).unwrap();
        drop(keyring);
        copy(&saved, &behind);
        let keyring = pair.open().unwrap();
        pair.assert_same();
        assert_eq!(commitment(&keyring, keys[0]), None);
        assert!(commitment(&keyring, keys[1]).is_some());
    }
}

#[test]
fn copies_that_went_separate_ways_are_refused() {
    let (pair, keyring) = Pair::new();
    let keys = take(&keyring, 3);
    drop(keyring);
    // Each is used alone for a time.
    let alone = options(&pair.root, None);
    let main = Keyring::open(&pair.main(), STORE, Mark::default(), &alone).unwrap();
    main.settle(keys.iter().copied()).unwrap();
    main.refill().unwrap();
    drop(main);
    let mirror = Keyring::open(&pair.mirror(), STORE, Mark::default(), &alone).unwrap();
    mirror.settle(keys.iter().copied()).unwrap();
    mirror.refill().unwrap();
    mirror.wipe(&keys[..1]).unwrap();
    take(&mirror, 3_000);
    drop(mirror);
    assert!(matches!(pair.refusal(), KeyringError::Contradiction { .. }));
}

#[test]
fn a_wipe_that_only_the_older_copy_knows_is_a_contradiction() {
    let (pair, keyring) = Pair::new();
    let keys = take(&keyring, 3);
    drop(keyring);
    let alone = options(&pair.root, None);
    let mirror = Keyring::open(&pair.mirror(), STORE, Mark::default(), &alone).unwrap();
    mirror.wipe(&keys[..1]).unwrap();
    drop(mirror);
    let main = Keyring::open(&pair.main(), STORE, Mark::default(), &alone).unwrap();
    main.settle(keys.iter().copied()).unwrap();
    main.refill().unwrap();
    drop(main);
    let error = pair.refusal();
    let expected = keys[0].slot;
    assert!(
        matches!(error, KeyringError::Contradiction { what: "slot", number, .. } if number == expected),
        "{error}"
    );
}

#[test]
fn another_keyrings_copy_is_refused_as_a_mirror() {
    let (pair, keyring) = Pair::new();
    take(&keyring, 1);
    drop(keyring);
    fs::remove_dir_all(pair.mirror()).unwrap();
    let other = Keyring::create(&pair.mirror(), [7; 16], &options(&pair.root, None)).unwrap();
    drop(other);
    assert!(matches!(pair.refusal(), KeyringError::Foreign(_)));
    fs::remove_dir_all(pair.mirror()).unwrap();
    let other = Keyring::create(&pair.mirror(), STORE, &options(&pair.root, None)).unwrap();
    drop(other);
    assert!(matches!(
        pair.refusal(),
        KeyringError::Contradiction { what: "header", .. }
    ));
}

#[test]
fn damage_in_one_copy_is_mended_from_the_other() {
    for main_is_damaged in [false, true] {
        let (pair, keyring) = Pair::new();
        let keys = take(&keyring, 3);
        drop(keyring);
        let damaged = if main_is_damaged {
            pair.main()
        } else {
            pair.mirror()
        };
        for (name, at) in [
            ("slots", narrow(keys[1].slot) * format::SLOT + 40),
            ("segments", 30),
        ] {
            let mut bytes = fs::read(damaged.join(name)).unwrap();
            bytes[at] ^= 1;
            fs::write(damaged.join(name), bytes).unwrap();
        }
        let keyring = pair.open().unwrap();
        pair.assert_same();
        assert!(commitment(&keyring, keys[1]).is_some());
    }
}

#[test]
fn a_copy_that_missed_a_renewal_is_filled_again_whichever_it_is() {
    for (main_is_behind, renewals) in [(false, 1), (true, 1), (false, 2), (true, 3)] {
        let (pair, keyring) = Pair::new();
        let behind = if main_is_behind {
            pair.main()
        } else {
            pair.mirror()
        };
        let keys = take(&keyring, 9);
        let saved = pair.save(&behind);
        for key in &keys[..renewals] {
            keyring.wipe(&[*key]).unwrap();
            keyring.rekey().unwrap();
        }
        keyring.wipe(&keys[7..8]).unwrap();
        let known = commitment(&keyring, keys[8]);
        drop(keyring);
        copy(&saved, &behind);
        let keyring = pair.open().unwrap();
        assert_eq!(commitment(&keyring, keys[8]), known);
        assert_eq!(commitment(&keyring, keys[7]), None);
        keyring.settle(keys[8..].iter().copied()).unwrap();
        pair.assert_in_step();
        keyring.rekey().unwrap();
        pair.assert_in_step();
        drop(keyring);
        // The one that was behind is as good as the other.
        fs::remove_dir_all(pair.main()).unwrap();
        fs::rename(pair.mirror(), pair.main()).unwrap();
        assert_eq!(commitment(&pair.open().unwrap(), keys[8]), known);
    }
}

#[test]
fn a_copy_that_went_on_alone_while_the_root_was_renewed_is_refused() {
    let (pair, keyring) = Pair::new();
    let keys = take(&keyring, 3);
    drop(keyring);
    let alone = options(&pair.root, None);
    let old_root = pair.root.get().unwrap();
    let main = Keyring::open(&pair.main(), STORE, Mark::default(), &alone).unwrap();
    main.settle(keys.iter().copied()).unwrap();
    main.rekey().unwrap();
    drop(main);
    let root = Memory::default();
    root.put(&old_root).unwrap();
    let mirror = Keyring::open(
        &pair.mirror(),
        STORE,
        Mark::default(),
        &options(&root, None),
    );
    let mirror = mirror.unwrap();
    mirror.settle(keys.iter().copied()).unwrap();
    take(&mirror, 3_000);
    drop(mirror);
    let error = pair.refusal();
    let told = matches!(error, KeyringError::Contradiction { what: "header", .. });
    assert!(told, "{error}");
}
