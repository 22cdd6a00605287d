//! What a part of a backup holds, as a file says it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parlance_domain::Timestamp;
use serde::{Deserialize, Serialize};

use super::{BackupError, trouble};
use crate::keyring::Mark;

/// The form, and its version.
const FORM: &str = "parlance-backup/1";
/// The manifest's name in its part.
const NAME: &str = "manifest.json";

/// What a part holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    v: String,
    /// The store's id, in hexadecimal digits.
    store: String,
    taken_at_us: i64,
    /// Null for what does not expire.
    expires_at_us: Option<i64>,
    epoch: u64,
    segments: u32,
    pub(super) files: Vec<Entry>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Its path in the data directory, or the keyring's.
    pub(super) name: String,
    /// Its path in the part.
    pub(super) kept_as: String,
    pub(super) bytes: u64,
    /// In hexadecimal digits.
    pub(super) sha256: String,
}

/// What a part is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) store: [u8; 16],
    /// The instant.
    pub(super) taken_at: Timestamp,
    /// None if it does not expire.
    pub(super) expires_at: Option<Timestamp>,
    /// How far the keyring had come; of data, how far it must have.
    pub(super) mark: Mark,
}

impl Manifest {
    pub(super) fn new(about: About, files: Vec<Entry>) -> Self {
        Self {
            v: FORM.to_owned(),
            store: store_name(about.store),
            taken_at_us: about.taken_at.micros(),
            expires_at_us: about.expires_at.map(Timestamp::micros),
            epoch: about.mark.epoch,
            segments: about.mark.segments,
            files,
        }
    }

    /// The manifest of a part; none if it has none.
    pub(super) fn read(part: &Path) -> Result<Option<Self>, BackupError> {
        let path = part.join(NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(trouble("read", &path)(error)),
        };
        let read: Option<Self> = serde_json::from_slice(&text).ok();
        read.filter(|manifest| manifest.v == FORM && manifest.files.iter().all(Entry::is_inside))
            .map(Some)
            .ok_or(BackupError::Manifest(path))
    }

    /// Puts it in the place of the one before. All files that it names are durable, with their names.
    pub(super) fn put(&self, part: &Path) -> Result<(), BackupError> {
        let (draft, path) = (part.join("manifest.part"), part.join(NAME));
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(io::Error::other)
            .map_err(trouble("write", &draft))?;
        text.push(b'\n');
        let write = || -> io::Result<()> {
            let mut file = super::part::private(&draft)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            fs::File::open(part)?.sync_all()
        };
        write().map_err(trouble("write", &path))
    }

    /// Removes a part's manifest, so that nothing in the part counts any more.
    pub(super) fn remove(part: &Path) -> Result<(), BackupError> {
        let path = part.join(NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(trouble("remove", &path)(error)),
            Ok(()) => fs::File::open(part)
                .and_then(|part| part.sync_all())
                .map_err(trouble("sync", part)),
        }
    }

    /// What it is of.
    pub(super) fn about(&self) -> Option<About> {
        Some(About {
            store: store_of(&self.store)?,
            taken_at: Timestamp::from_micros(self.taken_at_us),
            expires_at: self.expires_at_us.map(Timestamp::from_micros),
            mark: Mark {
                epoch: self.epoch,
                segments: self.segments,
            },
        })
    }

    /// Whether it names a file of the part.
    pub(super) fn names(&self, kept_as: &str) -> bool {
        kept_as == NAME || self.files.iter().any(|entry| entry.kept_as == kept_as)
    }
}

impl Entry {
    /// Whether its names stay inside of their folders, whoever wrote them.
    fn is_inside(&self) -> bool {
        [&self.name, &self.kept_as].into_iter().all(|name| {
            let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
            name.split('/').all(plain)
        })
    }

    /// Where the file is in its part.
    pub(super) fn path(&self, part: &Path) -> PathBuf {
        part.join(&self.kept_as)
    }
}

/// A store's id as manifests have it.
pub(super) fn store_name(store: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(store))
}

fn store_of(name: &str) -> Option<[u8; 16]> {
    let is_hex = name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let bits = u128::from_str_radix(name, 16).ok()?;
    is_hex.then(|| bits.to_be_bytes())
}
