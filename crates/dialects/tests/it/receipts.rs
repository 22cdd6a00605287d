//! Every delete names its receipt, to its principal and to nobody else.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use parlance_dialects::DIALECTS;
use parlance_domain::service::ConversationDraft;
use parlance_domain::{
    ConversationId, ConversationRef, Id, ItemContent, Principal, ReceiptId, Role, Scopes, User,
};
use ring::hmac;

use crate::app::{Answer, TestApp};

const HEADER: &str = "parlance-erasure-receipt";

pub(crate) fn alice(app: &TestApp) -> Principal {
    Principal {
        project: app.project.id,
        user: User::parse("alice").unwrap(),
        app: None,
        realm: parlance_domain::Realm::Conversations,
    }
}

/// A conversation of alice's, made through no dialect.
pub(crate) async fn make(app: &TestApp) -> ConversationId {
    let draft = ConversationDraft {
        items: vec![ItemContent::message(Role::User, "canary-content").into()],
        ..ConversationDraft::new(app.app.id)
    };
    let made = app.service.create_conversation(&alice(app), draft).await;
    made.unwrap().id
}

/// The id as the dialect writes it.
pub(crate) fn written(dialect: &str, id: ConversationId) -> String {
    match dialect {
        "openai" => format!("conv_{}", id.hex()),
        "dify" => id.dashed(),
        "coze" => id.decimal().to_string(),
        "openhands" => id.hex(),
        other => panic!("how does {other} write ids?"),
    }
}

/// Deletes with a key. `user` is named where the key of the dialect leaves it to the request.
pub(crate) async fn delete(
    app: &TestApp,
    dialect: &str,
    key: &str,
    user: Option<&str>,
    id: ConversationId,
) -> Answer {
    let id = written(dialect, id);
    let path = match dialect {
        "openhands" => format!("/openhands/api/conversations/{id}"),
        _ => format!("/{dialect}/v1/conversations/{id}"),
    };
    let mut request = Request::delete(path);
    request = match dialect {
        "openhands" => request.header("x-session-api-key", key),
        _ => request.header("authorization", format!("Bearer {key}")),
    };
    let mut body = Body::empty();
    match (dialect, user) {
        ("dify", Some(user)) => {
            request = request.header("content-type", "application/json");
            body = Body::from(format!("{{\"user\":\"{user}\"}}"));
        }
        ("openai", Some(user)) => request = request.header("x-ms-user-isolation-key", user),
        _ => {}
    }
    app.send(request.body(body).unwrap()).await
}

/// The receipt and the salt that an answer names.
pub(crate) fn named(answer: &Answer) -> Option<(ReceiptId, String)> {
    let text = answer.headers.get(HEADER)?.to_str().unwrap();
    let (id, salt) = text.split_once("; salt=").unwrap();
    assert_eq!(salt.len(), 64, "{text}");
    Some((ReceiptId::parse(id).unwrap(), salt.to_owned()))
}

/// What the vendor answers, but for the receipt and what is new in every answer.
pub(crate) fn face(answer: &Answer, id: ConversationId, dialect: &str) -> (u16, String) {
    let mut text = answer.text().replace(&written(dialect, id), "<id>");
    if let Some((before, rest)) = text.split_once("\"logid\":\"") {
        let after = rest.split_once('"').map_or("", |(_, after)| after);
        text = format!("{before}\"logid\":\"{after}");
    }
    (answer.status.as_u16(), text)
}

#[tokio::test]
async fn every_delete_names_a_receipt_and_a_repeat_of_a_days_names_it_again() {
    let app = TestApp::new().await;
    for entry in DIALECTS {
        let (dialect, key) = (entry.name, app.key(&format!("{}.alice", entry.name)));
        let id = make(&app).await;
        let nothing: ConversationId = app.service.new_id();
        let unknown = delete(&app, dialect, key, None, nothing).await;
        assert_eq!(named(&unknown), None, "{dialect}");
        let deleted = delete(&app, dialect, key, None, id).await;
        assert!(deleted.status.is_success(), "{dialect}: {}", deleted.text());
        let receipt = named(&deleted).unwrap_or_else(|| panic!("{dialect} names none"));
        if dialect == "dify" {
            assert_eq!((deleted.status.as_u16(), deleted.body.len()), (204, 0));
        }
        for _ in 0..2 {
            app.clock.advance(Duration::from_hours(11));
            let again = delete(&app, dialect, key, None, id).await;
            assert_eq!(named(&again), Some(receipt.clone()), "{dialect}");
            assert_eq!(
                face(&again, id, dialect),
                face(&unknown, nothing, dialect),
                "the vendor's not-found"
            );
        }
    }
}

