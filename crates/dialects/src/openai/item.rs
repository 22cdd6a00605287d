//! Items between the wire and the domain. Their form on the wire is the domain's own, so that they
//! are kept as they came; messages are brought into the one shape that clients can read.

use bytes::Bytes;
use parlance_domain::limits::ITEM_ALIAS_CHARS_MAX;
use parlance_domain::service::ItemDraft;
use parlance_domain::{
    Error, Id, Item, ItemContent, ItemId, ItemKind, ItemRef, ItemType, Json, NewItem, Reason, Ref,
    Role,
};
use serde_json::{Map, Value, json};

use crate::kit::fields::{Fields, kind};
use crate::kit::raw::RawObject;

/// Most items in one call (OpenAI: "You may add up to 20 items at a time").
const ITEMS_MAX: usize = 20;
const ROLES: &[&str] = &["assistant", "system", "developer", "user"];
const PARTS: &[&str] = &[
    "input_text",
    "input_image",
    "input_audio",
    "output_text",
    "refusal",
    "input_file",
    "computer_screenshot",
    "summary_text",
    "encrypted_content",
    "scoped_content",
    "reasoning_text",
    "text",
];
const INPUT_PARTS: &[&str] = &[
    "input_text",
    "input_image",
    "input_file",
    "scoped_content",
    "input_audio",
];

/// An item of a body.
#[derive(Debug)]
pub(super) enum Given {
    /// A new item.
    New(ItemDraft),
    /// The id of one that is there already.
    Reference(String),
}

/// The `items` of a body, none if they are absent or null.
pub(super) fn items(body: &Bytes, fields: &Fields<'_>) -> Result<Option<Vec<Given>>, Error> {
    let Some(items) = fields.array("items")? else {
        return Ok(None);
    };
    if items.len() > ITEMS_MAX {
        return Err(fields.error(
            "items",
            Reason::TooMany {
                max: ITEMS_MAX,
                got: items.len(),
            },
        ));
    }
    list(body, "items", items).map(Some)
}

/// The items of a body's list `field`. The tree is what is checked, the text what is kept.
pub(super) fn list(body: &Bytes, field: &str, items: &[Value]) -> Result<Vec<Given>, Error> {
    let texts: Vec<Json> = serde_json::from_slice::<RawObject>(body)
        .ok()
        .and_then(|body| serde_json::from_str(body.get(field)?.text()).ok())
        .unwrap_or_default();
    let read =
        |(at, (item, text)): (usize, (&Value, &Json))| given(item, text, &format!("{field}[{at}]"));
    items.iter().zip(&texts).enumerate().map(read).collect()
}

fn given(item: &Value, text: &Json, at: &str) -> Result<Given, Error> {
    let (Value::Object(map), Some(raw)) = (item, RawObject::parse(text.text())) else {
        let why = Reason::WrongType {
            expected: "an object",
            got: kind(item),
        };
        return Err(Error::invalid(at, why));
    };
    let prefix = format!("{at}.");
    let fields = Fields::inside(map, &prefix);
    let item_type = match fields.string("type")? {
        Some(item_type) => item_type,
        None if map.len() == 1 && map.contains_key("id") => "item_reference",
        None if !fields.has("role") && !fields.has("content") => {
            return Err(Error::invalid(
                at,
                Reason::NotOneOf {
                    got: String::new(),
                    allowed: ROLES,
                },
            ));
        }
        None => "message",
    };
    let alias = alias(&fields)?;
    if item_type == "item_reference" {
        let id = alias.ok_or_else(|| fields.error("id", Reason::Missing))?;
        return Ok(Given::Reference(id));
    }
    let content = if item_type == "message" {
        message(&raw, &fields)?
    } else {
        let item_type = ItemType::parse(item_type).map_err(|why| fields.error("type", why))?;
        opaque(&raw, map, item_type)
    };
    Ok(Given::New(ItemDraft { alias, content }))
}

