//! Who may do what: every route of every dialect, with every kind of credential.
//!
//! The rule is one: without a right key the dialect's 401; with a key of somebody else's exactly the
//! answer that an unknown conversation gets.

use std::fmt::Write;
use std::sync::Arc;

use axum::body::Body;
use http::{Method, Request};
use parlance_dialects::{DIALECTS, Entry, RouteInfo};
use parlance_domain::service::{ConversationDraft, TurnDraft, TurnTarget};
use parlance_domain::{
    ConversationId, Id, ItemContent, ItemId, ItemQuery, Order, Principal, Realm, Role, TurnId,
    TurnState, User,
};

use crate::app::{Answer, TestApp};

/// What a request may be about: a conversation, one of its items, a turn that stands alone.
#[derive(Clone, Copy)]
struct Things {
    conversation: ConversationId,
    item: ItemId,
    turn: TurnId,
}

/// The same as a client names them, with an app, below one of the dialect's prefixes.
struct Names {
    mount: &'static str,
    conversation: String,
    item: String,
    turn: String,
    app: String,
}

/// How a dialect writes ids.
fn names(app: &TestApp, dialect: &str, things: Things) -> Names {
    let Things {
        conversation,
        item,
        turn,
    } = things;
    let (conversation, item) = match dialect {
        "openai" => (
            format!("conv_{}", conversation.hex()),
            format!("msg_{}", item.hex()),
        ),
        "dify" => (conversation.dashed(), item.dashed()),
        "coze" => (
            conversation.decimal().to_string(),
            item.decimal().to_string(),
        ),
        "openhands" => (conversation.hex(), "0".to_owned()),
        other => panic!("how does {other} write ids?"),
    };
    let entry = parlance_dialects::dialect(dialect).expect("the dialect exists");
    Names {
        mount: entry.mounts.first().expect("a prefix of its own"),
        conversation,
        item,
        turn: format!("resp_{}", turn.hex()),
        app: (entry.app)(app.app.id),
    }
}

/// A body that the route accepts.
fn body(dialect: &str, operation: &str) -> &'static str {
    match (dialect, operation) {
        ("openai", "conversation.update") => "{\"metadata\":{\"a\":\"b\"}}",
        ("openai", "chat.complete") => "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
        ("openai", "response.create" | "response.count") => {
            "{\"input\":\"x\",\"conversation\":\"C\"}"
        }
        ("openai", "response.compact") => {
            "{\"model\":\"m\",\"input\":\"x\",\"previous_response_id\":\"T\"}"
        }
        ("openai", "item.create") => "{\"items\":[{\"role\":\"user\",\"content\":\"x\"}]}",
        ("dify", "chat.send") => {
            "{\"query\":\"x\",\"inputs\":{},\"user\":\"U\",\"conversation_id\":\"C\"}"
        }
        ("dify", "conversation.rename") => "{\"name\":\"x\",\"user\":\"U\"}",
        ("dify", "conversation.delete" | "chat.stop") => "{\"user\":\"U\"}",
        ("coze", "conversation.rename") => "{\"name\":\"x\"}",
        ("coze", "message.create") => {
            "{\"role\":\"user\",\"content\":\"x\",\"content_type\":\"text\"}"
        }
        ("coze", "message.modify") => "{\"content\":\"x\",\"content_type\":\"text\"}",
        ("coze", "chat.create") => {
            "{\"bot_id\":\"1\",\"user_id\":\"u\",\"additional_messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"
        }
        ("coze", "chat.cancel") => "{\"conversation_id\":\"C\",\"chat_id\":\"C\"}",
        ("coze", "chat.submit") => "{\"tool_outputs\":[{\"tool_call_id\":\"x\",\"output\":\"x\"}]}",
        ("openhands", "conversation.update") => "{\"title\":\"x\"}",
        ("openhands", "event.create") => "{\"action\":\"message\",\"args\":{\"content\":\"x\"}}",
        ("openhands", "event.list" | "trajectory.retrieve" | "agent.stop") => "",
        _ => "{}",
    }
}

