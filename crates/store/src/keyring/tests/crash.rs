//! Every call to the disk fails once, in every way, and the power goes at every call.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use super::attack::{self, Copies};
use super::sim::{Fault, Sim, Unsynced};
use super::*;

const DIR: &str = "data/keyring";
const MIRROR: &str = "other/keyring";

/// What a database would know, which loses nothing.
#[derive(Default)]
struct Database {
    made: bool,
    mark: Mark,
    live: BTreeMap<KeyRef, [u8; 32]>,
    /// Deleted, and not yet known to be wiped.
    jobs: BTreeSet<KeyRef>,
    wiped: BTreeSet<KeyRef>,
    /// Every key that was ever handed out.
    taken: BTreeSet<KeyRef>,
    /// Those that were wiped before a renewal of the root that is done, and what they are known by.
    ended: BTreeMap<KeyRef, [u8; 32]>,
    known: BTreeMap<KeyRef, [u8; 32]>,
}

/// A process and its surroundings.
struct Machine {
    sim: Sim,
    root: Memory,
    mirrored: bool,
    database: Database,
    /// Copies of the files from before.
    stolen: Vec<Copies>,
}

impl Machine {
    fn new(mirrored: bool) -> Self {
        Self::with_root(mirrored, false)
    }

    /// One whose root, when it fails, has done what it was told or has not.
    fn with_root(mirrored: bool, fails_late: bool) -> Self {
        let sim = Sim::default();
        Self {
            root: Memory::on(&sim, fails_late),
            sim,
            mirrored,
            database: Database::default(),
            stolen: Vec::new(),
        }
    }

    fn start(&mut self) -> Result<Keyring, KeyringError> {
        let mirror = self.mirrored.then_some(Path::new(MIRROR));
        let options = options(&self.root, mirror);
        let dir = Path::new(DIR);
        let database = &mut self.database;
        if !database.made {
            let keyring = open::create(&self.sim, dir, STORE, &options)?;
            database.made = true;
            return Ok(keyring);
        }
        let keyring = open::open(&self.sim, dir, STORE, database.mark, &options)?;
        let erased = keyring.settle(database.live.keys().copied())?;
        assert_eq!(erased, [], "a key that was never erased is gone");
        for job in database.jobs.clone() {
            self.wipe(&keyring, &[job])?;
        }
        Ok(keyring)
    }

    /// Takes a key and lets the database refer to it.
    fn put(&mut self, keyring: &Keyring) -> Result<KeyRef, KeyringError> {
        let (at, key) = keyring.take()?;
        assert!(self.database.taken.insert(at), "{at:?} was there before");
        self.database.mark = keyring.mark();
        self.database.live.insert(at, key.commitment());
        self.database.known.insert(at, key.commitment());
        Ok(at)
    }

    /// Replaces the root. What was wiped by then is beyond all copies.
    fn rekey(&mut self, keyring: &Keyring) -> Result<(), KeyringError> {
        self.stolen.push(self.sim.backup());
        let wiped = self.database.wiped.clone();
        keyring.rekey()?;
        let known = |at: KeyRef| (at, self.database.known[&at]);
        self.database.ended = wiped.into_iter().map(known).collect();
        Ok(())
    }

    /// Nobody gets what is beyond all copies.
    fn check_ended(&self) {
        let ended = &self.database.ended;
        let slots = ended.keys().map(|at| at.slot).collect();
        let now = self.sim.backup();
        let copies: Vec<&Copies> = self.stolen.iter().chain([&now]).collect();
        let found = attack::opened(&copies, &self.root.all(), &slots);
        for (at, known) in ended {
            assert!(!found.contains(known), "{at:?} can be had from copies");
        }
    }

    fn wipe(&mut self, keyring: &Keyring, keys: &[KeyRef]) -> Result<(), KeyringError> {
        for key in keys {
            self.database.live.remove(key);
            self.database.jobs.insert(*key);
        }
        keyring.wipe(keys)?;
        for key in keys {
            self.database.jobs.remove(key);
            self.database.wiped.insert(*key);
        }
        self.check_disk(keyring);
        Ok(())
    }

    /// All that is done with a keyring.
    fn work(&mut self) -> Result<(), KeyringError> {
        let keyring = self.start()?;
        let first = self.put(&keyring)?;
        let second = self.put(&keyring)?;
        let third = self.put(&keyring)?;
        let (unused, _) = keyring.take()?;
        assert!(self.database.taken.insert(unused));
        keyring.give_back(unused);
        self.wipe(&keyring, &[second])?;
        let emptied = locked(&keyring.stock).keys.split_off(&100);
        drop(emptied);
        keyring.refill()?;
        self.put(&keyring)?;
        self.wipe(&keyring, &[first, second])?;
        assert!(keyring.key(first)?.is_none());
        self.rekey(&keyring)?;
        drop(keyring);
        let keyring = self.start()?;
        assert!(keyring.key(third)?.is_some());
        self.rekey(&keyring)?;
        for _ in 0..3 {
            self.put(&keyring)?;
        }
        self.wipe(&keyring, &[third])
    }

