//! What a model is given to read: the newest part of what was said that it can take in.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::items::ItemDraft;
use super::super::{Service, fault};
use crate::fault::{Error, Fault, Noun};
use crate::ids::{ConversationId, ConversationRef, SectionId, TurnId};
use crate::limits::{CONTEXT_ITEMS_MAX, CONTEXT_TURNS_MAX, PAGE_ROWS_MAX};
use crate::model::{
    Cursor, Item, ItemContent, ItemFilter, ItemKind, ItemQuery, ItemRef, Order, Principal, Realm,
    Role, SeqRange, Turn,
};
use crate::upstream::{ModelMessage, ModelPart, ToolCall};

/// Items that are read at a time.
const ITEMS_AT_ONCE: u32 = if PAGE_ROWS_MAX < 200 {
    PAGE_ROWS_MAX
} else {
    200
};
/// What a model reads before a summary.
const SUMMARY_HEAD: &str = "What was said before this, summed up:\n\n";
/// Tokens that a message takes beside its text, and that an image is taken for.
const MESSAGE_TOKENS: u64 = 4;
const IMAGE_TOKENS: u64 = 800;

/// What happens where there is more than the model can read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest is left out.
    #[default]
    LeaveOut,
    /// It is an error, [`Fault::ContextTooLong`].
    Refuse,
}

/// What comes before a turn, the newest first.
pub(super) struct Past {
    newest_first: Vec<ModelMessage>,
    tokens_left: u64,
    overflow: Overflow,
    tokens_max: u64,
    is_full: bool,
    /// What is after this item and belongs to no turn is read last.
    unread_after: Option<u64>,
    /// What turns have said after that item, until what comes before it is added.
    held: Vec<ItemContent>,
}

/// What a turn reads that is not where it is stored.
pub(super) struct Source {
    pub(super) realm: Realm,
    pub(super) conversation: ConversationId,
    /// What is missing, to whoever asks, if it is deleted.
    pub(super) missing: Noun,
}

/// Where a page of what was said is read.
struct Stretch {
    realm: Realm,
    conversation: ConversationId,
    within: SeqRange,
    /// Only this section; the last of what is there if none.
    section: Option<SectionId>,
    /// Items from here on count only if they are of this turn.
    own: Option<(u64, TurnId)>,
}

impl Past {
    /// Nothing yet, with room for so many tokens.
    pub(super) const fn new(tokens_max: u64, overflow: Overflow) -> Self {
        Self {
            newest_first: Vec::new(),
            tokens_left: tokens_max,
            overflow,
            tokens_max,
            is_full: false,
            unread_after: None,
            held: Vec::new(),
        }
    }

    /// The same, where what is after this item waits for an answer: it comes behind the answers that were
    /// given meanwhile to what was before it.
    pub(super) const fn with_unread(mut self, unread_after: Option<u64>) -> Self {
        self.unread_after = unread_after;
        self
    }

    /// Adds an item of a conversation, the newest first.
    fn add_item(&mut self, item: &Item) -> Result<(), Error> {
        let is_after = self.unread_after.is_some_and(|after| item.seq > after);
        if is_after && item.turn.is_some() {
            self.held.push(item.content.clone());
            return Ok(());
        }
        if !is_after {
            self.release()?;
        }
        self.add(&item.content)
    }

    fn release(&mut self) -> Result<(), Error> {
        let mut held = std::mem::take(&mut self.held).into_iter();
        held.try_for_each(|content| self.add(&content))
    }

    /// Adds what came before all that is there; false if there is no room for it, or any more.
    fn add(&mut self, content: &ItemContent) -> Result<(), Error> {
        let Some(message) = message(content) else {
            return Ok(());
        };
        if self.is_full {
            return Ok(());
        }
        let tokens = tokens(&message);
        // The newest is always given: a model may well read more than was thought.
        if tokens > self.tokens_left && !self.newest_first.is_empty() {
            if self.overflow == Overflow::Refuse {
                let tokens_max = self.tokens_max;
                return Err(Fault::ContextTooLong { tokens_max }.into());
            }
            self.is_full = true;
            return Ok(());
        }
        self.tokens_left = self.tokens_left.saturating_sub(tokens);
        self.newest_first.push(message);
        Ok(())
    }

    /// Adds what a turn is asked, before all else is added.
    pub(super) fn add_input(&mut self, input: &[ItemDraft]) -> Result<(), Error> {
        let mut newest_first = input.iter().rev();
        newest_first.try_for_each(|item| self.add(&item.content))
    }

