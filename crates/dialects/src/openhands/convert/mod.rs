//! Between the wire and the domain: conversations and what is kept with them.

use std::sync::Arc;

use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use parlance_domain::service::{ConversationDraft, ItemDraft, TurnDraft, TurnTarget};
use parlance_domain::{App, Conversation, Id, ItemContent, Json, Timestamp};
use serde_json::{Map, Value, json};

use super::NAME;
use super::caller::Named;
use super::event::{self, Event};

/// Characters of its id in the title of a conversation that has none.
const TITLE_ID_CHARS: usize = 5;
/// What is kept of a request beside what the conversation has anyway.
const KEPT: &[&str] = &[
    "conversation_instructions",
    "replay_json",
    "suggested_task",
    "create_microagent",
    "mcp_config",
];

/// A time with microseconds, always six digits.
fn time(at: Timestamp, format: &str) -> String {
    let at = jiff::Timestamp::from_microsecond(at.micros()).unwrap_or_default();
    strtime::format(format, &at.to_zoned(TimeZone::UTC)).unwrap_or_default()
}

/// A time as events have it: UTC, without saying so.
pub(super) fn naive_time(at: Timestamp) -> String {
    time(at, "%Y-%m-%dT%H:%M:%S%.6f")
}

fn utc_time(at: Timestamp) -> String {
    time(at, "%Y-%m-%dT%H:%M:%S%.6fZ")
}

/// What this dialect keeps with a conversation; an empty object for those of other dialects.
pub(super) struct Kept(Map<String, Value>);

impl Kept {
    /// Reads it.
    pub(super) fn of(conversation: &Conversation) -> Self {
        match conversation.extras.get(NAME).map(Json::value) {
            Some(Value::Object(kept)) => Self(kept),
            _ => Self(Map::new()),
        }
    }

    /// Whether a field has this value.
    pub(super) fn is(&self, field: &str, value: &str) -> bool {
        self.0.get(field).and_then(Value::as_str) == Some(value)
    }

    fn get(&self, field: &str) -> Value {
        self.0.get(field).cloned().unwrap_or_default()
    }
}

/// A conversation on the wire. Nothing is ever between stopped and running here, and nobody listens
/// to events yet.
pub(super) fn info(conversation: &Conversation, kept: &Kept) -> Value {
    let id = conversation.id.hex();
    let title = conversation.title.as_deref().unwrap_or_default();
    let title = if title.is_empty() {
        let start: String = id.chars().take(TITLE_ID_CHARS).collect();
        format!("Conversation {start}")
    } else {
        title.to_owned()
    };
    let active = conversation.active;
    json!({
        "conversation_id": id,
        "title": title,
        "last_updated_at": utc_time(conversation.updated_at),
        "status": status(active),
        "runtime_status": active.then_some("STATUS$RUNTIME_STARTED"),
        "selected_repository": kept.get("selected_repository"),
        "selected_branch": kept.get("selected_branch"),
        "git_provider": kept.get("git_provider"),
        "trigger": kept.get("trigger"),
        "num_connections": 0,
        "url": active.then(|| format!("/api/conversations/{id}")),
        "session_api_key": null,
        "created_at": utc_time(conversation.created_at()),
        "pr_number": [],
    })
}

/// Whether an agent is there, in OpenHands's words.
pub(super) fn status(active: bool) -> &'static str {
    if active { "RUNNING" } else { "STOPPED" }
}

/// What starting and stopping answer.
pub(super) fn outcome(id: &str, message: Option<&str>, status: &str) -> Value {
    json!({
        "status": "ok", "conversation_id": id, "message": message, "conversation_status": status,
    })
}

/// What cannot be started.
pub(super) fn not_started(named: &Named<'_>) -> Value {
    json!({"status": "error", "conversation_id": named.text})
}

/// A new conversation, from a checked request.
pub(super) struct New {
    /// The conversation.
    pub(super) draft: ConversationDraft,
    /// What is kept of the request.
    pub(super) kept: Kept,
    /// Whether the user has said something already.
    pub(super) asks: bool,
}

