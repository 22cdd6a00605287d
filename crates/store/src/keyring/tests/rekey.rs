//! The root is replaced: what holds then, and what holds whatever goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

use proptest::collection::vec;
use proptest::prelude::*;

use super::attack::{Copies, opened};
use super::sim::Fault;
use super::*;

const DIR: &str = "data/keyring";

/// A keyring in memory, and copies of its files from all times.
struct World {
    sim: Sim,
    root: Memory,
    mirror: Option<&'static Path>,
    stolen: Vec<Copies>,
    keys: BTreeMap<KeyRef, [u8; 32]>,
    live: BTreeSet<KeyRef>,
    mark: Mark,
}

impl World {
    fn new(mirrored: bool) -> (Self, Keyring) {
        let sim = Sim::default();
        let world = Self {
            root: Memory::on(&sim, false),
            sim,
            mirror: mirrored.then_some(Path::new("other/keyring")),
            stolen: Vec::new(),
            keys: BTreeMap::new(),
            live: BTreeSet::new(),
            mark: Mark::default(),
        };
        let options = options(&world.root, world.mirror);
        let keyring = open::create(&world.sim, Path::new(DIR), STORE, &options).unwrap();
        (world, keyring)
    }

    fn reopen(&self) -> Keyring {
        let options = options(&self.root, self.mirror);
        let keyring = open::open(&self.sim, Path::new(DIR), STORE, self.mark, &options).unwrap();
        let erased = keyring.settle(self.live.iter().copied()).unwrap();
        assert_eq!(erased, [], "a key that was never wiped is gone");
        keyring
    }

    fn take(&mut self, keyring: &Keyring) -> KeyRef {
        let (at, key) = keyring.take().unwrap();
        let before = self.keys.insert(at, key.commitment());
        assert_eq!(before, None, "{at:?} was there before");
        self.live.insert(at);
        self.mark = keyring.mark();
        at
    }

    fn wipe(&mut self, keyring: &Keyring, at: KeyRef) {
        keyring.wipe(&[at]).unwrap();
        self.live.remove(&at);
    }

    /// Copies all files.
    fn steal(&mut self) {
        self.stolen.push(self.sim.backup());
    }

    /// What can be had of these keys with all that was ever copied and all that there is.
    fn attack(&mut self, keys: &[KeyRef]) -> Vec<KeyRef> {
        self.steal();
        let slots = keys.iter().map(|key| key.slot).collect();
        let copies: Vec<&Copies> = self.stolen.iter().collect();
        let found = opened(&copies, &self.root.all(), &slots);
        let had = |key: &&KeyRef| found.contains(&self.keys[*key]);
        keys.iter().filter(had).copied().collect()
    }

    /// The living are as they were, and the others gone.
    fn check(&self, keyring: &Keyring) {
        for (at, known) in &self.keys {
            let wanted = self.live.contains(at).then_some(*known);
            assert_eq!(commitment(keyring, *at), wanted, "{at:?}");
        }
    }
}

#[test]
fn whoever_has_all_copies_from_before_and_todays_root_does_not_get_a_wiped_key() {
    for mirrored in [false, true] {
        let (mut world, keyring) = World::new(mirrored);
        let [kept, wiped] = [(); 2].map(|()| world.take(&keyring));
        world.steal();
        world.wipe(&keyring, wiped);
        let before = world.attack(&[kept, wiped]);
        assert_eq!(
            before,
            [kept, wiped],
            "the old copies give both with the root"
        );
        let done = keyring.rekey().unwrap();
        assert_eq!(done, Rekeyed::Done { segments: 1 });
        assert_eq!(
            world.attack(&[kept, wiped]),
            [kept],
            "the living one still opens"
        );
        assert_eq!(world.root.all().len(), 1, "the old root is destroyed");
        world.check(&keyring);
        drop(keyring);
        let keyring = world.reopen();
        world.check(&keyring);
        assert_eq!(world.attack(&[kept, wiped]), [kept]);
    }
}

