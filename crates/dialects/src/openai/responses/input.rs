//! The input of a request: a string, or items. What a model is to read has to be readable here, while
//! anything can be added to a conversation.

use bytes::Bytes;
use parlance_domain::service::ItemDraft;
use parlance_domain::{ItemContent, Reason, Role};
use serde_json::{Map, Value};

use super::shape;
use crate::kit::Failure;
use crate::kit::fields::Fields;
use crate::openai::error::{self, Face};
use crate::openai::item::{self, Given};

/// Longest string of input or of a tool's output, in characters.
const TEXT_CHARS_MAX: usize = 10_485_760;
/// Longest id of a call, in characters.
const CALL_ID_CHARS_MAX: usize = 64;
const OUTPUT_PARTS: &[&str] = &["input_text", "input_image", "input_file"];

/// Reads `input`; none if there is none.
pub(super) fn read(body: &Bytes, fields: &Fields<'_>) -> Result<Option<Vec<Given>>, Failure> {
    match fields.get("input") {
        None => Ok(None),
        Some(Value::String(_)) => {
            let text = shape::string(fields, "input", TEXT_CHARS_MAX)?.unwrap_or_default();
            let content = ItemContent::message(Role::User, &text);
            Ok(Some(vec![Given::New(ItemDraft::from(content))]))
        }
        Some(Value::Array(items)) => {
            let given = item::list(body, "input", items)?;
            for (at, item) in items.iter().enumerate() {
                if let Value::Object(map) = item {
                    check(map, &format!("input[{at}]."))?;
                }
            }
            Ok(Some(given))
        }
        Some(other) => {
            let expected = "one of an array of objects or string";
            Err(error::wrong_type("input", expected, other))
        }
    }
}

/// Checks what a model will read of an item whose common form is right.
fn check(item: &Map<String, Value>, prefix: &str) -> Result<(), Failure> {
    let fields = Fields::inside(item, prefix);
    match fields.string("type")? {
        None | Some("message") => match fields.get("content") {
            Some(Value::Array(parts)) => check_parts(parts, &fields.name("content")),
            _ => Ok(()),
        },
        Some("function_call") => {
            call_id(&fields)?;
            fields.required_string("name")?;
            fields.required_string("arguments")?;
            Ok(())
        }
        Some("custom_tool_call") => {
            call_id(&fields)?;
            fields.required_string("name")?;
            fields.required_string("input")?;
            Ok(())
        }
        Some("function_call_output" | "custom_tool_call_output") => {
            call_id(&fields)?;
            check_output(&fields)
        }
        Some("compaction") => {
            let sealed = fields.required_string("encrypted_content")?;
            if ItemContent::compacted(sealed).is_none() {
                return Err(not_ours(&fields));
            }
            Ok(())
        }
        Some("compaction_trigger") => {
            let what = "the item 'compaction_trigger'";
            Err(shape::unsupported(fields.name("type"), what))
        }
        Some(_) => Ok(()),
    }
}

/// A summary that another server has made.
fn not_ours(fields: &Fields<'_>) -> Failure {
    let said = "The encrypted content could not be verified. Reason: Encrypted content could not be \
                decrypted or parsed.";
    Face::bad(said)
        .param(&fields.name("encrypted_content"))
        .code("invalid_encrypted_content")
        .into()
}

fn call_id(fields: &Fields<'_>) -> Result<(), Failure> {
    let id = shape::string(fields, "call_id", CALL_ID_CHARS_MAX)?;
    match id.as_deref() {
        None => Err(fields.error("call_id", Reason::Missing).into()),
        Some("") => Err(fields.error("call_id", Reason::Blank).into()),
        Some(_) => Ok(()),
    }
}

/// What a tool has given: a string, or parts.
fn check_output(fields: &Fields<'_>) -> Result<(), Failure> {
    let name = fields.name("output");
    let parts = match fields.get("output") {
        None => return Err(fields.error("output", Reason::Missing).into()),
        Some(Value::String(_)) => {
            shape::string(fields, "output", TEXT_CHARS_MAX)?;
            return Ok(());
        }
        Some(Value::Array(parts)) => parts,
        Some(other) => {
            let expected = "one of an array of objects or string";
            return Err(error::wrong_type(&name, expected, other));
        }
    };
    for (at, part) in parts.iter().enumerate() {
        let at = format!("{name}[{at}]");
        let Value::Object(map) = part else {
            return Err(error::wrong_type(&at, "an object", part));
        };
        let prefix = format!("{at}.");
        let inside = Fields::inside(map, &prefix);
        let kind = shape::one_of(&inside, "type", OUTPUT_PARTS)?;
        match kind {
            None => return Err(inside.error("type", Reason::Missing).into()),
            Some("input_text") => drop(inside.required_string("text")?),
            Some(_) => {}
        }
    }
    check_parts(parts, &name)
}

/// Images and files have to be there: as data, or for images as a URL.
fn check_parts(parts: &[Value], name: &str) -> Result<(), Failure> {
    for (at, part) in parts.iter().enumerate() {
        let Value::Object(map) = part else {
            continue;
        };
        let prefix = format!("{name}[{at}].");
        let fields = Fields::inside(map, &prefix);
        match fields.string("type")? {
            Some("input_image") => from_client(&fields, "image_url")?,
            Some("input_file") => from_client(&fields, "file_data")?,
            Some("input_audio") => {
                let audio = fields.object("input_audio")?;
                let audio = audio.ok_or_else(|| fields.error("input_audio", Reason::Missing))?;
                let prefix = fields.name("input_audio.");
                let inside = Fields::inside(audio, &prefix);
                inside.required_string("data")?;
                inside.required_string("format")?;
            }
            Some(_) | None => {}
        }
    }
    Ok(())
}

/// What stands in the request itself; what would have to be fetched is refused.
fn from_client(fields: &Fields<'_>, field: &str) -> Result<(), Failure> {
    for (elsewhere, what) in [
        ("file_id", "a file by its id"),
        ("file_url", "a file by its URL"),
    ] {
        if fields.get(elsewhere).is_some() {
            return Err(shape::unsupported(fields.name(elsewhere), what));
        }
    }
    match fields.string(field)? {
        None => Err(fields.error(field, Reason::Missing).into()),
        Some("") => Err(fields.error(field, Reason::Blank).into()),
        Some(_) => Ok(()),
    }
}
