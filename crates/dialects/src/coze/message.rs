//! Messages between the wire and the domain.
//!
//! A message of plain text is kept in the domain's form alone. What only Coze can show, the text of an
//! `object_string` and `meta_data`, is kept beside it; the text and the attachments are in the
//! domain's form all the same, so that the other dialects show them.

use parlance_domain::{
    Conversation, ConversationId, Error, Fault, Item, ItemContent, ItemKind, Json, Metadata,
    Native, Reason, Role, Turn,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Coze, call, convert};
use crate::kit::Dialect;
use crate::kit::fields::{Fields, kind};
use crate::kit::raw::RawObject;

/// Most messages in a new conversation (the vendor's YAML: "at most 16").
const MESSAGES_MAX: usize = 16;
const TEXT: &str = "text";
const OBJECT_STRING: &str = "object_string";
const CONTENT_TYPES: &[&str] = &[TEXT, OBJECT_STRING];
const ROLES: &[&str] = &["user", "assistant"];
/// What cannot be added to a message with which another dialect keeps something: Dify's inputs.
const OTHERS: &str = "meta_data or attachments on this message, which belongs to another dialect";
const PARTS: &[&str] = &[TEXT, "file", "image", "audio"];

/// What a body says in a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The text; none in a message of attachments alone.
    text: Option<String>,
    /// The attachments, in the domain's form.
    attachments: Vec<Value>,
    /// The whole of an `object_string`, as it came.
    object: Option<String>,
}

/// What a body changes in a message. At least one of both is there.
#[derive(Clone, Debug)]
pub(super) struct Change {
    said: Option<Said>,
    meta_data: Option<Metadata>,
}

/// The `messages` of a new conversation. Their `type` means something in chats alone.
pub(super) fn entered(fields: &Fields<'_>) -> Result<Vec<ItemContent>, Error> {
    each(fields, "messages", MESSAGES_MAX, entry)
}