#[test]
fn a_key_that_is_wiped_while_the_root_is_renewed_is_for_the_next_renewal() {
    let (mut world, keyring) = World::new(true);
    let [first, second] = [(); 2].map(|()| world.take(&keyring));
    world.wipe(&keyring, first);
    // As if another thread came between: the segment is moved, and not switched yet.
    let wiped = keyring.begin_renewal().unwrap();
    assert!(!keyring.is_renewed());
    for segment in &wiped {
        keyring.move_segment(*segment).unwrap();
    }
    world.steal();
    let third = world.take(&keyring);
    locked(&keyring.stock).keys.clear();
    let fourth = world.take(&keyring);
    world.wipe(&keyring, second);
    let next = RecordKey::from_bytes(&[7; 32]);
    world.root.second.put(next.bytes()).unwrap();
    keyring.switch(&next).unwrap();
    let fifth = world.take(&keyring);
    world.wipe(&keyring, third);
    world.steal();
    keyring.clear_moved().unwrap();
    world.root.first.destroy().unwrap();
    world.check(&keyring);
    assert!(!keyring.is_renewed());
    assert_eq!(world.attack(&[first]), [], "it was wiped before");
    assert_eq!(world.attack(&[second, third]), [second, third]);
    assert_eq!(keyring.rekey().unwrap(), Rekeyed::Done { segments: 1 });
    assert!(keyring.is_renewed());
    let all = [first, second, third, fourth, fifth];
    assert_eq!(world.attack(&all), [fourth, fifth]);
    drop(keyring);
    world.check(&world.reopen());
}

#[test]
fn only_segments_with_wipes_are_sealed_anew_and_nothing_is_done_without() {
    let (mut world, keyring) = World::new(false);
    assert_eq!(keyring.rekey().unwrap(), Rekeyed::NothingWiped);
    let keys: Vec<KeyRef> = (0..2_500).map(|_| world.take(&keyring)).collect();
    assert_eq!(keyring.mark().segments, 3);
    let bytes = |world: &World| world.sim.backup();
    let before = bytes(&world);
    assert_eq!(keyring.rekey().unwrap(), Rekeyed::NothingWiped);
    assert!(before == bytes(&world), "nothing is written");
    world.wipe(&keyring, keys[1_500]);
    assert_eq!(keyring.rekey().unwrap(), Rekeyed::Done { segments: 1 });
    assert_eq!(keyring.rekey().unwrap(), Rekeyed::NothingWiped);
    world.wipe(&keyring, keys[10]);
    world.wipe(&keyring, keys[2_400]);
    assert_eq!(keyring.rekey().unwrap(), Rekeyed::Done { segments: 2 });
    world.check(&keyring);
    drop(keyring);
    let keyring = world.reopen();
    // Nobody has noted what was wiped before.
    assert_eq!(keyring.rekey().unwrap(), Rekeyed::Done { segments: 3 });
    assert_eq!(keyring.rekey().unwrap(), Rekeyed::NothingWiped);
    world.check(&keyring);
}

#[test]
fn frames_are_used_again_and_hold_nothing_in_between() {
    let (mut world, keyring) = World::new(false);
    world.take(&keyring);
    for _ in 0..9 {
        let key = world.take(&keyring);
        world.wipe(&keyring, key);
        keyring.rekey().unwrap();
        world.sim.on_disk(&Path::new(DIR).join("slots"), |slots| {
            let (used, empty) = slots.split_at(slots.len() / 2);
            let is_empty = |half: &[u8]| half.iter().all(|byte| *byte == 0);
            assert_eq!(slots.len(), 2 * format::SEGMENT);
            assert!(
                is_empty(used) != is_empty(empty),
                "one of the two holds the segment"
            );
        });
    }
    world.check(&keyring);
}

/// The calls of a renewal, each of which fails once, and the next renewal in the same process.
#[test]
fn a_renewal_that_fails_is_made_up_for_by_the_next() {
    for (mirrored, fails_late) in [(false, false), (false, true), (true, false)] {
        for call in 0.. {
            let (mut world, keyring) = World::new(mirrored);
            drop(keyring);
            // From here on the root fails with the disk.
            let mut root = Memory::on(&world.sim, fails_late);
            root.first.key = Arc::clone(&world.root.first.key);
            root.second.key = Arc::clone(&world.root.second.key);
            world.root = root;
            let options = options(&world.root, world.mirror);
            let keyring = open::create(&world.sim, Path::new(DIR), STORE, &options).unwrap();
            let [kept, wiped, late] = [(); 3].map(|()| world.take(&keyring));
            world.steal();
            world.wipe(&keyring, wiped);
            let before = world.sim.calls();
            world.sim.fail(call, Fault::Fails(ErrorKind::StorageFull));
            let failed = keyring.rekey();
            if world.sim.calls() - before <= call {
                failed.unwrap();
                break;
            }
            world.sim.heal();
            assert!(failed.is_ok() || !keyring.is_renewed());
            if failed.as_ref().is_err_and(KeyringError::is_fatal) {
                continue;
            }
            let new = world.take(&keyring);
            world.wipe(&keyring, late);
            keyring.rekey().unwrap();
            assert!(keyring.is_renewed());
            world.check(&keyring);
            let had = world.attack(&[kept, wiped, late, new]);
            assert_eq!(had, [kept, new], "call {call}");
            assert_eq!(world.root.all().len(), 1, "call {call}");
            drop(keyring);
            world.check(&world.reopen());
        }
    }
}