    /// The messages in their order, and the first call among them that has no output. Whatever makes no
    /// sense to a model without the rest is left out.
    pub(super) fn messages(mut self) -> (Vec<ModelMessage>, Option<String>) {
        self.newest_first.reverse();
        let mut messages = self.newest_first;
        let answered: BTreeSet<String> = messages.iter().filter_map(output_of).collect();
        let mut called = BTreeSet::new();
        let mut missing = None;
        messages.retain(|message| match message {
            ModelMessage::Called(call) if !answered.contains(&call.call_id) => {
                missing.get_or_insert_with(|| call.call_id.clone());
                false
            }
            ModelMessage::Called(call) => {
                called.insert(call.call_id.clone());
                true
            }
            ModelMessage::ToolOutput { call_id, .. } => called.contains(call_id),
            ModelMessage::Said { .. } => true,
        });
        (messages, missing)
    }
}

fn output_of(message: &ModelMessage) -> Option<String> {
    match message {
        ModelMessage::ToolOutput { call_id, .. } => Some(call_id.clone()),
        ModelMessage::Said { .. } | ModelMessage::Called(_) => None,
    }
}

impl Service {
    /// Adds what was said in a conversation's current section, and gives the sequence number that its next
    /// item gets.
    pub(super) async fn add_conversation(
        &self,
        who: &Principal,
        of: ConversationRef,
        past: &mut Past,
    ) -> Result<(ConversationId, u64), Error> {
        let conversation = self.conversation(who, of).await?;
        let stretch = Stretch {
            realm: who.realm,
            conversation: conversation.id,
            within: SeqRange::ALL,
            section: Some(conversation.section),
            own: None,
        };
        self.add_stretch(who, &stretch, past).await?;
        Ok((conversation.id, conversation.next_seq))
    }

