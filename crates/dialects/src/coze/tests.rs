use http::{Method, StatusCode};
use parlance_domain::fault::{Conflict, CredentialProblem, MalformedBody};
use parlance_domain::{
    AppId, ConversationId, Fault, Id, Item, ItemContent, ItemId, ItemKind, Json, Native, Noun,
    Principal, ProjectId, Realm, Reason, Role, SectionId, Timestamp, User,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::ask::Ask;
use super::message::{self, Message};
use super::{Coze, caller, convert, envelope, error};
use crate::kit::fields::Fields;
use crate::kit::{Context, Dialect, Example, Params};

fn context() -> Context {
    Context {
        request: 0x019a_a5c3_0000_7fff_bfff_0123_4567_89ab,
        at: Timestamp::from_millis(1_795_262_400_999),
        method: Method::POST,
        path: "/coze/v3/chat/completions".to_owned(),
        params: Params::default(),
        receipt: std::sync::OnceLock::new(),
        closing: std::sync::atomic::AtomicBool::new(false),
    }
}

fn object(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).expect("an object")
}

/// What a body of `message/create` becomes, or the error that it is.
fn created(body: Value) -> Result<ItemContent, (String, Reason)> {
    let body = object(body);
    message::created(&Fields::of(&body)).map_err(|error| invalid(error.fault))
}

fn invalid(fault: Fault) -> (String, Reason) {
    let Fault::Invalid { field, why } = fault else {
        panic!("another fault: {fault:?}");
    };
    (field, why)
}

fn item(content: ItemContent) -> Item {
    Item {
        id: ItemId::from_bits(2_000 << 80),
        seq: 0,
        section: SectionId::from_bits(1_000 << 80),
        turn: None,
        modified_at: None,
        alias: None,
        content,
    }
}

fn shown(content: ItemContent) -> Value {
    let message = Message::added(&item(content), ConversationId::from_bits(1_000 << 80));
    serde_json::to_value(message).expect("a message has a JSON form")
}

fn said_in_objects(content: &str) -> Value {
    json!({"role": "user", "content": content, "content_type": "object_string"})
}

#[test]
fn a_log_id_is_the_second_and_twenty_upper_case_digits_of_the_request() {
    let id = envelope::log_id(&context());
    assert_eq!(id, "202611211200007FFFBFFF0123456789AB");
    assert_eq!(id.len(), 34);
}

#[test]
fn an_account_is_a_stable_number_of_nineteen_digits_that_differs_by_project_and_user() {
    let who = |project, user: &str| Principal {
        project: ProjectId(project),
        user: User::parse(user).expect("a user"),
        app: None,
        realm: Realm::Conversations,
    };
    let all = [who(1, ""), who(1, "alice"), who(1, "bob"), who(2, "alice")];
    let mut accounts: Vec<String> = all.iter().map(caller::account).collect();
    assert_eq!(accounts[1], caller::account(&who(1, "alice")));
    assert_eq!(accounts[1], "7402793177788343276");
    accounts.sort();
    accounts.dedup();
    assert_eq!(accounts.len(), all.len());
    for account in accounts {
        assert_eq!(account.len(), 19);
        assert!(
            account.parse::<i64>().is_ok(),
            "{account} has more than 63 bits"
        );
    }
}

#[test]
fn a_plain_message_keeps_nothing_beside_the_common_form() {
    let body = json!({
        "role": "user", "content": "hi", "content_type": "text", "meta_data": null,
        "id": "", "created_at": 0,
    });
    assert_eq!(created(body), Ok(ItemContent::message(Role::User, "hi")));
}

