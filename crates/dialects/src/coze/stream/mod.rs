//! Turns what happens in a turn into the events of a chat's stream: a pure state machine.
//!
//! Source: the vendor's page on `/v3/chat` and the recorded streams in cozepy's tests. Each event is one
//! line `event:` and one line `data:`, and nothing else is ever written: cozepy takes every other line for
//! a broken stream. The last event is `done`.

use parlance_domain::service::{Begun, PieceKind, TurnEnd, TurnEvent};
use parlance_domain::{Id, ItemKind, NewItem, TurnState};

use super::chat::Chat;
use super::{call, convert, error};
use crate::kit::sse::json_text;

/// What the vendor says when all answers of a chat are there.
const ANSWERED: &str =
    r#"{"msg_type":"generate_answer_finish","data":"","from_module":null,"from_unit":null}"#;

/// The encoder of one chat.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    /// The chat as it was made.
    chat: Chat,
    /// The id of the message that says that all answers are there.
    last_message: String,
    /// The event of a piece of the message that is being said, up to the piece.
    before: String,
    /// The rest of it.
    after: String,
    /// What was thought since the last answer.
    reasoning: String,
    over: bool,
}

impl Encoder {
    /// The encoder of a chat that has been made. `last_message` is an id that nothing has.
    pub(super) fn new(chat: Chat, last_message: String) -> Self {
        Self {
            chat,
            last_message,
            before: String::new(),
            after: String::new(),
            reasoning: String::new(),
            over: false,
        }
    }

    /// Whether the last event has been written.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// What is known as soon as the chat begins.
    pub(super) fn begin(&self) -> String {
        [
            told("conversation.chat.created", &self.chat),
            told(
                "conversation.chat.in_progress",
                &self.chat.clone().in_progress(),
            ),
        ]
        .concat()
    }

    /// What an event says to clients; nothing, if there is nothing for them in it.
    pub(super) fn take(&mut self, event: &TurnEvent) -> String {
        match event {
            TurnEvent::Begun(begun) => {
                self.open(begun);
                String::new()
            }
            TurnEvent::Piece { kind, text } => {
                let (before, after) = (&self.before, &self.after);
                match kind {
                    PieceKind::Text | PieceKind::Refusal => {
                        format!("{before}{}{after}", json_text(text))
                    }
                    PieceKind::Reasoning => {
                        self.reasoning.push_str(text);
                        let text = json_text(text);
                        format!("{before}\"\",\"reasoning_content\":{text}{after}")
                    }
                    // A call is told when it is complete.
                    PieceKind::Arguments => String::new(),
                }
            }
            TurnEvent::Done(item) => self.done(item),
            TurnEvent::Ended(end) => self.end(end),
        }
    }

    /// The end of a chat that has got lost without one.
    pub(super) fn lost(&mut self) -> String {
        self.over = true;
        let (code, msg) = error::LOST;
        [failed(code, msg), done()].concat()
    }

    fn open(&mut self, begun: &Begun) {
        let id = convert::decimal(begun.id);
        self.before = [
            "event:conversation.message.delta\ndata:",
            &self.head(&id, "answer"),
        ]
        .concat();
        self.after = [&self.tail(begun.id.made_at().seconds()), "\n\n"].concat();
    }

    /// A message up to its content.
    fn head(&self, id: &str, kind: &str) -> String {
        format!(
            r#"{{"id":"{id}","conversation_id":"{}","bot_id":"{}","role":"assistant","type":"{kind}","content":"#,
            self.chat.conversation_id(),
            self.chat.bot_id(),
        )
    }

    /// A message from its content on.
    fn tail(&self, created_at: i64) -> String {
        format!(
            r#","content_type":"text","chat_id":"{}","section_id":"{}","created_at":{created_at}}}"#,
            self.chat.id(),
            self.chat.section_id(),
        )
    }

    fn done(&mut self, item: &NewItem) -> String {
        let (kind, content) = match &item.content.kind {
            ItemKind::Message(_) => ("answer", item.content.text()),
            ItemKind::Typed(_) | ItemKind::Event => match call::shown(&item.content) {
                Some(shown) => shown,
                None => return String::new(),
            },
        };
        let id = convert::decimal(item.id);
        let mut content = json_text(&content);
        if kind == "answer" && !self.reasoning.is_empty() {
            content += ",\"reasoning_content\":";
            content += &json_text(&std::mem::take(&mut self.reasoning));
        }
        self.completed(&id, kind, &content, item.id.made_at().seconds())
    }

    fn completed(&self, id: &str, kind: &str, content: &str, created_at: i64) -> String {
        let message = [&self.head(id, kind), content, &self.tail(created_at)].concat();
        frame("conversation.message.completed", &message)
    }

    fn end(&mut self, end: &TurnEnd) -> String {
        self.over = true;
        if end.is_deleted {
            let (code, msg) = error::DELETED;
            return [failed(code, msg), done()].concat();
        }
        let chat = self.chat.clone().ended(end);
        let ended = match end.state {
            TurnState::Failed(_) => told("conversation.chat.failed", &chat),
            // No event says that a chat was canceled: its status does.
            TurnState::Cancelled | TurnState::Running => told("conversation.chat.completed", &chat),
            TurnState::Completed | TurnState::Incomplete(_) => {
                let at = end.at.seconds();
                let last = self.completed(&self.last_message, "verbose", &json_text(ANSWERED), at);
                [last, told("conversation.chat.completed", &chat)].concat()
            }
        };
        [ended, done()].concat()
    }
}

fn told(event: &str, chat: &Chat) -> String {
    // A chat is strings and numbers, which always have a text.
    frame(event, &serde_json::to_string(chat).unwrap_or_default())
}

fn failed(code: u32, msg: &str) -> String {
    let msg = json_text(msg);
    frame("error", &format!(r#"{{"code":{code},"msg":{msg}}}"#))
}

fn done() -> String {
    frame("done", "\"[DONE]\"")
}

fn frame(event: &str, data: &str) -> String {
    format!("event:{event}\ndata:{data}\n\n")
}

#[cfg(test)]
mod tests;
