//! Threads that use one keyring at once, in many orders of events.
//!
//! Others may go on at each lock and at each call to the disk, which reads and writes slots in pieces. The
//! disk itself refuses a key in a slot that is not durably empty, or of a generation that is not durably
//! begun. Batches and the cache are small here, so that few keys make them run out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::Weak;
use std::sync::atomic::AtomicBool as Flag;
use std::time::Duration;

use parlance_testkit::explore::{Plan, explore};
use shuttle::rand::Rng;
use shuttle::thread::scope;

use super::disk::{Disk, File};
use super::sim::{Fault, Sim, Unsynced};
use super::*;

const DIR: &str = "data/keyring";
const MIRROR: &str = "other/keyring";
const PLACE: &[u8] = b"here";
/// Longer reads and writes are not cut into pieces: they are of new segments, which nobody reads yet.
const PIECES_MAX: usize = 8 * format::SLOT;

/// A moment at which another thread may go on.
fn point() {
    AtomicBool::new(false).load(Ordering::SeqCst);
}

/// A disk whose calls others may come between, and that looks at what is written.
#[derive(Clone)]
struct Watched {
    sim: Sim,
    /// A write or a sync has failed, and nothing may be written any more.
    failed: Arc<Flag>,
}

struct WatchedFile {
    file: Box<dyn File>,
    disk: Watched,
    path: PathBuf,
}

impl Disk for Watched {
    fn open(&self, path: &Path, make: bool) -> io::Result<Box<dyn File>> {
        Ok(Box::new(WatchedFile {
            file: self.sim.open(path, make)?,
            disk: self.clone(),
            path: path.to_owned(),
        }))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.sim.exists(path)
    }

    fn peek(&self, path: &Path, to: &mut [u8]) -> io::Result<u32> {
        self.sim.peek(path, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.sim.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.sim.remove(path)
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.sim.make_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.sim.sync_dir(path)
    }
}

impl WatchedFile {
    /// How much of so many bytes is done at once.
    fn piece(&self, length: usize) -> usize {
        if self.path.ends_with("slots") && (format::SLOT..PIECES_MAX).contains(&length) {
            return length / 2;
        }
        length
    }

    fn look_at(&self, bytes: &[u8], offset: u64) {
        let offset = narrow(offset);
        if !self.path.ends_with("slots") || bytes == vec![0; bytes.len()] {
            return;
        }
        self.disk.sim.on_disk(&self.path, |disk| {
            let below = disk.iter().skip(offset).take(bytes.len());
            let empty = below.copied().all(|byte| byte == 0);
            assert!(empty, "a slot is filled before its wipe is durable");
        });
        let epoch = self
            .disk
            .sim
            .on_disk(&self.path.with_file_name("header"), |header| {
                let copies = header.chunks(format::HEADER_STEP);
                let copies = copies.filter_map(format::Copy::decode);
                copies.map(|copy| copy.header.epoch).max()
            });
        let begins = (0..bytes.len()).filter(|at| (offset + at).is_multiple_of(format::SLOT));
        for at in begins {
            let written = Some(generation(&bytes[at..]));
            assert!(written <= epoch, "a generation is not durably begun");
        }
    }
}

impl File for WatchedFile {
    fn pread(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        point();
        let piece = self.piece(to.len());
        self.file.pread(&mut to[..piece], offset)
    }

    fn pwrite(&self, from: &[u8], offset: u64) -> io::Result<usize> {
        point();
        let piece = &from[..self.piece(from.len())];
        self.look_at(piece, offset);
        let failed = self.disk.failed.load(Ordering::SeqCst);
        assert!(!failed, "something is written after a failure");
        let written = self.file.pwrite(piece, offset);
        // For some writes, no room is no failure, and an interruption is none for any.
        if written.as_ref().is_err_and(|error| {
            !matches!(
                error.kind(),
                ErrorKind::StorageFull | ErrorKind::Interrupted
            )
        }) {
            self.disk.failed.store(true, Ordering::SeqCst);
        }
        written
    }

