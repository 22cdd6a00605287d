//! The events of a response as OpenAI streams them: a pure state machine, from what happens in a turn to frames.
//! Nothing in it is left to chance or to the clock, so that a response that is read again comes in the very same
//! bytes.
//!
//! Sources: recorded traces (`basic_streaming`, `reasoning_streaming` ...) for the order and the order of fields; the
//! specification for calls of functions, refusals and what was thought, of which there is no trace.

use parlance_domain::service::{OutputKind, PieceKind, TurnEvent};
use parlance_domain::{Id, ItemKind, ItemType, Json, Role};
use serde::Serialize;
use serde_json::{Value, json};

use super::object::{self, Form, Head, Standing};
use crate::openai::{convert, error, item};

/// What is sent in silence, so that nobody on the way takes the connection for dead. The vendor's SDKs read over it.
pub(in crate::openai) const KEEP_ALIVE: &str = ": keep-alive\n\n";
/// Pieces are filled up to a multiple of so many characters: recorded.
const OBFUSCATED_CHARS: usize = 16;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789AB";

/// Writes the events of one response.
pub(in crate::openai) struct Encoder {
    head: Head,
    obfuscates: bool,
    /// Events up to this one are counted, and left out.
    after: Option<u64>,
    next: u64,
    open: Option<Open>,
    is_over: bool,
}

/// The item that is being said.
struct Open {
    index: usize,
    id: String,
    /// How many parts it has had.
    parts: usize,
    part: Option<Part>,
}

struct Part {
    kind: PieceKind,
    text: String,
}

impl Encoder {
    /// An encoder that has written nothing yet. `after` is the last event that the client has already.
    pub(in crate::openai) const fn new(head: Head, obfuscates: bool, after: Option<u64>) -> Self {
        Self {
            head,
            obfuscates,
            after,
            next: 0,
            open: None,
            is_over: false,
        }
    }

    /// Whether the last event is written.
    pub(in crate::openai) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// The response begins.
    pub(in crate::openai) fn begin(&mut self, out: &mut Vec<u8>) {
        if self.head.kept.background {
            self.lifecycle("response.created", &Standing::open("queued"), out);
            self.lifecycle("response.queued", &Standing::open("queued"), out);
        } else {
            self.lifecycle("response.created", &Standing::open("in_progress"), out);
        }
        self.lifecycle("response.in_progress", &Standing::open("in_progress"), out);
    }

    /// Something happens in the turn.
    pub(in crate::openai) fn take(&mut self, event: &TurnEvent, out: &mut Vec<u8>) {
        match event {
            TurnEvent::Begun(begun) => {
                let id = item::name(&kind(&begun.what), begun.id);
                let first = first_form(&id, &begun.what);
                self.begin_item(begun.index, id, &first, out);
            }
            TurnEvent::Piece { kind, text } => self.piece(*kind, text, out),
            TurnEvent::Done(item) => self.end_item(&item::render_new(item), out),
            TurnEvent::Ended(end) if end.is_deleted => {
                let id = convert::response_text(self.head.turn);
                let said = format!("Response with id '{id}' not found.");
                self.error("response_not_found", &said, out);
            }
            TurnEvent::Ended(end) => self.end(&Standing::ended(end), out),
        }
    }

    /// An item of the output begins. `first` is how it looks before anything is said.
    pub(super) fn begin_item(
        &mut self,
        index: usize,
        id: String,
        first: &Value,
        out: &mut Vec<u8>,
    ) {
        self.event("response.output_item.added", out, |out| {
            number(out, "output_index", index);
            field(out, "item", first);
        });
        self.open = Some(Open {
            index,
            id,
            parts: 0,
            part: None,
        });
    }

    /// The next piece of the item.
    pub(super) fn piece(&mut self, kind: PieceKind, text: &str, out: &mut Vec<u8>) {
        let Some(mut open) = self.open.take() else {
            return;
        };
        if kind == PieceKind::Arguments {
            self.delta(
                "response.function_call_arguments.delta",
                &open,
                kind,
                text,
                out,
            );
            self.open = Some(open);
            return;
        }
        if open.part.as_ref().is_some_and(|part| part.kind != kind) {
            self.end_part(&mut open, out);
        }
        if open.part.is_none() {
            let empty = part(kind, "");
            self.event("response.content_part.added", out, |out| {
                open.place(out);
                field(out, "part", &empty);
            });
            open.part = Some(Part {
                kind,
                text: String::new(),
            });
        }
        let name = match kind {
            PieceKind::Refusal => "response.refusal.delta",
            PieceKind::Reasoning => "response.reasoning_text.delta",
            PieceKind::Text | PieceKind::Arguments => "response.output_text.delta",
        };
        self.delta(name, &open, kind, text, out);
        if let Some(part) = &mut open.part {
            part.text.push_str(text);
        }
        self.open = Some(open);
    }

    /// The item is done.
    pub(super) fn end_item(&mut self, item: &Json, out: &mut Vec<u8>) {
        let Some(mut open) = self.open.take() else {
            return;
        };
        self.end_part(&mut open, out);
        let tree = item.value();
        if tree.get("type").and_then(Value::as_str) == Some("function_call") {
            self.event("response.function_call_arguments.done", out, |out| {
                field(out, "item_id", &open.id);
                number(out, "output_index", open.index);
                field(out, "name", &tree.get("name"));
                field(out, "arguments", &tree.get("arguments"));
            });
        }
        self.event("response.output_item.done", out, |out| {
            number(out, "output_index", open.index);
            field(out, "item", item);
        });
    }

