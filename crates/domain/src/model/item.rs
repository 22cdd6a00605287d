//! Items: the entries of a conversation, in order.
//!
//! An item is kept in the form that OpenAI's Responses API gives it (`type` and whatever belongs to
//! that type), because that is the only vendor form that is an open union: 29 types today, and an
//! unknown one is kept as it came. Messages carry text; everything else is opaque here.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::fault::Reason;
use crate::ids::{ConversationId, Id, ItemId, Ref, SectionId, TurnId};
use crate::json::Json;
use crate::limits::ITEM_TYPE_CHARS_MAX;

/// What a summary begins with, so that one of another server's is not taken for ours.
const COMPACTION_MARK: &str = "parlance compaction 1\n";

/// Who speaks in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The person.
    User,
    /// The assistant.
    Assistant,
    /// The operator, in older words.
    System,
    /// The operator.
    Developer,
    /// Any of the roles that OpenAI's output knows besides: tool, critic, discriminator, unknown.
    Other,
}

impl Role {
    /// The name on the wire. [`Role::Other`] has several, which stand in the payload.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
            Self::Developer => "developer",
            Self::Other => "other",
        }
    }
}

/// The `type` of an item that is no message. Kept in the clear, so its alphabet is narrow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ItemType(Cow<'static, str>);

impl ItemType {
    /// What the model has thought.
    pub const REASONING: Self = Self(Cow::Borrowed("reasoning"));
    /// A call of a function.
    pub const FUNCTION_CALL: Self = Self(Cow::Borrowed("function_call"));
    /// A summary of what was said before.
    pub const COMPACTION: Self = Self(Cow::Borrowed("compaction"));
    /// What a function has given.
    pub const FUNCTION_CALL_OUTPUT: Self = Self(Cow::Borrowed("function_call_output"));

    /// Reads a type: letters, digits, `_`, `-` and `.`, 64 characters at most.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let got = text.chars().count();
        if got > ITEM_TYPE_CHARS_MAX {
            return Err(Reason::TooLong {
                max: ITEM_TYPE_CHARS_MAX,
                got,
            });
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if text.is_empty() || !text.bytes().all(plain) {
            return Err(Reason::Malformed {
                expected: "an item type",
            });
        }
        Ok(Self(Cow::Owned(text.to_owned())))
    }

    /// The text.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// What an item is; kept in the clear for filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// Somebody says something.
    Message(Role),
    /// One of OpenAI's other item types: a tool call, its output, reasoning.
    Typed(ItemType),
    /// An OpenHands event that is no message: a state change, a command, an observation. The payload
    /// is the event as that dialect writes it, without `id` and `timestamp`.
    Event,
}

impl ItemKind {
    /// The type's name as a client of OpenAI's would give it in a filter.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Message(_) => "message",
            Self::Typed(item_type) => item_type.name(),
            Self::Event => "event",
        }
    }
}

/// What only one dialect can show of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Native {
    /// The dialect's name.
    pub dialect: String,
    /// Whatever that dialect keeps.
    pub json: Json,
}

/// What an item says. Content, apart from the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemContent {
    /// What it is.
    pub kind: ItemKind,
    /// The item in the form of OpenAI's, without `id`; an event for [`ItemKind::Event`].
    pub payload: Json,
    /// What only the dialect that made it can show.
    pub native: Option<Native>,
}

impl ItemContent {
    /// A message of plain text.
    pub fn message(role: Role, text: &str) -> Self {
        let part = match role {
            Role::Assistant => {
                json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
            }
            Role::User | Role::System | Role::Developer | Role::Other => {
                json!({"type": "input_text", "text": text})
            }
        };
        let payload = json!({
            "type": "message", "status": "completed", "content": [part], "role": role.name(),
        });
        Self {
            kind: ItemKind::Message(role),
            payload: Json::from(&payload),
            native: None,
        }
    }

    /// A message of the assistant's, made of pieces of text (false) and refusals (true).
    pub fn answer(parts: &[(bool, String)], is_whole: bool) -> Self {
        let part = |(is_refusal, text): &(bool, String)| {
            if *is_refusal {
                json!({"type": "refusal", "refusal": text})
            } else {
                json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
            }
        };
        let content: Vec<Value> = parts.iter().map(part).collect();
        let payload = json!({
            "type": "message", "status": status(is_whole), "content": content, "role": "assistant",
        });
        Self {
            kind: ItemKind::Message(Role::Assistant),
            payload: Json::from(&payload),
            native: None,
        }
    }