/// A list of messages that a client enters, each read by `read`.
pub(super) fn each(
    fields: &Fields<'_>,
    field: &str,
    max: usize,
    mut read: impl FnMut(&Fields<'_>) -> Result<ItemContent, Error>,
) -> Result<Vec<ItemContent>, Error> {
    let Some(messages) = fields.array(field)? else {
        return Ok(Vec::new());
    };
    let got = messages.len();
    if got > max {
        return Err(fields.error(field, Reason::TooMany { max, got }));
    }
    let read = |(at, message)| {
        let at = format!("{field}[{at}]");
        let prefix = format!("{at}.");
        read(&Fields::inside(object(message, &at)?, &prefix))
    };
    messages.iter().enumerate().map(read).collect()
}

/// An `EnterMessage`, of which only the role is required.
pub(super) fn entry(fields: &Fields<'_>) -> Result<ItemContent, Error> {
    let role = role(fields)?;
    let content_type = match (content_type(fields)?, fields.get("content")) {
        (Some(given), _) => given,
        (None, Some(Value::Array(_))) => OBJECT_STRING,
        (None, _) => TEXT,
    };
    let said = match fields.get("content") {
        None => Said::default(),
        Some(content) => said(fields, content, content_type, role)?,
    };
    Ok(content(role, said, convert::meta_data(fields)?.as_ref()))
}

/// The body of `message/create`.
pub(super) fn created(fields: &Fields<'_>) -> Result<ItemContent, Error> {
    let role = role(fields)?;
    let missing = |field| fields.error(field, Reason::Missing);
    let given = fields.get("content").ok_or_else(|| missing("content"))?;
    let content_type = content_type(fields)?.ok_or_else(|| missing("content_type"))?;
    let said = said(fields, given, content_type, role)?;
    Ok(content(role, said, convert::meta_data(fields)?.as_ref()))
}

/// The body of `message/modify`. Empty content is none and empty `meta_data` alone are none either:
/// the vendor's "meta_data and content must not both be empty".
pub(super) fn change(fields: &Fields<'_>) -> Result<Change, Error> {
    let meta_data = convert::meta_data(fields)?;
    let given = fields
        .get("content")
        .filter(|content| content.as_str() != Some(""));
    let Some(given) = given else {
        return match meta_data {
            Some(meta_data) if !meta_data.is_empty() => Ok(Change {
                said: None,
                meta_data: Some(meta_data),
            }),
            Some(_) | None => Err(fields.error("content", Reason::Missing)),
        };
    };
    let missing = || fields.error("content_type", Reason::Missing);
    let content_type = content_type(fields)?.ok_or_else(missing)?;
    // Who speaks is known only when the message has been read.
    let said = said(fields, given, content_type, Role::User)?;
    Ok(Change {
        said: Some(said),
        meta_data,
    })
}

impl Change {
    /// What the message says when it is changed. Whatever else the domain's form of it holds stays.
    pub(super) fn apply(&self, old: &ItemContent, role: Role) -> Result<ItemContent, Error> {
        let mut kept = Kept::of(old);
        let mut payload = old.payload.clone();
        if let Some(said) = &self.said {
            if role == Role::Assistant && said.object.is_some() {
                return Err(Error::invalid("content_type", text_only()));
            }
            kept.object.clone_from(&said.object);
            payload = replaced(&payload, &self::payload(role, said));
        }
        if let Some(meta_data) = &self.meta_data {
            kept.meta_data = convert::pairs(meta_data);
        }
        let foreign = old
            .native
            .as_ref()
            .filter(|native| native.dialect != Coze::NAME);
        let native = match (kept.native(), foreign) {
            // An item has room for what one dialect keeps, and that of the other must not be lost.
            (Some(_), Some(_)) => return Err(Fault::Unsupported { feature: OTHERS }.into()),
            (own, foreign) => own.or_else(|| foreign.cloned()),
        };
        Ok(ItemContent {
            kind: old.kind.clone(),
            payload,
            native,
        })
    }
}

/// The old payload with the new one's content.
fn replaced(old: &Json, new: &Json) -> Json {
    let content = new.value().get("content").map(Json::from);
    let (Some(mut payload), Some(content)) = (RawObject::parse(old.text()), content) else {
        return new.clone();
    };
    payload.set("content", content);
    Json::of(&payload).unwrap_or_else(|_| new.clone())
}

fn content(role: Role, said: Said, meta_data: Option<&Metadata>) -> ItemContent {
    let payload = payload(role, &said);
    let kept = Kept {
        object: said.object,
        meta_data: meta_data.map(convert::pairs).unwrap_or_default(),
    };
    ItemContent {
        kind: ItemKind::Message(role),
        payload,
        native: kept.native(),
    }
}

/// The domain's form: the text first, then the attachments.
fn payload(role: Role, said: &Said) -> Json {
    let plain = ItemContent::message(role, said.text.as_deref().unwrap_or_default()).payload;
    if said.attachments.is_empty() {
        return plain;
    }
    let mut value = plain.value();
    if let Some(Value::Array(parts)) = value.get_mut("content") {
        if said.text.is_none() {
            parts.clear();
        }
        parts.extend(said.attachments.iter().cloned());
    }
    Json::from(&value)
}

fn object<'a>(value: &'a Value, at: &str) -> Result<&'a Map<String, Value>, Error> {
    let wrong = || Reason::WrongType {
        expected: "an object",
        got: kind(value),
    };
    value.as_object().ok_or_else(|| Error::invalid(at, wrong()))
}

fn role(fields: &Fields<'_>) -> Result<Role, Error> {
    match fields.required_string("role")? {
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        other => Err(fields.error("role", not_one_of(other, ROLES))),
    }
}