/// A request for a route about a conversation, with a key in the dialect's header, or none.
fn request(
    entry: &Entry,
    route: &RouteInfo,
    names: &Names,
    user: &str,
    key: Option<&str>,
) -> Request<Body> {
    let Names {
        mount,
        conversation,
        item,
        turn,
        app,
    } = names;
    let path = route
        .path
        .replace("{conversation_id}", conversation)
        .replace("{item_id}", item)
        .replace("{task_id}", item)
        .replace("{response_id}", turn)
        .replace("{model}", "default")
        .replace("{deployment}", "default");
    let prefix = mount.replace("{project}", "p").replace("{app}", "second");
    let user_in_query = if user.is_empty() {
        String::new()
    } else {
        format!("&user={user}")
    };
    let uri = format!(
        "{prefix}{path}?conversation_id={conversation}&message_id={item}&chat_id={item}&bot_id={app}{user_in_query}"
    );
    let mut request = Request::builder().method(route.method.clone()).uri(uri);
    if let Some(key) = key {
        request = match entry.name {
            "openhands" => request.header("x-session-api-key", key),
            _ => request.header("authorization", format!("Bearer {key}")),
        };
    }
    let body = body(entry.name, route.operation).replace("\"C\"", &format!("\"{conversation}\""));
    let body = body.replace("\"T\"", &format!("\"{turn}\""));
    let body = body.replace("\"U\"", &format!("\"{user}\""));
    if route.method != Method::GET && !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    let body = if route.method == Method::GET {
        String::new()
    } else {
        body
    };
    request.body(Body::from(body)).expect("a request")
}

fn alice(app: &TestApp) -> Principal {
    Principal {
        project: app.project.id,
        user: User::parse("alice").expect("a user"),
        app: None,
        realm: Realm::Conversations,
    }
}

/// A conversation of alice's with a question and an answer, and a turn that stands alone, through no
/// dialect at all.
async fn things_of_alice(app: &TestApp) -> Things {
    let alice = alice(app);
    let items = vec![
        ItemContent::message(Role::User, "hello").into(),
        ItemContent::message(Role::Assistant, "hello, alice").into(),
    ];
    let draft = ConversationDraft {
        items,
        active: true,
        ..ConversationDraft::new(app.app.id)
    };
    let made = app.service.create_conversation(&alice, draft).await;
    let conversation = made.expect("made").id;
    let query = ItemQuery::first(Order::OldestFirst, 1);
    let items = app.service.items(&alice, conversation.into(), &query).await;
    let input = vec![ItemContent::message(Role::User, "hello").into()];
    let target = TurnTarget::Alone { previous: None };
    let draft = TurnDraft::new(Arc::new(app.app.clone()), target, input);
    let mut turn = app
        .service
        .start_turn(&alice, draft)
        .await
        .expect("it begins");
    turn.end().await.expect("it ends");
    Things {
        conversation,
        item: items.expect("items").rows[0].id,
        turn: turn.turn,
    }
}

async fn still_there(app: &TestApp, things: Things) {
    let alice = alice(app);
    let query = ItemQuery::first(Order::OldestFirst, 10);
    let (read, items) = app
        .service
        .conversation_with_items(&alice, things.conversation.into(), &query)
        .await
        .expect("the conversation is still there");
    assert_eq!((read.title, read.active, items.rows.len()), (None, true, 2));
    assert!(read.metadata.is_empty());
    let turn = app.service.turn(&alice, things.turn.into()).await;
    let turn = turn.expect("the turn is still there");
    assert_eq!(turn.state, TurnState::Completed);
}

/// Without what differs from request to request: the log id of Coze.
fn without_log_id(answer: &Answer, names: &Names) -> (u16, String) {
    let mut text = answer.text().replace(&names.conversation, "<conversation>");
    text = text.replace(&names.item, "<item>");
    text = text.replace(&names.turn, "<turn>");
    if let Some((before, rest)) = text.split_once("\"logid\":\"") {
        let after = rest.split_once('"').map_or("", |(_, after)| after);
        text = format!("{before}\"logid\":\"{after}");
    }
    (answer.status.as_u16(), text)
}

#[tokio::test]
async fn no_route_answers_without_a_right_key() {
    let app = TestApp::new().await;
    let things = things_of_alice(&app).await;
    let mut matrix = String::new();
    for entry in DIALECTS {
        let names = names(&app, entry.name, things);
        let foreign = DIALECTS
            .iter()
            .find(|other| other.name != entry.name)
            .expect("two dialects");
        let foreign_key = app.key(&format!("{}.alice", foreign.name)).to_owned();
        let wrong = format!("{}{}", entry.key_prefix, "0".repeat(48));
        let bobs = app.key(&format!("{}.bob", entry.name)).to_owned();
        for route in entry.route_table() {
            let mut line = format!("{} {} {}:", entry.name, route.method, route.path);
            for (what, key) in [
                ("no key", None),
                ("a wrong key", Some(wrong.as_str())),
                ("another dialect's key", Some(foreign_key.as_str())),
            ] {
                let answer = app.send(request(entry, &route, &names, "alice", key)).await;
                write!(line, " {what} {},", answer.status.as_u16()).expect("a string");
                // Coze's cloud refuses a wrong token with 200 where a chat begins.
                if route.keyed && route.operation == "chat.create" {
                    assert_eq!(answer.json()["code"], 4101, "{line}");
                } else if route.keyed {
                    assert_eq!(answer.status.as_u16(), 401, "{line} {}", answer.text());
                    assert!(!answer.text().contains("hello"), "{line}");
                }
            }
            let answer = app
                .send(request(entry, &route, &names, "bob", Some(&bobs)))
                .await;
            let code = answer.text();
            let code = code
                .split("\"code\":")
                .nth(1)
                .and_then(|rest| rest.split(',').next());
            let code = code.filter(|_| entry.name == "coze").unwrap_or_default();
            let status = format!("{} {code}", answer.status.as_u16());
            writeln!(
                matrix,
                "{line} another principal's key {}",
                status.trim_end()
            )
            .expect("a string");
        }
        still_there(&app, things).await;
    }
    insta::assert_snapshot!("authorisation_matrix", matrix);
}

