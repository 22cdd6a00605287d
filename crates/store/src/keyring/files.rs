//! One copy of the keyring's files.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{self, Disk, File};
use super::error::{reading, writing};
use super::format::{
    Copy, HEADER, HEADER_FILE, HEADER_STEP, RECORD, SEGMENT, SLOT, VERSION, narrow, record_offset,
    slot_offset, widen,
};
use super::{KeyringError, format::Header};

/// The open files of one copy.
pub(super) struct Files {
    pub(super) dir: PathBuf,
    header: Box<dyn File>,
    segments: Box<dyn File>,
    slots: Box<dyn File>,
}

impl Files {
    /// Opens a copy that is there; none if there is none.
    pub(super) fn open(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, KeyringError> {
        let open = |name: &str| {
            let path = dir.join(name);
            match disk.open(&path, false) {
                Ok(file) => Ok(Some(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(reading("open", &path)(error)),
            }
        };
        let (Some(header), Some(segments), Some(slots)) =
            (open("header")?, open("segments")?, open("slots")?)
        else {
            return Ok(None);
        };
        let files = Self {
            dir: dir.to_owned(),
            header,
            segments,
            slots,
        };
        // The header is written last: without it, the making was cut off before anything was kept.
        let mut bytes = [0; HEADER_FILE];
        let length = narrow(files.header_len()?).min(HEADER_FILE);
        let bytes = bytes.get_mut(..length).unwrap_or_default();
        disk::read(&*files.header, bytes, 0).map_err(reading("read", &files.path("header")))?;
        Ok(bytes.iter().any(|byte| *byte != 0).then_some(files))
    }

    /// Makes a copy's files, empty ones where there are none.
    pub(super) fn make(disk: &dyn Disk, dir: &Path) -> Result<Self, KeyringError> {
        disk.make_dir(dir).map_err(reading("make", dir))?;
        let open = |name: &str| {
            let path = dir.join(name);
            disk.open(&path, true).map_err(reading("make", &path))
        };
        Ok(Self {
            dir: dir.to_owned(),
            header: open("header")?,
            segments: open("segments")?,
            slots: open("slots")?,
        })
    }

    /// Makes the names of the files durable, and the directory's own.
    pub(super) fn sync_names(&self, disk: &dyn Disk) -> Result<(), KeyringError> {
        let above = match self.dir.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        disk.sync_dir(&self.dir)
            .map_err(writing("sync", &self.dir))?;
        disk.sync_dir(above).map_err(writing("sync", above))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn header_len(&self) -> Result<u64, KeyringError> {
        self.header
            .len()
            .map_err(reading("measure", &self.path("header")))
    }

    /// The newest copy of the header.
    pub(super) fn read_header(&self) -> Result<Copy, KeyringError> {
        let path = self.path("header");
        let found = self.header_len()?;
        if found < widen(HEADER_FILE) {
            return Err(KeyringError::Shorter {
                path,
                found,
                recorded: widen(HEADER_FILE),
            });
        }
        let mut bytes = [0; HEADER_FILE];
        disk::read(&*self.header, &mut bytes, 0).map_err(reading("read", &path))?;
        let newest = bytes
            .chunks(HEADER_STEP)
            .filter_map(Copy::decode)
            .max_by_key(|copy| copy.header.epoch)
            .ok_or(KeyringError::Torn {
                path: self.dir.clone(),
                what: "header",
                number: 0,
            })?;
        if newest.version == VERSION {
            return Ok(newest);
        }
        Err(KeyringError::Newer {
            path: self.dir.clone(),
            version: newest.version,
        })
    }

    /// All files, whole, each with its name.
    pub(super) fn contents(&self) -> Result<Vec<(&'static str, Vec<u8>)>, KeyringError> {
        let all: [(&'static str, &dyn File); 3] = [
            ("header", &*self.header),
            ("segments", &*self.segments),
            ("slots", &*self.slots),
        ];
        let read = |(name, file): (&'static str, &dyn File)| {
            let content = || {
                let mut bytes = vec![0; narrow(file.len()?)];
                disk::read(file, &mut bytes, 0)?;
                Ok(bytes)
            };
            let bytes = content().map_err(reading("read", &self.path(name)))?;
            Ok((name, bytes))
        };
        all.into_iter().map(read).collect()
    }

    /// Makes room for both copies of the header.
    pub(super) fn clear_header(&self) -> Result<(), KeyringError> {
        disk::write(&*self.header, &[0; HEADER_FILE], 0)
            .map_err(writing("write", &self.path("header")))
    }

    /// Writes a copy of the header to its place.
    pub(super) fn write_header(
        &self,
        header: &Header,
        bytes: &[u8; HEADER],
    ) -> Result<(), KeyringError> {
        disk::write(&*self.header, bytes, header.offset())
            .map_err(writing("write", &self.path("header")))
    }

    /// Makes the header durable.
    pub(super) fn sync_header(&self) -> Result<(), KeyringError> {
        self.header
            .sync()
            .map_err(writing("sync", &self.path("header")))
    }

    /// Refuses files that are shorter than the header says.
    pub(super) fn check_lengths(&self, header: &Header) -> Result<(), KeyringError> {
        let all = [
            ("segments", &self.segments, RECORD),
            ("slots", &self.slots, SEGMENT),
        ];
        for (name, file, each) in all {
            let path = self.path(name);
            let found = file.len().map_err(reading("measure", &path))?;
            let recorded = u64::from(header.segments) * widen(each);
            if found < recorded {
                return Err(KeyringError::Shorter {
                    path,
                    found,
                    recorded,
                });
            }
        }
        Ok(())
    }

    /// Whether nothing was ever kept here.
    pub(super) fn is_blank(&self) -> Result<bool, KeyringError> {
        let empty = |name, file: &dyn File| {
            let length = file.len().map_err(reading("measure", &self.path(name)));
            length.map(|length| length == 0)
        };
        Ok(empty("segments", &*self.segments)? && empty("slots", &*self.slots)?)
    }

    /// A segment's record.
    pub(super) fn read_record(&self, segment: u32) -> Result<[u8; RECORD], KeyringError> {
        let mut record = [0; RECORD];
        disk::read(&*self.segments, &mut record, record_offset(segment))
            .map_err(reading("read", &self.path("segments")))?;
        Ok(record)
    }

    /// Writes a segment's record.
    pub(super) fn write_record(
        &self,
        segment: u32,
        record: &[u8; RECORD],
    ) -> Result<(), KeyringError> {
        disk::write(&*self.segments, record, record_offset(segment))
            .map_err(writing("write", &self.path("segments")))
    }

    /// Makes the segments' records durable.
    pub(super) fn sync_records(&self) -> Result<(), KeyringError> {
        self.segments
            .sync()
            .map_err(writing("sync", &self.path("segments")))
    }

    /// Fills `to` with the slots from `first` on.
    pub(super) fn read_slots(&self, first: u32, to: &mut [u8]) -> Result<(), KeyringError> {
        disk::read(&*self.slots, to, slot_offset(first))
            .map_err(reading("read", &self.path("slots")))
    }

    /// One slot.
    pub(super) fn read_slot(&self, slot: u32) -> Result<[u8; SLOT], KeyringError> {
        let mut bytes = [0; SLOT];
        self.read_slots(slot, &mut bytes)?;
        Ok(bytes)
    }

    /// Overwrites the slots from `first` on.
    pub(super) fn write_slots(&self, first: u32, from: &[u8]) -> Result<(), KeyringError> {
        disk::write(&*self.slots, from, slot_offset(first))
            .map_err(writing("write", &self.path("slots")))
    }

    /// Makes the slots durable.
    pub(super) fn sync_slots(&self) -> Result<(), KeyringError> {
        self.slots
            .sync()
            .map_err(writing("sync", &self.path("slots")))
    }
}