/// The id that the client has chosen.
fn alias(fields: &Fields<'_>) -> Result<Option<String>, Error> {
    let Some(id) = fields.string("id")? else {
        return Ok(None);
    };
    let got = id.chars().count();
    if got > ITEM_ALIAS_CHARS_MAX {
        return Err(fields.error(
            "id",
            Reason::TooLong {
                max: ITEM_ALIAS_CHARS_MAX,
                got,
            },
        ));
    }
    if id.is_empty() {
        return Err(fields.error("id", Reason::Blank));
    }
    Ok(Some(id.to_owned()))
}

/// Anything but a message: as it came, apart from the id, with a status.
fn opaque(raw: &RawObject, map: &Map<String, Value>, item_type: ItemType) -> ItemContent {
    let status = map
        .get("status")
        .and_then(Value::as_str)
        .unwrap_or("completed");
    let head = [
        ("type", text_json(item_type.name())),
        ("status", text_json(status)),
    ];
    let payload = payload(head, raw);
    ItemContent {
        kind: ItemKind::Typed(item_type),
        payload,
        native: None,
    }
}

/// `head`, and after it what else the client gave, except for the id.
fn payload<const N: usize>(head: [(&str, Json); N], raw: &RawObject) -> Json {
    // An object of texts always has a text, so the fallback is never taken.
    Json::of(&RawObject::headed(head, raw, "id")).unwrap_or_default()
}

fn text_json(text: &str) -> Json {
    Json::from(&Value::from(text))
}

fn message(raw: &RawObject, fields: &Fields<'_>) -> Result<ItemContent, Error> {
    let name = fields.required_string("role")?;
    let role = match name {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        "developer" => Role::Developer,
        "tool" | "critic" | "discriminator" | "unknown" => Role::Other,
        other => {
            let why = Reason::NotOneOf {
                got: other.to_owned(),
                allowed: ROLES,
            };
            return Err(fields.error("role", why));
        }
    };
    let content = match fields.get("content") {
        None => return Err(fields.error("content", Reason::Missing)),
        Some(Value::String(text)) => Json::from(&json!([text_part(role, text)])),
        Some(Value::Array(parts)) => {
            let texts = raw.get("content").map(Json::text).unwrap_or_default();
            let texts: Vec<Json> = serde_json::from_str(texts).unwrap_or_default();
            let read = |(at, (value, text)): (usize, (&Value, &Json))| {
                part(role, value, text, &fields.name(&format!("content[{at}]")))
            };
            let parts = parts.iter().zip(&texts).enumerate().map(read);
            Json::of(&parts.collect::<Result<Vec<Json>, _>>()?).unwrap_or_default()
        }
        Some(other) => {
            let why = Reason::WrongType {
                expected: "an array of objects",
                got: kind(other),
            };
            return Err(fields.error("content", why));
        }
    };
    let open = |status: &&str| matches!(*status, "in_progress" | "incomplete");
    let status = fields.string("status")?.filter(open).unwrap_or("completed");
    // The order of a live answer: type, status, content, role.
    let head = [
        ("type", text_json("message")),
        ("status", text_json(status)),
        ("content", content),
        ("role", text_json(name)),
    ];
    let payload = payload(head, raw);
    Ok(ItemContent {
        kind: ItemKind::Message(role),
        payload,
        native: None,
    })
}

fn text_part(role: Role, text: &str) -> Value {
    match role {
        Role::Assistant => {
            json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
        }
        Role::User | Role::System | Role::Developer | Role::Other => {
            json!({"type": "input_text", "text": text})
        }
    }
}