/// The `content_type` of a body; an empty one is none.
fn content_type(fields: &Fields<'_>) -> Result<Option<&'static str>, Error> {
    match fields.string("content_type")? {
        None | Some("") => Ok(None),
        Some(TEXT) => Ok(Some(TEXT)),
        Some(OBJECT_STRING) => Ok(Some(OBJECT_STRING)),
        Some(other) => Err(fields.error("content_type", not_one_of(other, CONTENT_TYPES))),
    }
}

fn not_one_of(got: &str, allowed: &'static [&'static str]) -> Reason {
    let got = got.to_owned();
    Reason::NotOneOf { got, allowed }
}

/// The assistant's messages are text only.
fn text_only() -> Reason {
    not_one_of(OBJECT_STRING, &[TEXT])
}

/// The `content` of a body. An `object_string` is the JSON text of a list of parts; `@coze/api` sends
/// the list itself.
fn said(
    fields: &Fields<'_>,
    content: &Value,
    content_type: &str,
    role: Role,
) -> Result<Said, Error> {
    let wrong = |expected| Reason::WrongType {
        expected,
        got: kind(content),
    };
    if content_type == TEXT {
        let text = content.as_str();
        let text = text.ok_or_else(|| fields.error("content", wrong("a string")))?;
        return Ok(Said {
            text: Some(text.to_owned()),
            ..Said::default()
        });
    }
    if role == Role::Assistant {
        return Err(fields.error("content_type", text_only()));
    }
    let expected = "the JSON text of an array of content parts";
    let (object, parts) = match content {
        Value::String(text) => (text.clone(), serde_json::from_str(text).ok()),
        Value::Array(parts) => (content.to_string(), Some(parts.clone())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return Err(fields.error("content", wrong("a string")));
        }
    };
    let parts: Vec<Value> =
        parts.ok_or_else(|| fields.error("content", Reason::Malformed { expected }))?;
    let mut said = read_parts(&parts, &fields.name("content"))?;
    said.object = Some(object);
    Ok(said)
}

/// The parts of an `object_string`: one text at most, and only beside an attachment.
fn read_parts(parts: &[Value], at: &str) -> Result<Said, Error> {
    let mut said = Said::default();
    for (number, part) in parts.iter().enumerate() {
        let name = format!("{at}[{number}]");
        let prefix = format!("{name}.");
        let fields = Fields::inside(object(part, &name)?, &prefix);
        match fields.required_string("type")? {
            TEXT => {
                let text = fields.required_string("text")?;
                if said.text.replace(text.to_owned()).is_some() {
                    let why = Reason::TooMany { max: 1, got: 2 };
                    return Err(fields.error("text", why));
                }
            }
            part_type if PARTS.contains(&part_type) => {
                said.attachments.push(attachment(&fields, part_type)?);
            }
            other => return Err(fields.error("type", not_one_of(other, PARTS))),
        }
    }
    if said.attachments.is_empty() {
        let expected = "at least one part of type file, image or audio";
        return Err(Error::invalid(at, Reason::Malformed { expected }));
    }
    Ok(said)
}

/// An attachment in the domain's form, by its id or its address.
fn attachment(fields: &Fields<'_>, part_type: &str) -> Result<Value, Error> {
    let id = convert::id_text(fields, "file_id")?;
    let url = fields.string("file_url")?.filter(|url| !url.is_empty());
    match (part_type, id, url) {
        (_, None, None) => Err(fields.error("file_id", Reason::Missing)),
        ("image", Some(id), _) => Ok(json!({
            "type": "input_image", "detail": "auto", "file_id": id,
        })),
        ("image", None, Some(url)) => Ok(json!({
            "type": "input_image", "detail": "auto", "image_url": url,
        })),
        (_, Some(id), _) => Ok(json!({"type": "input_file", "file_id": id})),
        (_, None, Some(url)) => Ok(json!({"type": "input_file", "file_url": url})),
    }
}

/// What is kept beside the domain's form.
#[derive(Debug, Default)]
struct Kept {
    object: Option<String>,
    meta_data: Map<String, Value>,
}