impl New {
    /// Reads a request.
    pub(super) fn of(app: &App, request: &Map<String, Value>) -> Self {
        let kept = Kept(kept(request));
        let first = first_message(request);
        let asks = first.is_some();
        let items = event::opening(app.instructions.as_deref().unwrap_or_default(), first);
        let mut draft = ConversationDraft::new(app.id);
        draft.active = true;
        let json = Json::from(&Value::Object(kept.0.clone()));
        draft.extras.insert(NAME.to_owned(), json);
        draft.items = items.into_iter().map(Into::into).collect();
        Self { draft, kept, asks }
    }
}

/// The turn that answers what the user says.
pub(super) fn answer(app: &Arc<App>, kept: &Kept, target: TurnTarget) -> TurnDraft {
    let input = vec![ItemDraft::from(event::running())];
    let mut draft = TurnDraft::new(Arc::clone(app), target, input);
    let own = kept.get("conversation_instructions");
    let own = own.as_str().filter(|own| !own.is_empty());
    draft.instructions = match (app.instructions.as_deref(), own) {
        (Some(instructions), Some(own)) => Some(format!("{instructions}\n\n{own}")),
        (None, Some(own)) => Some(own.to_owned()),
        (_, None) => None,
    };
    draft.closing = Some(event::closing);
    draft
}

/// What is kept of a request. A microagent's repository stands in for one that is not named.
fn kept(request: &Map<String, Value>) -> Map<String, Value> {
    let given = |field: &str| request.get(field).filter(|value| !value.is_null());
    let filled = |value: &&Value| value.as_str() != Some("");
    let (task, microagent) = (given("suggested_task"), given("create_microagent"));
    let of_microagent = |field: &str| microagent.and_then(|microagent| microagent.get(field));
    let trigger = match (task, microagent) {
        (Some(_), _) => "suggested_task",
        (None, Some(_)) => "microagent_management",
        (None, None) => "gui",
    };
    let repository = given("repository").filter(filled);
    let repository = repository.or_else(|| of_microagent("repo").filter(|_| task.is_none()));
    let provider = given("git_provider");
    let provider = provider.or_else(|| of_microagent("git_provider").filter(|_| task.is_none()));
    let mut kept = Map::new();
    kept.insert("trigger".to_owned(), trigger.into());
    let named = [
        ("selected_repository", repository),
        ("selected_branch", given("selected_branch")),
        ("git_provider", provider),
    ];
    let rest = KEPT.iter().map(|field| (*field, given(field)));
    for (field, value) in named.into_iter().chain(rest) {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            kept.insert(field.to_owned(), value.clone());
        }
    }
    kept
}

/// What the user says first: the task, if one is suggested, else the message, if there is text or
/// an image.
fn first_message(request: &Map<String, Value>) -> Option<ItemContent> {
    let task = request.get("suggested_task").and_then(Value::as_object);
    let said = request.get("initial_user_msg").and_then(Value::as_str);
    let text = task.map_or_else(|| said.unwrap_or_default().to_owned(), suggested);
    let images = request.get("image_urls").and_then(Value::as_array);
    let images = images.filter(|images| !images.is_empty());
    if text.is_empty() && images.is_none() {
        return None;
    }
    let mut args = Event::new();
    if let Some(images) = images {
        args.insert("image_urls".to_owned(), images.clone().into());
    }
    Some(event::user_message(&text, args))
}

/// A suggested task as a prompt. OpenHands has long templates for four of the types and none for the
/// others; these words are ours.
fn suggested(task: &Map<String, Value>) -> String {
    let text = |field: &str| match task.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let (repo, number, title) = (text("repo"), text("issue_number"), text("title"));
    let change = match text("git_provider").as_str() {
        "gitlab" => "merge request",
        _ => "pull request",
    };
    match text("task_type").as_str() {
        "MERGE_CONFLICTS" => {
            format!("Resolve the merge conflicts of {change} #{number} in {repo}: {title}")
        }
        "FAILING_CHECKS" => {
            format!("Fix the failing checks of {change} #{number} in {repo}: {title}")
        }
        "UNRESOLVED_COMMENTS" => {
            format!("Address the unresolved comments on {change} #{number} in {repo}: {title}")
        }
        "OPEN_ISSUE" => format!("Solve issue #{number} in {repo}: {title}"),
        "OPEN_PR" => format!("Bring {change} #{number} in {repo} to an end: {title}"),
        _ => format!("Create a microagent for {repo} (#{number}): {title}"),
    }
}

#[cfg(test)]
mod tests;
