//! How model values are written as bytes and numbers. Pure: no SQL, no sealing.

use std::collections::BTreeSet;

use parlance_domain::Json;
use parlance_domain::ids::Id;
use parlance_domain::model::{
    Cutoff, Extras, ItemContent, ItemFilter, ItemKind, ItemType, Metadata, Native, Role, Scopes,
    TurnFailure, TurnRecord, TurnState, User,
};
use serde::Serialize;

/// A body without anything native.
const PLAIN: u8 = 0;
/// A body with something native before the payload.
const WITH_NATIVE: u8 = 1;

/// The payload and what is native, in one piece.
pub(crate) fn body(content: &ItemContent) -> Vec<u8> {
    let payload = content.payload.text().as_bytes();
    let Some(native) = &content.native else {
        let mut bytes = Vec::with_capacity(1 + payload.len());
        bytes.push(PLAIN);
        bytes.extend_from_slice(payload);
        return bytes;
    };
    let (dialect, json) = (native.dialect.as_bytes(), native.json.text().as_bytes());
    let mut bytes = Vec::with_capacity(17 + dialect.len() + json.len() + payload.len());
    bytes.push(WITH_NATIVE);
    for part in [dialect, json] {
        bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// Reads [`body`].
pub(crate) fn read_body(kind: ItemKind, bytes: &[u8]) -> Option<ItemContent> {
    let (form, rest) = bytes.split_first()?;
    let (native, payload) = match *form {
        PLAIN => (None, rest),
        WITH_NATIVE => {
            let (dialect, rest) = read_part(rest)?;
            let (json, rest) = read_part(rest)?;
            let native = Native {
                dialect: text(dialect)?,
                json: Json::parse(text(json)?).ok()?,
            };
            (Some(native), rest)
        }
        _ => return None,
    };
    let payload = Json::parse(text(payload)?).ok()?;
    Some(ItemContent {
        kind,
        payload,
        native,
    })
}

fn read_part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)
}

/// Reads bytes that were text.
pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_owned()).ok()
}

/// Metadata; none where there are no pairs.
pub(crate) fn metadata(metadata: &Metadata) -> Option<Vec<u8>> {
    (!metadata.is_empty()).then(|| json(metadata.pairs()))
}

/// Reads [`metadata`].
pub(crate) fn read_metadata(bytes: &[u8]) -> Option<Metadata> {
    serde_json::from_slice(bytes).ok().map(Metadata::stored)
}

/// Extras; none where there are none.
pub(crate) fn extras(extras: &Extras) -> Option<Vec<u8>> {
    (!extras.is_empty()).then(|| json(extras))
}

/// Reads [`extras`].
pub(crate) fn read_extras(bytes: &[u8]) -> Option<Extras> {
    serde_json::from_slice(bytes).ok()
}

/// The scopes of a key; none where it may do everything.
pub(crate) fn scopes(scopes: &Scopes) -> Option<String> {
    match scopes {
        Scopes::All => None,
        Scopes::Only(scopes) => text(&json(scopes)),
    }
}

/// Reads [`scopes`].
pub(crate) fn read_scopes(text: Option<&str>) -> Option<Scopes> {
    let Some(text) = text else {
        return Some(Scopes::All);
    };
    let scopes: BTreeSet<String> = serde_json::from_str(text).ok()?;
    Some(Scopes::Only(scopes))
}

/// What a hold says: a user and a note.
pub(crate) fn hold(user: Option<&str>, note: Option<&str>) -> Vec<u8> {
    json(&[user, note])
}

