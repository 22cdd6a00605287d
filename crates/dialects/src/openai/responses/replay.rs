//! A response that is stored, told once more as it was told at first: from its items, and from where the pieces
//! ended in which they came.

use bytes::Bytes;
use parlance_domain::service::{OutputKind, PieceKind};
use parlance_domain::{Item, ItemKind, Json, Role, Turn};
use serde_json::Value;

use super::object::Standing;
use super::stream::{Encoder, first_form};
use crate::openai::item;

/// Bytes of frames that are made at a time: a long answer told in small pieces is many times as long.
const CHUNK_BYTES: usize = 32 << 10;

/// Tells a stored response.
pub(in crate::openai) struct Replay {
    encoder: Encoder,
    standing: Standing,
    told: Vec<Told>,
    /// The item that comes next, and what of it is told.
    item: usize,
    piece: usize,
    byte: usize,
    has_begun: bool,
}

/// An item of the output.
struct Told {
    id: String,
    first: Value,
    whole: Json,
    /// All that is said in it.
    text: String,
    /// Where each of its parts ends.
    parts: Vec<(PieceKind, usize)>,
    /// The bytes of each piece.
    pieces: Vec<u32>,
}

impl Replay {
    /// Of a turn that has ended, and its output.
    pub(in crate::openai) fn new(encoder: Encoder, turn: &Turn, output: &[Item]) -> Self {
        let pieces = &turn.record.pieces;
        // If an item has gone since, nobody can say any more which pieces are whose.
        let pieces = Some(pieces).filter(|pieces| pieces.len() == output.len());
        let told = output.iter().enumerate().map(|(at, item)| {
            let pieces = pieces.and_then(|pieces| pieces.get(at));
            Told::new(item, pieces.map(Vec::as_slice).unwrap_or_default())
        });
        let told: Vec<Told> = told.collect();
        let whole = told.iter().map(|told| told.whole.clone()).collect();
        Self {
            encoder,
            standing: Standing::stored(turn, whole),
            told,
            item: 0,
            piece: 0,
            byte: 0,
            has_begun: false,
        }
    }

    /// The next frames; none after the last.
    pub(in crate::openai) fn next(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        while out.len() < CHUNK_BYTES && !self.encoder.is_over() {
            self.step(&mut out);
        }
        (!out.is_empty()).then(|| out.into())
    }

    fn step(&mut self, out: &mut Vec<u8>) {
        if !self.has_begun {
            self.has_begun = true;
            self.encoder.begin(out);
            return;
        }
        let Some(told) = self.told.get(self.item) else {
            self.encoder.end(&self.standing, out);
            return;
        };
        if self.piece == 0 {
            self.encoder
                .begin_item(self.item, told.id.clone(), &told.first, out);
        }
        if let Some((kind, text, end)) = told.piece(self.piece, self.byte) {
            self.encoder.piece(kind, text, out);
            self.byte = end;
            self.piece += 1;
            return;
        }
        self.encoder.end_item(&told.whole, out);
        (self.item, self.piece, self.byte) = (self.item + 1, 0, 0);
    }
}

impl Told {
    fn new(item: &Item, pieces: &[u32]) -> Self {
        let whole = item::render(item);
        let payload = item.content.payload.value();
        let id = item::text(item);
        let (mut text, mut parts) = (String::new(), Vec::new());
        for (kind, said) in said(&item.content.kind, &payload) {
            text.push_str(said);
            parts.push((kind, text.len()));
        }
        let first = match what(&item.content.kind, &payload) {
            Some(what) => first_form(&id, &what),
            None => whole.value(),
        };
        let mut told = Self {
            id,
            first,
            whole,
            text,
            parts,
            pieces: pieces.to_vec(),
        };
        if !told.fits() {
            // It was changed since, or nobody has kept its pieces: each part comes at once.
            let mut before = 0;
            let lengths = told.parts.iter().map(|(_, end)| {
                let length = end - std::mem::replace(&mut before, *end);
                u32::try_from(length).unwrap_or(u32::MAX)
            });
            told.pieces = lengths.filter(|length| *length > 0).collect();
        }
        told
    }

    /// Whether its pieces make up its text, each of them within one part.
    fn fits(&self) -> bool {
        let mut ends = Vec::with_capacity(self.pieces.len());
        let mut end = 0_usize;
        for piece in &self.pieces {
            end = end.saturating_add(usize::try_from(*piece).unwrap_or(usize::MAX));
            ends.push(end);
        }
        end == self.text.len()
            && ends.iter().all(|end| self.text.is_char_boundary(*end))
            && self
                .parts
                .iter()
                .all(|(_, end)| *end == 0 || ends.binary_search(end).is_ok())
    }

    /// The piece of this number, which begins at `from`, with where it ends.
    fn piece(&self, number: usize, from: usize) -> Option<(PieceKind, &str, usize)> {
        let length = usize::try_from(*self.pieces.get(number)?).ok()?;
        let end = from.checked_add(length)?;
        let (kind, _) = self.parts.iter().find(|(_, end)| *end > from)?;
        Some((*kind, self.text.get(from..end)?, end))
    }
}

/// What is said in an item, part by part.
fn said<'a>(kind: &ItemKind, payload: &'a Value) -> Vec<(PieceKind, &'a str)> {
    let content = payload.get("content").and_then(Value::as_array);
    let parts = content.into_iter().flatten();
    let text = |value: &'a Value, name: &str| value.get(name).and_then(Value::as_str);
    match kind {
        ItemKind::Message(_) => parts
            .filter_map(|part| match text(part, "refusal") {
                Some(refusal) => Some((PieceKind::Refusal, refusal)),
                None => Some((PieceKind::Text, text(part, "text")?)),
            })
            .collect(),
        ItemKind::Typed(item_type) => match item_type.name() {
            "reasoning" => parts
                .filter_map(|part| Some((PieceKind::Reasoning, text(part, "text")?)))
                .collect(),
            "function_call" => text(payload, "arguments")
                .map(|arguments| (PieceKind::Arguments, arguments))
                .into_iter()
                .collect(),
            _ => Vec::new(),
        },
        ItemKind::Event => Vec::new(),
    }
}

/// What an item was when it began; none if no model makes such.
fn what(kind: &ItemKind, payload: &Value) -> Option<OutputKind> {
    let text = |name: &str| Some(payload.get(name)?.as_str()?.to_owned());
    match kind {
        ItemKind::Message(Role::Assistant) => Some(OutputKind::Message),
        ItemKind::Typed(item_type) => match item_type.name() {
            "reasoning" => Some(OutputKind::Reasoning),
            "function_call" => Some(OutputKind::FunctionCall {
                call_id: text("call_id")?,
                name: text("name")?,
            }),
            _ => None,
        },
        ItemKind::Message(_) | ItemKind::Event => None,
    }
}