impl Kept {
    fn of(content: &ItemContent) -> Self {
        let native = content.native_of(Coze::NAME).map(Json::value);
        let Some(Value::Object(mut native)) = native else {
            return Self::default();
        };
        let object = match native.remove("content") {
            Some(Value::String(object)) => Some(object),
            _ => None,
        };
        let meta_data = match native.remove("meta_data") {
            Some(Value::Object(pairs)) => pairs,
            _ => Map::new(),
        };
        Self { object, meta_data }
    }

    /// None where the domain's form says it all.
    fn native(self) -> Option<Native> {
        let mut kept = Map::new();
        if let Some(object) = self.object {
            kept.insert("content".to_owned(), object.into());
            kept.insert("content_type".to_owned(), OBJECT_STRING.into());
        }
        if !self.meta_data.is_empty() {
            kept.insert("meta_data".to_owned(), self.meta_data.into());
        }
        (!kept.is_empty()).then(|| Native {
            dialect: Coze::NAME.to_owned(),
            json: Json::from(&Value::Object(kept)),
        })
    }
}

/// A message on the wire: the vendor's `OpenMessageApi`, always complete.
#[derive(Serialize)]
pub(super) struct Message {
    id: String,
    conversation_id: String,
    bot_id: String,
    chat_id: String,
    section_id: String,
    meta_data: Map<String, Value>,
    role: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    content: String,
    content_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl Message {
    /// A message of a conversation. Only what came of a chat has a bot, a chat and a type.
    pub(super) fn of(item: &Item, conversation: &Conversation) -> Self {
        let mut message = Self::added(item, conversation.id);
        if let Some(turn) = item.turn {
            message.bot_id = convert::decimal(conversation.app);
            message.chat_id = convert::decimal(turn);
            message.kind = match speaker(item) {
                Some(Role::Assistant) => "answer",
                Some(Role::User | Role::System | Role::Developer | Role::Other) | None => {
                    "question"
                }
            };
        }
        message
    }

    /// A message that a client has just added.
    pub(super) fn added(item: &Item, conversation: ConversationId) -> Self {
        let kept = Kept::of(&item.content);
        let content_type = match kept.object {
            Some(_) => OBJECT_STRING,
            None => TEXT,
        };
        let changed = item.modified_at.unwrap_or_else(|| item.created_at());
        Self {
            id: convert::decimal(item.id),
            conversation_id: convert::decimal(conversation),
            bot_id: String::new(),
            chat_id: String::new(),
            section_id: convert::decimal(item.section),
            meta_data: kept.meta_data,
            role: speaker(item).unwrap_or(Role::User).name(),
            kind: "",
            content: kept.object.unwrap_or_else(|| item.content.text()),
            content_type,
            reasoning_content: None,
            created_at: item.created_at().seconds(),
            updated_at: changed.seconds(),
        }
    }

    /// What a chat has said: an answer with what was thought before it, a call of a tool, what that gave.
    /// None for what Coze does not show.
    pub(super) fn of_chat(item: &Item, turn: &Turn, reasoning: Option<String>) -> Option<Self> {
        let (kind, content) = match speaker(item) {
            Some(Role::Assistant) => ("answer", item.content.text()),
            Some(_) => return None,
            None => call::shown(&item.content)?,
        };
        Some(Self {
            bot_id: convert::decimal(turn.app),
            chat_id: convert::decimal(turn.id),
            role: Role::Assistant.name(),
            kind,
            content,
            reasoning_content: reasoning.filter(|_| kind == "answer"),
            ..Self::added(item, turn.conversation)
        })
    }

    /// Its id on the wire.
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

/// Who speaks, where it is the user or the assistant: nothing else is a message to Coze.
pub(super) fn speaker(item: &Item) -> Option<Role> {
    match item.content.kind {
        ItemKind::Message(role @ (Role::User | Role::Assistant)) => Some(role),
        ItemKind::Message(Role::System | Role::Developer | Role::Other)
        | ItemKind::Typed(_)
        | ItemKind::Event => None,
    }
}