    fn sync(&self) -> io::Result<()> {
        point();
        let synced = self.file.sync();
        if synced.is_err() {
            self.disk.failed.store(true, Ordering::SeqCst);
        }
        synced
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

/// A key in use.
struct Held {
    at: KeyRef,
    sealed: Vec<u8>,
    commitment: [u8; 32],
    memory: Weak<RecordKey>,
    /// Its wipe has begun.
    doomed: Flag,
    /// Its wipe has ended.
    gone: Flag,
}

fn words(at: KeyRef) -> Vec<u8> {
    format!("what {at:?} has sealed").into_bytes()
}

/// What the users of a keyring know together.
#[derive(Default)]
struct Book {
    /// Every key that was ever handed out.
    taken: BTreeSet<KeyRef>,
    /// By their slots, the keys whose wipe has not begun.
    living: BTreeMap<u32, KeyRef>,
    mark: Mark,
}

/// A keyring and its users.
struct World {
    sim: Sim,
    root: Memory,
    dirs: &'static [&'static str],
    keyring: Keyring,
    book: Mutex<Book>,
    /// Somebody was told of a fatal failure.
    failed: Flag,
}

impl World {
    /// A keyring with a batch in stock.
    fn new(mirrored: bool) -> Self {
        let sim = Sim::default();
        let watched = Watched {
            sim: sim.clone(),
            failed: Arc::default(),
        };
        Self::over(&watched, &sim, mirrored)
    }

    fn over(disk: &dyn Disk, sim: &Sim, mirrored: bool) -> Self {
        let dirs: &[&str] = if mirrored { &[DIR, MIRROR] } else { &[DIR] };
        let root = Memory::default();
        let options = options(&root, dirs.get(1).map(Path::new));
        let keyring = open::create(disk, Path::new(DIR), STORE, &options).unwrap();
        keyring.refill().unwrap();
        Self {
            sim: sim.clone(),
            root,
            dirs,
            keyring,
            book: Mutex::default(),
            failed: Flag::new(false),
        }
    }

    /// Calls the keyring, which fails for all once it has failed for one.
    fn call<T>(
        &self,
        work: impl FnOnce(&Keyring) -> Result<T, KeyringError>,
    ) -> Result<T, KeyringError> {
        let failed = self.failed.load(Ordering::SeqCst);
        let result = work(&self.keyring);
        match &result {
            Ok(_) => assert!(!failed, "a call succeeds after a fatal failure"),
            Err(error) if error.is_fatal() => self.failed.store(true, Ordering::SeqCst),
            Err(_) => {}
        }
        result
    }

    /// Whether the slot is wiped, or has a later key, on every disk.
    fn is_wiped(&self, at: KeyRef) -> bool {
        self.slots(at, |slot| {
            slot.iter().all(|byte| *byte == 0) || generation(slot) > at.generation
        })
    }

    /// Whether something is so of the slot on every disk.
    fn slots(&self, at: KeyRef, so: impl Fn(&[u8]) -> bool) -> bool {
        // Nobody comes between this and the look at the disk.
        let place = self
            .keyring
            .segment_with(at.slot)
            .unwrap()
            .place_of(at.slot);
        let begin = narrow(format::slot_offset(place));
        self.dirs.iter().all(|dir| {
            let path = Path::new(dir).join("slots");
            self.sim
                .on_disk(&path, |slots| so(&slots[begin..begin + format::SLOT]))
        })
    }