#[test]
fn an_object_string_is_shown_as_it_came_and_its_text_and_files_are_in_the_common_form() {
    let text = r#"[{"type":"text","text":"look"}, {"type":"image","file_url":"https://a/b.png","file_id":null},
        {"type":"file","file_id":"7"}, {"type":"audio","file_url":"https://a/b.mp3"}]"#;
    let content = created(said_in_objects(text)).expect("a message");
    assert_eq!(content.text(), "look");
    assert_eq!(
        content.payload.value()["content"],
        json!([
            {"type": "input_text", "text": "look"},
            {"type": "input_image", "detail": "auto", "image_url": "https://a/b.png"},
            {"type": "input_file", "file_id": "7"},
            {"type": "input_file", "file_url": "https://a/b.mp3"},
        ])
    );
    let shown = shown(content);
    assert_eq!(shown["content"], text);
    assert_eq!(shown["content_type"], "object_string");
}

#[test]
fn a_list_of_parts_is_kept_as_its_json_text() {
    let body = json!({
        "role": "user", "content_type": "object_string",
        "content": [{"type": "image", "file_id": "7"}],
    });
    let shown = shown(created(body).expect("a message"));
    assert_eq!(shown["content"], r#"[{"type":"image","file_id":"7"}]"#);
}

#[test]
fn a_malformed_object_string_says_where_and_why() {
    let field = |content: &str| created(said_in_objects(content)).expect_err("an error").0;
    assert_eq!(field("look"), "content");
    assert_eq!(field("{}"), "content");
    assert_eq!(field("[]"), "content");
    assert_eq!(field(r#"[{"type":"text","text":"alone"}]"#), "content");
    assert_eq!(field(r#"["look"]"#), "content[0]");
    assert_eq!(
        field(r#"[{"type":"video","file_id":"7"}]"#),
        "content[0].type"
    );
    assert_eq!(field(r#"[{"type":"image"}]"#), "content[0].file_id");
    assert_eq!(
        field(r#"[{"type":"image","file_id":"","file_url":""}]"#),
        "content[0].file_id"
    );
    let twice =
        r#"[{"type":"text","text":"a"},{"type":"text","text":"b"},{"type":"file","file_id":"7"}]"#;
    assert_eq!(field(twice), "content[1].text");
}

#[test]
fn the_assistant_says_nothing_but_text() {
    let mut body = said_in_objects(r#"[{"type":"image","file_id":"7"}]"#);
    body["role"] = "assistant".into();
    assert_eq!(created(body).expect_err("an error").0, "content_type");
}

#[test]
fn a_message_needs_role_content_and_content_type() {
    let whole = object(json!({"role": "user", "content": "hi", "content_type": "text"}));
    for field in ["role", "content", "content_type"] {
        let mut body = whole.clone();
        body.insert(field.to_owned(), Value::Null);
        let error = created(body.into()).expect_err("an error");
        assert_eq!(error, (field.to_owned(), Reason::Missing));
    }
    for (field, value) in [("role", "system"), ("content_type", "card")] {
        let mut body = whole.clone();
        body.insert(field.to_owned(), value.into());
        let error = created(body.into()).expect_err("an error");
        assert!(matches!(error, (at, Reason::NotOneOf { .. }) if at == field));
    }
}

#[test]
fn a_new_conversation_takes_sixteen_messages_with_the_zero_fields_of_go() {
    let message = json!({
        "role": "user", "type": "", "content": "hi", "content_type": "text", "meta_data": null,
        "id": "", "conversation_id": "", "bot_id": "", "chat_id": "", "created_at": 0,
    });
    let entered = |count| {
        let body = object(json!({"messages": vec![message.clone(); count]}));
        message::entered(&Fields::of(&body)).map_err(|error| invalid(error.fault))
    };
    assert_eq!(entered(16).expect("messages").len(), 16);
    let why = Reason::TooMany { max: 16, got: 17 };
    assert_eq!(entered(17), Err(("messages".to_owned(), why)));
}

/// What a message says after a change.
fn changed(old: &ItemContent, role: Role, body: Value) -> Result<ItemContent, (String, Reason)> {
    let body = object(body);
    message::change(&Fields::of(&body))
        .and_then(|change| change.apply(old, role))
        .map_err(|error| invalid(error.fault))
}

#[test]
fn a_change_leaves_alone_what_it_does_not_name() {
    let body = json!({
        "role": "user", "content": "hi", "content_type": "text", "meta_data": {"a": "1"},
    });
    let old = created(body).expect("a message");
    let text = json!({"content": "bye", "content_type": "text", "meta_data": null});
    let new = changed(&old, Role::User, text).expect("a change");
    assert_eq!(new.text(), "bye");
    assert_eq!(shown(new)["meta_data"], json!({"a": "1"}));
    let pairs = json!({"content": null, "content_type": null, "meta_data": {"b": "2"}});
    let new = changed(&old, Role::User, pairs).expect("a change");
    assert_eq!(new.text(), "hi");
    assert_eq!(shown(new)["meta_data"], json!({"b": "2"}));
}

#[test]
fn a_change_needs_content_with_its_type_or_meta_data() {
    let old = ItemContent::message(Role::User, "hi");
    for body in [
        json!({}),
        json!({"content": "", "meta_data": {}}),
        json!({"content_type": "text"}),
    ] {
        let error = changed(&old, Role::User, body).expect_err("an error");
        assert_eq!(error, ("content".to_owned(), Reason::Missing));
    }
    let error = changed(&old, Role::User, json!({"content": "bye"})).expect_err("an error");
    assert_eq!(error, ("content_type".to_owned(), Reason::Missing));
}

#[test]
fn an_answer_cannot_be_changed_into_attachments() {
    let old = ItemContent::message(Role::Assistant, "hi");
    let body = json!({
        "content": [{"type": "image", "file_id": "7"}], "content_type": "object_string",
    });
    assert_eq!(
        changed(&old, Role::Assistant, body)
            .expect_err("an error")
            .0,
        "content_type"
    );
}

#[test]
fn a_changed_message_of_another_dialect_keeps_what_that_one_keeps() {
    let payload = json!({
        "type": "message", "status": "incomplete", "role": "assistant", "phase": "final",
        "content": [{"type": "output_text", "text": "old", "annotations": []}],
    });
    let native = Some(Native {
        dialect: "dify".to_owned(),
        json: Json::from(&json!({"inputs": {}})),
    });
    let old = ItemContent {
        kind: ItemKind::Message(Role::Assistant),
        payload: Json::from(&payload),
        native: native.clone(),
    };
    let body = json!({"content": "new", "content_type": "text"});
    let new = changed(&old, Role::Assistant, body).expect("a change");
    assert_eq!((new.text(), new.native.clone()), ("new".to_owned(), native));
    let payload = new.payload.value();
    let pairs = object(json!({"meta_data": {"a": "1"}}));
    let change = message::change(&Fields::of(&pairs)).expect("a change");
    let error = change.apply(&old, Role::Assistant).expect_err("an error");
    assert!(matches!(error.fault, Fault::Unsupported { .. }));
    assert_eq!(
        (&payload["status"], &payload["phase"]),
        (&json!("incomplete"), &json!("final"))
    );
}

#[test]
fn ids_that_are_empty_zero_or_null_are_absent() {
    for absent in [json!(null), json!(""), json!("0"), json!(0)] {
        let body = object(json!({"after_id": absent}));
        assert_eq!(
            convert::anchor(&Fields::of(&body), "after_id").expect("no id"),
            None
        );
    }
    let body = object(json!({"chat_id": 7_382_159_487_131_697_202_u64}));
    let id = convert::id_text(&Fields::of(&body), "chat_id").expect("an id");
    assert_eq!(id.as_deref(), Some("7382159487131697202"));
}

#[test]
fn a_business_error_is_200_with_the_vendors_code() {
    let invalid = |field: &str, why| Fault::Invalid {
        field: field.to_owned(),
        why,
    };
    let table = [
        (invalid("name", Reason::Missing), 200, 4000),
        (
            invalid("meta_data", Reason::TooMany { max: 16, got: 17 }),
            200,
            4003,
        ),
        (
            invalid(
                "messages[0].meta_data.a",
                Reason::TooLong { max: 512, got: 513 },
            ),
            200,
            4003,
        ),
        (
            invalid(
                "meta_data",
                Reason::WrongType {
                    expected: "an object",
                    got: "null",
                },
            ),
            200,
            4000,
        ),
        (Fault::MalformedBody(MalformedBody::NotObject), 200, 4000),
        (
            Fault::Unauthenticated(CredentialProblem::Missing),
            401,
            700_012_006,
        ),
        (
            Fault::Forbidden {
                scope: "editConversation",
            },
            200,
            4101,
        ),
        (Fault::NotFound(Noun::Conversation), 200, 4200),
        (Fault::NotFound(Noun::Item), 200, 4200),
        (Fault::Conflict(Conflict::ConversationBusy), 200, 4016),
        (Fault::Conflict(Conflict::Held), 200, 4101),
        (Fault::NoSuchRoute, 404, 4000),
        (Fault::MethodNotAllowed, 405, 4000),
        (Fault::BodyTooLarge { bytes_max: 1 }, 413, 4000),
        (Fault::StoreDown, 503, 5000),
        (Fault::Internal, 500, 5000),
    ];
    for (fault, status, code) in table {
        let answer = error::face_of(&fault, &context());
        assert_eq!(
            answer,
            (StatusCode::from_u16(status).expect("a status"), code),
            "{fault:?}"
        );
    }
}

#[test]
fn the_example_names_the_bot_and_deletes_what_it_made() {
    let app = AppId::from_bits(1_795_262_400_000 << 80);
    let example = Example {
        base: "http://127.0.0.1:8080",
        key: "pat_1",
        app,
    };
    let line = Coze::example(&example);
    assert!(
        line.contains(&format!(r#"{{"bot_id":"{}"}}"#, Coze::app(app))),
        "{line}"
    );
    assert!(
        line.contains(r#"s/.*"data":{"id":"\([0-9]*\)".*/\1/p"#),
        "{line}"
    );
    assert!(line.ends_with("/coze/v1/conversations/$id -H 'Authorization: Bearer pat_1'"));
}

proptest! {
    #[test]
    fn any_text_comes_back_as_it_was_sent(text: String, assistant: bool) {
        let role = if assistant { "assistant" } else { "user" };
        let body = json!({"role": role, "content": text, "content_type": "text"});
        let shown = shown(created(body).expect("a message"));
        prop_assert_eq!(&shown["content"], &json!(text));
        prop_assert_eq!(&shown["content_type"], "text");
        prop_assert_eq!(&shown["role"], role);
    }

    #[test]
    fn any_parts_come_back_as_they_were_sent(text: Option<String>, files in prop::collection::vec("[1-9][0-9]{0,18}", 1..4)) {
        let mut parts: Vec<Value> = files.iter().map(|id| json!({"type": "file", "file_id": id})).collect();
        if let Some(text) = &text {
            parts.push(json!({"type": "text", "text": text}));
        }
        let sent = Value::Array(parts).to_string();
        let content = created(said_in_objects(&sent)).expect("a message");
        prop_assert_eq!(content.text(), text.unwrap_or_default());
        prop_assert_eq!(&shown(content)["content"], &json!(sent));
    }

    #[test]
    fn any_id_is_read_back_from_its_decimal(millis in 1_600_000_000_000_u64..4_000_000_000_000, random: u64) {
        let id = ConversationId::from_bits((u128::from(millis) << 80) | (7 << 76) | (0b10 << 62) | u128::from(random >> 2));
        let read = Coze::conversation(&convert::decimal(id)).expect("an id");
        prop_assert!(read.names(id));
    }
}

/// What a body of `/v3/chat` asks, beside a bot and a user.
fn asked(more: Value) -> Result<Ask, (String, Reason)> {
    let mut body = object(json!({"bot_id": "1", "user_id": "u"}));
    body.extend(object(more));
    Ask::read(&Fields::of(&body)).map_err(|error| invalid(error.fault))
}

#[test]
fn a_chat_is_kept_and_not_streamed_unless_it_says_otherwise() {
    let ask = asked(json!({"connector_id": "", "stream": null})).expect("a chat");
    assert_eq!((ask.is_kept, ask.is_streamed), (true, false));
    let ask = asked(json!({"stream": true, "auto_save_history": false})).expect("a chat");
    assert_eq!((ask.is_kept, ask.is_streamed), (false, true));
}

#[test]
fn variables_stand_in_the_instructions_of_the_bot() {
    let ask =
        asked(json!({"custom_variables": {"city": "Köln", "a_b": "{{city}}"}})).expect("a chat");
    let filled = |text: &str| ask.instructions(Some(text)).expect("instructions");
    assert_eq!(
        filled("In {{city}}, {{ city }}: {{a_b}}."),
        "In Köln, Köln: {{city}}."
    );
    assert_eq!(filled("{{unknown}} {{city"), "{{unknown}} {{city");
    assert_eq!(filled("plain"), "plain");
    assert_eq!(ask.instructions(None), None);
    let none = asked(json!({})).expect("a chat");
    assert_eq!(
        none.instructions(Some("{{city}}")),
        None,
        "the bot's own are used"
    );
}

#[test]
fn a_chat_that_is_not_kept_may_bring_calls_of_tools_with_their_outputs() {
    let call = json!({"name": "weather", "arguments": {"city": "Köln"}}).to_string();
    let messages = |types: &[&str]| {
        let message = |kind: &&str| {
            let content = if *kind == "function_call" {
                call.as_str()
            } else {
                "rain"
            };
            json!({"role": "assistant", "type": kind, "content": content})
        };
        types.iter().map(message).collect::<Vec<_>>()
    };
    let unkept = |types: &[&str]| {
        asked(json!({"auto_save_history": false, "additional_messages": messages(types)}))
    };
    let ask = unkept(&["function_call", "tool_response"]).expect("a chat");
    let payload = |at: usize| ask.input[at].content.payload.value();
    assert_eq!(payload(0)["name"], "weather");
    assert_eq!(payload(0)["call_id"], payload(1)["call_id"]);
    assert_eq!(payload(1)["output"], "rain");
    let (field, _) = unkept(&["tool_output"])
        .err()
        .expect("an output of nothing");
    assert_eq!(field, "additional_messages[0].type");
    let kept = json!({"additional_messages": messages(&["function_call"])});
    assert_eq!(
        asked(kept).err().expect("not kept").0,
        "additional_messages[0].type"
    );
}

#[test]
fn a_chat_takes_a_hundred_messages_and_no_more() {
    let messages = |count| vec![json!({"role": "user", "content": "x"}); count];
    let ask = asked(json!({"additional_messages": messages(100)})).expect("a chat");
    assert_eq!(ask.input.len(), 100);
    let many = json!({"additional_messages": messages(101)});
    let (field, why) = asked(many).err().expect("too many");
    assert_eq!(why, Reason::TooMany { max: 100, got: 101 });
    let fault = Fault::Invalid { field, why };
    assert_eq!(error::face_of(&fault, &context()), (StatusCode::OK, 4004));
}

#[test]
fn only_where_a_chat_begins_a_wrong_token_is_answered_with_200() {
    let fault = Fault::Unauthenticated(CredentialProblem::Unknown);
    let mut context = context();
    for (path, expected) in [
        ("/coze/v3/chat", (StatusCode::OK, 4101)),
        ("/v3/chat", (StatusCode::OK, 4101)),
        ("/v3/chat/cancel", (StatusCode::UNAUTHORIZED, 700_012_006)),
    ] {
        context.path = path.to_owned();
        assert_eq!(error::face_of(&fault, &context), expected, "{path}");
    }
}
