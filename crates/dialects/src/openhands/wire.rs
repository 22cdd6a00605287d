//! What requests should be.
//!
//! Source: OpenHands 0.53.0 `server/routes/manage_conversations.py`, `integrations/service_types.py`,
//! `core/config/mcp_config.py`, `events/event_filter.py`, in their fields' order.

use super::validate::{Field, Model, Schema, optional, required};

/// Where repositories are.
pub(super) const PROVIDERS: &[&str] = &["github", "gitlab", "bitbucket", "enterprise_sso"];
/// What conversations come from.
pub(super) const TRIGGERS: &[&str] = &[
    "resolver",
    "gui",
    "suggested_task",
    "openhands_api",
    "slack",
    "microagent_management",
    "jira",
    "jira_dc",
    "linear",
];
const TASK_TYPES: &[&str] = &[
    "MERGE_CONFLICTS",
    "FAILING_CHECKS",
    "UNRESOLVED_COMMENTS",
    "OPEN_ISSUE",
    "OPEN_PR",
    "CREATE_MICROAGENT",
];
/// Characters of a title.
const TITLE: Schema = Schema::TextOf { min: 1, max: 200 };

const TEXT: Schema = Schema::Nullable(&Schema::Text);
const TEXTS: Schema = Schema::List(&Schema::Text);
const PROVIDER: Schema = Schema::Nullable(&Schema::OneOf(PROVIDERS));

const fn open(fields: &'static [Field]) -> Model {
    Model {
        fields,
        closed: false,
        dataclass: None,
    }
}

const fn closed(fields: &'static [Field]) -> Model {
    Model {
        fields,
        closed: true,
        dataclass: None,
    }
}

/// The body of `POST /api/conversations`.
pub(super) static INIT_SESSION: Model = closed(&[
    optional("repository", TEXT),
    optional("git_provider", PROVIDER),
    optional("selected_branch", TEXT),
    optional("initial_user_msg", TEXT),
    optional("image_urls", Schema::Nullable(&TEXTS)),
    optional("replay_json", TEXT),
    optional(
        "suggested_task",
        Schema::Nullable(&Schema::Model(&SUGGESTED_TASK)),
    ),
    optional(
        "create_microagent",
        Schema::Nullable(&Schema::Model(&CREATE_MICROAGENT)),
    ),
    optional("conversation_instructions", TEXT),
    optional("mcp_config", Schema::Nullable(&Schema::Model(&MCP_CONFIG))),
]);

static SUGGESTED_TASK: Model = open(&[
    required("git_provider", Schema::OneOf(PROVIDERS)),
    required("task_type", Schema::OneOf(TASK_TYPES)),
    required("repo", Schema::Text),
    required("issue_number", Schema::Integer),
    required("title", Schema::Text),
]);

static CREATE_MICROAGENT: Model = open(&[
    required("repo", Schema::Text),
    optional("git_provider", PROVIDER),
    optional("title", TEXT),
]);

static MCP_CONFIG: Model = closed(&[
    optional("sse_servers", Schema::List(&URL_SERVER)),
    optional("stdio_servers", Schema::List(&Schema::Model(&STDIO_SERVER))),
    optional("shttp_servers", Schema::List(&URL_SERVER)),
]);

const URL_SERVER: Schema = Schema::ModelOrField {
    field: "url",
    rule: url,
    model: &open(&[
        required("url", Schema::Ruled(url)),
        optional("api_key", TEXT),
    ]),
};

static STDIO_SERVER: Model = open(&[
    required("name", Schema::Ruled(server_name)),
    required("command", Schema::Ruled(command)),
    optional("args", Schema::TextOr(arguments, &TEXTS)),
    optional(
        "env",
        Schema::TextOr(environment, &Schema::Dict(&Schema::Text)),
    ),
]);

/// The body of `PATCH /api/conversations/{conversation_id}`.
pub(super) static UPDATE: Model = closed(&[required("title", TITLE)]);

/// The body of `POST /api/conversations/{conversation_id}/start`.
pub(super) static PROVIDERS_SET: Model = open(&[optional(
    "providers_set",
    Schema::Nullable(&Schema::List(&Schema::OneOf(PROVIDERS))),
)]);

/// The body that `GET /api/conversations/{conversation_id}/events` may have.
pub(super) static EVENT_FILTER: Model = Model {
    fields: &[
        optional("exclude_hidden", Schema::Boolean),
        optional("query", TEXT),
        optional("include_types", Schema::Nullable(&Schema::Classes("Event"))),
        optional("exclude_types", Schema::Nullable(&Schema::Classes("Event"))),
        optional("source", TEXT),
        optional("start_date", TEXT),
        optional("end_date", TEXT),
    ],
    closed: false,
    dataclass: Some("EventFilter"),
};

fn refuse<T>(said: &str) -> Result<T, String> {
    Err(said.to_owned())
}

/// The URL of a server, taken apart as Python's `urlparse` does.
fn url(text: &str) -> Result<(), String> {
    let text = text.trim();
    if text.is_empty() {
        return refuse("URL cannot be empty");
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    let scheme = text.split_once(':').filter(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(plain)
    });
    let (scheme, rest) = scheme.unwrap_or(("", text));
    let host = rest.strip_prefix("//").unwrap_or_default();
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('[') != host.contains(']') {
        return refuse("Invalid IPv6 URL");
    }
    if scheme.is_empty() {
        return refuse("URL must include a scheme (http:// or https://)");
    }
    if host.is_empty() {
        return refuse("URL must include a valid domain/host");
    }
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" | "ws" | "wss" => Ok(()),
        _ => refuse("URL scheme must be http, https, ws, or wss"),
    }
}

fn server_name(text: &str) -> Result<(), String> {
    let text = text.trim();
    if text.is_empty() {
        return refuse("Server name cannot be empty");
    }
    if !text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    {
        return refuse("Server name can only contain letters, numbers, hyphens, and underscores");
    }
    Ok(())
}

fn command(text: &str) -> Result<(), String> {
    let text = text.trim();
    if text.is_empty() {
        return refuse("Command cannot be empty");
    }
    if text.contains(' ') {
        return refuse(
            "Command should be a single executable without spaces (use arguments field for \
             parameters)",
        );
    }
    Ok(())
}

/// Arguments in one string, quoted as for a shell: quotes must close, and a backslash must be
/// followed by something.
fn arguments(text: &str) -> Result<(), String> {
    let refuse = |what: &str| {
        Err(format!(
            "Invalid argument format: {what}. Use shell-like format, e.g., \"arg1 arg2\" or \
             '--config \"value with spaces\"'"
        ))
    };
    let mut quote = None;
    let mut characters = text.trim().chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None | Some('"'), '\\') => match characters.next() {
                Some(_) => {}
                None => return refuse("No escaped character"),
            },
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), character) if open == character => quote = None,
            _ => {}
        }
    }
    if quote.is_some() {
        return refuse("No closing quotation");
    }
    Ok(())
}

/// Variables in one string: `KEY=VALUE,...`.
fn environment(text: &str) -> Result<(), String> {
    for pair in text.split(',').map(str::trim) {
        if pair.is_empty() {
            continue;
        }
        let Some((key, _)) = pair.split_once('=') else {
            return Err(format!(
                "Environment variable '{pair}' must be in KEY=VALUE format"
            ));
        };
        let key = key.trim();
        if key.is_empty() {
            return refuse("Environment variable key cannot be empty");
        }
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if !key.bytes().all(word) || key.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(format!(
                "Invalid environment variable name '{key}'. Must start with letter or \
                 underscore, contain only alphanumeric characters and underscores"
            ));
        }
    }
    Ok(())
}
