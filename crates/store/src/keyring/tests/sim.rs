//! A disk in memory that can fail at any call, and lose, keep or tear what was not synced.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::keyring::disk::{Disk, File};

const SECTOR: usize = 512;

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The call fails. A failed sync loses what it was to make durable, and the next one does not know.
    Fails(io::ErrorKind),
    /// A write does half of what it is told, a read likewise.
    Short,
    /// The power goes: this call and all later ones fail.
    PowerLoss,
}

/// What power loss does to what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsynced {
    Lost,
    Kept,
    /// Each sector and name by itself, by chance.
    Torn(u64),
}

#[derive(Clone, Default)]
struct Content {
    /// What is read.
    now: Vec<u8>,
    /// What is on the disk.
    disk: Vec<u8>,
    /// What was written since the last sync: where, and what.
    pending: Vec<(usize, Vec<u8>)>,
    /// Whether its name is durable.
    named: bool,
}

#[derive(Default)]
struct World {
    files: BTreeMap<PathBuf, Content>,
    calls: u64,
    syncs: u64,
    fault: Option<(u64, Fault)>,
    off: bool,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub(super) struct Sim(Arc<Mutex<World>>);

impl Sim {
    /// Lets a later call fail, counted from here: 0 is the next one.
    pub(super) fn fail(&self, after: u64, fault: Fault) {
        let mut world = self.0.lock().unwrap();
        world.fault = Some((world.calls + after, fault));
    }

    /// How many calls there were.
    pub(super) fn calls(&self) -> u64 {
        self.0.lock().unwrap().calls
    }

    /// How many of them were syncs of files.
    pub(super) fn syncs(&self) -> u64 {
        self.0.lock().unwrap().syncs
    }

    /// Nothing fails from here on, as after a restart of the process.
    pub(super) fn heal(&self) {
        let mut world = self.0.lock().unwrap();
        world.fault = None;
        world.off = false;
    }

    /// The machine restarts after it has lost power.
    pub(super) fn restart(&self, unsynced: Unsynced) {
        self.heal();
        let mut world = self.0.lock().unwrap();
        let mut chance = match unsynced {
            Unsynced::Torn(seed) => seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            Unsynced::Lost | Unsynced::Kept => 0,
        };
        let mut keep = move || match unsynced {
            Unsynced::Lost => false,
            Unsynced::Kept => true,
            Unsynced::Torn(_) => {
                chance ^= chance << 13;
                chance ^= chance >> 7;
                chance ^= chance << 17;
                chance & 64 == 0
            }
        };
        world.files.retain(|_, content| {
            content.named = content.named || keep();
            content.named
        });
        for content in world.files.values_mut() {
            content.lose(&mut keep);
        }
    }

    /// What is on the disk for certain.
    pub(super) fn on_disk<T>(&self, path: &Path, look: impl FnOnce(&[u8]) -> T) -> T {
        let world = self.0.lock().unwrap();
        let content = world.files.get(path);
        look(content.map_or(&[], |content| content.disk.as_slice()))
    }

    /// All files as they can be read, to be put back later.
    pub(super) fn backup(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let world = self.0.lock().unwrap();
        let files = world.files.iter();
        files
            .map(|(path, content)| (path.clone(), content.now.clone()))
            .collect()
    }

    /// Puts a backup of the files below `dir` back.
    pub(super) fn put_back(&self, backup: &[(PathBuf, Vec<u8>)], dir: &Path) {
        let mut world = self.0.lock().unwrap();
        world.files.retain(|path, _| !path.starts_with(dir));
        for (path, bytes) in backup.iter().filter(|(path, _)| path.starts_with(dir)) {
            let content = Content {
                now: bytes.clone(),
                disk: bytes.clone(),
                named: true,
                pending: Vec::new(),
            };
            world.files.insert(path.clone(), content);
        }
    }

    /// Counts a call, and says whether it is cut short.
    pub(super) fn call(&self) -> io::Result<bool> {
        let mut world = self.0.lock().unwrap();
        let number = world.calls;
        world.calls += 1;
        if world.off {
            return Err(io::Error::other("no power"));
        }
        match world.fault {
            Some((at, Fault::Fails(kind))) if at == number => Err(kind.into()),
            Some((at, Fault::Short)) if at == number => Ok(true),
            Some((at, Fault::PowerLoss)) if at == number => {
                world.off = true;
                Err(io::Error::other("no power"))
            }
            _ => Ok(false),
        }
    }

