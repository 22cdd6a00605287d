//! What stands where in the keyring's files. The layout is told in the module's head.

use std::sync::Arc;

use ring::digest::{SHA256, digest};

use super::crypto::{RecordKey, WRAPPED};
use super::{KeyRef, KeyringError};

/// The newest version that this program writes and reads. A keyring whose root was never renewed has
/// version 1, which lacks the number of renewals.
pub(super) const VERSION: u32 = 2;
/// Slots of a segment.
pub(super) const SLOTS: u32 = 1_024;
/// Bytes of a slot.
pub(super) const SLOT: usize = 80;
/// Bytes of a segment's slots.
pub(super) const SEGMENT: usize = 81_920;
/// Bytes of a segment's record.
pub(super) const RECORD: usize = 64;
/// Bytes of the header file: two copies, each in a page of its own.
pub(super) const HEADER_FILE: usize = 8_192;
/// From one copy of the header to the next.
pub(super) const HEADER_STEP: usize = 4_096;
/// Bytes of a copy that say something.
pub(super) const HEADER: usize = CLEAR + WRAPPED + 32;
/// Bytes of a copy before the sealed secret.
const CLEAR: usize = 48;
/// The same in version 1.
const CLEAR_1: usize = 40;
/// How a copy of the header begins.
const MAGIC: [u8; 8] = *b"PARLKEYS";

/// One of two places for what a renewal of the root writes anew as a whole: it goes where the present
/// one is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    First,
    Second,
}

/// A segment while the keyring is open.
#[derive(Clone)]
pub(super) struct Segment {
    /// What its slots are sealed under.
    pub(super) key: Arc<RecordKey>,
    /// Which part of the file they stand in, by segments' lengths.
    pub(super) frame: u32,
}

impl Segment {
    /// Where a slot of the segment stands, counted in slots.
    pub(super) fn place_of(&self, slot: u32) -> u64 {
        first_place(self.frame) + u64::from(slot % SLOTS)
    }
}

/// Where a frame's first slot stands, counted in slots.
pub(super) fn first_place(frame: u32) -> u64 {
    u64::from(frame) * u64::from(SLOTS)
}

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The store.
    pub(super) store: [u8; 16],
    /// Raised before every batch of keys, which are then of this generation.
    pub(super) epoch: u64,
    /// How many segments there are.
    pub(super) segments: u32,
    /// How often the root was replaced.
    pub(super) renewals: u64,
}

/// A copy of the header as it was read.
#[derive(Clone)]
pub(super) struct Copy {
    pub(super) version: u32,
    pub(super) header: Header,
    pub(super) bytes: [u8; HEADER],
}

impl Header {
    /// Where its root and its segments' records are.
    pub(super) const fn side(&self) -> Side {
        if self.renewals.is_multiple_of(2) {
            Side::First
        } else {
            Side::Second
        }
    }

    fn clear(&self) -> Vec<u8> {
        let version: u32 = if self.renewals == 0 { 1 } else { VERSION };
        let mut clear = MAGIC.to_vec();
        clear.extend(version.to_be_bytes());
        clear.extend(self.segments.to_be_bytes());
        clear.extend(self.store);
        clear.extend(self.epoch.to_be_bytes());
        if self.renewals > 0 {
            clear.extend(self.renewals.to_be_bytes());
        }
        clear
    }

    /// The copy to write. The secret is sealed for all that stands before it, so that whoever opens it
    /// knows that the rest is true.
    pub(super) fn encode(
        &self,
        root: &RecordKey,
        secret: &RecordKey,
    ) -> Result<[u8; HEADER], KeyringError> {
        let mut said = self.clear();
        let wrapped = root.wrap(&said, secret)?;
        said.extend(wrapped);
        let sum = digest(&SHA256, &said);
        Ok(joined(&[&said, sum.as_ref()]))
    }

    /// Where its copy goes: not where the one before it stands.
    pub(super) fn offset(&self) -> u64 {
        if self.epoch.is_multiple_of(2) {
            0
        } else {
            widen(HEADER_STEP)
        }
    }
}

