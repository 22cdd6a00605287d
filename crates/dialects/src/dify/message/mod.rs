//! Messages as Dify has them: a question and its answer in one.
//!
//! Invariant: every item of the dialogue is in exactly one message. A question without an answer is
//! a message with an empty answer; an answer without a question is a message with an empty question
//! and has its own id.

use parlance_domain::{
    Conversation, Id, Item, ItemId, ItemKind, Role, Timestamp, Turn, TurnId, TurnState,
};
use serde_json::{Value, json};

use super::{convert, run};
use crate::dify::Dify;
use crate::kit::Dialect;

/// What Dify writes where a message has no parent, as all of this API's.
const NO_PARENT: &str = "00000000-0000-0000-0000-000000000000";

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A question, and its answer if there is one.
    Asked {
        /// The question.
        question: Item,
        /// The answer.
        answer: Option<Item>,
    },
    /// An answer that nobody asked for.
    Unasked(Item),
}

impl Message {
    /// The item that the message has its id, its time and its turn from.
    pub(super) fn head(&self) -> &Item {
        match self {
            Self::Asked { question, .. } => question,
            Self::Unasked(answer) => answer,
        }
    }
}

/// Items that a page of so many messages may consist of.
pub(super) const fn items_max(messages_max: u32) -> u32 {
    // A message is two items at most, so with so many items the last message is always whole.
    messages_max * 2
}

/// Makes the newest messages, at most so many, of a dialogue's items, newest first. Tells whether
/// items are left.
pub(super) fn pair(newest_first: Vec<Item>, messages_max: u32) -> (Vec<Message>, bool) {
    let mut items = newest_first.into_iter().peekable();
    let mut messages = Vec::new();
    for _ in 0..messages_max {
        let Some(item) = items.next() else {
            break;
        };
        let message = if is_question(&item) {
            Message::Asked {
                question: item,
                answer: None,
            }
        } else {
            match items.next_if(is_question) {
                Some(question) => Message::Asked {
                    question,
                    answer: Some(item),
                },
                None => Message::Unasked(item),
            }
        };
        messages.push(message);
    }
    (messages, items.peek().is_some())
}

/// Whether an item is something the user said.
pub(super) fn is_question(item: &Item) -> bool {
    item.content.kind == ItemKind::Message(Role::User)
}

/// Whether an item is something the assistant said.
pub(super) fn is_answer(item: &Item) -> bool {
    item.content.kind == ItemKind::Message(Role::Assistant)
}

/// Whether an id that names nothing any more may have named an item of the conversation: it has our
/// form, and lies between the conversation's beginning and now. Items leave no trace when they are
/// deleted, so nothing better can be known.
pub(super) fn may_have_been(id: ItemId, of: &Conversation, now: Timestamp) -> bool {
    let version = (id.bits() >> 76) & 0xf;
    version == 7 && id.bits() > of.id.bits() && id.made_at() <= now
}

/// The turns of messages, each once.
pub(super) fn turns(messages: &[Message]) -> Vec<TurnId> {
    let mut turns: Vec<TurnId> = messages
        .iter()
        .filter_map(|message| message.head().turn)
        .collect();
    turns.sort_unstable();
    turns.dedup();
    turns
}

/// A message on the wire (`api/fields/message_fields.py`, `MessageListItem`).
pub(super) fn render(message: &Message, of: &Conversation, turns: &[Turn]) -> Value {
    let head = message.head();
    let (query, answer) = match message {
        Message::Asked { question, answer } => {
            let answer = answer.as_ref().map(|answer| answer.content.text());
            (question.content.text(), answer.unwrap_or_default())
        }
        Message::Unasked(answer) => (String::new(), answer.content.text()),
    };
    let turn = turns.iter().find(|turn| Some(turn.id) == head.turn);
    let usage = turn.map(|turn| turn.usage).unwrap_or_default();
    let latency = turn.and_then(|turn| Some(run::seconds(turn.started_at, turn.finished_at?)));
    let error = turn.and_then(|turn| match turn.state {
        TurnState::Failed(why) => {
            let record = &turn.record;
            Some(run::failure(why, &record.model, record.error.as_deref()))
        }
        TurnState::Running
        | TurnState::Completed
        | TurnState::Incomplete(_)
        | TurnState::Cancelled => None,
    });
    json!({
        "id": head.id.dashed(),
        "conversation_id": of.id.dashed(),
        "parent_message_id": NO_PARENT,
        "inputs": convert::inputs(head.content.native_of(Dify::NAME)),
        "query": query,
        "answer": answer,
        "feedback": null,
        "retriever_resources": [],
        "created_at": head.created_at().seconds(),
        "agent_thoughts": [],
        "message_files": [],
        "message_tokens": usage.input_tokens,
        "answer_tokens": usage.output_tokens,
        "provider_response_latency": latency.unwrap_or(0.0),
        "total_price": turn.map(|_| run::PRICE),
        "currency": run::CURRENCY,
        "status": if error.is_some() { "error" } else { "normal" },
        "error": error,
        "extra_contents": [],
        "total_tokens": usage.input_tokens + usage.output_tokens,
    })
}

#[cfg(test)]
mod tests;
