//! Somebody who has copies of the files from many times, and all roots that are kept now.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::format::{RECORD, SLOT, SLOTS, open_record, open_slot};
use super::*;

/// The files of a keyring at some time.
pub(super) type Copies = Vec<(PathBuf, Vec<u8>)>;

/// Commitments of all keys in these slots that can be had: by every root, every record of every table, every
/// slot that ever stood anywhere.
pub(super) fn opened(
    copies: &[&Copies],
    roots: &[[u8; 32]],
    slots: &BTreeSet<u32>,
) -> BTreeSet<[u8; 32]> {
    // A mirror's files have the same in them.
    let files = copies.iter().copied().flatten();
    let files: Vec<_> = files
        .filter(|(path, _)| !path.starts_with("other"))
        .collect();
    let mut segments = BTreeSet::new();
    let mut records = BTreeSet::new();
    for (path, bytes) in &files {
        if path.ends_with("segments") || path.ends_with("segments-2") {
            let all = (0_u32..).zip(bytes.as_chunks::<RECORD>().0);
            records.extend(all.filter(|(_, record)| record.iter().any(|byte| *byte != 0)));
        }
    }
    for (number, record) in records {
        for root in roots {
            let segment = open_record(&RecordKey::from_bytes(root), &STORE, number, record);
            segments.extend(segment.map(|segment| (number, *segment.key.bytes())));
        }
    }
    let mut remnants = BTreeSet::new();
    for (path, bytes) in &files {
        if path.ends_with("slots") {
            // A slot is sealed for its number, wherever the segment stood.
            let all = (0_u32..).zip(bytes.as_chunks::<SLOT>().0);
            let all = all.map(|(place, slot)| (place % SLOTS, slot));
            let wanted = |place: u32| slots.iter().any(|slot| slot % SLOTS == place);
            remnants.extend(all.filter(|(place, slot)| wanted(*place) && generation(*slot) != 0));
        }
    }
    let mut found = BTreeSet::new();
    for (number, key) in segments {
        let key = RecordKey::from_bytes(&key);
        for (place, slot) in &remnants {
            let at = KeyRef {
                slot: number * SLOTS + place,
                generation: generation(*slot),
            };
            let opened = open_slot(&key, &STORE, at, *slot);
            found.extend(opened.map(|key| key.commitment()));
        }
    }
    found
}
