//! Chats on the wire: turns as Coze shows them.

use parlance_domain::service::{TurnEnd, TurnStream};
use parlance_domain::{
    AppId, ConversationId, ItemId, Json, Metadata, Native, SectionId, Timestamp, Turn, TurnId,
    TurnState, Usage,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Coze, convert, error};
use crate::kit::Dialect;

/// A chat: the vendor's `ChatV3ChatDetail`, in its order. Always with `last_error` and `usage`, which the
/// SDKs' examples read without asking.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Chat {
    id: String,
    conversation_id: String,
    bot_id: String,
    status: &'static str,
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_at: Option<i64>,
    meta_data: Map<String, Value>,
    last_error: LastError,
    section_id: String,
    usage: Tokens,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inserted_additional_messages: Vec<Inserted>,
}

#[derive(Clone, Debug, Default, Serialize)]
struct LastError {
    code: u32,
    msg: String,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Tokens {
    #[serde(rename = "token_count")]
    all: u64,
    #[serde(rename = "output_count")]
    output: u64,
    #[serde(rename = "input_count")]
    input: u64,
}

/// A message that came with the chat (`cozepy`'s `InsertedMessage`).
#[derive(Clone, Debug, Serialize)]
struct Inserted {
    id: String,
}

/// Where a chat takes place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The conversation.
    pub(super) conversation: ConversationId,
    /// The section of it.
    pub(super) section: SectionId,
    /// The bot.
    pub(super) bot: AppId,
}

impl Chat {
    /// One that has just been made.
    pub(super) fn created(turn: &TurnStream, place: &Place, meta_data: &Metadata) -> Self {
        Self::made(turn.turn, place, turn.started_at, meta_data, &turn.input)
    }

    /// One that was made then, with these messages.
    pub(super) fn made(
        turn: TurnId,
        place: &Place,
        at: Timestamp,
        meta_data: &Metadata,
        input: &[ItemId],
    ) -> Self {
        let id = |id: &ItemId| Inserted {
            id: convert::decimal(*id),
        };
        Self {
            inserted_additional_messages: input.iter().map(id).collect(),
            ..Self::new(turn, place, at, convert::pairs(meta_data))
        }
    }

    fn new(turn: TurnId, place: &Place, at: Timestamp, meta_data: Map<String, Value>) -> Self {
        Self {
            id: convert::decimal(turn),
            conversation_id: convert::decimal(place.conversation),
            bot_id: convert::decimal(place.bot),
            status: "created",
            created_at: at.seconds(),
            completed_at: None,
            failed_at: None,
            meta_data,
            last_error: LastError::default(),
            section_id: convert::decimal(place.section),
            usage: Tokens::default(),
            inserted_additional_messages: Vec::new(),
        }
    }

    /// A stored one, whichever dialect began it.
    pub(super) fn of(turn: &Turn, section: SectionId) -> Self {
        let place = Place {
            conversation: turn.conversation,
            section,
            bot: turn.app,
        };
        let kept = turn.record.native.as_ref().map_or_else(Map::new, kept);
        let chat = Self::new(turn.id, &place, turn.started_at, kept);
        let at = turn.finished_at.unwrap_or(turn.started_at);
        chat.told(turn.state, at, turn.usage, turn.record.error.as_deref())
    }

    /// The same, on its way. The answer to a chat that is not streamed has to be this: cozepy polls no
    /// other state.
    pub(super) fn in_progress(mut self) -> Self {
        self.status = "in_progress";
        self
    }

    /// The same at its end.
    pub(super) fn ended(self, end: &TurnEnd) -> Self {
        self.told(end.state, end.at, end.usage, end.error.as_deref())
    }

    /// An answer that was cut off is one like any other here: there is no word for it.
    fn told(mut self, state: TurnState, at: Timestamp, usage: Usage, said: Option<&str>) -> Self {
        let at = at.seconds();
        match state {
            TurnState::Running => return self.in_progress(),
            TurnState::Completed | TurnState::Incomplete(_) => {
                self.status = "completed";
                self.completed_at = Some(at);
            }
            TurnState::Cancelled => {
                self.status = "canceled";
                self.completed_at = Some(at);
            }
            TurnState::Failed(why) => {
                self.status = "failed";
                self.failed_at = Some(at);
                let (code, msg) = error::failure(why);
                let msg = said.unwrap_or(msg).to_owned();
                self.last_error = LastError { code, msg };
            }
        }
        self.usage = Tokens {
            all: usage.total(),
            output: usage.output_tokens,
            input: usage.input_tokens,
        };
        self
    }

    /// The start of its messages in a stream: which they belong to.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Its conversation's id.
    pub(super) fn conversation_id(&self) -> &str {
        &self.conversation_id
    }

    /// Its bot's id.
    pub(super) fn bot_id(&self) -> &str {
        &self.bot_id
    }

    /// Its section's id.
    pub(super) fn section_id(&self) -> &str {
        &self.section_id
    }
}

/// What is kept with a turn for this dialect: the `meta_data`, if there are any.
pub(super) fn native(meta_data: &Metadata) -> Option<Native> {
    (!meta_data.is_empty()).then(|| Native {
        dialect: Coze::NAME.to_owned(),
        json: Json::from(&json!({"meta_data": convert::pairs(meta_data)})),
    })
}

fn kept(native: &Native) -> Map<String, Value> {
    let own = (native.dialect == Coze::NAME).then(|| native.json.value());
    match own.as_ref().and_then(|own| own.get("meta_data")) {
        Some(Value::Object(pairs)) => pairs.clone(),
        _ => Map::new(),
    }
}
