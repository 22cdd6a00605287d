use std::fmt::Write;
use std::time::Duration;

use axum::body::to_bytes;
use parlance_domain::fault::{Conflict, CredentialProblem, MalformedBody};
use parlance_domain::{Noun, Reason, Timestamp};

use super::*;
use crate::DIALECTS;

/// At least one example of every fault. [`every_fault_has_an_example`] does not compile when a new
/// one has none.
fn examples() -> Vec<Fault> {
    let mut faults = invalid();
    faults.extend(before_routes());
    faults.extend(in_use());
    faults
}

fn invalid() -> Vec<Fault> {
    let reasons = [
        Reason::Missing,
        Reason::WrongType {
            expected: "a string",
            got: "an object",
        },
        Reason::TooLong { max: 3, got: 4 },
        Reason::Blank,
        Reason::TooMany { max: 16, got: 17 },
        Reason::AboveMax { max: 100, got: 101 },
        Reason::BelowMin { min: 1, got: 0 },
        Reason::NotOneOf {
            got: "x".to_owned(),
            allowed: &["a", "b", "c"],
        },
        Reason::Malformed { expected: "a UUID" },
        Reason::Exclusive { with: "other" },
        Reason::ForeignUser,
        Reason::NotSupported {
            what: "the tool x".to_owned(),
        },
    ];
    let invalid = |why: Reason| Fault::Invalid {
        field: "field".to_owned(),
        why,
    };
    reasons.into_iter().map(invalid).collect()
}

/// What goes wrong before anything is looked for, and what is not there.
fn before_routes() -> Vec<Fault> {
    vec![
        Fault::MalformedBody(MalformedBody::Absent),
        Fault::MalformedBody(MalformedBody::NotJson { at: 1 }),
        Fault::MalformedBody(MalformedBody::NotObject),
        Fault::MalformedBody(MalformedBody::NotUtf8),
        Fault::Unsupported { feature: "this" },
        Fault::Unauthenticated(CredentialProblem::Missing),
        Fault::Unauthenticated(CredentialProblem::BadScheme),
        Fault::Unauthenticated(CredentialProblem::Unknown),
        Fault::Forbidden {
            scope: "editConversation",
        },
        Fault::WrongMode,
        Fault::NotFound(Noun::Conversation),
        Fault::NotFound(Noun::AnchorConversation),
        Fault::NotFound(Noun::Item),
        Fault::NotFound(Noun::AnchorItem),
        Fault::NotFound(Noun::Turn),
        Fault::NotFound(Noun::PreviousTurn),
        Fault::NotFound(Noun::App),
    ]
}

/// Everything else.
fn in_use() -> Vec<Fault> {
    vec![
        Fault::Conflict(Conflict::ConversationBusy),
        Fault::Conflict(Conflict::Held),
        Fault::Conflict(Conflict::DuplicateItem),
        Fault::Conflict(Conflict::NotRunning),
        Fault::Conflict(Conflict::Contended),
        Fault::NoSuchRoute,
        Fault::MethodNotAllowed,
        Fault::BodyTooLarge { bytes_max: 100 },
        Fault::BodyTimeout,
        Fault::Busy {
            retry_after: Duration::from_millis(1_500),
        },
        Fault::NoToolOutput {
            call_id: "call_1".to_owned(),
        },
        Fault::ContextTooLong { tokens_max: 4_096 },
        Fault::UpstreamRefused { said: None },
        Fault::UpstreamRefused {
            said: Some("no such model".to_owned()),
        },
        Fault::UpstreamBusy { retry_after: None },
        Fault::UpstreamBusy {
            retry_after: Some(Duration::from_millis(2_500)),
        },
        Fault::UpstreamDown,
        Fault::StoreDown,
        Fault::Cancelled,
        Fault::Internal,
    ]
}