#[test]
fn a_keyring_from_before_there_were_renewals_is_opened_and_renewed() {
    let dir = tempfile::tempdir().unwrap();
    let (root, made) = keyring(dir.path());
    let keys = take(&made, 2);
    let known = commitment(&made, keys[0]);
    drop(made);
    let path = dir.path().join("keyring");
    std::fs::remove_file(path.join("segments-2")).unwrap();
    let options = options(&root, None);
    let opened = Keyring::open(&path, STORE, Mark::default(), &options).unwrap();
    opened.settle(keys.iter().copied()).unwrap();
    opened.wipe(&keys[1..]).unwrap();
    assert_eq!(opened.rekey().unwrap(), Rekeyed::Done { segments: 1 });
    drop(opened);
    let again = Keyring::open(&path, STORE, Mark::default(), &options).unwrap();
    assert_eq!(commitment(&again, keys[0]), known);
    drop(again);
    // From here on it is needed.
    std::fs::remove_file(path.join("segments-2")).unwrap();
    let refused = Keyring::open(&path, STORE, Mark::default(), &options);
    assert!(matches!(refused.err(), Some(KeyringError::Shorter { .. })));
}

#[test]
fn a_root_in_a_file_is_not_renewed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keyring");
    let root: Arc<dyn Root> = Arc::new(RootFile::beside(&path, None));
    let made = Keyring::create(&path, STORE, &Options { mirror: None, root }).unwrap();
    let key = take(&made, 1);
    made.wipe(&key).unwrap();
    assert!(matches!(made.rekey(), Err(KeyringError::FixedRoot)));
    assert!(!made.is_renewed());
}

/// A program that keeps two keys.
const TWO: &str = "key=$1; case $2 in *-second) key=$key.2; esac; case $2 in\n\
                   get*) cat $key 2>/dev/null || true;;\nput*) cat >$key;;\n\
                   destroy*) rm -f $key;;\nesac\n";

#[test]
fn a_program_keeps_the_root_in_two_places_in_turn() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keyring");
    let options = Options {
        mirror: None,
        root: Arc::new(root::program(dir.path(), TWO)),
    };
    let keyring = Keyring::create(&path, STORE, &options).unwrap();
    let keys = take(&keyring, 4);
    let known = commitment(&keyring, keys[3]);
    let (first, second) = (dir.path().join("key"), dir.path().join("key.2"));
    for (key, is_second) in [(0, true), (1, false), (2, true)] {
        keyring.wipe(&keys[key..=key]).unwrap();
        assert_eq!(keyring.rekey().unwrap(), Rekeyed::Done { segments: 1 });
        assert_eq!((first.exists(), second.exists()), (!is_second, is_second));
    }
    drop(keyring);
    let again = Keyring::open(&path, STORE, Mark::default(), &options).unwrap();
    assert_eq!(commitment(&again, keys[3]), known);
    let alone = Options {
        mirror: None,
        root: Arc::new(RootFile::new(&first)),
    };
    let refused = Keyring::open(&path, STORE, Mark::default(), &alone);
    assert!(matches!(refused.err(), Some(KeyringError::FixedRoot)));
}

