//! Items between the wire and the domain. Their form on the wire is the domain's own, so that they
//! are kept as they came; messages are brought into the one shape that clients can read.

use parlance_domain::limits::ITEM_ALIAS_CHARS_MAX;
use parlance_domain::service::ItemDraft;
use parlance_domain::{
    Error, Id, Item, ItemContent, ItemKind, ItemRef, ItemType, Json, Reason, Ref, Role,
};
use serde_json::{Map, Value, json};

use crate::kit::fields::{Fields, kind};

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
pub(super) fn items(fields: &Fields<'_>) -> Result<Option<Vec<Given>>, Error> {
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
    let read = |(at, item)| given(item, &format!("items[{at}]"));
    items
        .iter()
        .enumerate()
        .map(read)
        .collect::<Result<_, _>>()
        .map(Some)
}

fn given(item: &Value, at: &str) -> Result<Given, Error> {
    let Value::Object(map) = item else {
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
        message(map, &fields)?
    } else {
        let item_type = ItemType::parse(item_type).map_err(|why| fields.error("type", why))?;
        opaque(map, item_type)
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
fn opaque(map: &Map<String, Value>, item_type: ItemType) -> ItemContent {
    let mut payload = Map::new();
    payload.insert("type".to_owned(), item_type.name().into());
    let status = map.get("status").filter(|status| status.is_string());
    payload.insert(
        "status".to_owned(),
        status.cloned().unwrap_or_else(|| "completed".into()),
    );
    rest(map, &mut payload);
    let payload = Json::from(&Value::Object(payload));
    ItemContent {
        kind: ItemKind::Typed(item_type),
        payload,
        native: None,
    }
}

/// Copies the fields that are not there yet, except for the id.
fn rest(from: &Map<String, Value>, to: &mut Map<String, Value>) {
    for (key, value) in from {
        if key != "id" && !to.contains_key(key) {
            to.insert(key.clone(), value.clone());
        }
    }
}

fn message(map: &Map<String, Value>, fields: &Fields<'_>) -> Result<ItemContent, Error> {
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
    let parts = match fields.get("content") {
        None => return Err(fields.error("content", Reason::Missing)),
        Some(Value::String(text)) => vec![text_part(role, text)],
        Some(Value::Array(parts)) => {
            let read = |(at, value)| part(role, value, &fields.name(&format!("content[{at}]")));
            parts
                .iter()
                .enumerate()
                .map(read)
                .collect::<Result<_, _>>()?
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
    let mut payload = Map::new();
    payload.insert("type".to_owned(), "message".into());
    payload.insert("status".to_owned(), status.into());
    payload.insert("content".to_owned(), parts.into());
    payload.insert("role".to_owned(), name.into());
    rest(map, &mut payload);
    let payload = Json::from(&Value::Object(payload));
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

fn part(role: Role, value: &Value, at: &str) -> Result<Value, Error> {
    let Value::Object(map) = value else {
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
        return Ok(value.clone());
    }
    // Clients read both lists without asking whether they are there.
    let mut part = Map::new();
    part.insert("type".to_owned(), part_type.into());
    for list in ["annotations", "logprobs"] {
        let given = map.get(list).filter(|given| given.is_array());
        part.insert(list.to_owned(), given.cloned().unwrap_or_else(|| json!([])));
    }
    rest(map, &mut part);
    if let Some(id) = map.get("id") {
        part.insert("id".to_owned(), id.clone());
    }
    Ok(Value::Object(part))
}

/// An item on the wire.
pub(super) fn render(item: &Item) -> Value {
    let mut rendered = Map::new();
    rendered.insert("id".to_owned(), text(item).into());
    if let Value::Object(payload) = item.content.payload.value() {
        rendered.extend(payload);
    }
    Value::Object(rendered)
}

/// An item's id on the wire.
pub(super) fn text(item: &Item) -> String {
    match &item.alias {
        Some(alias) => alias.clone(),
        None => format!(
            "{}_{}",
            prefix(item.content.kind.type_name()),
            item.id.hex()
        ),
    }
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
