//! Makes and opens keyrings.

use std::path::Path;
use std::sync::Arc;

use crate::sync::{AtomicBool, Condvar, Mutex, RwLock};

use super::cache::Cache;
use super::crypto::random;
use super::disk::Disk;
use super::files::Files;
use super::format::{self, Copy, Header};
use super::mirror;
use super::stock::Stock;
use super::{Keyring, KeyringError, Mark, Options, Root, RootError, Writer};
use super::{RecordKey, stock::Slots};

use zeroize::Zeroizing;

/// See [`Keyring::create`].
pub(super) fn create(
    disk: &dyn Disk,
    dir: &Path,
    store: [u8; 16],
    options: &Options,
) -> Result<Keyring, KeyringError> {
    if let Some(files) = Files::open(disk, dir)? {
        match files.read_header() {
            // An earlier call got so far and could not say so; nothing was ever taken from it.
            Ok(copy) if copy.header.store == store && copy.header.epoch == 0 => {
                let keyring = open(disk, dir, store, Mark::default(), options)?;
                make_durable(disk, &keyring)?;
                super::locked(&keyring.stock).settled = true;
                return Ok(keyring);
            }
            Err(KeyringError::Torn { .. } | KeyringError::Shorter { .. })
                if files.is_blank()? => {}
            Ok(_) | Err(KeyringError::Torn { .. } | KeyringError::Shorter { .. }) => {
                return Err(KeyringError::Exists(dir.to_owned()));
            }
            Err(error) => return Err(error),
        }
    }
    let main = make(disk, dir)?;
    let mirror = match &options.mirror {
        Some(mirror) => Some(make(disk, mirror)?),
        None => None,
    };
    let root = root_or_new(&*options.root)?;
    options.root.complete(&root)?;
    let root = RecordKey::from_bytes(&root);
    let secret = RecordKey::generate()?;
    let header = Header {
        store,
        epoch: 0,
        segments: 0,
    };
    let bytes = header.encode(&root, &secret)?;
    // One after the other: whoever finds the mirror finds the keyring.
    for files in std::iter::once(&main).chain(&mirror) {
        files.clear_header()?;
        files.write_header(&header, &bytes)?;
        files.sync_header()?;
        files.sync_names(disk)?;
    }
    let writer = Writer {
        header,
        bytes,
        durable: true,
    };
    let keyring = assemble((main, mirror), writer, (root, secret), Vec::new());
    super::locked(&keyring.stock).settled = true;
    Ok(keyring)
}

/// What was read may have been in memory alone, if the earlier call ended with a failed sync: so all of
/// it is written again.
fn make_durable(disk: &dyn Disk, keyring: &Keyring) -> Result<(), KeyringError> {
    let mut writer = super::locked(&keyring.writer);
    keyring.copies().try_for_each(Files::clear_header)?;
    keyring.write_headers(&writer.header, &writer.bytes)?;
    writer.durable = true;
    keyring
        .copies()
        .try_for_each(|files| files.sync_names(disk))
}

fn make(disk: &dyn Disk, dir: &Path) -> Result<Files, KeyringError> {
    let files = Files::make(disk, dir)?;
    if files.is_blank()? {
        return Ok(files);
    }
    Err(KeyringError::Exists(dir.to_owned()))
}

/// The root key that is there, or else a new one: none is ever replaced here.
fn root_or_new(root: &dyn Root) -> Result<Zeroizing<[u8; 32]>, KeyringError> {
    match root.get() {
        Err(RootError::Absent(_)) => {
            let mut key = Zeroizing::new([0; 32]);
            random(key.as_mut_slice())?;
            root.put(&key)?;
            Ok(key)
        }
        other => Ok(other?),
    }
}

