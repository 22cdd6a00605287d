//! The disk as programs see it, and as tests do.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::chance::Chance;
use crate::content::Content;
use crate::fault::{Call, Fault, Fired, Unsynced, What};
use crate::file::File;
use crate::names::{Entry, Names};

/// A disk. Clones are the same disk.
#[derive(Clone)]
pub struct Disk(Arc<Shared>);

struct Shared {
    root: PathBuf,
    world: Mutex<World>,
}

/// A fault to come.
struct Planned {
    /// The number of the first call that it can happen to.
    from: u64,
    /// Only to such a call.
    what: Option<What>,
    fault: Fault,
}

impl Planned {
    fn is_due(&self, number: u64, what: What) -> bool {
        self.from <= number && self.what.is_none_or(|wanted| wanted == what) && what.can(self.fault)
    }
}

pub(crate) struct World {
    pub(crate) names: Names,
    pub(crate) files: BTreeMap<u64, Content>,
    pub(crate) next_file: u64,
    pub(crate) calls: Vec<Call>,
    planned: Vec<Planned>,
    pub(crate) fired: Vec<Fired>,
    /// Names of files whose syncs do nothing.
    pub(crate) ignored: Vec<String>,
    /// Blocks that are free, where there is an end to them.
    pub(crate) room: Option<usize>,
    /// Blocks of removed files, until that is durable.
    pub(crate) removed: usize,
    pub(crate) off: bool,
    /// Raised with every start: what an earlier process had open is closed.
    pub(crate) process: u64,
    pub(crate) chance: Chance,
}

/// All disks, so that SQLite finds them by their roots.
static DISKS: Mutex<BTreeMap<u64, Weak<Shared>>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(1);
/// No real directory, so that whatever goes to the machine's own disk by mistake fails.
const ABOVE: &str = "/nowhere";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn no_power() -> io::Error {
    io::Error::other("there is no power")
}