    /// What was wiped is on no disk any more, and nothing is where no segment is.
    fn check_disk(&self, keyring: &Keyring) {
        let dirs = [DIR, MIRROR];
        for dir in dirs.iter().take(if self.mirrored { 2 } else { 1 }) {
            let path = Path::new(dir).join("slots");
            let slots = self.sim.on_disk(&path, <[u8]>::to_vec);
            for key in &self.database.wiped {
                let place = keyring.segment_with(key.slot).unwrap().place_of(key.slot);
                let slot = slots.chunks(format::SLOT).nth(narrow(place)).unwrap();
                let found = generation(slot);
                let zero = slot.iter().all(|byte| *byte == 0);
                assert!(zero || found > key.generation, "{key:?} is on the disk");
            }
            for free in locked(&keyring.writer).frames.free() {
                let mut frame = slots.iter().skip(narrow(*free) * format::SEGMENT);
                let empty = frame.by_ref().take(format::SEGMENT).all(|byte| *byte == 0);
                assert!(empty, "frame {free} is not empty");
            }
        }
    }

    /// All that has to hold after whatever has happened.
    fn check(&mut self) -> Result<(), KeyringError> {
        let keyring = self.start()?;
        for (at, known) in &self.database.live {
            assert_eq!(commitment(&keyring, *at), Some(*known), "{at:?}");
        }
        for at in &self.database.wiped {
            assert_eq!(commitment(&keyring, *at), None, "{at:?}");
        }
        self.check_disk(&keyring);
        let last = self.put(&keyring)?;
        self.wipe(&keyring, &[last])?;
        assert_eq!(commitment(&keyring, last), None);
        self.put(&keyring).map(drop)
    }

    /// The same, and that the root can be renewed then.
    fn check_to_the_end(&mut self) -> Result<(), KeyringError> {
        self.check()?;
        self.check_ended();
        let keyring = self.start()?;
        self.rekey(&keyring)?;
        self.check_ended();
        self.put(&keyring).map(drop)
    }
}

/// How many calls all the work takes.
fn calls(mirrored: bool) -> u64 {
    let mut machine = Machine::new(mirrored);
    machine.work().unwrap();
    let calls = machine.sim.calls();
    machine.check().unwrap();
    calls
}

fn lose_power_everywhere(mirrored: bool) {
    let calls = calls(mirrored);
    let ways = [Unsynced::Lost, Unsynced::Kept]
        .into_iter()
        .chain((1..=2).map(Unsynced::Torn));
    // With a mirror another tear shows nothing that the first does not.
    for unsynced in ways.take(if mirrored { 3 } else { 4 }) {
        for call in 0..calls {
            let mut machine = Machine::with_root(mirrored, unsynced != Unsynced::Lost);
            machine.sim.fail(call, Fault::PowerLoss);
            machine.work().unwrap_err();
            machine.sim.restart(unsynced);
            let checked = machine.check();
            assert!(
                checked.is_ok(),
                "{call} of {calls}, {unsynced:?}: {checked:?}"
            );
            machine.sim.restart(Unsynced::Lost);
            let checked = machine.check_to_the_end();
            assert!(
                checked.is_ok(),
                "{call} of {calls}, {unsynced:?}: {checked:?}"
            );
        }
    }
}

#[test]
fn the_power_may_go_at_any_call() {
    lose_power_everywhere(false);
}

#[test]
fn the_power_may_go_at_any_call_with_a_mirror() {
    lose_power_everywhere(true);
}

fn fail_everywhere(mirrored: bool) {
    let calls = calls(mirrored);
    let faults = [
        Fault::Fails(ErrorKind::Other),
        Fault::Short,
        Fault::Fails(ErrorKind::StorageFull),
        Fault::Fails(ErrorKind::Interrupted),
    ];
    // With a mirror the last two show nothing that the first two do not.
    let faults = faults.into_iter().take(if mirrored { 2 } else { 4 });
    for fault in faults {
        for call in 0..calls {
            let mut machine = Machine::with_root(mirrored, call % 2 == 0);
            machine.sim.fail(call, fault);
            let worked = machine.work();
            if fault == Fault::Short {
                assert!(worked.is_ok(), "{call} of {calls}: {worked:?}");
            }
            // The process ends; what is in memory of the files stays.
            machine.sim.heal();
            let checked = machine.check();
            assert!(checked.is_ok(), "{call} of {calls}, {fault:?}: {checked:?}");
            machine.sim.restart(Unsynced::Lost);
            let checked = machine.check_to_the_end();
            assert!(checked.is_ok(), "{call} of {calls}, {fault:?}: {checked:?}");
        }
    }
}