    fn try_take(&self) -> Result<Held, KeyringError> {
        let (at, key) = self.call(Keyring::take)?;
        {
            let mut book = self.book.lock().unwrap();
            assert!(book.taken.insert(at), "{at:?} is handed out again");
            let before = book.living.insert(at.slot, at);
            assert_eq!(before, None, "a slot is handed out twice");
        }
        assert!(
            self.slots(at, |slot| generation(slot) == at.generation),
            "{at:?} is handed out before it is durable"
        );
        let mark = self.keyring.mark();
        assert!(mark.epoch >= at.generation && mark.segments > segment_of(at.slot));
        let mut book = self.book.lock().unwrap();
        if book.mark.epoch < mark.epoch {
            book.mark = mark;
        }
        drop(book);
        let mut sealed = words(at);
        key.seal_in_place(PLACE, &mut sealed).unwrap();
        Ok(Held {
            at,
            sealed,
            commitment: key.commitment(),
            memory: Arc::downgrade(&key),
            doomed: Flag::new(false),
            gone: Flag::new(false),
        })
    }

    fn take(&self) -> Held {
        self.try_take().unwrap()
    }

    fn take_some(&self, count: usize) -> Vec<Held> {
        (0..count).map(|_| self.take()).collect()
    }

    fn try_read(&self, held: &Held) -> Result<(), KeyringError> {
        let gone = held.gone.load(Ordering::SeqCst);
        if let Some(key) = self.call(|keyring| keyring.key(held.at))? {
            assert!(!gone, "{:?} came back after its wipe", held.at);
            let opened = key.open(PLACE, held.sealed.clone());
            assert_eq!(opened, Ok(words(held.at)), "it is another key");
        } else {
            let doomed = held.doomed.load(Ordering::SeqCst);
            assert!(doomed, "{:?} is gone, and nobody wiped it", held.at);
        }
        Ok(())
    }

    fn read(&self, held: &Held) {
        self.try_read(held).unwrap();
    }

    fn doom(&self, held: &Held) {
        held.doomed.store(true, Ordering::SeqCst);
        let mut book = self.book.lock().unwrap();
        if book.living.get(&held.at.slot) == Some(&held.at) {
            book.living.remove(&held.at.slot);
        }
    }

    fn try_wipe(&self, held: &Held) -> Result<(), KeyringError> {
        self.doom(held);
        self.call(|keyring| keyring.wipe(&[held.at]))?;
        held.gone.store(true, Ordering::SeqCst);
        self.check_gone(held);
        Ok(())
    }

    fn wipe(&self, held: &Held) {
        self.try_wipe(held).unwrap();
    }

    fn give_back(&self, held: &Held) {
        self.doom(held);
        self.keyring.give_back(held.at);
    }

    fn check_gone(&self, held: &Held) {
        let at = held.at;
        assert!(self.is_wiped(at), "{at:?} is on a disk after its wipe");
        let cached = matches!(self.keyring.cache.get(at), Found::Key(_));
        assert!(!cached, "{at:?} is in the cache after its wipe");
    }

    /// What has to hold of these keys when all is quiet. What was given back is wiped first.
    fn check(&self, all: &[&Held]) {
        self.call(|keyring| keyring.wipe(&[])).unwrap();
        for held in all {
            self.read(held);
            if held.doomed.load(Ordering::SeqCst) {
                self.check_gone(held);
                assert!(held.memory.upgrade().is_none(), "it is in memory still");
            }
        }
    }

    /// Nobody who has copied the files before gets these keys, with all that there is now.
    fn check_ended(&self, stolen: &attack::Copies, ended: &[&Held]) {
        let now = self.sim.backup();
        let slots = ended.iter().map(|held| held.at.slot).collect();
        let found = attack::opened(&[stolen, &now], &self.root.all(), &slots);
        let known = |held: &&Held| found.contains(&held.commitment);
        assert!(
            !ended.iter().any(known),
            "an ended key can be had from copies"
        );
    }