impl Disk {
    /// An empty disk. The seed decides what chance does.
    pub fn new(seed: u64) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = Path::new(ABOVE).join(number.to_string());
        let world = World {
            names: Names::new(&root),
            files: BTreeMap::new(),
            next_file: 0,
            calls: Vec::new(),
            planned: Vec::new(),
            fired: Vec::new(),
            ignored: Vec::new(),
            room: None,
            removed: 0,
            off: false,
            process: 0,
            chance: Chance::new(seed),
        };
        let shared = Arc::new(Shared {
            root,
            world: Mutex::new(world),
        });
        let mut disks = lock(&DISKS);
        disks.retain(|_, disk| disk.strong_count() > 0);
        disks.insert(number, Arc::downgrade(&shared));
        drop(disks);
        Self(shared)
    }

    /// The disk that a path is on.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let number = path.strip_prefix(ABOVE).ok()?.iter().next()?;
        let number: u64 = number.to_str()?.parse().ok()?;
        lock(&DISKS).get(&number)?.upgrade().map(Self)
    }

    /// Where its files are: a folder that is there and durable.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.0.world)
    }

    /// Lets a fault happen to the call of this number, or else to the first one after it that it can
    /// happen to. Calls count from 0.
    pub fn plan(&self, call: u64, fault: Fault) {
        self.plan_for(call, None, fault);
    }

    /// Lets a fault happen to the first call from this one on that it can happen to, and that does
    /// this, if it is to be something certain.
    pub fn plan_for(&self, call: u64, what: Option<What>, fault: Fault) {
        self.world().planned.push(Planned {
            from: call,
            what,
            fault,
        });
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        widen(self.world().calls.len())
    }

    /// The calls from this one on.
    pub fn calls_from(&self, first: u64) -> Vec<Call> {
        let world = self.world();
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        world.calls.get(first..).unwrap_or_default().to_vec()
    }

    /// The faults that have happened since the start.
    pub fn fired(&self) -> Vec<Fired> {
        self.world().fired.clone()
    }

    /// Lets the syncs of files whose names end so do nothing and succeed, as if nobody had asked for
    /// them.
    pub fn ignore_syncs(&self, name: &str) {
        self.world().ignored.push(name.to_owned());
    }

    /// There is room again.
    pub fn make_room(&self) {
        self.world().room = None;
    }

    /// From now on there is no room but what is given back.
    pub fn fill_up(&self) {
        self.world().room = Some(0);
    }

    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        self.world().room.is_some()
    }

    /// The process ends: nothing that it has open can be used any more, and nothing can be done until
    /// [`respawn`](Self::respawn) or [`reboot`](Self::reboot).
    pub fn stop(&self) {
        self.world().off = true;
    }

    /// Whether the power is off, or the process has ended.
    pub fn is_off(&self) -> bool {
        self.world().off
    }

    /// The process starts again. The machine was on all the time. Nothing that was planned happens.
    pub fn respawn(&self) {
        let mut world = self.world();
        let world = &mut *world;
        world.start();
        for content in world.files.values_mut() {
            content.respawn(&mut world.chance);
        }
    }

    /// The machine starts again after it has lost power. Nothing that was planned happens.
    pub fn reboot(&self, unsynced: Unsynced) {
        let mut world = self.world();
        let world = &mut *world;
        world.start();
        let kept = match unsynced {
            Unsynced::Lost => Some(false),
            Unsynced::Kept => Some(true),
            Unsynced::Torn => None,
        };
        world.names.reboot(kept, &mut world.chance);
        let reachable = world.names.reachable();
        world.files.retain(|number, _| reachable.contains(number));
        for content in world.files.values_mut() {
            content.reboot(kept, &mut world.chance);
        }
    }

    /// What a file of this name has on the disk for certain; none if its name is not there.
    pub fn on_disk(&self, path: &Path) -> Option<Vec<u8>> {
        let world = self.world();
        match world.names.durable(path)? {
            Entry::File(number) => Some(world.files.get(&number)?.disk().to_vec()),
            Entry::Folder => None,
        }
    }

    /// The names of all files in whose content these bytes are: on the disk, or as it can be read.
    pub fn holding(&self, bytes: &[u8]) -> Vec<String> {
        let world = self.world();
        let holds = |text: &[u8]| find(text, bytes);
        let numbers = world.files.iter().filter(|(_, content)| {
            holds(content.now()) || (content.now() != content.disk() && holds(content.disk()))
        });
        let names: BTreeMap<u64, &Path> = world
            .names
            .files()
            .map(|(path, number)| (number, path))
            .collect();
        numbers
            .map(|(number, _)| match names.get(number) {
                Some(path) => self.name(path),
                None => "a file without a name".to_owned(),
            })
            .collect()
    }

    /// All files as they can be read, to be put back later.
    pub fn backup(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let world = self.world();
        let content = |number| world.files.get(&number).map(Content::now);
        let files = world.names.files();
        files
            .map(|(path, number)| {
                let bytes = content(number).unwrap_or_default().to_vec();
                (path.to_owned(), bytes)
            })
            .collect()
    }

    /// Puts these files in place of all that are below a folder, durably. Nothing may be open.
    pub fn put_back(&self, backup: &[(PathBuf, Vec<u8>)], folder: &Path) {
        let mut world = self.world();
        let old: Vec<PathBuf> = world
            .names
            .files()
            .filter(|(path, _)| path.starts_with(folder))
            .map(|(path, _)| path.to_owned())
            .collect();
        for path in old {
            world.names.remove(&path);
        }
        for (path, bytes) in backup.iter().filter(|(path, _)| path.starts_with(folder)) {
            let number = world.make_file(path);
            if let Some(content) = world.files.get_mut(&number) {
                content.write(0, bytes);
                content.sync();
            }
        }
        world.names.sync(folder);
    }

    fn name(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.0.root).unwrap_or(path);
        path.display().to_string()
    }

    /// Counts a call, and says what goes wrong with it. A call that the power goes at fails, but may
    /// have done some of its work: so it is told, and not refused.
    pub(crate) fn call(
        &self,
        what: What,
        path: &Path,
    ) -> io::Result<(MutexGuard<'_, World>, Option<Fault>)> {
        let mut world = self.world();
        if world.off {
            return Err(no_power());
        }
        let number = widen(world.calls.len());
        let call = Call {
            what,
            name: self.name(path),
        };
        world.calls.push(call.clone());
        let mut planned = world.planned.iter();
        let Some(due) = planned.position(|planned| planned.is_due(number, what)) else {
            return Ok((world, None));
        };
        let fault = world.planned.swap_remove(due).fault;
        world.fired.push(Fired {
            number,
            call,
            fault,
        });
        match fault {
            Fault::PowerCut => world.off = true,
            Fault::Kill => {
                world.off = true;
                return Err(no_power());
            }
            Fault::Full => {
                world.room = Some(0);
                return Ok((world, None));
            }
            Fault::Fails(_) | Fault::NoSpace | Fault::Short => {}
        }
        Ok((world, Some(fault)))
    }

    /// A call that does nothing where it fails.
    fn simple_call(&self, what: What, path: &Path) -> io::Result<MutexGuard<'_, World>> {
        let (world, fault) = self.call(what, path)?;
        match fault.and_then(error) {
            Some(error) => Err(error),
            None => Ok(world),
        }
    }

    /// Opens a file as it is; `make` makes an empty one if there is none.
    pub fn open(&self, path: &Path, make: bool) -> io::Result<File> {
        let is_there = self.world().names.get(path).is_some();
        let makes = make && !is_there;
        let what = if makes { What::Make } else { What::Open };
        let mut world = self.simple_call(what, path)?;
        let number = match world.names.get(path) {
            Some(Entry::File(number)) => number,
            Some(Entry::Folder) => return Err(ErrorKind::IsADirectory.into()),
            None if !make || !world.names.has_folder_of(path) => {
                return Err(ErrorKind::NotFound.into());
            }
            None => world.make_file(path),
        };
        Ok(File {
            disk: self.clone(),
            path: path.to_owned(),
            number,
            process: world.process,
        })
    }

    /// Makes a folder in one that is there, unless it is there itself.
    pub fn make_folder(&self, path: &Path) -> io::Result<()> {
        let mut world = self.simple_call(What::MakeFolder, path)?;
        match world.names.get(path) {
            Some(Entry::Folder) => Ok(()),
            Some(Entry::File(_)) => Err(ErrorKind::AlreadyExists.into()),
            None if !world.names.has_folder_of(path) => Err(ErrorKind::NotFound.into()),
            None => {
                world.names.make(path, Entry::Folder);
                Ok(())
            }
        }
    }

    /// Makes the names in a folder durable.
    pub fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let (mut world, fault) = self.call(What::SyncFolder, path)?;
        let world = &mut *world;
        if world.names.get(path) != Some(Entry::Folder) {
            return Err(ErrorKind::NotFound.into());
        }
        if let Some(error) = fault.and_then(error) {
            if !world.off {
                world.names.fail_to_sync(path, &mut world.chance);
            }
            return Err(error);
        }
        world.names.sync(path);
        let removed = std::mem::take(&mut world.removed);
        world.free(removed);
        Ok(())
    }

    /// Whether there is a file or folder of this name.
    pub fn exists(&self, path: &Path) -> io::Result<bool> {
        let world = self.simple_call(What::Exists, path)?;
        Ok(world.names.get(path).is_some())
    }

    /// A file's length as it is read, asked together with whether it is there.
    pub(crate) fn length(&self, path: &Path) -> Option<u64> {
        let world = self.world();
        match world.names.get(path)? {
            Entry::File(number) => {
                let content = world.files.get(&number)?;
                Some(widen(content.now().len()))
            }
            Entry::Folder => None,
        }
    }

    /// Removes a file's name.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.simple_call(What::Remove, path)?;
        match world.names.get(path) {
            Some(Entry::File(number)) => {
                world.names.remove(path);
                world.removed += world.files.get(&number).map_or(0, Content::blocks);
                Ok(())
            }
            Some(Entry::Folder) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    /// Gives a file another name, whatever had that before, in one step.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.simple_call(What::Rename, from)?;
        match world.names.get(from) {
            Some(entry @ Entry::File(_)) => {
                world.names.rename(from, to, entry);
                Ok(())
            }
            Some(Entry::Folder) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    /// Counts the growth of memory that is shared through a file beside `path`.
    pub(crate) fn share(&self, path: &Path) -> io::Result<()> {
        let world = self.simple_call(What::Share, path)?;
        if world.room == Some(0) {
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl World {
    fn start(&mut self) {
        self.planned.clear();
        self.fired.clear();
        self.off = false;
        self.process += 1;
    }

    pub(crate) fn free(&mut self, blocks: usize) {
        if let Some(room) = &mut self.room {
            *room += blocks;
        }
    }

    fn make_file(&mut self, path: &Path) -> u64 {
        let number = self.next_file;
        self.next_file += 1;
        self.files.insert(number, Content::default());
        self.names.make(path, Entry::File(number));
        number
    }
}

/// The error of a call that does nothing.
pub(crate) fn error(fault: Fault) -> Option<io::Error> {
    match fault {
        Fault::Fails(kind) => Some(kind.into()),
        Fault::NoSpace => Some(ErrorKind::StorageFull.into()),
        Fault::Kill | Fault::PowerCut => Some(no_power()),
        Fault::Full | Fault::Short => None,
    }
}

fn find(text: &[u8], wanted: &[u8]) -> bool {
    let Some(first) = wanted.first() else {
        return true;
    };
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        let from = rest.get(at..).unwrap_or_default();
        if from.starts_with(wanted) {
            return true;
        }
        rest = from.get(1..).unwrap_or_default();
    }
    false
}

pub(crate) fn widen(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

pub(crate) fn narrow(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