fn part(role: Role, value: &Value, text: &Json, at: &str) -> Result<Json, Error> {
    let (Value::Object(map), Some(raw)) = (value, RawObject::parse(text.text())) else {
        let why = Reason::WrongType {
            expected: "an object",
            got: kind(value),
        };
        return Err(Error::invalid(at, why));
    };
    let prefix = format!("{at}.");
    let fields = Fields::inside(map, &prefix);
    let part_type = fields.required_string("type")?;
    if !PARTS.contains(&part_type) {
        let why = Reason::NotOneOf {
            got: part_type.to_owned(),
            allowed: PARTS,
        };
        return Err(fields.error("type", why));
    }
    if role == Role::User && !INPUT_PARTS.contains(&part_type) {
        let why = Reason::NotOneOf {
            got: part_type.to_owned(),
            allowed: INPUT_PARTS,
        };
        return Err(Error::invalid(at, why));
    }
    if matches!(part_type, "input_text" | "output_text") {
        fields.required_string("text")?;
    }
    if part_type != "output_text" {
        return Ok(text.clone());
    }
    // Clients read both lists without asking whether they are there.
    let list = |key| match raw.get(key) {
        Some(list) if list.text().starts_with('[') => list.clone(),
        _ => Json::from(&json!([])),
    };
    let head = [
        ("type", text_json(part_type)),
        ("annotations", list("annotations")),
        ("logprobs", list("logprobs")),
    ];
    Ok(Json::of(&RawObject::headed(head, &raw, "")).unwrap_or_default())
}

/// An item on the wire: its id, and what is kept of it.
pub(super) fn render(item: &Item) -> Json {
    rendered(&text(item), &item.content)
}

/// The same, of an item that nobody has numbered yet.
pub(super) fn render_new(item: &NewItem) -> Json {
    let id = id_text(item.alias.as_deref(), &item.content.kind, item.id);
    rendered(&id, &item.content)
}

fn rendered(id: &str, content: &ItemContent) -> Json {
    let payload = RawObject::parse(content.payload.text()).unwrap_or_default();
    let rendered = RawObject::headed([("id", text_json(id))], &payload, "");
    Json::of(&rendered).unwrap_or_default()
}

/// An item's id on the wire.
pub(super) fn text(item: &Item) -> String {
    id_text(item.alias.as_deref(), &item.content.kind, item.id)
}

fn id_text(alias: Option<&str>, kind: &ItemKind, id: ItemId) -> String {
    alias.map_or_else(|| name(kind, id), str::to_owned)
}

/// The id on the wire of an item to which the client has given none.
pub(super) fn name(kind: &ItemKind, id: ItemId) -> String {
    format!("{}_{}", prefix(kind.type_name()), id.hex())
}

/// What a client can mean by an item's id: one of ours, if it has that form.
pub(super) fn ours(text: &str) -> Option<ItemRef> {
    let (prefix, tail) = text.rsplit_once('_')?;
    let known = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_lowercase());
    known
        .then(|| Ref::from_hex(tail))
        .flatten()
        .map(ItemRef::Id)
}

/// What the ids of a type begin with: OpenAI's own where it is known, else Azure's.
fn prefix(item_type: &str) -> &'static str {
    match item_type {
        "message" => "msg",
        "function_call" => "fc",
        "function_call_output" => "fco",
        "reasoning" => "rs",
        "web_search_call" => "ws",
        "file_search_call" => "fs",
        "image_generation_call" => "ig",
        "code_interpreter_call" => "ci",
        "computer_call" => "cu",
        "computer_call_output" => "cuo",
        "mcp_call" => "mcp",
        "mcp_list_tools" => "mcpl",
        "mcp_approval_request" => "mcpr",
        "mcp_approval_response" => "mcpa",
        "compaction" => "cmp",
        "custom_tool_call" => "ctc",
        "custom_tool_call_output" => "ctco",
        "local_shell_call" | "shell_call" => "lsh",
        "local_shell_call_output" | "shell_call_output" => "lsho",
        "apply_patch_call" => "ap",
        "apply_patch_call_output" => "apo",
        "tool_search_call" => "ts",
        "tool_search_output" => "tso",
        "additional_tools" => "adt",
        "program" => "prog",
        "program_output" => "progo",
        _ => "item",
    }
}