    fn with<T>(&self, path: &Path, work: impl FnOnce(&mut Content) -> T) -> io::Result<T> {
        let mut world = self.0.lock().unwrap();
        let content = world.files.get_mut(path);
        content
            .map(work)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Content {
    fn write(to: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if to.len() < end {
            // Not `resize`, which is slow where nothing is optimised.
            let mut longer = vec![0; end];
            longer[..to.len()].copy_from_slice(to);
            *to = longer;
        }
        to[offset..end].copy_from_slice(bytes);
    }

    fn sync(&mut self) {
        for (offset, bytes) in std::mem::take(&mut self.pending) {
            Self::write(&mut self.disk, offset, &bytes);
        }
    }

    fn lose(&mut self, keep: &mut impl FnMut() -> bool) {
        let mut whole = self.disk.clone();
        let mut touched = Vec::new();
        for (offset, bytes) in std::mem::take(&mut self.pending) {
            Self::write(&mut whole, offset, &bytes);
            touched.extend(offset / SECTOR..=(offset + bytes.len() - 1) / SECTOR);
        }
        touched.sort_unstable();
        touched.dedup();
        for sector in touched {
            if keep() {
                let end = whole.len().min((sector + 1) * SECTOR);
                let bytes = whole[sector * SECTOR..end].to_vec();
                Self::write(&mut self.disk, sector * SECTOR, &bytes);
            }
        }
        self.now = self.disk.clone();
    }
}

impl Disk for Sim {
    fn open(&self, path: &Path, make: bool) -> io::Result<Box<dyn File>> {
        self.call()?;
        let mut world = self.0.lock().unwrap();
        if make {
            world.files.entry(path.to_owned()).or_default();
        } else if !world.files.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Box::new(Open {
            sim: self.clone(),
            path: path.to_owned(),
        }))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.call()?;
        Ok(self.0.lock().unwrap().files.contains_key(path))
    }

    fn peek(&self, _: &Path, _: &mut [u8]) -> io::Result<u32> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn make_dir(&self, _: &Path) -> io::Result<()> {
        self.call().map(drop)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.call()?;
        let mut world = self.0.lock().unwrap();
        for (path, content) in &mut world.files {
            content.named |= path.parent() == Some(dir);
        }
        Ok(())
    }
}

struct Open {
    sim: Sim,
    path: PathBuf,
}

impl File for Open {
    fn pread(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        let short = self.sim.call()?;
        self.sim.with(&self.path, |content| {
            let offset = usize::try_from(offset).unwrap().min(content.now.len());
            let mut length = to.len().min(content.now.len() - offset);
            if short && length > 1 {
                length /= 2;
            }
            to[..length].copy_from_slice(&content.now[offset..offset + length]);
            length
        })
    }

    fn pwrite(&self, from: &[u8], offset: u64) -> io::Result<usize> {
        let call = self.sim.call();
        let length = match &call {
            Ok(false) => from.len(),
            // What fails for want of room or power may have got somewhere all the same.
            Ok(true) | Err(_) => from.len().div_ceil(2),
        };
        let offset = usize::try_from(offset).unwrap();
        let part = &from[..length];
        self.sim.with(&self.path, |content| {
            Content::write(&mut content.now, offset, part);
            content.pending.push((offset, part.to_vec()));
        })?;
        call.map(|_| length)
    }

    fn sync(&self) -> io::Result<()> {
        let call = self.sim.call();
        let off = {
            let mut world = self.sim.0.lock().unwrap();
            world.syncs += 1;
            world.off
        };
        self.sim.with(&self.path, |content| match &call {
            Ok(_) => content.sync(),
            // The pages are taken for clean from now on, although they are on no disk.
            Err(_) if !off => content.pending.clear(),
            Err(_) => {}
        })?;
        call.map(drop)
    }

    fn len(&self) -> io::Result<u64> {
        self.sim.call()?;
        self.sim.with(&self.path, |content| {
            u64::try_from(content.now.len()).unwrap()
        })
    }
}
