//! The pure parts that have no file of their own: JSON, names, ids, limits, credentials.

use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap};
use http_body_util::BodyExt;
use parlance_domain::fault::CredentialProblem;
use parlance_domain::{ConversationId, Id, Ref};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Dify, answer, convert};
use crate::kit::Dialect;

async fn text(response: axum::response::Response) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn json_is_written_as_python_writes_it() {
    let body = json!({"a": [1, 2.0, null], "b": {}, "c": "é \u{1f600} \" \\ \n \u{1} \u{7f}"});
    let written = text(answer::json(StatusCode::OK, &body)).await;
    let expected = "{\"a\": [1, 2.0, null], \"b\": {}, \
        \"c\": \"\\u00e9 \\ud83d\\ude00 \\\" \\\\ \\n \\u0001 \u{7f}\"}\n";
    assert_eq!(written, expected);
}

#[tokio::test]
async fn the_blocking_answer_names_its_encoding_and_ends_without_a_newline() {
    let response = answer::blocking(&json!({"answer": "ö"}));
    let content_type = response.headers()["content-type"].clone();
    assert_eq!(content_type, "application/json; charset=utf-8");
    assert_eq!(text(response).await, "{\"answer\": \"\\u00f6\"}");
}

#[test]
fn a_name_is_the_first_twenty_characters_of_the_question() {
    let check = |question: &str, name: &str| assert_eq!(convert::name(question), name);
    check("", "");
    check("12345678901234567890", "12345678901234567890");
    check("123456789012345678901", "12345678901234567890…");
    check("ééééééééééééééééééééé", "éééééééééééééééééééé…");
}

#[test]
fn a_header_is_read_as_dify_reads_it() {
    let check = |header: Option<&str>, expected: Result<Option<&str>, CredentialProblem>| {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(AUTHORIZATION, header.parse().unwrap());
        }
        assert_eq!(Dify::credential(&headers), expected, "{header:?}");
    };
    check(None, Ok(None));
    check(Some("app-1"), Ok(None));
    check(Some("Basic app-1"), Err(CredentialProblem::BadScheme));
    check(Some("Bearer app-1"), Ok(Some("app-1")));
    check(Some("bEARER  app-1"), Ok(Some("app-1")));
}

proptest! {
    #[test]
    fn json_means_what_it_meant(text: String, key: String, number: f64) {
        prop_assume!(number.is_finite());
        let value = json!({key: [text, number]});
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let written = runtime.block_on(self::text(answer::ok(&value)));
        prop_assert!(written.is_ascii());
        let read: Value = serde_json::from_str(&written).unwrap();
        prop_assert_eq!(read, value);
    }

    #[test]
    fn an_id_is_read_with_dashes_and_without(bits: u128) {
        let id = ConversationId::from_bits(bits);
        prop_assert_eq!(convert::uuid(&id.dashed()), Some(Ref::from(id)));
        prop_assert_eq!(convert::uuid(&id.dashed().to_uppercase()), Some(Ref::from(id)));
        prop_assert_eq!(convert::uuid(&id.hex()), Some(Ref::from(id)));
        prop_assert_eq!(Dify::conversation(&id.dashed()), Some(Ref::from(id)));
    }
}