#[test]
fn a_program_that_does_not_keep_two_keys_loses_none_and_nothing_counts_as_renewed() {
    let programs = [
        (
            "knows_three_words",
            "case $2 in\nget) cat $1 2>/dev/null || true;;\n\
            put) cat >$1;;\ndestroy) rm -f $1;;\nesac\n",
        ),
        (
            "refuses_others",
            "case $2 in\nget) cat $1 2>/dev/null || true;;\n\
            put) cat >$1;;\ndestroy) rm -f $1;;\n*) exit 2;;\nesac\n",
        ),
        (
            "looks_at_beginnings",
            "case $2 in\nget*) cat $1 2>/dev/null || true;;\n\
            put*) cat >$1;;\ndestroy*) rm -f $1;;\nesac\n",
        ),
        (
            "keeps_whatever_it_is_told",
            "case $2 in\nget) cat $1 2>/dev/null || true;;\n\
            destroy) rm -f $1;;\n*) cat >$1;;\nesac\n",
        ),
        (
            "destroys_nothing",
            "key=$1; case $2 in *-second) key=$key.2; esac; case $2 in\n\
            get*) cat $key 2>/dev/null || true;;\nput*) cat >$key;;\nesac\n",
        ),
    ];
    for (name, program) in programs {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keyring");
        let options = Options {
            mirror: None,
            root: Arc::new(root::program(dir.path(), program)),
        };
        let keyring = Keyring::create(&path, STORE, &options).unwrap();
        let keys = take(&keyring, 2);
        let known = commitment(&keyring, keys[0]);
        keyring.wipe(&keys[1..]).unwrap();
        for _ in 0..2 {
            let error = keyring.rekey().unwrap_err();
            let told = matches!(error, KeyringError::OneRoot(_) | KeyringError::Root(_));
            assert!(told && !error.is_fatal(), "{name}: {error}");
            assert!(!keyring.is_renewed(), "{name}");
        }
        drop(keyring);
        let again = Keyring::open(&path, STORE, Mark::default(), &options).unwrap();
        assert_eq!(commitment(&again, keys[0]), known, "{name}");
    }
}

#[test]
fn a_renewal_waits_for_no_writer_and_ends_with_the_keyring() {
    let (mut world, keyring) = World::new(false);
    let key = world.take(&keyring);
    world.wipe(&keyring, key);
    keyring.end_renewals();
    assert!(matches!(keyring.rekey(), Err(KeyringError::Closed)));
    world.check(&keyring);
}

#[test]
fn a_slot_that_is_damaged_stops_renewals_until_it_is_wiped() {
    let (mut world, keyring) = World::new(false);
    let [damaged, wiped] = [(); 2].map(|()| world.take(&keyring));
    world.wipe(&keyring, wiped);
    drop(keyring);
    let mut files = world.sim.backup();
    for (path, bytes) in &mut files {
        if path.ends_with("slots") {
            bytes[narrow(damaged.slot) * format::SLOT + 30] ^= 1;
        }
    }
    world.sim.put_back(&files, Path::new(DIR));
    let keyring = world.reopen();
    let error = keyring.rekey().unwrap_err();
    assert!(
        matches!(error, KeyringError::Torn { what: "slot", .. }),
        "{error}"
    );
    world.wipe(&keyring, damaged);
    assert!(matches!(keyring.rekey(), Ok(Rekeyed::Done { .. })));
    world.check(&keyring);
}

/// A call. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Call {
    Take(usize),
    Wipe(usize),
    Steal,
    Rekey,
    Refill,
    Restart,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        3 => (1_usize..600).prop_map(Call::Take),
        4 => any::<usize>().prop_map(Call::Wipe),
        2 => Just(Call::Steal),
        3 => Just(Call::Rekey),
        1 => Just(Call::Refill),
        1 => Just(Call::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn renewals_keep_the_living_and_end_the_wiped(calls in vec(call(), 1..30), mirrored in any::<bool>()) {
        let (mut world, mut keyring) = World::new(mirrored);
        let mut ended = BTreeSet::new();
        for call in &calls {
            match call {
                Call::Take(count) => for _ in 0..*count { world.take(&keyring); },
                Call::Wipe(number) => {
                    let chosen = number.checked_rem(world.live.len());
                    if let Some(at) = chosen.and_then(|at| world.live.iter().nth(at).copied()) {
                        world.wipe(&keyring, at);
                    }
                }
                Call::Steal => world.steal(),
                Call::Rekey => {
                    keyring.rekey().unwrap();
                    ended = world.keys.keys().filter(|at| !world.live.contains(at)).copied().collect();
                }
                Call::Refill => keyring.refill().unwrap(),
                Call::Restart => {
                    drop(keyring);
                    keyring = world.reopen();
                }
            }
        }
        world.check(&keyring);
        let ended: Vec<KeyRef> = ended.into_iter().collect();
        let had = world.attack(&ended);
        // A wiped key may have the slot of a living one, but never its key.
        prop_assert_eq!(had, []);
    }
}