/// Reads [`hold`].
pub(crate) fn read_hold(bytes: &[u8]) -> Option<(Option<User>, Option<String>)> {
    let [user, note]: [Option<String>; 2] = serde_json::from_slice(bytes).ok()?;
    let user = user.map(|user| User::parse(&user).ok()?);
    match user {
        Some(None) => None,
        user => Some((user.flatten(), note)),
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    // Text, lists and maps by text can always be written, so the fallback is never taken.
    serde_json::to_vec(value).unwrap_or_default()
}

/// The number of an item's kind. Messages come first: see [`kinds`].
pub(crate) const fn kind(kind: &ItemKind) -> i64 {
    match kind {
        ItemKind::Message(Role::User) => 0,
        ItemKind::Message(Role::Assistant) => 1,
        ItemKind::Message(Role::System) => 2,
        ItemKind::Message(Role::Developer) => 3,
        ItemKind::Message(Role::Other) => 4,
        ItemKind::Typed(_) => 5,
        ItemKind::Event => 6,
    }
}

/// The type of an item that is neither message nor event.
pub(crate) fn item_type(kind: &ItemKind) -> Option<&str> {
    match kind {
        ItemKind::Typed(item_type) => Some(item_type.name()),
        ItemKind::Message(_) | ItemKind::Event => None,
    }
}

/// Reads [`kind`] and [`item_type`].
pub(crate) fn read_kind(kind: i64, item_type: Option<&str>) -> Option<ItemKind> {
    let role = match kind {
        0 => Role::User,
        1 => Role::Assistant,
        2 => Role::System,
        3 => Role::Developer,
        4 => Role::Other,
        5 => return ItemType::parse(item_type?).ok().map(ItemKind::Typed),
        6 => return Some(ItemKind::Event),
        _ => return None,
    };
    Some(ItemKind::Message(role))
}

/// The kinds that a filter lets through, a bit for each number, and the type that it lets through
/// besides.
pub(crate) fn kinds(filter: &ItemFilter) -> (i64, Option<&str>) {
    match filter {
        ItemFilter::Everything => (0b111_1111, None),
        ItemFilter::NoEvents => (0b011_1111, None),
        ItemFilter::Dialogue => (0b000_0011, None),
        ItemFilter::DialogueAndEvents => (0b100_0011, None),
        ItemFilter::OfType(item_type) => {
            let kinds = match item_type.name() {
                "message" => 0b001_1111,
                _ => 0,
            };
            (kinds, Some(item_type.name()))
        }
    }
}

/// The number of a turn's state.
pub(crate) const fn state(state: TurnState) -> i64 {
    match state {
        TurnState::Running => 0,
        TurnState::Completed => 1,
        TurnState::Cancelled => 2,
        TurnState::Failed(TurnFailure::Interrupted) => 3,
        TurnState::Failed(TurnFailure::Upstream) => 4,
        TurnState::Failed(TurnFailure::TooLong) => 5,
        TurnState::Failed(TurnFailure::Internal) => 6,
        TurnState::Incomplete(Cutoff::Length) => 7,
        TurnState::Incomplete(Cutoff::ContentFilter) => 8,
        TurnState::Failed(TurnFailure::Busy) => 9,
        TurnState::Failed(TurnFailure::Refused) => 10,
    }
}

/// Reads [`state`].
pub(crate) const fn read_state(state: i64) -> Option<TurnState> {
    Some(match state {
        0 => TurnState::Running,
        1 => TurnState::Completed,
        2 => TurnState::Cancelled,
        3 => TurnState::Failed(TurnFailure::Interrupted),
        4 => TurnState::Failed(TurnFailure::Upstream),
        5 => TurnState::Failed(TurnFailure::TooLong),
        6 => TurnState::Failed(TurnFailure::Internal),
        7 => TurnState::Incomplete(Cutoff::Length),
        8 => TurnState::Incomplete(Cutoff::ContentFilter),
        9 => TurnState::Failed(TurnFailure::Busy),
        10 => TurnState::Failed(TurnFailure::Refused),
        _ => return None,
    })
}

/// In the first byte of a turn's record: what it has.
const HAS_PREVIOUS: u8 = 1;
const HAS_NATIVE: u8 = 2;
const HAS_ERROR: u8 = 4;

/// What is kept of a turn. Lengths and pieces are numbers of as many bytes as they need, because pieces are
/// many and small.
pub(crate) fn record(record: &TurnRecord) -> Vec<u8> {
    let has = if record.previous.is_some() {
        HAS_PREVIOUS
    } else {
        0
    } | if record.native.is_some() {
        HAS_NATIVE
    } else {
        0
    } | if record.error.is_some() { HAS_ERROR } else { 0 };
    let mut bytes = vec![has];
    put_part(&mut bytes, record.model.as_bytes());
    if let Some(previous) = record.previous {
        bytes.extend_from_slice(&previous.bits().to_be_bytes());
    }
    if let Some(native) = &record.native {
        put_part(&mut bytes, native.dialect.as_bytes());
        put_part(&mut bytes, native.json.text().as_bytes());
    }
    if let Some(error) = &record.error {
        put_part(&mut bytes, error.as_bytes());
    }
    for pieces in &record.pieces {
        put_number(&mut bytes, length(pieces.len()));
        for piece in pieces {
            put_number(&mut bytes, u64::from(*piece));
        }
    }
    bytes
}

/// Reads [`record`].
pub(crate) fn read_record(bytes: &[u8]) -> Option<TurnRecord> {
    let (&has, mut rest) = bytes.split_first()?;
    if has & !(HAS_PREVIOUS | HAS_NATIVE | HAS_ERROR) != 0 {
        return None;
    }
    let mut record = TurnRecord {
        model: take_text(&mut rest)?,
        ..TurnRecord::default()
    };
    if has & HAS_PREVIOUS != 0 {
        let (bits, after) = rest.split_first_chunk()?;
        rest = after;
        record.previous = Some(Id::from_bits(u128::from_be_bytes(*bits)));
    }
    if has & HAS_NATIVE != 0 {
        record.native = Some(Native {
            dialect: take_text(&mut rest)?,
            json: Json::parse(take_text(&mut rest)?).ok()?,
        });
    }
    if has & HAS_ERROR != 0 {
        record.error = Some(take_text(&mut rest)?);
    }
    while !rest.is_empty() {
        let count = take_number(&mut rest)?;
        let piece = |_| take_number(&mut rest).and_then(|piece| u32::try_from(piece).ok());
        record
            .pieces
            .push((0..count).map(piece).collect::<Option<_>>()?);
    }
    Some(record)
}

fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn put_part(bytes: &mut Vec<u8>, part: &[u8]) {
    put_number(bytes, length(part.len()));
    bytes.extend_from_slice(part);
}

/// Seven bits a byte, the low ones first; the top bit is set in all but the last.
fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push((number & 0x7f).to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// Reads [`put_number`]; none if it does not fit, or if nothing ends it.
fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0_u64, 0);
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        number |= part
            .checked_shl(shift)
            .filter(|shifted| shifted >> shift == part)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(take_number(bytes)?).ok()?;
    let (part, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    text(part)
}

#[cfg(test)]
mod tests {
    use parlance_domain::TurnId;
    use parlance_testkit::samples;

    use super::*;

    #[test]
    fn a_record_is_read_back_whatever_it_has() {
        let full = samples::record("é");
        for has in 0..16_u8 {
            let record = TurnRecord {
                model: "m".repeat(200),
                previous: full.previous.filter(|_| has & 1 != 0),
                native: full.native.clone().filter(|_| has & 2 != 0),
                error: full.error.clone().filter(|_| has & 4 != 0),
                pieces: match has & 8 {
                    0 => Vec::new(),
                    _ => full.pieces.clone(),
                },
            };
            assert_eq!(read_record(&super::record(&record)), Some(record));
        }
    }

    #[test]
    fn a_record_that_was_cut_off_or_says_what_nobody_knows_is_not_read() {
        let full = TurnRecord {
            previous: Some(TurnId::from_bits(7)),
            pieces: vec![vec![300, 1]],
            ..samples::record("é")
        };
        let bytes = record(&full);
        let end = bytes.len() - 4;
        for length in 0..bytes.len() {
            let read = read_record(&bytes[..length]);
            // The pieces are the last, so that without any of them it is a whole record again.
            assert_eq!(read.is_some(), length == end, "{length} of {}", bytes.len());
        }
        let mut unknown = bytes;
        unknown[0] |= 8;
        assert_eq!(read_record(&unknown), None);
    }

    #[test]
    fn a_number_that_is_too_large_or_does_not_end_is_none() {
        for number in [0, 127, 128, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            let mut left = bytes.as_slice();
            assert_eq!(take_number(&mut left), Some(number));
            assert!(left.is_empty());
        }
        for bad in [[0xff; 9].as_slice(), &[0xff; 20], &[0x80; 12]] {
            assert_eq!(take_number(&mut &*bad), None, "{bad:?}");
        }
    }
}
