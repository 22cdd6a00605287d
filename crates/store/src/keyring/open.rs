//! Makes and opens keyrings.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::sync::{AtomicBool, Condvar, Mutex, RwLock};

use super::cache::Cache;
use super::crypto::random;
use super::disk::Disk;
use super::files::Files;
use super::format::{Copy, HEADER, Header, Segment, Side};
use super::rekey::Renewing;
use super::stock::{Frames, Slots, Stock};
use super::{Keyring, KeyringError, Mark, Options, RecordKey, Root, RootError, Writer, mirror};

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
        renewals: 0,
    };
    let bytes = header.encode(&root, &secret)?;
    // One after the other: whoever finds the mirror finds the keyring.
    for files in std::iter::once(&main).chain(&mirror) {
        files.clear_header()?;
        files.write_header(&header, &bytes)?;
        files.sync_header()?;
        files.sync_names(disk)?;
    }
    let opened = Opened {
        header,
        bytes,
        durable: true,
        root,
        secret,
        segments: Vec::new(),
    };
    let keyring = assemble((main, mirror), opened, options)?;
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
    let copy = own_header(&main, &store)?;
    let mirror = match &options.mirror {
        Some(mirror) => Files::open(disk, mirror)?,
        None => None,
    };
    let mirror = match mirror.map(|files| (own_header(&files, &store), files)) {
        Some((Ok(other), mirror)) => Some((mirror, other)),
        // Its making was cut off: of a mirror that was ever finished one header is intact.
        Some((Err(KeyringError::Torn { .. } | KeyringError::Shorter { .. }), _)) | None => None,
        Some((Err(error), _)) => return Err(error),
    };
    let mut main = (main, copy);
    let newest = match &mirror {
        Some((_, other)) if is_newer(&other.header, &main.1.header) => other.clone(),
        _ => main.1.clone(),
    };
    let keeper = keeper(&*options.root, &newest.header)?;
    let root_bytes = keeper.get()?;
    let root = RecordKey::from_bytes(&root_bytes);
    let step = match &mirror {
        Some(mirror) => mirror::Step::between(&main, mirror, &root)?,
        None => mirror::Step::alone(&main, &root)?,
    };
    check_mark(dir, &newest.header, expected)?;
    // Nothing has been changed so far, and nothing can be refused any more.
    main.0.complete(disk)?;
    let mirror = match (mirror, &options.mirror) {
        (Some((mut mirror, _)), _) => {
            mirror.complete(disk)?;
            step.take(&main.0, &mirror, &newest)?;
            Some(mirror)
        }
        (None, Some(path)) => Some(mirror::fill(disk, &main.0, path, &newest, &step.segments)?),
        (None, None) => None,
    };
    keeper.complete(&root_bytes)?;
    let opened = Opened {
        header: newest.header,
        bytes: newest.bytes,
        durable: false,
        root,
        secret: step.secret,
        segments: step.segments,
    };
    assemble((main.0, mirror), opened, options)
}

/// Whether one header is of a later time than another of the same keyring.
fn is_newer(one: &Header, other: &Header) -> bool {
    (one.renewals, one.epoch) > (other.renewals, other.epoch)
}

/// Who keeps the root that a header is sealed under.
fn keeper<'a>(root: &'a dyn Root, header: &Header) -> Result<&'a dyn Root, KeyringError> {
    match header.side() {
        Side::First => Ok(root),
        Side::Second => root.second().ok_or(KeyringError::FixedRoot),
    }
}

/// The header, if it is this store's.
fn own_header(files: &Files, store: &[u8; 16]) -> Result<Copy, KeyringError> {
    let copy = files.read_header()?;
    if copy.header.store == *store {
        return Ok(copy);
    }
    Err(KeyringError::Foreign(files.dir.clone()))
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

/// What was found of a keyring, or made.
struct Opened {
    header: Header,
    bytes: [u8; HEADER],
    durable: bool,
    root: Arc<RecordKey>,
    secret: Arc<RecordKey>,
    segments: Vec<Segment>,
}

fn assemble(
    (main, mirror): (Files, Option<Files>),
    opened: Opened,
    options: &Options,
) -> Result<Keyring, KeyringError> {
    let header = opened.header;
    let stock = Stock {
        free: Slots::none_of(header.segments),
        mark: Mark {
            epoch: header.epoch,
            segments: header.segments,
        },
        ..Stock::default()
    };
    let mut frames = main.frames()?;
    if let Some(mirror) = &mirror {
        frames = frames.max(mirror.frames()?);
    }
    let writer = Writer {
        header,
        bytes: opened.bytes,
        durable: opened.durable,
        root: opened.root,
        frames: Frames::around(&opened.segments, frames),
        // Nobody has noted what was wiped before.
        wiped: (0..header.segments).collect(),
        moving: BTreeMap::new(),
        has_switched: false,
        is_renewing: false,
    };
    Ok(Keyring {
        main,
        mirror,
        store: header.store,
        secret: opened.secret,
        segments: RwLock::new(opened.segments),
        roots: Arc::clone(&options.root),
        renewing: Mutex::new(Renewing::default()),
        writer: Mutex::new(writer),
        stock: Mutex::new(stock),
        wanted: Condvar::new(),
        cache: Cache::new(),
        broken: AtomicBool::new(false),
    })
}