#[test]
fn every_call_may_fail() {
    fail_everywhere(false);
}

#[test]
fn every_call_may_fail_with_a_mirror() {
    fail_everywhere(true);
}

#[test]
fn a_failure_and_then_another_lose_nothing() {
    let calls = calls(true);
    let faults = [
        Fault::Fails(ErrorKind::Other),
        Fault::PowerLoss,
        Fault::Fails(ErrorKind::StorageFull),
    ];
    for round in 0..400_u64 {
        let mut machine = Machine::new(round % 2 == 0);
        let fault = faults[usize::try_from(round % 3).unwrap()];
        machine.sim.fail((round * 7_919) % calls, fault);
        let _first = machine.work();
        if fault == Fault::PowerLoss {
            machine.sim.restart(Unsynced::Torn(round + 1));
        } else {
            machine.sim.heal();
        }
        machine.sim.fail((round * 104_729) % 97, Fault::PowerLoss);
        let _second = machine.work();
        machine.sim.restart(Unsynced::Torn(round + 2));
        let checked = machine.check_to_the_end();
        assert!(checked.is_ok(), "round {round}: {checked:?}");
    }
}

#[test]
fn what_could_not_be_written_ends_all_use() {
    let mut machine = Machine::new(false);
    let keyring = machine.start().unwrap();
    let at = machine.put(&keyring).unwrap();
    // The generation is read, the zeros are written, the sync fails.
    machine.sim.fail(2, Fault::Fails(ErrorKind::Other));
    let error = keyring.wipe(&[at]).unwrap_err();
    assert!(matches!(error, KeyringError::Broken { .. }), "{error}");
    assert!(error.is_fatal());
    for error in [
        keyring.wipe(&[at]).unwrap_err(),
        keyring.take().unwrap_err(),
        keyring.key(at).unwrap_err(),
        keyring.refill().unwrap_err(),
    ] {
        assert!(matches!(error, KeyringError::Failed), "{error}");
        assert!(error.is_fatal());
    }
}

#[test]
fn a_wipe_of_many_keys_syncs_each_copy_once() {
    let mut machine = Machine::new(true);
    let keyring = machine.start().unwrap();
    let keys: Vec<KeyRef> = (0..100).map(|_| machine.put(&keyring).unwrap()).collect();
    let before = machine.sim.syncs();
    keyring.wipe(&keys).unwrap();
    assert_eq!(machine.sim.syncs() - before, 2);
}

#[test]
fn a_full_disk_stops_takes_and_not_wipes() {
    let mut machine = Machine::new(false);
    let keyring = machine.start().unwrap();
    let keys: Vec<KeyRef> = (0..fill::BATCH)
        .map(|_| machine.put(&keyring).unwrap())
        .collect();
    machine.sim.fail(0, Fault::Fails(ErrorKind::StorageFull));
    let error = keyring.take().unwrap_err();
    assert!(matches!(error, KeyringError::Empty(_)), "{error}");
    assert!(!error.is_fatal());
    machine.wipe(&keyring, &keys[..10]).unwrap();
    // The disk is full still: the slots that were wiped are filled again.
    machine.sim.fail(0, Fault::Fails(ErrorKind::StorageFull));
    machine.put(&keyring).unwrap();
}

#[test]
fn damaged_bytes_are_told_and_not_used() {
    let mut machine = Machine::new(false);
    let keyring = machine.start().unwrap();
    let at = machine.put(&keyring).unwrap();
    drop(keyring);
    let mut backup = machine.sim.backup();
    for (path, bytes) in &mut backup {
        if path.ends_with("slots") {
            let in_the_key = narrow(at.slot) * format::SLOT + 30;
            bytes[in_the_key] ^= 1;
        }
    }
    machine.sim.put_back(&backup, Path::new(DIR));
    let keyring = machine.start().unwrap();
    let error = keyring.key(at).unwrap_err();
    assert!(
        matches!(error, KeyringError::Torn { what: "slot", .. }),
        "{error}"
    );
    machine.wipe(&keyring, &[at]).unwrap();
    assert_eq!(commitment(&keyring, at), None);
}