#[test]
fn every_fault_has_an_example() {
    // Without a wildcard, so that whoever adds a fault comes by here.
    let place = |fault: &Fault| match fault {
        Fault::Invalid { why, .. } => match why {
            Reason::Missing => 0,
            Reason::WrongType { .. } => 1,
            Reason::TooLong { .. } => 2,
            Reason::Blank => 3,
            Reason::TooMany { .. } => 4,
            Reason::AboveMax { .. } => 5,
            Reason::BelowMin { .. } => 6,
            Reason::NotOneOf { .. } => 7,
            Reason::Malformed { .. } => 8,
            Reason::Exclusive { .. } => 9,
            Reason::ForeignUser => 10,
            Reason::NotSupported { .. } => 11,
        },
        Fault::MalformedBody(_) => 12,
        Fault::Unsupported { .. } => 13,
        Fault::Unauthenticated(_) => 14,
        Fault::Forbidden { .. } => 15,
        Fault::WrongMode => 16,
        Fault::NotFound(_) => 17,
        Fault::Conflict(_) => 18,
        Fault::NoSuchRoute => 19,
        Fault::MethodNotAllowed => 20,
        Fault::BodyTooLarge { .. } => 21,
        Fault::BodyTimeout => 22,
        Fault::Busy { .. } => 23,
        Fault::NoToolOutput { .. } => 24,
        Fault::ContextTooLong { .. } => 25,
        Fault::UpstreamRefused { .. } => 26,
        Fault::UpstreamBusy { .. } => 27,
        Fault::UpstreamDown => 28,
        Fault::StoreDown => 29,
        Fault::Cancelled => 30,
        Fault::Internal => 31,
    };
    let mut places: Vec<i32> = examples().iter().map(place).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places, (0..=31).collect::<Vec<i32>>());
}

#[tokio::test]
async fn every_dialect_has_words_for_every_fault() {
    let params = ["conversation_id", "item_id", "message_id", "task_id"];
    let context = Context {
        request: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
        at: Timestamp::from_millis(1_767_225_600_000),
        method: Method::GET,
        path: "/v1/things".to_owned(),
        receipt: OnceLock::new(),
        closing: AtomicBool::new(false),
        params: Params(
            params
                .map(|name| (name.to_owned(), format!("<{name}>")))
                .to_vec(),
        ),
    };
    let mut matrix = String::new();
    for fault in examples() {
        writeln!(matrix, "{fault:?}").expect("a string");
        for entry in DIALECTS {
            let mut response = (entry.render)(&fault, &context);
            (entry.decorate)(&mut response, &context);
            let (parts, body) = response.into_parts();
            let body = to_bytes(body, usize::MAX).await.expect("a body");
            let body = String::from_utf8(body.to_vec()).expect("text");
            serde_json::from_str::<serde_json::Value>(&body).expect("an error is JSON");
            let retry = parts
                .headers
                .get("retry-after")
                .map(|value| format!(" retry {value:?}"));
            let retry = retry.unwrap_or_default();
            let status = parts.status.as_u16();
            writeln!(
                matrix,
                "  {:<10} {status}{retry} {}",
                entry.name,
                body.trim_end()
            )
            .expect("a string");
        }
    }
    insta::assert_snapshot!("error_matrix", matrix);
}

#[tokio::test]
async fn a_panic_costs_one_request_and_is_answered_in_the_dialects_words() {
    async fn defect(_: parlance_domain::Service) -> Reply {
        panic!("a defect")
    }
    for entry in DIALECTS {
        let route = Route::open(Method::GET, "/v1/defect", "defect", defect);
        let router = mount::router_of(entry, &service(), &[route]);
        for _ in 0..2 {
            let request = http::Request::builder()
                .uri("/v1/defect")
                .body(axum::body::Body::empty());
            let response = tower::ServiceExt::oneshot(router.clone(), request.expect("a request"));
            let response = response.await.expect("an answer");
            let status = response.status();
            let body = to_bytes(response.into_body(), usize::MAX)
                .await
                .expect("a body");
            let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            assert!(
                status == 500 || body["code"] == 5000,
                "{}: {status} {body}",
                entry.name
            );
        }
    }
}

/// A service over an empty store.
fn service() -> parlance_domain::Service {
    use std::sync::Arc;

    use parlance_domain::service::Ports;
    use parlance_domain::{Clock, IdSource, Service, Settings, SystemClock};

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ports = Ports {
        store: Arc::new(parlance_store::Memory::default()),
        model: Arc::new(parlance_upstream::Echo),
        ids: Arc::new(IdSource::new(Arc::clone(&clock), [0; 32])),
        clock,
        tasks: parlance_domain::tasks::Tasks::default(),
        notary: parlance_testkit::samples::notary(),
    };
    Service::new(ports, Settings::default())
}