    /// What the model has thought.
    pub fn reasoning(text: &str) -> Self {
        let payload = json!({
            "type": "reasoning", "summary": [],
            "content": [{"type": "reasoning_text", "text": text}],
        });
        Self::typed(ItemType::REASONING, &payload)
    }

    /// A call of a function that the model has made.
    pub fn function_call(call_id: &str, name: &str, arguments: &str, is_whole: bool) -> Self {
        let payload = json!({
            "type": "function_call", "status": status(is_whole),
            "arguments": arguments, "call_id": call_id, "name": name,
        });
        Self::typed(ItemType::FUNCTION_CALL, &payload)
    }

    /// A summary that stands for all that was said before it.
    ///
    /// Clients take what carries it for sealed and hand it back as it is. It is no more than encoded: whoever
    /// has it has been given what it sums up anyway, and a seal would be one more secret to lose.
    pub fn compaction(summary: &str) -> Self {
        let sealed = BASE64.encode([COMPACTION_MARK, summary].concat());
        let payload = json!({"type": "compaction", "encrypted_content": sealed});
        Self::typed(ItemType::COMPACTION, &payload)
    }

    /// What [`Self::compaction`] has been given, read from what carries it; none if it was made by others.
    pub fn compacted(sealed: &str) -> Option<String> {
        let text = String::from_utf8(BASE64.decode(sealed).ok()?).ok()?;
        text.strip_prefix(COMPACTION_MARK).map(str::to_owned)
    }

    fn typed(item_type: ItemType, payload: &Value) -> Self {
        Self {
            kind: ItemKind::Typed(item_type),
            payload: Json::from(payload),
            native: None,
        }
    }

    /// The text of a message, its parts put together; empty for everything else.
    pub fn text(&self) -> String {
        let ItemKind::Message(_) = self.kind else {
            return String::new();
        };
        let payload = self.payload.value();
        match payload.get("content") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => parts
                .iter()
                .filter_map(|part| part.get("text").or_else(|| part.get("refusal")))
                .filter_map(Value::as_str)
                .collect(),
            _ => String::new(),
        }
    }

    /// What the model has thought, its parts put together; empty for everything but reasoning.
    pub fn thought(&self) -> String {
        if self.kind != ItemKind::Typed(ItemType::REASONING) {
            return String::new();
        }
        let payload = self.payload.value();
        let parts = payload.get("content").and_then(Value::as_array);
        let texts = parts.into_iter().flatten();
        texts
            .filter_map(|part| part.get("text").and_then(Value::as_str))
            .collect()
    }

    /// What `dialect` itself keeps with the item.
    pub fn native_of(&self, dialect: &str) -> Option<&Json> {
        self.native
            .as_ref()
            .filter(|native| native.dialect == dialect)
            .map(|native| &native.json)
    }
}

const fn status(is_whole: bool) -> &'static str {
    if is_whole { "completed" } else { "incomplete" }
}

/// An item about to be added. Its id comes from the same source as all ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewItem {
    /// Its id.
    pub id: ItemId,
    /// The id that the client chose for it, unique in the conversation.
    pub alias: Option<String>,
    /// What it says.
    pub content: ItemContent,
}

/// An item of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its id, from which the time of its creation follows.
    pub id: ItemId,
    /// Its place: 0, 1, 2 … in the order of appending. Removed items leave holes.
    pub seq: u64,
    /// The section that it belongs to.
    pub section: SectionId,
    /// The turn that it came with.
    pub turn: Option<TurnId>,
    /// When it was last changed, if it was.
    pub modified_at: Option<Timestamp>,
    /// The id that the client chose for it. Content.
    pub alias: Option<String>,
    /// What it says.
    pub content: ItemContent,
}

impl Item {
    /// When it was added.
    pub fn created_at(&self) -> Timestamp {
        self.id.made_at()
    }
}

/// What a client wrote to name an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemRef {
    /// An id of ours, or a prefix of one.
    Id(Ref<ItemId>),
    /// An id that the client chose.
    Alias(String),
    /// A sequence number.
    Seq(u64),
}

impl From<ItemId> for ItemRef {
    fn from(id: ItemId) -> Self {
        Self::Id(id.into())
    }
}

impl ItemRef {
    /// Whether this names `item`.
    pub fn names(&self, item: &Item) -> bool {
        match self {
            Self::Id(id) => id.names(item.id),
            Self::Alias(alias) => item.alias.as_ref() == Some(alias),
            Self::Seq(seq) => item.seq == *seq,
        }
    }
}

/// The first section of a conversation: it has the conversation's bits.
pub fn first_section(conversation: ConversationId) -> SectionId {
    SectionId::from_bits(conversation.bits())
}