    /// The response is over.
    pub(super) fn end(&mut self, standing: &Standing, out: &mut Vec<u8>) {
        self.lifecycle(standing.last_event(), standing, out);
        self.is_over = true;
    }

    /// Nobody tells any more how it goes on.
    pub(in crate::openai) fn lost(&mut self, out: &mut Vec<u8>) {
        self.error("server_error", error::INTERNAL, out);
    }

    fn error(&mut self, code: &str, message: &str, out: &mut Vec<u8>) {
        self.event("error", out, |out| {
            field(out, "code", code);
            field(out, "message", message);
            field(out, "param", &None::<&str>);
        });
        self.is_over = true;
    }

    fn lifecycle(&mut self, name: &str, standing: &Standing, out: &mut Vec<u8>) {
        let mut response = Vec::new();
        field(
            &mut response,
            "response",
            &object::response(&self.head, standing, Form::Event),
        );
        self.event(name, out, |out| out.append(&mut response));
    }

    fn delta(&mut self, name: &str, open: &Open, kind: PieceKind, text: &str, out: &mut Vec<u8>) {
        let (turn, sequence, obfuscates) = (self.head.turn.bits(), self.next, self.obfuscates);
        self.event(name, out, |out| {
            if kind == PieceKind::Arguments {
                field(out, "item_id", &open.id);
                number(out, "output_index", open.index);
            } else {
                open.place(out);
            }
            field(out, "delta", text);
            if kind == PieceKind::Text {
                out.extend_from_slice(b",\"logprobs\":[]");
            }
            if obfuscates {
                out.extend_from_slice(b",\"obfuscation\":\"");
                obfuscate(out, turn, sequence, text);
                out.push(b'"');
            }
        });
    }

    fn end_part(&mut self, open: &mut Open, out: &mut Vec<u8>) {
        let Some(ended) = open.part.take() else {
            return;
        };
        let (name, key) = match ended.kind {
            PieceKind::Refusal => ("response.refusal.done", "refusal"),
            PieceKind::Reasoning => ("response.reasoning_text.done", "text"),
            PieceKind::Text | PieceKind::Arguments => ("response.output_text.done", "text"),
        };
        self.event(name, out, |out| {
            open.place(out);
            field(out, key, &ended.text);
            if ended.kind == PieceKind::Text {
                out.extend_from_slice(b",\"logprobs\":[]");
            }
        });
        let whole = part(ended.kind, &ended.text);
        self.event("response.content_part.done", out, |out| {
            open.place(out);
            field(out, "part", &whole);
        });
        open.parts += 1;
    }

    /// One frame; `rest` writes what it says beside its name and number.
    fn event(&mut self, name: &str, out: &mut Vec<u8>, rest: impl FnOnce(&mut Vec<u8>)) {
        let number = self.next;
        self.next += 1;
        if self.after.is_some_and(|after| number <= after) {
            return;
        }
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\ndata: {\"type\":\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\",\"sequence_number\":");
        write_json(out, &number);
        rest(out);
        out.extend_from_slice(b"}\n\n");
    }
}

impl Open {
    /// Where its part is.
    fn place(&self, out: &mut Vec<u8>) {
        field(out, "item_id", &self.id);
        number(out, "output_index", self.index);
        number(out, "content_index", self.parts);
    }
}

/// What kind of item a piece of output becomes.
fn kind(what: &OutputKind) -> ItemKind {
    match what {
        OutputKind::Message => ItemKind::Message(Role::Assistant),
        OutputKind::Reasoning => ItemKind::Typed(ItemType::REASONING),
        OutputKind::FunctionCall { .. } => ItemKind::Typed(ItemType::FUNCTION_CALL),
    }
}

/// An item before anything of it is said.
pub(super) fn first_form(id: &str, what: &OutputKind) -> Value {
    match what {
        OutputKind::Message => json!({
            "id": id, "type": "message", "status": "in_progress", "content": [], "role": "assistant",
        }),
        OutputKind::Reasoning => json!({"id": id, "type": "reasoning", "summary": []}),
        OutputKind::FunctionCall { call_id, name } => json!({
            "id": id, "type": "function_call", "status": "in_progress", "arguments": "",
            "call_id": call_id, "name": name,
        }),
    }
}

fn part(kind: PieceKind, text: &str) -> Value {
    match kind {
        PieceKind::Refusal => json!({"type": "refusal", "refusal": text}),
        PieceKind::Reasoning => json!({"type": "reasoning_text", "text": text}),
        PieceKind::Text | PieceKind::Arguments => {
            json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
        }
    }
}

fn number(out: &mut Vec<u8>, name: &str, value: usize) {
    field(out, name, &value);
}

fn field<T: Serialize + ?Sized>(out: &mut Vec<u8>, name: &str, value: &T) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    write_json(out, value);
}

fn write_json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let before = out.len();
    // What is written here always has a text, and memory takes it.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(before);
        out.extend_from_slice(b"null");
    }
}

/// Fills a piece up, so that nobody who sees no more than the lengths of frames learns what was said. What it is
/// filled with need not be secret, and has to be the same whenever the response is read.
fn obfuscate(out: &mut Vec<u8>, turn: u128, sequence: u64, text: &str) {
    let chars = text.chars().count();
    let mut state = u64::try_from(turn & u128::from(u64::MAX)).unwrap_or_default() ^ sequence;
    for _ in 0..OBFUSCATED_CHARS - chars % OBFUSCATED_CHARS {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let at = usize::try_from(mixed >> 58).unwrap_or_default();
        out.push(ALPHABET.get(at).copied().unwrap_or(b'A'));
    }
}