#[tokio::test]
async fn all_prefixes_of_a_dialect_ask_for_the_same_keys() {
    let app = TestApp::new().await;
    let things = things_of_alice(&app).await;
    for entry in DIALECTS {
        let bobs = app.key(&format!("{}.bob", entry.name)).to_owned();
        let mut names = names(&app, entry.name, things);
        for route in entry.route_table().iter().filter(|route| route.keyed) {
            let mut answers = Vec::new();
            for mount in entry.mounts {
                names.mount = mount;
                for key in [None, Some(bobs.as_str())] {
                    let answer = app.send(request(entry, route, &names, "bob", key)).await;
                    assert!(!answer.text().contains("hello"), "{mount}{}", route.path);
                    answers.push((answer.status, key.is_some()));
                }
            }
            let others = answers.chunks(2).skip(1);
            for other in others {
                assert_eq!(other, &answers[..2], "{} {}", route.method, route.path);
            }
        }
        still_there(&app, things).await;
    }
}

#[tokio::test]
async fn what_belongs_to_another_principal_is_answered_as_what_does_not_exist() {
    let app = TestApp::new().await;
    let things = things_of_alice(&app).await;
    let nothing = Things {
        conversation: app.service.new_id(),
        item: app.service.new_id(),
        turn: app.service.new_id(),
    };
    for entry in DIALECTS {
        let theirs = names(&app, entry.name, things);
        let nobodys = names(&app, entry.name, nothing);
        for route in entry.route_table() {
            if !route.keyed {
                continue;
            }
            for (who, user) in [("", ""), ("bob", "bob"), ("stranger", "")] {
                let name = format!("{}.{who}", entry.name);
                let key = app.key(name.trim_end_matches('.')).to_owned();
                let what = format!("{} {} as {name}", route.method, route.path);
                let answer = app
                    .send(request(entry, &route, &theirs, user, Some(&key)))
                    .await;
                assert!(
                    !answer.text().contains("hello"),
                    "{what}: {}",
                    answer.text()
                );
                let unknown = app
                    .send(request(entry, &route, &nobodys, user, Some(&key)))
                    .await;
                if route.operation != "conversation.create" {
                    let (left, right) = (
                        without_log_id(&answer, &theirs),
                        without_log_id(&unknown, &nobodys),
                    );
                    assert_eq!(left, right, "{what}");
                }
                assert!(
                    !answer.status.is_server_error(),
                    "{what}: {}",
                    answer.text()
                );
            }
        }
        still_there(&app, things).await;
    }
}

#[tokio::test]
async fn a_dify_key_of_another_app_does_not_see_it_and_the_other_dialects_keys_do() {
    let app = TestApp::new().await;
    let things = things_of_alice(&app).await;
    for entry in DIALECTS {
        let names = names(&app, entry.name, things);
        let key = {
            let second = app
                .apps()
                .await
                .into_iter()
                .find(|made| made.name == "second");
            let second = second.expect("the second app");
            app.make_key(
                entry.name,
                &second,
                Some("alice"),
                parlance_domain::Scopes::All,
            )
            .await
        };
        let route = entry.route_table().into_iter().find(|route| {
            let read = ["conversation.retrieve", "message.list"];
            read.contains(&route.operation) && route.method == Method::GET
        });
        let route = route.expect("a route that reads");
        let answer = app
            .send(request(entry, &route, &names, "alice", Some(&key)))
            .await;
        let sees = answer.status.is_success() && !answer.text().contains("null}");
        assert_eq!(
            sees,
            entry.name != "dify",
            "{}: {}",
            entry.name,
            answer.text()
        );
    }
}
