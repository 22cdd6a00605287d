//! One copy of the keyring's files.

use std::io;
use std::path::{Path, PathBuf};

use super::KeyringError;
use super::disk::{self, Disk, File};
use super::error::{no_room, reading, writing};
use super::format::{
    Copy, HEADER, HEADER_FILE, HEADER_STEP, Header, RECORD, SEGMENT, SLOT, Side, VERSION,
    first_place, frame_of, narrow, record_offset, slot_offset, widen,
};

/// The file that has the segments' records after an odd number of renewals.
const SECOND_TABLE: &str = "segments-2";

/// The open files of one copy.
pub(super) struct Files {
    pub(super) dir: PathBuf,
    header: Box<dyn File>,
    segments: Box<dyn File>,
    /// The other table of segments; none in a keyring from before there were renewals.
    segments_2: Option<Box<dyn File>>,
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
            segments_2: open(SECOND_TABLE)?,
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
            segments_2: Some(open(SECOND_TABLE)?),
            slots: open("slots")?,
        })
    }

    /// Makes the second table where there is none, and its name durable.
    pub(super) fn complete(&mut self, disk: &dyn Disk) -> Result<(), KeyringError> {
        if self.segments_2.is_some() {
            return Ok(());
        }
        let path = self.path(SECOND_TABLE);
        let made = disk.open(&path, true).map_err(reading("make", &path))?;
        self.segments_2 = Some(made);
        self.sync_names(disk)
    }

    /// The table of segments on a side, and its path.
    fn table(&self, side: Side) -> Result<(&dyn File, PathBuf), KeyringError> {
        match side {
            Side::First => Ok((&*self.segments, self.path("segments"))),
            Side::Second => {
                let path = self.path(SECOND_TABLE);
                match &self.segments_2 {
                    Some(file) => Ok((&**file, path)),
                    None => Err(KeyringError::Shorter {
                        path,
                        found: 0,
                        recorded: widen(RECORD),
                    }),
                }
            }
        }
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
        if newest.version <= VERSION {
            return Ok(newest);
        }
        Err(KeyringError::Newer {
            path: self.dir.clone(),
            version: newest.version,
        })
    }

    /// All files, whole, each with its name.
    pub(super) fn contents(&self) -> Result<Vec<(&'static str, Vec<u8>)>, KeyringError> {
        let mut all: Vec<(&'static str, &dyn File)> = vec![
            ("header", &*self.header),
            ("segments", &*self.segments),
            ("slots", &*self.slots),
        ];
        all.extend(self.segments_2.iter().map(|file| (SECOND_TABLE, &**file)));
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

    /// Refuses files that are shorter than the header and the segments' records say.
    pub(super) fn check_lengths(&self, header: &Header) -> Result<(), KeyringError> {
        let (table, path) = self.table(header.side())?;
        let found = table.len().map_err(reading("measure", &path))?;
        let recorded = u64::from(header.segments) * widen(RECORD);
        if found < recorded {
            return Err(KeyringError::Shorter {
                path,
                found,
                recorded,
            });
        }
        let mut frames = 0;
        for segment in 0..header.segments {
            let record = self.read_record(header.side(), segment)?;
            // A record that is damaged is told when it is opened.
            let frame = frame_of(segment, &record).filter(|frame| *frame / 2 <= header.segments);
            frames = frames.max(frame.map_or(0, |frame| frame.saturating_add(1)));
        }
        let path = self.path("slots");
        let found = self.slots.len().map_err(reading("measure", &path))?;
        let recorded = u64::from(frames) * widen(SEGMENT);
        if found < recorded {
            return Err(KeyringError::Shorter {
                path,
                found,
                recorded,
            });
        }
        Ok(())
    }

    /// How many frames there are, one that is not whole included.
    pub(super) fn frames(&self) -> Result<u32, KeyringError> {
        let length = self.slots.len();
        let length = length.map_err(reading("measure", &self.path("slots")))?;
        Ok(u32::try_from(length.div_ceil(widen(SEGMENT))).unwrap_or(u32::MAX))
    }

    /// Overwrites a frame that holds nothing any more, as far as there is one.
    pub(super) fn clear_frame(&self, frame: u32) -> Result<(), KeyringError> {
        let length = self.slots.len();
        let length = length.map_err(reading("measure", &self.path("slots")))?;
        let rest = length.saturating_sub(slot_offset(first_place(frame)));
        let zeros = vec![0; narrow(rest).min(SEGMENT)];
        match self
            .write_slots(first_place(frame), &zeros)
            .map_err(no_room)
        {
            // What would need room was never written.
            Err(KeyringError::Empty(_)) => Ok(()),
            done => done,
        }
    }

    /// Whether nothing was ever kept here.
    pub(super) fn is_blank(&self) -> Result<bool, KeyringError> {
        let empty = |name, file: &dyn File| {
            let length = file.len().map_err(reading("measure", &self.path(name)));
            length.map(|length| length == 0)
        };
        let second = match &self.segments_2 {
            Some(file) => empty(SECOND_TABLE, &**file)?,
            None => true,
        };
        Ok(second && empty("segments", &*self.segments)? && empty("slots", &*self.slots)?)
    }

    /// A segment's record on a side.
    pub(super) fn read_record(
        &self,
        side: Side,
        segment: u32,
    ) -> Result<[u8; RECORD], KeyringError> {
        let mut record = [0; RECORD];
        let (table, path) = self.table(side)?;
        disk::read(table, &mut record, record_offset(segment)).map_err(reading("read", &path))?;
        Ok(record)
    }

    /// Writes the records of segments from one on.
    pub(super) fn write_records(
        &self,
        side: Side,
        first: u32,
        records: &[u8],
    ) -> Result<(), KeyringError> {
        let (table, path) = self.table(side)?;
        disk::write(table, records, record_offset(first)).map_err(writing("write", &path))
    }

    /// Makes a side's records durable.
    pub(super) fn sync_records(&self, side: Side) -> Result<(), KeyringError> {
        let (table, path) = self.table(side)?;
        table.sync().map_err(writing("sync", &path))
    }

    /// Fills `to` with the slots from a place on.
    pub(super) fn read_slots(&self, first: u64, to: &mut [u8]) -> Result<(), KeyringError> {
        disk::read(&*self.slots, to, slot_offset(first))
            .map_err(reading("read", &self.path("slots")))
    }

    /// The slot at a place.
    pub(super) fn read_slot(&self, place: u64) -> Result<[u8; SLOT], KeyringError> {
        let mut bytes = [0; SLOT];
        self.read_slots(place, &mut bytes)?;
        Ok(bytes)
    }

    /// Overwrites the slots from a place on.
    pub(super) fn write_slots(&self, first: u64, from: &[u8]) -> Result<(), KeyringError> {
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
