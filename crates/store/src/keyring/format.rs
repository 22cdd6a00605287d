//! What stands where in the keyring's files. The layout is told in the module's head.

use std::sync::Arc;

use ring::digest::{SHA256, digest};

use super::crypto::{RecordKey, WRAPPED};
use super::{KeyRef, KeyringError};

/// The version that this program writes.
pub(super) const VERSION: u32 = 1;
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
const CLEAR: usize = 40;
/// How a copy of the header begins.
const MAGIC: [u8; 8] = *b"PARLKEYS";

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The store.
    pub(super) store: [u8; 16],
    /// Raised before every batch of keys, which are then of this generation.
    pub(super) epoch: u64,
    /// How many segments there are.
    pub(super) segments: u32,
}

/// A copy of the header as it was read.
#[derive(Clone)]
pub(super) struct Copy {
    pub(super) version: u32,
    pub(super) header: Header,
    pub(super) bytes: [u8; HEADER],
}

impl Header {
    fn clear(&self) -> [u8; CLEAR] {
        let parts: [&[u8]; 5] = [
            &MAGIC,
            &VERSION.to_be_bytes(),
            &self.segments.to_be_bytes(),
            &self.store,
            &self.epoch.to_be_bytes(),
        ];
        joined(&parts)
    }

    /// The copy to write. The secret is sealed for all that stands before it, so that whoever opens it
    /// knows that the rest is true.
    pub(super) fn encode(
        &self,
        root: &RecordKey,
        secret: &RecordKey,
    ) -> Result<[u8; HEADER], KeyringError> {
        let clear = self.clear();
        let wrapped = root.wrap(&clear, secret)?;
        let sum = digest(&SHA256, &joined::<{ CLEAR + WRAPPED }>(&[&clear, &wrapped]));
        Ok(joined(&[&clear, &wrapped, sum.as_ref()]))
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
        let (said, sum) = bytes.split_at_checked(CLEAR + WRAPPED)?;
        let (magic, rest) = said.split_first_chunk::<8>()?;
        if *magic != MAGIC || digest(&SHA256, said).as_ref() != sum {
            return None;
        }
        let (version, rest) = rest.split_first_chunk()?;
        let (segments, rest) = rest.split_first_chunk()?;
        let (store, rest) = rest.split_first_chunk()?;
        let (epoch, _) = rest.split_first_chunk()?;
        Some(Self {
            version: u32::from_be_bytes(*version),
            header: Header {
                store: *store,
                epoch: u64::from_be_bytes(*epoch),
                segments: u32::from_be_bytes(*segments),
            },
            bytes: *bytes,
        })
    }

    /// The store's secret; none if it is sealed under another root.
    pub(super) fn secret(&self, root: &RecordKey) -> Option<Arc<RecordKey>> {
        let (clear, rest) = self.bytes.split_at_checked(CLEAR)?;
        root.unwrap(clear, rest)
    }
}

/// What a segment's key is sealed for.
fn segment_place(store: &[u8; 16], segment: u32) -> [u8; 28] {
    joined(&[b"segment\0", store, &segment.to_be_bytes()])
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
    segment: u32,
    key: &RecordKey,
) -> Result<[u8; RECORD], KeyringError> {
    let wrapped = root.wrap(&segment_place(store, segment), key)?;
    Ok(joined(&[&wrapped]))
}

/// A segment's key; none if the record is damaged.
pub(super) fn open_record(
    root: &RecordKey,
    store: &[u8; 16],
    segment: u32,
    record: &[u8],
) -> Option<Arc<RecordKey>> {
    root.unwrap(&segment_place(store, segment), record)
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

/// Where a slot begins in its file.
pub(super) fn slot_offset(slot: u32) -> u64 {
    u64::from(slot) * widen(SLOT)
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
