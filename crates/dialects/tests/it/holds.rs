//! A legal hold keeps what it covers from every dialect's deletes, and is nobody else's business.

use axum::body::Body;
use http::Request;
use parlance_dialects::DIALECTS;
use parlance_domain::service::HoldTarget;
use parlance_domain::{ConversationId, HoldId, Id, ItemQuery, Order, User};

use crate::app::{Answer, TestApp};
use crate::receipts::{alice, delete, face, make, named, written};

async fn hold(app: &TestApp, target: HoldTarget) -> HoldId {
    let added = app.service.add_hold(app.project.id, target, None).await;
    added.unwrap().expect("what is to be held is there").id
}

async fn release(app: &TestApp, hold: HoldId) {
    let removed = app.service.remove_hold(app.project.id, hold).await;
    assert!(removed.unwrap(), "it was there");
}

fn user(name: &str) -> User {
    User::parse(name).unwrap().unwrap()
}

/// The status and the code with which a dialect refuses what is held.
fn refusal(dialect: &str) -> (u16, &'static str) {
    match dialect {
        "openai" | "dify" => (409, "\"code\":\"conflict\""),
        "coze" => (200, "\"code\":4101"),
        "openhands" => (409, "\"detail\":\"Conversation "),
        other => panic!("how does {other} refuse?"),
    }
}

fn assert_held(answer: &Answer, dialect: &str) {
    let (status, code) = refusal(dialect);
    let text = answer.text().replace(": ", ":");
    assert_eq!(answer.status.as_u16(), status, "{dialect}: {text}");
    assert!(
        text.contains(code) && text.contains("legal hold"),
        "{dialect}: {text}"
    );
    assert_eq!(named(answer), None, "nothing was erased");
}

#[tokio::test]
async fn every_dialect_refuses_to_delete_what_a_hold_covers_until_it_is_removed() {
    let app = TestApp::new().await;
    for entry in DIALECTS {
        let (dialect, key) = (entry.name, app.key(&format!("{}.alice", entry.name)));
        let id = make(&app).await;
        for target in [
            HoldTarget::Conversation(id.into()),
            HoldTarget::User(user("alice")),
            HoldTarget::Project,
        ] {
            let hold = hold(&app, target).await;
            let refused = delete(&app, dialect, key, None, id).await;
            assert_held(&refused, dialect);
            if dialect == "openai" {
                let again = refused.headers.get("x-should-retry");
                assert!(again.is_some_and(|again| again == "false"));
            }
            let read = app.service.conversation(&alice(&app), id.into()).await;
            assert!(read.is_ok(), "{dialect}");
            release(&app, hold).await;
        }
        let deleted = delete(&app, dialect, key, None, id).await;
        assert!(deleted.status.is_success(), "{dialect}: {}", deleted.text());
        assert!(named(&deleted).is_some(), "{dialect}");
    }
}

#[tokio::test]
async fn what_is_held_and_somebody_elses_is_answered_as_what_does_not_exist() {
    let app = TestApp::new().await;
    for entry in DIALECTS {
        let dialect = entry.name;
        let id = make(&app).await;
        let hold = hold(&app, HoldTarget::Conversation(id.into())).await;
        let unknown: ConversationId = app.service.new_id();
        for whose in ["bob", "stranger"] {
            let key = app.key(&format!("{dialect}.{whose}"));
            let foreign = delete(&app, dialect, key, None, id).await;
            let nothing = delete(&app, dialect, key, None, unknown).await;
            let wanted = face(&nothing, unknown, dialect);
            assert_eq!(face(&foreign, id, dialect), wanted, "{dialect} {whose}");
        }
        release(&app, hold).await;
    }
}

/// A request about the only item of a conversation.
fn about_item(dialect: &str, method: &str, of: ConversationId, item: impl Id) -> (String, Body) {
    let of = written(dialect, of);
    match (dialect, method) {
        ("openai", "delete") => (
            format!("/openai/v1/conversations/{of}/items/msg_{}", item.hex()),
            Body::empty(),
        ),
        ("coze", method) => (
            format!(
                "/coze/v1/conversation/message/{method}?conversation_id={of}&message_id={}",
                item.decimal()
            ),
            Body::from("{\"content\":\"another\",\"content_type\":\"text\"}"),
        ),
        other => panic!("there is no {other:?}"),
    }
}

#[tokio::test]
async fn no_item_of_what_is_held_is_deleted_or_changed() {
    let app = TestApp::new().await;
    let (who, id) = (alice(&app), make(&app).await);
    let query = ItemQuery::first(Order::OldestFirst, 9);
    let items = async || {
        let page = app.service.items(&who, id.into(), &query).await;
        page.unwrap().rows
    };
    let before = items().await;
    let hold = hold(&app, HoldTarget::User(user("alice"))).await;
    for (dialect, method, verb) in [
        ("openai", "delete", "DELETE"),
        ("coze", "delete", "POST"),
        ("coze", "modify", "POST"),
    ] {
        let ask = async || {
            let (path, body) = about_item(dialect, method, id, before[0].id);
            let key = app.key(&format!("{dialect}.alice"));
            let request = Request::builder()
                .method(verb)
                .uri(path)
                .header("authorization", format!("Bearer {key}"))
                .header("content-type", "application/json");
            app.send(request.body(body).unwrap()).await
        };
        let refused = ask().await;
        assert_held(&refused, dialect);
        assert_eq!(items().await, before, "{dialect} {method}");
    }
    release(&app, hold).await;
    let (path, body) = about_item("coze", "delete", id, before[0].id);
    let key = app.key("coze.alice");
    let request = Request::post(path)
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json");
    let done = app.send(request.body(body).unwrap()).await;
    assert!(done.text().contains("\"code\":0"), "{}", done.text());
    assert_eq!(items().await, []);
}

#[tokio::test]
async fn a_new_section_destroys_nothing_and_is_begun_in_what_is_held() {
    let app = TestApp::new().await;
    let id = make(&app).await;
    hold(&app, HoldTarget::Project).await;
    let path = format!("/coze/v1/conversations/{}/clear", written("coze", id));
    let key = app.key("coze.alice");
    let request = Request::post(path).header("authorization", format!("Bearer {key}"));
    let done = app.send(request.body(Body::empty()).unwrap()).await;
    assert!(done.text().contains("\"code\":0"), "{}", done.text());
}