    /// Adds what a turn said and was asked, and all that came before it, wherever that is: `reads` says where.
    pub(super) async fn add_chain(
        &self,
        who: &Principal,
        last: &Turn,
        past: &mut Past,
        reads: &mut Vec<Source>,
    ) -> Result<(), Error> {
        let mut turn = last.clone();
        for _ in 0..CONTEXT_TURNS_MAX {
            let stretch = Stretch::up_to(&turn);
            match self.add_stretch(who, &stretch, past).await {
                Ok(()) => reads.push(Source {
                    realm: turn.realm(),
                    conversation: turn.conversation,
                    missing: Noun::PreviousTurn,
                }),
                // Deleted meanwhile, or before: what was erased is not there to be read.
                Err(Error {
                    fault: Fault::NotFound(Noun::Conversation),
                    ..
                }) => return Ok(()),
                Err(error) => return Err(error),
            }
            if past.is_full || !turn.stands_alone() {
                return Ok(());
            }
            let Some(previous) = turn.record.previous else {
                return Ok(());
            };
            let found = self.store().turn(who, previous.into()).await;
            match found.map_err(fault)? {
                Some(found) => turn = found,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    async fn add_stretch(
        &self,
        who: &Principal,
        stretch: &Stretch,
        past: &mut Past,
    ) -> Result<(), Error> {
        self.read_stretch(who, stretch, past).await?;
        past.release()
    }

    async fn read_stretch(
        &self,
        who: &Principal,
        stretch: &Stretch,
        past: &mut Past,
    ) -> Result<(), Error> {
        let who = who.in_realm(stretch.realm);
        let mut query = ItemQuery {
            filter: ItemFilter::NoEvents,
            within: stretch.within,
            ..ItemQuery::first(Order::NewestFirst, ITEMS_AT_ONCE)
        };
        let (mut section, mut read) = (stretch.section, 0);
        loop {
            let page = self
                .items(&who, stretch.conversation.into(), &query)
                .await?;
            for item in page.rows.iter().filter(|item| stretch.has(item)) {
                // Where none is named it is that of what was said last.
                if *section.get_or_insert(item.section) != item.section {
                    return Ok(());
                }
                past.add_item(item)?;
            }
            read += page.rows.len();
            let last = page.rows.last().filter(|_| page.has_more);
            let (Some(last), false) = (last, past.is_full || read >= CONTEXT_ITEMS_MAX) else {
                return Ok(());
            };
            query.cursor = Cursor {
                after: Some(ItemRef::Seq(last.seq)),
                before: None,
            };
        }
    }
}

impl Stretch {
    /// What a turn said, was asked and could read.
    fn up_to(turn: &Turn) -> Self {
        Self {
            realm: turn.realm(),
            conversation: turn.conversation,
            within: SeqRange::ALL,
            section: None,
            own: Some((turn.output_seq.unwrap_or(turn.first_seq), turn.id)),
        }
    }

    fn has(&self, item: &Item) -> bool {
        match self.own {
            Some((from, turn)) => item.seq < from || item.turn == Some(turn),
            None => true,
        }
    }
}

/// What a model reads of an item; none of what only we, or the client, read.
fn message(content: &ItemContent) -> Option<ModelMessage> {
    let payload = content.payload.value();
    let text = |name: &str| payload.get(name).and_then(Value::as_str);
    match &content.kind {
        ItemKind::Message(role) => Some(ModelMessage::Said {
            role: *role,
            parts: parts(payload.get("content")),
        }),
        ItemKind::Event => None,
        ItemKind::Typed(item_type) => match item_type.name() {
            // A call that was cut off can neither be answered nor be read.
            "function_call" | "custom_tool_call" if text("status") == Some("incomplete") => None,
            "function_call" | "custom_tool_call" => Some(ModelMessage::Called(ToolCall {
                call_id: text("call_id")?.to_owned(),
                name: text("name")?.to_owned(),
                arguments: text("arguments").or_else(|| text("input"))?.to_owned(),
            })),
            "function_call_output" | "custom_tool_call_output" => Some(ModelMessage::ToolOutput {
                call_id: text("call_id")?.to_owned(),
                parts: parts(payload.get("output")),
            }),
            "compaction" => {
                let summary = ItemContent::compacted(text("encrypted_content")?)?;
                let said = format!("{SUMMARY_HEAD}{summary}");
                Some(ModelMessage::text(Role::Developer, said))
            }
            _ => None,
        },
    }
}

/// The parts of a message, or of what a tool gave.
fn parts(content: Option<&Value>) -> Vec<ModelPart> {
    match content {
        Some(Value::String(text)) => vec![ModelPart::Text(text.clone())],
        Some(Value::Array(parts)) => parts.iter().filter_map(part).collect(),
        _ => Vec::new(),
    }
}

fn part(part: &Value) -> Option<ModelPart> {
    let text = |name: &str| part.get(name).and_then(Value::as_str).map(str::to_owned);
    match part.get("type").and_then(Value::as_str)? {
        "input_image" => Some(ModelPart::Image {
            url: text("image_url")?,
            detail: text("detail"),
        }),
        "input_file" => Some(ModelPart::File {
            name: text("filename"),
            data: text("file_data")?,
        }),
        "input_audio" => {
            let audio = part.get("input_audio")?;
            let text = |name: &str| audio.get(name).and_then(Value::as_str).map(str::to_owned);
            Some(ModelPart::Audio {
                data: text("data")?,
                format: text("format")?,
            })
        }
        _ => text("text")
            .or_else(|| text("refusal"))
            .map(ModelPart::Text),
    }
}

/// About how many tokens a message takes: a token for four bytes of ASCII, one for every other character.
pub(super) fn tokens(message: &ModelMessage) -> u64 {
    let of_parts = |parts: &[ModelPart]| parts.iter().map(tokens_of_part).sum::<u64>();
    MESSAGE_TOKENS
        + match message {
            ModelMessage::Said { parts, .. } | ModelMessage::ToolOutput { parts, .. } => {
                of_parts(parts)
            }
            ModelMessage::Called(call) => text_tokens(&call.name) + text_tokens(&call.arguments),
        }
}

fn tokens_of_part(part: &ModelPart) -> u64 {
    match part {
        ModelPart::Text(text) => text_tokens(text),
        ModelPart::Image { .. } => IMAGE_TOKENS,
        // Base64 of sound or of a page of print: far fewer tokens than characters.
        ModelPart::File { data, .. } | ModelPart::Audio { data, .. } => text_tokens(data) / 16,
    }
}

/// About how many tokens a text takes.
pub(super) fn text_tokens(text: &str) -> u64 {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let others = text.chars().filter(|c| !c.is_ascii()).count();
    u64::try_from(ascii.div_ceil(4).saturating_add(others)).unwrap_or(u64::MAX)
}
