//! A part of a backup: files under names that tell their content, and a manifest.
//!
//! A file that has not changed has the name that it had, and is not copied again. What no manifest names is
//! left over from a backup that was cut off, or from the one before.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};

use super::manifest::{Entry, Manifest};
use super::{BackupError, trouble};

/// Bytes that are copied at once.
const PIECE: usize = 1 << 20;
/// Digits of the hash in a file's name: 128 bits.
const NAME_DIGITS: usize = 32;
/// What the name of a file ends with that is not whole yet.
const DRAFT: &str = ".part";

/// What is done with what no manifest names any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// Its name is removed.
    Unlink,
    /// It is overwritten before.
    Overwrite,
}

/// A part.
pub(super) struct Part {
    pub(super) dir: PathBuf,
    removal: Removal,
    /// Bytes that were written, and files that were there already.
    pub(super) written: u64,
    pub(super) unchanged: u64,
}

/// Makes an empty file that its owner alone can read.
pub(super) fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// Makes a folder that is its owner's alone, and those above it, unless they are there.
pub(super) fn make_dir(path: &Path) -> Result<(), BackupError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(trouble("make", path))
}

/// Makes the names in a folder durable.
pub(super) fn sync_dir(path: &Path) -> Result<(), BackupError> {
    let synced = File::open(path).and_then(|dir| dir.sync_all());
    synced.map_err(trouble("sync", path))
}

impl Part {
    /// Opens a part, or makes it.
    pub(super) fn open(dir: PathBuf, removal: Removal) -> Result<Self, BackupError> {
        make_dir(&dir)?;
        Ok(Self {
            dir,
            removal,
            written: 0,
            unchanged: 0,
        })
    }

    /// Where a file can be made that is to be kept then.
    pub(super) fn draft(&self, name: &str) -> Result<PathBuf, BackupError> {
        let path = self.dir.join(format!("{name}{DRAFT}"));
        if let Some(folder) = path.parent() {
            make_dir(folder)?;
        }
        Ok(path)
    }

    /// Keeps what was made under the name's draft, unless it is there already.
    pub(super) fn keep(&mut self, name: &str) -> Result<Entry, BackupError> {
        let draft = self.draft(name)?;
        let (bytes, sha256) = measure(&draft)?;
        let entry = entry(name, bytes, sha256);
        if self.has(&entry)? {
            self.discard(&draft)?;
            return Ok(entry);
        }
        let path = entry.path(&self.dir);
        let synced = File::open(&draft).and_then(|file| file.sync_all());
        synced.map_err(trouble("sync", &draft))?;
        fs::rename(&draft, &path).map_err(trouble("rename", &draft))?;
        if let Some(folder) = path.parent() {
            sync_dir(folder)?;
        }
        self.written = self.written.saturating_add(bytes);
        Ok(entry)
    }

    /// Keeps a file that may have got longer by the next time it is looked at, as far as it is now. One that is
    /// gone is none.
    pub(super) fn copy(&mut self, name: &str, from: &Path) -> Result<Option<Entry>, BackupError> {
        let mut source = match File::open(from) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(trouble("open", from)(error)),
        };
        let length = source.metadata().map_err(trouble("measure", from))?.len();
        let mut is_there = File::open(from)
            .map_err(trouble("open", from))?
            .take(length);
        let (bytes, sha256) = digest(&mut is_there).map_err(trouble("read", from))?;
        let known = entry(name, bytes, sha256);
        if self.has(&known)? {
            return Ok(Some(known));
        }
        let draft = self.draft(name)?;
        let mut to = private(&draft).map_err(trouble("make", &draft))?;
        let copied = io::copy(&mut (&mut source).take(length), &mut to);
        copied.map_err(trouble("write", &draft))?;
        self.keep(name).map(Some)
    }

    /// Keeps bytes.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<Entry, BackupError> {
        let draft = self.draft(name)?;
        let written = private(&draft).and_then(|mut file| file.write_all(bytes));
        written.map_err(trouble("write", &draft))?;
        self.keep(name)
    }

    /// Whether the file is there and whole: a backup that is damaged is mended by the next one.
    fn has(&mut self, entry: &Entry) -> Result<bool, BackupError> {
        let path = entry.path(&self.dir);
        let has = match File::open(&path).and_then(|mut file| digest(&mut file)) {
            Ok((bytes, sha256)) => bytes == entry.bytes && sha256 == entry.sha256,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(trouble("read", &path)(error)),
        };
        self.unchanged = self.unchanged.saturating_add(u64::from(has));
        Ok(has)
    }

    /// Removes what the manifest does not name; everything, if there is none.
    pub(super) fn tidy(&self, manifest: Option<&Manifest>) -> Result<(), BackupError> {
        let mut folders = BTreeSet::new();
        for (name, path) in walk(&self.dir)? {
            if manifest.is_some_and(|manifest| manifest.names(&name)) {
                continue;
            }
            self.discard(&path)?;
            folders.extend(path.parent().map(Path::to_owned));
        }
        folders.iter().try_for_each(|folder| sync_dir(folder))
    }

    fn discard(&self, path: &Path) -> Result<(), BackupError> {
        match self.removal {
            Removal::Unlink => fs::remove_file(path).map_err(trouble("remove", path)),
            Removal::Overwrite => destroy(path),
        }
    }
}

/// Overwrites a file in place before its name goes.
pub(super) fn destroy(path: &Path) -> Result<(), BackupError> {
    let overwrite = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let length = file.metadata()?.len();
        io::copy(&mut io::repeat(0).take(length), &mut file)?;
        file.sync_all()?;
        fs::remove_file(path)
    };
    overwrite().map_err(trouble("destroy", path))
}

/// All files below a folder, each with its path from there.
pub(super) fn walk(dir: &Path) -> Result<Vec<(String, PathBuf)>, BackupError> {
    let mut found = Vec::new();
    let mut folders = vec![(String::new(), dir.to_owned())];
    while let Some((prefix, folder)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(trouble("list", &folder)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(trouble("list", &folder))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(trouble("look at", &path))?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if kind.is_dir() {
                folders.push((format!("{name}/"), path));
            } else if kind.is_file() {
                found.push((name, path));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn entry(name: &str, bytes: u64, sha256: String) -> Entry {
    let digits: String = sha256.chars().take(NAME_DIGITS).collect();
    Entry {
        name: name.to_owned(),
        kept_as: format!("{name}-{digits}"),
        bytes,
        sha256,
    }
}

/// A file's length and hash.
pub(super) fn measure(path: &Path) -> Result<(u64, String), BackupError> {
    let measured = File::open(path).and_then(|mut file| digest(&mut file));
    measured.map_err(trouble("read", path))
}

fn digest(from: &mut dyn Read) -> io::Result<(u64, String)> {
    copy_and_digest(from, &mut io::sink())
}

/// Copies everything, and gives its length and hash.
pub(super) fn copy_and_digest(
    from: &mut dyn Read,
    to: &mut dyn Write,
) -> io::Result<(u64, String)> {
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; PIECE];
    let mut bytes = 0_u64;
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => piece.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        context.update(read);
        to.write_all(read)?;
        bytes = bytes.saturating_add(u64::try_from(read.len()).unwrap_or(u64::MAX));
    }
    let hash = context.finish();
    let digits = hash.as_ref().iter().map(|byte| format!("{byte:02x}"));
    Ok((bytes, digits.collect()))
}
