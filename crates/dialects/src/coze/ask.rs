//! What a chat is asked: the body of `/v3/chat`.
//!
//! `enable_card`, `bot_version`, `publish_status`, `parameters` and `extra_params` are checked and mean
//! nothing here: an app has one version, no cards and no workflow.

use parlance_domain::service::ItemDraft;
use parlance_domain::{Error, Extras, ItemContent, Metadata, Reason};

use super::{call, convert, message};
use crate::kit::fields::Fields;

/// Most additional messages (the vendor's page: at most 100).
const MESSAGES_MAX: usize = 100;
const STATUSES: &[&str] = &["published_online", "unpublished_draft"];
/// The types that a message may have: in a chat that is kept, only the first two.
const TYPES: &[&str] = &[
    "question",
    "answer",
    "function_call",
    "tool_output",
    "tool_response",
];
const TYPES_KEPT: &[&str] = &["question", "answer"];

/// What is asked.
pub(super) struct Ask {
    /// The bot's id.
    pub(super) bot: String,
    /// Whether the answer is wanted as it comes.
    pub(super) is_streamed: bool,
    /// Whether anything of the chat is kept.
    pub(super) is_kept: bool,
    /// The messages that come with it.
    pub(super) input: Vec<ItemDraft>,
    /// What the client keeps with the chat.
    pub(super) meta_data: Metadata,
    /// What is kept with the conversation, if it is a new one.
    pub(super) extras: Extras,
    variables: Vec<(String, String)>,
}

impl Ask {
    /// Reads a body.
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        let missing = |field| fields.error(field, Reason::Missing);
        let bot = convert::id_text(fields, "bot_id")?.ok_or_else(|| missing("bot_id"))?;
        // Whose chat it is, is said by the key.
        if fields.required_string("user_id")?.is_empty() {
            return Err(missing("user_id"));
        }
        check_rest(fields)?;
        let is_kept = fields.boolean("auto_save_history")?.unwrap_or(true);
        let input = additional(fields, is_kept)?;
        Ok(Self {
            bot: bot.into_owned(),
            is_streamed: fields.boolean("stream")?.unwrap_or(false),
            is_kept,
            input: input.into_iter().map(ItemDraft::from).collect(),
            meta_data: convert::meta_data(fields)?.unwrap_or_default(),
            extras: convert::extras(fields)?,
            variables: variables(fields)?,
        })
    }

    /// The bot's instructions with the values of its variables, if any are given: `{{name}}` stands for one.
    pub(super) fn instructions(&self, of_bot: Option<&str>) -> Option<String> {
        let mut rest = of_bot.filter(|_| !self.variables.is_empty())?;
        let mut filled = String::new();
        while let Some((before, name, after)) = next_variable(rest) {
            filled += before;
            let mut variables = self.variables.iter();
            match variables.find(|(known, _)| known == name.trim()) {
                Some((_, value)) => filled += value,
                None => filled.extend(["{{", name, "}}"]),
            }
            rest = after;
        }
        filled += rest;
        Some(filled)
    }
}

/// What comes before a variable, its name, and what comes after it.
fn next_variable(text: &str) -> Option<(&str, &str, &str)> {
    let (before, inside) = text.split_once("{{")?;
    let (name, after) = inside.split_once("}}")?;
    Some((before, name, after))
}

/// Checks what means nothing here.
fn check_rest(fields: &Fields<'_>) -> Result<(), Error> {
    fields.boolean("enable_card")?;
    fields.object("parameters")?;
    fields.pairs("extra_params")?;
    let version = fields.string("bot_version")?.filter(|it| !it.is_empty());
    match fields.string("publish_status")? {
        None | Some("" | "published_online") => {}
        Some("unpublished_draft") if version.is_none() => {}
        Some("unpublished_draft") => {
            let with = "publish_status=unpublished_draft";
            return Err(fields.error("bot_version", Reason::Exclusive { with }));
        }
        Some(other) => {
            let (got, allowed) = (other.to_owned(), STATUSES);
            return Err(fields.error("publish_status", Reason::NotOneOf { got, allowed }));
        }
    }
    let Some(command) = fields.object("shortcut_command")? else {
        return Ok(());
    };
    let command = Fields::inside(command, "shortcut_command.");
    command.pairs("parameters")?;
    // It must be one of the bot's, and a bot has none here.
    let what = format!(
        "the shortcut command {}",
        command.required_string("command_id")?
    );
    Err(command.error("command_id", Reason::NotSupported { what }))
}

/// The values of the variables in the bot's instructions; their names are of letters and `_`.
fn variables(fields: &Fields<'_>) -> Result<Vec<(String, String)>, Error> {
    let variables = fields.pairs("custom_variables")?.unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    let bad = |name: &str| name.is_empty() || !name.bytes().all(plain);
    if let Some((name, _)) = variables.iter().find(|(name, _)| bad(name)) {
        let expected = "a name of letters and underscores";
        let field = format!("custom_variables.{name}");
        return Err(fields.error(&field, Reason::Malformed { expected }));
    }
    Ok(variables)
}

/// The messages that come with the chat.
fn additional(fields: &Fields<'_>, is_kept: bool) -> Result<Vec<ItemContent>, Error> {
    let mut open = call::Open::default();
    let allowed = if is_kept { TYPES_KEPT } else { TYPES };
    message::each(fields, "additional_messages", MESSAGES_MAX, |fields| {
        if fields.get("content").is_none() {
            return Err(fields.error("content", Reason::Missing));
        }
        let not_one_of = |got: &str| {
            let got = got.to_owned();
            fields.error("type", Reason::NotOneOf { got, allowed })
        };
        match fields.string("type")? {
            Some("question") if fields.required_string("role")? == "assistant" => {
                let with = "role=assistant";
                Err(fields.error("type", Reason::Exclusive { with }))
            }
            None | Some("" | "answer" | "question") => message::entry(fields),
            Some("function_call") if !is_kept => open.call(fields),
            Some("tool_output" | "tool_response") if !is_kept => open.output(fields),
            Some(other) => Err(not_one_of(other)),
        }
    })
}