#[tokio::test]
async fn a_repeat_names_no_receipt_once_the_deletion_is_forgotten() {
    let app = TestApp::new().await;
    for entry in DIALECTS {
        let (dialect, key) = (entry.name, app.key(&format!("{}.alice", entry.name)));
        let id = make(&app).await;
        assert!(named(&delete(&app, dialect, key, None, id).await).is_some());
        app.clock.advance(Duration::from_secs(1));
        app.store.sweep(app.service.now()).await.unwrap();
        assert_eq!(named(&delete(&app, dialect, key, None, id).await), None);
    }
}

#[tokio::test]
async fn nobody_else_is_told_of_a_receipt() {
    let app = TestApp::new().await;
    let apps = app.apps().await;
    let second = apps.iter().find(|made| made.name == "second").unwrap();
    for entry in DIALECTS {
        let dialect = entry.name;
        let id = make(&app).await;
        let own = app.key(&format!("{dialect}.alice"));
        let first = named(&delete(&app, dialect, own, None, id).await);
        assert!(first.is_some(), "{dialect}");
        let key = |name: &str| app.key(&format!("{dialect}{name}")).to_owned();
        // The user goes with the request as well, where a dialect has it there.
        for (key, user) in [
            (key(".bob"), None),
            (key(""), None),
            (key(""), Some("bob")),
            (key(".stranger"), None),
            (key(".stranger"), Some("alice")),
        ] {
            let answer = delete(&app, dialect, &key, user, id).await;
            assert_eq!(
                named(&answer),
                None,
                "{dialect} {user:?}: {}",
                answer.text()
            );
        }
        // Dify's keys see their own app alone; elsewhere an app is no border.
        let other_app = app
            .make_key(dialect, second, Some("alice"), Scopes::All)
            .await;
        let answer = delete(&app, dialect, &other_app, None, id).await;
        let wanted = first.filter(|_| dialect != "dify");
        assert_eq!(named(&answer), wanted, "{dialect}");
    }
}

/// The bytes of 64 hexadecimal digits.
fn unhex(digits: &str) -> Vec<u8> {
    let (high, low) = digits.split_at(32);
    let half = |digits| u128::from_str_radix(digits, 16).unwrap().to_be_bytes();
    [half(high), half(low)].concat()
}

#[tokio::test]
async fn the_salt_of_the_header_shows_what_the_signed_receipt_is_about() {
    let app = TestApp::new().await;
    for entry in DIALECTS {
        let (dialect, key) = (entry.name, app.key(&format!("{}.alice", entry.name)));
        let id = make(&app).await;
        let answer = delete(&app, dialect, key, None, id).await;
        let (receipt, salt) = named(&answer).unwrap();
        assert_eq!(app.service.sign_receipts().await.unwrap(), 1);
        let record = app.service.receipt(receipt).await.unwrap().unwrap();
        let json = record.proven.unwrap().text().unwrap();
        let salt = hmac::Key::new(hmac::HMAC_SHA256, &unhex(&salt));
        let subject = hmac::sign(&salt, &id.bits().to_be_bytes());
        let (high, low) = subject.as_ref().split_at(16);
        let half = |bytes: &[u8]| u128::from_be_bytes(bytes.try_into().unwrap());
        let subject = format!("{:032x}{:032x}", half(high), half(low));
        assert!(
            json.contains(&format!("\"subject\":\"{subject}\"")),
            "{json}"
        );
        for secret in [
            &id.hex(),
            &id.dashed(),
            &id.decimal().to_string(),
            "alice",
            "canary",
        ] {
            assert!(!json.contains(secret), "{secret}: {json}");
        }
    }
}

#[tokio::test]
async fn a_prefix_that_names_the_deleted_finds_its_receipt() {
    let app = TestApp::new().await;
    let id = make(&app).await;
    let key = app.key("openai.alice");
    let (receipt, _) = named(&delete(&app, "openai", key, None, id).await).unwrap();
    let decimal = ConversationRef::from_decimal(&id.decimal().to_string()).unwrap();
    let found = app.service.receipt_of(&alice(&app), decimal).await;
    assert_eq!(found.unwrap(), Some(receipt));
    let through_coze = delete(&app, "coze", app.key("coze.alice"), None, id).await;
    assert_eq!(named(&through_coze).unwrap().0, receipt);
}
