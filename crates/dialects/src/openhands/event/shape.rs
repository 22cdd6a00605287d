//! Which events there are, what they consist of, and what they say.
//!
//! Source: OpenHands 0.53.0 `core/schema/{action,observation}.py`, and the dataclasses under
//! `events/action` and `events/observation`, in their fields' order.

use serde_json::{Map, Value};

use crate::openhands::validate::Schema;

/// One field of `args` or `extras`.
pub(super) struct Arg {
    /// Its name.
    pub(super) name: &'static str,
    /// What it should be.
    pub(super) schema: Schema,
    /// What it is when it is not given.
    pub(super) absent: Absent,
}

/// What a field is when it is not given.
pub(super) enum Absent {
    /// An error.
    Refused,
    /// This JSON.
    Is(&'static str),
    /// Not there; null neither.
    LeftOut,
}

/// A kind of event. Without a shape it is taken as it comes: OpenHands names those kinds, but has no
/// class for them.
pub(super) type Kind = (&'static str, Option<&'static [Arg]>);

const TEXTS: Schema = Schema::Nullable(&Schema::List(&Schema::Text));

/// A string that must be given.
const fn must(name: &'static str) -> Arg {
    arg(name, Schema::Text, Absent::Refused)
}

/// A string, empty unless given.
const fn text(name: &'static str) -> Arg {
    arg(name, Schema::Text, Absent::Is("\"\""))
}

/// Anything, with this JSON as its default.
const fn or(name: &'static str, json: &'static str) -> Arg {
    arg(name, Schema::Any, Absent::Is(json))
}

/// How dangerous an action is; shown only where somebody has said so.
const fn risk() -> Arg {
    arg("security_risk", Schema::Any, Absent::LeftOut)
}

const fn arg(name: &'static str, schema: Schema, absent: Absent) -> Arg {
    Arg {
        name,
        schema,
        absent,
    }
}

const DICT: Schema = Schema::Dict(&Schema::Any);
const CONFIRMED: Arg = or("confirmation_state", "\"confirmed\"");
const METADATA: &str = r#"{"exit_code":-1,"pid":-1,"username":null,"hostname":null,"working_dir":null,"py_interpreter_path":null,"prefix":"","suffix":""}"#;

/// The actions, in the order of OpenHands's list.
pub(super) static ACTIONS: &[Kind] = &[
    (
        "message",
        Some(&[
            must("content"),
            arg("file_urls", TEXTS, Absent::LeftOut),
            arg("image_urls", TEXTS, Absent::LeftOut),
            arg("wait_for_response", Schema::Boolean, Absent::LeftOut),
            risk(),
        ]),
    ),
    (
        "system",
        Some(&[
            must("content"),
            or("tools", "null"),
            or("openhands_version", "\"0.53.0\""),
            or("agent_class", "null"),
        ]),
    ),
    ("start", None),
    (
        "read",
        Some(&[
            must("path"),
            or("start", "0"),
            or("end", "-1"),
            text("thought"),
            risk(),
            or("impl_source", "\"default\""),
            or("view_range", "null"),
        ]),
    ),
    (
        "write",
        Some(&[
            must("path"),
            must("content"),
            or("start", "0"),
            or("end", "-1"),
            text("thought"),
            risk(),
        ]),
    ),
    (
        "edit",
        Some(&[
            must("path"),
            text("command"),
            or("file_text", "null"),
            or("old_str", "null"),
            or("new_str", "null"),
            or("insert_line", "null"),
            text("content"),
            or("start", "1"),
            or("end", "-1"),
            text("thought"),
            risk(),
            or("impl_source", "\"oh_aci\""),
        ]),
    ),
    (
        "run",
        Some(&[
            must("command"),
            or("is_input", "false"),
            text("thought"),
            or("blocking", "false"),
            or("is_static", "false"),
            or("cwd", "null"),
            or("hidden", "false"),
            CONFIRMED,
            risk(),
        ]),
    ),
    (
        "run_ipython",
        Some(&[
            must("code"),
            text("thought"),
            or("include_extra", "true"),
            CONFIRMED,
            risk(),
            text("kernel_init_code"),
        ]),
    ),
    (
        "browse",
        Some(&[
            must("url"),
            text("thought"),
            risk(),
            or("return_axtree", "false"),
        ]),
    ),
    (
        "browse_interactive",
        Some(&[
            must("browser_actions"),
            text("thought"),
            text("browsergym_send_msg_to_user"),
            risk(),
            or("return_axtree", "false"),
        ]),
    ),
    (
        "call_tool_mcp",
        Some(&[must("name"), or("arguments", "{}"), text("thought"), risk()]),
    ),
    (
        "delegate",
        Some(&[
            must("agent"),
            arg("inputs", DICT, Absent::Refused),
            text("thought"),
        ]),
    ),
    ("think", Some(&[text("thought")])),
    (
        "finish",
        Some(&[text("final_thought"), or("outputs", "{}"), text("thought")]),
    ),
    (
        "reject",
        Some(&[arg("outputs", DICT, Absent::Is("{}")), text("thought")]),
    ),
    ("null", Some(&[])),
    ("pause", None),
    ("resume", None),
    ("stop", None),
    (
        "change_agent_state",
        Some(&[must("agent_state"), text("thought")]),
    ),
    ("push", None),
    ("send_pr", None),
    (
        "recall",
        Some(&[must("recall_type"), text("query"), text("thought")]),
    ),
    (
        "condensation",
        Some(&[
            or("forgotten_event_ids", "null"),
            or("forgotten_events_start_id", "null"),
            or("forgotten_events_end_id", "null"),
            or("summary", "null"),
            or("summary_offset", "null"),
        ]),
    ),
    ("condensation_request", Some(&[])),
];

/// The observations, in the order of OpenHands's list.
pub(super) static OBSERVATIONS: &[Kind] = &[
    (
        "read",
        Some(&[must("path"), or("impl_source", "\"default\"")]),
    ),
    ("write", Some(&[must("path")])),
    (
        "edit",
        Some(&[
            text("path"),
            or("prev_exist", "false"),
            or("old_content", "null"),
            or("new_content", "null"),
            or("impl_source", "\"llm_based_edit\""),
            or("diff", "null"),
            or("_diff_cache", "null"),
        ]),
    ),
    (
        "browse",
        Some(&[
            must("url"),
            must("trigger_by_action"),
            text("screenshot"),
            or("screenshot_path", "null"),
            text("set_of_marks"),
            or("error", "false"),
            or("goal_image_urls", "[]"),
            or("open_pages_urls", "[]"),
            or("active_page_index", "-1"),
            or("dom_object", "{}"),
            or("axtree_object", "{}"),
            or("extra_element_properties", "{}"),
            text("last_browser_action"),
            text("last_browser_action_error"),
            text("focused_element_bid"),
            or("filter_visible_only", "false"),
        ]),
    ),
    (
        "run",
        Some(&[
            must("command"),
            arg("metadata", DICT, Absent::Is(METADATA)),
            or("hidden", "false"),
        ]),
    ),
    (
        "run_ipython",
        Some(&[must("code"), or("image_urls", "null")]),
    ),
    ("chat", None),
    ("delegate", Some(&[arg("outputs", DICT, Absent::Refused)])),
    ("message", None),
    ("error", Some(&[text("error_id")])),
    ("success", Some(&[])),
    ("null", Some(&[])),
    ("think", Some(&[])),
    (
        "agent_state_changed",
        Some(&[must("agent_state"), text("reason")]),
    ),
    ("user_rejected", Some(&[])),
    ("condense", Some(&[])),
    (
        "recall",
        Some(&[
            must("recall_type"),
            text("repo_name"),
            text("repo_directory"),
            text("repo_branch"),
            text("repo_instructions"),
            or("runtime_hosts", "{}"),
            text("additional_agent_instructions"),
            text("date"),
            or("custom_secrets_descriptions", "{}"),
            text("conversation_instructions"),
            text("working_dir"),
            or("microagent_knowledge", "[]"),
        ]),
    ),
    ("mcp", Some(&[text("name"), or("arguments", "{}")])),
    ("download", Some(&[must("file_path")])),
];

/// What an action says in words.
pub(super) fn action_message(kind: &str, args: &Map<String, Value>) -> String {
    let text = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default();
    let json = |name: &str| args.get(name).map(Value::to_string).unwrap_or_default();
    match kind {
        "message" | "system" => text("content").to_owned(),
        "read" => format!("Reading file: {}", text("path")),
        "write" => format!("Writing file: {}", text("path")),
        "run" => format!("Running command: {}", text("command")),
        "run_ipython" => format!("Running Python code interactively: {}", text("code")),
        "browse" => format!("I am browsing the URL: {}", text("url")),
        "browse_interactive" => {
            let actions = text("browser_actions");
            format!("I am interacting with the browser:\n```\n{actions}\n```")
        }
        "call_tool_mcp" => format!(
            "I am interacting with the MCP server with name:\n```\n{}\n```\nand arguments:\n\
             ```\n{}\n```",
            text("name"),
            json("arguments"),
        ),
        "delegate" => format!("I'm asking {} for help with this task.", text("agent")),
        "think" => format!("I am thinking...: {}", text("thought")),
        "finish" if text("thought").is_empty() => "All done! What's next on the agenda?".to_owned(),
        "finish" => text("thought").to_owned(),
        "reject" => {
            let reason = args
                .get("outputs")
                .and_then(|outputs| outputs.get("reason"));
            let reason = reason.and_then(Value::as_str);
            let reason = reason.map(|reason| format!(" Reason: {reason}"));
            format!(
                "Task is rejected by the agent.{}",
                reason.unwrap_or_default()
            )
        }
        "null" => "No action".to_owned(),
        "change_agent_state" => format!("Agent state changed to {}", text("agent_state")),
        "recall" => {
            let query: String = text("query").chars().take(50).collect();
            format!("Retrieving content for: {query}")
        }
        "condensation" if text("summary").is_empty() => format!(
            "Condenser is dropping the events: {}.",
            json("forgotten_event_ids")
        ),
        "condensation" => format!("Summary: {}", text("summary")),
        "condensation_request" => {
            "Requesting a condensation of the conversation history.".to_owned()
        }
        _ => String::new(),
    }
}

/// What an observation says in words.
pub(super) fn observation_message(
    kind: &str,
    content: &str,
    extras: &Map<String, Value>,
) -> String {
    let text = |name: &str| extras.get(name).and_then(Value::as_str).unwrap_or_default();
    match kind {
        "read" => format!("I read the file {}.", text("path")),
        "write" => format!("I wrote to the file {}.", text("path")),
        "edit" => format!("I edited the file {}.", text("path")),
        "browse" => format!("Visited {}", text("url")),
        "run" => format!(
            "Command `{}` executed with exit code {}.",
            text("command"),
            exit_code(extras).unwrap_or(-1)
        ),
        "run_ipython" => "Code executed in IPython cell.".to_owned(),
        "null" => "No observation".to_owned(),
        "recall" if text("recall_type") == "workspace_context" => {
            "Added workspace context".to_owned()
        }
        "recall" => "Added microagent knowledge".to_owned(),
        "download" => format!("Downloaded the file at location: {}", text("file_path")),
        "error" | "success" | "think" | "user_rejected" | "condense" | "mcp" => content.to_owned(),
        _ => String::new(),
    }
}

/// Whether an observation went well, for the kinds that tell.
pub(super) fn success(kind: &str, extras: &Map<String, Value>) -> Option<bool> {
    match kind {
        "run" => Some(exit_code(extras) == Some(0)),
        "run_ipython" => Some(true),
        _ => None,
    }
}

fn exit_code(extras: &Map<String, Value>) -> Option<i64> {
    extras.get("metadata")?.get("exit_code")?.as_i64()
}