impl Copy {
    /// What stands in `bytes`; none if it was never or not wholly written.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER] = bytes.first_chunk()?;
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk()?;
        let version = u32::from_be_bytes(*version);
        let (said, sum) = bytes.split_at_checked(clear_bytes(version) + WRAPPED)?;
        let sum: &[u8; 32] = sum.first_chunk()?;
        if *magic != MAGIC || digest(&SHA256, said).as_ref() != sum {
            return None;
        }
        let (segments, rest) = rest.split_first_chunk()?;
        let (store, rest) = rest.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let renewals = match version {
            1 => 0,
            _ => u64::from_be_bytes(*rest.first_chunk()?),
        };
        Some(Self {
            version,
            header: Header {
                store: *store,
                epoch: u64::from_be_bytes(*epoch),
                segments: u32::from_be_bytes(*segments),
                renewals,
            },
            bytes: *bytes,
        })
    }

    /// The store's secret; none if it is sealed under another root.
    pub(super) fn secret(&self, root: &RecordKey) -> Option<Arc<RecordKey>> {
        let (clear, rest) = self.bytes.split_at_checked(clear_bytes(self.version))?;
        root.unwrap(clear, rest)
    }
}

/// Bytes of a copy before the sealed secret.
const fn clear_bytes(version: u32) -> usize {
    match version {
        1 => CLEAR_1,
        _ => CLEAR,
    }
}

/// What a segment's key is sealed for. A frame that is not the segment's first one is part of it, so that
/// nobody reads another frame's zeros for wiped slots.
fn segment_place(store: &[u8; 16], segment: u32, frame: u32) -> Vec<u8> {
    let mut place = b"segment\0".to_vec();
    place.extend(store);
    place.extend(segment.to_be_bytes());
    if frame != segment {
        place.extend(frame.to_be_bytes());
    }
    place
}

/// What a slot's key is sealed for.
fn slot_place(store: &[u8; 16], key: KeyRef) -> [u8; 33] {
    joined(&[
        b"slot\0",
        store,
        &key.slot.to_be_bytes(),
        &key.generation.to_be_bytes(),
    ])
}

/// A segment's record.
pub(super) fn record(
    root: &RecordKey,
    store: &[u8; 16],
    number: u32,
    segment: &Segment,
) -> Result<[u8; RECORD], KeyringError> {
    let place = segment_place(store, number, segment.frame);
    let wrapped = root.wrap(&place, &segment.key)?;
    // Nothing where the segment is in the frame of its own number, as all are at first.
    let frame = segment.frame ^ number;
    Ok(joined(&[&wrapped, &frame.to_be_bytes()]))
}

/// A segment; none if the record is damaged.
pub(super) fn open_record(
    root: &RecordKey,
    store: &[u8; 16],
    number: u32,
    record: &[u8; RECORD],
) -> Option<Segment> {
    let frame = frame_of(number, record)?;
    let key = root.unwrap(&segment_place(store, number, frame), record)?;
    Some(Segment { key, frame })
}

/// The frame that a record names, whether the record is damaged or not.
pub(super) fn frame_of(number: u32, record: &[u8; RECORD]) -> Option<u32> {
    let frame: &[u8; 4] = record.last_chunk()?;
    Some(u32::from_be_bytes(*frame) ^ number)
}

/// A filled slot.
pub(super) fn slot(
    segment: &RecordKey,
    store: &[u8; 16],
    at: KeyRef,
    key: &RecordKey,
) -> Result<[u8; SLOT], KeyringError> {
    let wrapped = segment.wrap(&slot_place(store, at), key)?;
    Ok(joined(&[&at.generation.to_be_bytes(), &wrapped]))
}

/// A slot's key; none if the slot is damaged.
pub(super) fn open_slot(
    segment: &RecordKey,
    store: &[u8; 16],
    at: KeyRef,
    slot: &[u8],
) -> Option<Arc<RecordKey>> {
    segment.unwrap(&slot_place(store, at), slot.get(8..)?)
}

/// The generation that stands in a slot. A slot that is wiped, or was never filled, has 0.
pub(super) fn generation(slot: &[u8]) -> u64 {
    slot.first_chunk()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// The segment that a slot is in.
pub(super) const fn segment_of(slot: u32) -> u32 {
    slot / SLOTS
}

/// Where the slot at a place begins in its file.
pub(super) fn slot_offset(place: u64) -> u64 {
    place.saturating_mul(widen(SLOT))
}

/// Where a segment's record begins in its file.
pub(super) fn record_offset(segment: u32) -> u64 {
    u64::from(segment) * widen(RECORD)
}

/// A length as an offset.
pub(super) fn widen(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// An offset or a number as a length.
pub(super) fn narrow(number: impl TryInto<usize>) -> usize {
    number.try_into().unwrap_or(usize::MAX)
}

/// The parts one after the other, as far as there is room; zeros after them.
fn joined<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut joined = [0; N];
    let mut rest = joined.as_mut_slice();
    for part in parts {
        let Some((to, after)) = rest.split_at_mut_checked(part.len()) else {
            break;
        };
        to.copy_from_slice(part);
        rest = after;
    }
    joined
}
