use parlance_domain::{App, AppId, AppMode, Id, Json, ProjectId, Timestamp};
use serde_json::{Value, json};

use super::{New, naive_time, utc_time};
use crate::openhands::NAME;

fn app(instructions: Option<&str>) -> App {
    App {
        id: AppId::from_bits(1),
        project: ProjectId(1),
        name: "default".to_owned(),
        mode: AppMode::AdvancedChat,
        model: None,
        instructions: instructions.map(str::to_owned),
        created_at: Timestamp::default(),
    }
}

/// What is kept of a request, and what the user says first.
fn made(request: &Value) -> (Value, Option<String>) {
    let New { draft, asks, .. } = New::of(&app(None), request.as_object().unwrap());
    assert!(draft.active);
    let kept = draft.extras.get(NAME).map(Json::value);
    let said = asks.then(|| draft.items[2].content.text());
    (kept.unwrap_or_default(), said)
}

#[test]
fn times_always_have_six_digits() {
    let at = Timestamp::from_micros(1_795_297_341_000_000);
    assert_eq!(naive_time(at), "2026-11-21T21:42:21.000000");
    let at = Timestamp::from_micros(1_795_297_341_511_669);
    assert_eq!(utc_time(at), "2026-11-21T21:42:21.511669Z");
}

#[test]
fn a_plain_conversation_comes_from_the_browser() {
    assert_eq!(made(&json!({})), (json!({"trigger": "gui"}), None));
    assert_eq!(
        made(&json!({"initial_user_msg": "", "image_urls": [], "repository": null})),
        (json!({"trigger": "gui"}), None)
    );
}

#[test]
fn an_image_alone_is_a_message() {
    let (_, said) = made(&json!({"image_urls": ["u"]}));
    assert_eq!(said.as_deref(), Some(""));
}

#[test]
fn a_suggested_task_is_what_the_user_says() {
    let task = json!({"git_provider": "gitlab", "task_type": "FAILING_CHECKS", "repo": "a/b",
        "issue_number": 7, "title": "Red"});
    let (kept, said) = made(&json!({"suggested_task": task, "initial_user_msg": "x"}));
    assert_eq!(
        kept,
        json!({"trigger": "suggested_task", "suggested_task": task})
    );
    let expected = "Fix the failing checks of merge request #7 in a/b: Red";
    assert_eq!(said.as_deref(), Some(expected));
}

#[test]
fn a_microagent_names_the_repository_unless_the_request_does() {
    let microagent = json!({"repo": "a/b", "git_provider": "github"});
    let (kept, _) = made(&json!({"create_microagent": microagent}));
    assert_eq!(kept["trigger"], "microagent_management");
    assert_eq!(kept["selected_repository"], "a/b");
    assert_eq!(kept["git_provider"], "github");
    let (kept, _) = made(&json!({"create_microagent": microagent, "repository": "c/d"}));
    assert_eq!(kept["selected_repository"], "c/d");
}

#[test]
fn the_apps_instructions_are_the_system_message() {
    let New { draft, .. } = New::of(&app(Some("Be kind.")), json!({}).as_object().unwrap());
    let system = draft.items[1].content.payload.value();
    assert_eq!(system["args"]["content"], "Be kind.");
}