/// See [`Keyring::open`].
pub(super) fn open(
    disk: &dyn Disk,
    dir: &Path,
    store: [u8; 16],
    expected: Mark,
    options: &Options,
) -> Result<Keyring, KeyringError> {
    let absent = || KeyringError::Absent(dir.to_owned());
    let main = Files::open(disk, dir)?.ok_or_else(absent)?;
    let mut copy = own_header(&main, &store)?;
    let mirror = match &options.mirror {
        Some(mirror) => Files::open(disk, mirror)?,
        None => None,
    };
    let (mirror, other) = match mirror.map(|files| (own_header(&files, &store), files)) {
        Some((Ok(other), mirror)) => (Some(mirror), Some(other)),
        // Its making was cut off: of a mirror that was ever finished one header is intact.
        Some((Err(KeyringError::Torn { .. } | KeyringError::Shorter { .. }), _)) | None => {
            (None, None)
        }
        Some((Err(error), _)) => return Err(error),
    };
    let root_bytes = options.root.get()?;
    let root = RecordKey::from_bytes(&root_bytes);
    let secret = opened(&main, &copy, &root)?;
    let plan = match (&mirror, &other) {
        (Some(mirror), Some(other)) => {
            let other_secret = opened(mirror, other, &root)?;
            if other_secret.commitment() != secret.commitment() {
                return Err(mirror::contradiction(&main, mirror, "header", 0));
            }
            let plan = mirror::Plan::make((&main, &copy.header), (mirror, &other.header), &root)?;
            if other.header.epoch > copy.header.epoch {
                copy = other.clone();
            }
            Some(plan)
        }
        _ => None,
    };
    check_mark(dir, &copy.header, expected)?;
    let segments = if let Some(plan) = &plan {
        plan.segment_keys()
    } else {
        main.check_lengths(&copy.header)?;
        segment_keys(&main, &copy.header, &root)?
    };
    // Nothing has been changed so far, and nothing can be refused any more.
    let mirror = match (mirror, plan, &options.mirror) {
        (Some(mirror), Some(plan), _) => {
            plan.apply(&main, &mirror, &copy)?;
            Some(mirror)
        }
        (_, _, Some(path)) => Some(mirror::fill(disk, &main, path, &copy)?),
        _ => None,
    };
    options.root.complete(&root_bytes)?;
    let writer = Writer {
        header: copy.header,
        bytes: copy.bytes,
        durable: false,
    };
    Ok(assemble((main, mirror), writer, (root, secret), segments))
}

/// The header, if it is this store's.
fn own_header(files: &Files, store: &[u8; 16]) -> Result<Copy, KeyringError> {
    let copy = files.read_header()?;
    if copy.header.store == *store {
        return Ok(copy);
    }
    Err(KeyringError::Foreign(files.dir.clone()))
}

fn opened(files: &Files, copy: &Copy, root: &RecordKey) -> Result<Arc<RecordKey>, KeyringError> {
    copy.secret(root)
        .ok_or_else(|| KeyringError::RootDoesNotOpen(files.dir.clone()))
}

fn check_mark(dir: &Path, header: &Header, expected: Mark) -> Result<(), KeyringError> {
    if header.epoch < expected.epoch {
        return Err(KeyringError::Older {
            path: dir.to_owned(),
            found: header.epoch,
            recorded: expected.epoch,
        });
    }
    if header.segments < expected.segments {
        return Err(KeyringError::Shorter {
            path: dir.to_owned(),
            found: header.segments.into(),
            recorded: expected.segments.into(),
        });
    }
    Ok(())
}

fn segment_keys(
    files: &Files,
    header: &Header,
    root: &RecordKey,
) -> Result<Vec<Arc<RecordKey>>, KeyringError> {
    let key = |segment| {
        let record = files.read_record(segment)?;
        format::open_record(root, &header.store, segment, &record).ok_or_else(|| {
            KeyringError::Torn {
                path: files.dir.clone(),
                what: "segment",
                number: segment,
            }
        })
    };
    (0..header.segments).map(key).collect()
}

fn assemble(
    (main, mirror): (Files, Option<Files>),
    writer: Writer,
    (root, secret): (Arc<RecordKey>, Arc<RecordKey>),
    segments: Vec<Arc<RecordKey>>,
) -> Keyring {
    let header = writer.header;
    let stock = Stock {
        free: Slots::none_of(header.segments),
        mark: Mark {
            epoch: header.epoch,
            segments: header.segments,
        },
        ..Stock::default()
    };
    Keyring {
        main,
        mirror,
        store: header.store,
        root,
        secret,
        segments: RwLock::new(segments),
        writer: Mutex::new(writer),
        stock: Mutex::new(stock),
        wanted: Condvar::new(),
        cache: Cache::new(),
        broken: AtomicBool::new(false),
    }
}