    /// What has to hold after the process or the power went, and came back.
    fn check_restarted(&self, all: &[&Held]) {
        let options = options(&self.root, self.dirs.get(1).map(Path::new));
        let book = self.book.lock().unwrap();
        let disk = self.sim.clone();
        let again = open::open(&disk, Path::new(DIR), STORE, book.mark, &options).unwrap();
        let erased = again.settle(book.living.values().copied()).unwrap();
        assert_eq!(erased, [], "a key that nobody wiped is gone");
        for held in all {
            let found = again.key(held.at).unwrap();
            let lives = book.living.get(&held.at.slot) == Some(&held.at);
            assert_eq!(found.is_some(), lives, "{:?}", held.at);
            if let Some(key) = found {
                let opened = key.open(PLACE, held.sealed.clone());
                assert_eq!(opened, Ok(words(held.at)), "it is another key");
            }
        }
    }
}

const PLAN: Plan = Plan {
    by_chance: 400,
    delays: Some(2),
};

fn wipe_and_readers(mirrored: bool, cached: bool) {
    let world = World::new(mirrored);
    let (old, other) = (world.take(), world.take());
    if !cached {
        world.keyring.cache.evict(old.at);
    }
    scope(|scope| {
        scope.spawn(|| world.wipe(&old));
        scope.spawn(|| world.read(&old));
        scope.spawn(|| {
            world.read(&old);
            world.read(&other);
        });
    });
    world.check(&[&old, &other]);
}

#[test]
fn readers_that_race_with_a_wipe_get_the_right_key_or_none() {
    explore(PLAN, || wipe_and_readers(false, false));
}

#[test]
fn readers_that_race_with_a_wipe_of_a_cached_key_get_the_right_key_or_none() {
    explore(PLAN, || wipe_and_readers(true, true));
}

/// A plan of all schedules with so many delays, and no others.
const fn all_with(delays: usize) -> Plan {
    Plan {
        by_chance: 0,
        delays: Some(delays),
    }
}

/// Few threads, and a disk that nobody comes between: few enough schedules to try all.
fn wipe_among(readers: usize) {
    let sim = Sim::default();
    let world = World::over(&sim, &sim, false);
    let old = world.take();
    world.keyring.cache.evict(old.at);
    scope(|scope| {
        scope.spawn(|| world.wipe(&old));
        for _ in 0..readers {
            scope.spawn(|| world.read(&old));
        }
    });
    world.check(&[&old]);
}

#[test]
fn a_wipe_and_a_reader_in_every_order() {
    explore(all_with(4), || wipe_among(1));
}

#[test]
fn a_wipe_and_two_readers_in_every_order() {
    explore(all_with(2), || wipe_among(2));
}

#[test]
fn three_threads_on_a_full_cache_in_every_order() {
    explore(all_with(usize::MAX), || {
        let cache = Cache::new();
        let key = RecordKey::from_bytes(&[1; 32]);
        let at = |slot| KeyRef {
            slot,
            generation: 1,
        };
        scope(|scope| {
            scope.spawn(|| {
                cache.insert(at(0), &key);
                cache.evict(at(0));
            });
            scope.spawn(|| {
                cache.insert(at(1), &key);
                cache.evict(at(1));
            });
            scope.spawn(|| cache.insert(at(2), &key));
        });
        assert!(cache.len() <= cache::SHARD_KEYS);
        for gone in [at(0), at(1)] {
            assert!(matches!(cache.get(gone), Found::Unknown), "it was evicted");
        }
    });
}

#[test]
fn two_wipes_of_one_key_both_end_with_it_gone() {
    explore(PLAN, || {
        let world = World::new(false);
        let (old, other) = (world.take(), world.take());
        scope(|scope| {
            scope.spawn(|| world.wipe(&old));
            scope.spawn(|| world.wipe(&old));
            scope.spawn(|| world.read(&other));
        });
        world.check(&[&old, &other]);
    });
}

fn wipe_and_fill(mirrored: bool) {
    let world = World::new(mirrored);
    let all = world.take_some(fill::BATCH);
    let [old, other, ..] = all.as_slice() else {
        panic!("a batch has some keys");
    };
    let new = scope(|scope| {
        scope.spawn(|| world.wipe(old));
        scope.spawn(|| {
            world.call(Keyring::refill).unwrap();
            world.read(old);
        });
        let taker = scope.spawn(|| {
            let new = world.take();
            world.read(&new);
            world.read(other);
            new
        });
        taker.join().unwrap()
    });
    let mut all: Vec<&Held> = all.iter().collect();
    all.push(&new);
    world.check(&all);
}

#[test]
fn a_slot_is_filled_again_only_after_its_wipe_is_durable() {
    explore(PLAN, || wipe_and_fill(false));
}

#[test]
fn a_slot_is_filled_again_only_after_its_wipe_is_durable_in_both_copies() {
    explore(PLAN, || wipe_and_fill(true));
}

#[test]
fn a_key_that_is_given_back_while_others_wipe_and_fill_is_nobodys_again() {
    explore(PLAN, || {
        let world = World::new(false);
        let all = world.take_some(fill::BATCH - 1);
        let (back, new) = scope(|scope| {
            scope.spawn(|| world.wipe(&all[0]));
            let back = scope.spawn(|| {
                let back = world.take();
                world.give_back(&back);
                back
            });
            let new = scope.spawn(|| {
                world.call(Keyring::refill).unwrap();
                world.take()
            });
            (back.join().unwrap(), new.join().unwrap())
        });
        let mut all: Vec<&Held> = all.iter().collect();
        all.extend([&back, &new]);
        world.check(&all);
    });
}

#[test]
fn a_full_cache_lets_keys_go_and_never_keeps_an_erased_one() {
    explore(PLAN, || {
        let world = World::new(false);
        let all = world.take_some(cache::SHARD_KEYS + 2);
        scope(|scope| {
            scope.spawn(|| world.wipe(&all[0]));
            scope.spawn(|| {
                world.read(&all[0]);
                world.read(&all[1]);
            });
            scope.spawn(|| {
                world.read(&all[2]);
                world.read(&all[0]);
                world.read(&all[3]);
            });
        });
        assert!(world.keyring.cache.len() <= cache::SHARD_KEYS);
        world.check(&all.iter().collect::<Vec<_>>());
    });
}

#[test]
fn a_new_segment_disturbs_neither_readers_nor_wipes() {
    explore(PLAN, || {
        let world = World::new(false);
        let all = world.take_some(fill::BATCH);
        locked(&world.keyring.stock).free = stock::Slots::none_of(1);
        let new = scope(|scope| {
            scope.spawn(|| world.wipe(&all[0]));
            scope.spawn(|| {
                world.read(&all[1]);
                world.read(&all[0]);
            });
            scope.spawn(|| world.take()).join().unwrap()
        });
        assert!(world.keyring.mark().segments <= 2);
        let mut all: Vec<&Held> = all.iter().collect();
        all.push(&new);
        world.check(&all);
    });
}

#[test]
fn whoever_fills_the_stock_is_told_when_it_is_low() {
    explore(PLAN, || {
        let world = World::new(false);
        scope(|scope| {
            scope.spawn(|| {
                while !world.keyring.wait_for_want(Duration::MAX) {}
                world.call(Keyring::refill).unwrap();
            });
            scope.spawn(|| drop(world.take_some(1)));
            scope.spawn(|| drop(world.take_some(fill::BATCH - 2)));
        });
        assert!(!world.keyring.wants_refill());
    });
}

#[test]
fn whoever_fills_the_stock_is_told_to_end() {
    explore(PLAN, || {
        let world = World::new(false);
        let stopping = AtomicBool::new(false);
        scope(|scope| {
            scope.spawn(|| {
                while !stopping.load(Ordering::SeqCst) {
                    world.keyring.wait_for_want(Duration::MAX);
                }
            });
            stopping.store(true, Ordering::SeqCst);
            world.keyring.wake();
        });
    });
}

/// Threads that do everything, and a disk that fails once.
fn fail_once(mirrored: bool) {
    let mut chance = shuttle::rand::thread_rng();
    let world = World::new(mirrored);
    let all = world.take_some(fill::BATCH - 1);
    let faults = [
        Fault::Fails(ErrorKind::Other),
        Fault::Fails(ErrorKind::StorageFull),
        Fault::Fails(ErrorKind::Interrupted),
        Fault::Short,
        Fault::PowerLoss,
    ];
    let fault = faults[chance.gen_range(0..faults.len())];
    world.sim.fail(chance.gen_range(0..60), fault);
    let new = scope(|scope| {
        let ended = [
            scope.spawn(|| world.try_wipe(&all[0])),
            scope.spawn(|| {
                world.try_read(&all[0])?;
                world.try_read(&all[1])
            }),
            scope.spawn(|| {
                world.call(Keyring::refill)?;
                world.try_wipe(&all[2])
            }),
            scope.spawn(|| world.call(Keyring::rekey).map(drop)),
        ];
        let takers = [
            scope.spawn(|| world.try_take()),
            scope.spawn(|| world.try_take()),
        ];
        for thread in ended {
            drop(thread.join().unwrap());
        }
        takers.map(|thread| thread.join().unwrap())
    });
    if fault == Fault::PowerLoss {
        world.sim.restart(Unsynced::Torn(chance.gen_range(1..9)));
    } else {
        world.sim.heal();
    }
    let mut all: Vec<&Held> = all.iter().collect();
    all.extend(new.iter().flatten());
    world.check_restarted(&all);
}

/// A renewal, and others that take, wipe and read keys in a segment that is given a new key.
fn renew_among(mirrored: bool, cached: bool) {
    let world = World::new(mirrored);
    let all = world.take_some(3);
    world.wipe(&all[0]);
    let stolen = world.sim.backup();
    if !cached {
        world.keyring.cache.evict(all[2].at);
    }
    let new = scope(|scope| {
        scope.spawn(|| world.call(Keyring::rekey).unwrap());
        scope.spawn(|| world.wipe(&all[1]));
        scope.spawn(|| {
            world.read(&all[2]);
            world.read(&all[1]);
        });
        scope
            .spawn(|| {
                // More than are in stock, so that some slots are filled meanwhile.
                let new = world.take_some(2);
                world.read(&new[1]);
                new
            })
            .join()
            .unwrap()
    });
    let mut all: Vec<&Held> = all.iter().collect();
    all.extend(&new);
    world.check(&all);
    world.check_ended(&stolen, &all[..1]);
    world.call(Keyring::rekey).unwrap();
    assert!(world.keyring.is_renewed());
    world.check(&all);
    world.check_ended(&stolen, &all[..2]);
    world.check_restarted(&all);
}

#[test]
fn a_renewal_disturbs_neither_takers_nor_wipes_nor_readers() {
    explore(RENEWALS, || renew_among(false, true));
}

#[test]
fn a_renewal_of_both_copies_disturbs_neither_takers_nor_wipes_nor_readers() {
    explore(RENEWALS, || renew_among(true, false));
}

/// Whole segments are sealed anew in every schedule.
const RENEWALS: Plan = Plan {
    by_chance: 200,
    delays: Some(1),
};

#[test]
fn two_renewals_at_once_are_done_one_after_the_other() {
    explore(RENEWALS, || {
        let world = World::new(false);
        let all = world.take_some(2);
        world.wipe(&all[0]);
        scope(|scope| {
            scope.spawn(|| world.call(Keyring::rekey).unwrap());
            scope.spawn(|| world.call(Keyring::rekey).unwrap());
            scope.spawn(|| world.read(&all[1]));
        });
        assert_eq!(world.root.all().len(), 1);
        world.check(&all.iter().collect::<Vec<_>>());
    });
}

const BY_CHANCE: Plan = Plan {
    delays: None,
    ..PLAN
};

#[test]
fn a_disk_that_fails_once_among_many_threads_loses_and_brings_back_nothing() {
    explore(BY_CHANCE, || fail_once(false));
}

#[test]
fn disks_of_which_one_fails_once_among_many_threads_lose_and_bring_back_nothing() {
    explore(BY_CHANCE, || fail_once(true));
}
