use proptest::prelude::*;
use serde_json::{Value, json};

use super::json::{Bad, parse};
use super::{Model, PROBLEMS_MAX, Problems, Schema, lax, optional};
use crate::openhands::wire::{EVENT_FILTER, INIT_SESSION, PROVIDERS_SET, UPDATE};

/// What `model` has against `body`: type, place, input.
fn problems(model: &Model, body: &Value) -> Vec<(String, String, Value)> {
    let mut problems = Problems::default();
    problems.model(&mut vec!["body".into()], body, model);
    let short = |problem: &super::Problem| {
        let place: Vec<String> = problem.loc.iter().skip(1).map(Value::to_string).collect();
        let place = place.join(".").replace('"', "");
        (problem.kind.to_owned(), place, problem.input.clone())
    };
    problems.0.iter().map(short).collect()
}

fn check(model: &Model, body: &Value, expected: &[(&str, &str, Value)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(kind, place, input)| ((*kind).to_owned(), (*place).to_owned(), input.clone()))
        .collect();
    assert_eq!(problems(model, body), expected, "{body}");
}

#[track_caller]
fn bad(text: &str, at: usize, said: &'static str) {
    assert_eq!(
        parse(text.as_bytes()),
        Err(Bad::Syntax { at, said }),
        "{text}"
    );
}

#[test]
fn what_is_no_json_is_described_as_python_does() {
    // Each of these is what CPython 3.12 says.
    bad("", 0, "Expecting value");
    bad(" ", 1, "Expecting value");
    bad("nul", 0, "Expecting value");
    bad("é", 0, "Expecting value");
    bad("-", 0, "Expecting value");
    bad("[1,]", 3, "Expecting value");
    bad("{\"a\":", 5, "Expecting value");
    bad("{\"é\":}", 5, "Expecting value");
    bad("01", 1, "Extra data");
    bad("1.", 1, "Extra data");
    bad("1e+", 1, "Extra data");
    bad("{} x", 3, "Extra data");
    bad("[1", 2, "Expecting ',' delimiter");
    bad("[1 2]", 3, "Expecting ',' delimiter");
    bad("[1.5.2]", 4, "Expecting ',' delimiter");
    bad("{\"a\":1", 6, "Expecting ',' delimiter");
    bad("{\"a\"", 4, "Expecting ':' delimiter");
    bad("{\"a\" 1}", 5, "Expecting ':' delimiter");
    let name = "Expecting property name enclosed in double quotes";
    bad("{", 1, name);
    bad("{1:2}", 1, name);
    bad("{'a':1}", 1, name);
    bad("{\"a\":1,", 7, name);
    bad("{\"a\":1,}", 7, name);
    bad("\"abc", 0, "Unterminated string starting at");
    bad("[\"abc\\", 1, "Unterminated string starting at");
    bad("{\"a\":\"b\nc\"}", 7, "Invalid control character at");
    bad("{\"a\":\"\\x\"}", 6, "Invalid \\escape");
    bad("{\"a\":\"\\u12\"}", 7, "Invalid \\uXXXX escape");
    bad("{\"a\":\"\\u12G4\"}", 7, "Invalid \\uXXXX escape");
    bad("\"\\u0041", 2, "Invalid \\uXXXX escape");
}

#[test]
fn what_python_reads_and_nobody_can_use_is_unreadable() {
    let deep = "[".repeat(200) + &"]".repeat(200);
    for body in [&b"\xff"[..], b"\"\\ud800\"", deep.as_bytes()] {
        assert_eq!(parse(body), Err(Bad::Unreadable));
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_body() {
    assert_eq!(parse(b"\xef\xbb\xbf{}"), Ok(json!({})));
}

#[test]
fn problems_come_in_the_order_of_the_model_and_strangers_last() {
    check(
        &INIT_SESSION,
        &json!({"foo": 1, "initial_user_msg": 3, "git_provider": "x", "repository": null}),
        &[
            ("enum", "git_provider", json!("x")),
            ("string_type", "initial_user_msg", json!(3)),
            ("extra_forbidden", "foo", json!(1)),
        ],
    );
    check(
        &UPDATE,
        &json!({"a": 1}),
        &[
            ("missing", "title", json!({"a": 1})),
            ("extra_forbidden", "a", json!(1)),
        ],
    );
}

#[test]
fn a_title_has_1_to_200_characters() {
    check(
        &UPDATE,
        &json!({"title": ""}),
        &[("string_too_short", "title", json!(""))],
    );
    let long = "é".repeat(201);
    check(
        &UPDATE,
        &json!({"title": long}),
        &[("string_too_long", "title", json!(long))],
    );
    check(&UPDATE, &json!({"title": "é".repeat(200)}), &[]);
    check(
        &UPDATE,
        &json!({"title": null}),
        &[("string_type", "title", json!(null))],
    );
}

#[test]
fn an_issue_number_is_read_as_pydantic_reads_it() {
    let task = |number: Value| {
        json!({"suggested_task": {"git_provider": "github", "task_type": "OPEN_PR", "repo": "r",
            "issue_number": number, "title": "t"}})
    };
    let place = "suggested_task.issue_number";
    for right in [json!("12"), json!(2.0), json!(true), json!(7)] {
        check(&INIT_SESSION, &task(right), &[]);
    }
    for (kind, wrong) in [
        ("int_from_float", json!(1.5)),
        ("int_type", json!(null)),
        ("int_type", json!([])),
        ("int_parsing", json!("x")),
    ] {
        check(&INIT_SESSION, &task(wrong.clone()), &[(kind, place, wrong)]);
    }
}

#[test]
fn servers_of_tools_may_be_given_short_or_wrong() {
    let url = "mcp_config.sse_servers";
    check(
        &INIT_SESSION,
        &json!({"mcp_config": {"sse_servers": [
            1, {}, "", {"url": 3}, {"url": "http://a", "api_key": 4}, " wss://ok/x ", "http://[x",
        ]}}),
        &[
            ("model_attributes_type", &format!("{url}.0"), json!(1)),
            ("missing", &format!("{url}.1.url"), json!({})),
            ("value_error", &format!("{url}.2.url"), json!("")),
            ("string_type", &format!("{url}.3.url"), json!(3)),
            ("string_type", &format!("{url}.4.api_key"), json!(4)),
            ("value_error", &format!("{url}.6.url"), json!("http://[x")),
        ],
    );
    let stdio = "mcp_config.stdio_servers";
    check(
        &INIT_SESSION,
        &json!({"mcp_config": {"stdio_servers": [
            {"name": "a", "command": "b", "args": "-y 'x y' \"z\\\"\"", "env": "A=b, C=d,"},
            {"name": "a", "command": "b", "args": null, "env": false},
            {"name": "a", "command": "b", "args": [1], "env": {"a": 1}},
            {"name": "a", "command": "b", "args": 3, "env": 3},
            {"name": "a", "command": "b", "args": "x\\", "env": "=b"},
            {"name": "a", "command": "b", "env": "1=b"},
        ]}}),
        &[
            ("string_type", &format!("{stdio}.2.args.0"), json!(1)),
            ("string_type", &format!("{stdio}.2.env.a"), json!(1)),
            ("list_type", &format!("{stdio}.3.args"), json!(3)),
            ("dict_type", &format!("{stdio}.3.env"), json!(3)),
            ("value_error", &format!("{stdio}.4.args"), json!("x\\")),
            ("value_error", &format!("{stdio}.4.env"), json!("=b")),
            ("value_error", &format!("{stdio}.5.env"), json!("1=b")),
        ],
    );
    let config = json!({"mcp_config": {"stdio_servers": null}});
    check(&INIT_SESSION, &config, &[("list_type", stdio, json!(null))]);
}

#[test]
fn providers_are_a_list_of_providers_or_null() {
    check(&PROVIDERS_SET, &json!({"providers_set": null, "x": 1}), &[]);
    check(
        &PROVIDERS_SET,
        &json!({"providers_set": ["github", 1]}),
        &[("enum", "providers_set.1", json!(1))],
    );
}

#[test]
fn a_filter_is_a_dataclass_whose_classes_json_cannot_name() {
    check(
        &EVENT_FILTER,
        &json!([]),
        &[("dataclass_type", "", json!([]))],
    );
    check(
        &EVENT_FILTER,
        &json!({"exclude_hidden": 2, "include_types": 1, "exclude_types": ["x"], "foo": 1}),
        &[
            ("bool_parsing", "exclude_hidden", json!(2)),
            ("tuple_type", "include_types", json!(1)),
            ("is_subclass_of", "exclude_types.0", json!("x")),
        ],
    );
    check(
        &EVENT_FILTER,
        &json!({"exclude_hidden": 1.5, "include_types": []}),
        &[("bool_type", "exclude_hidden", json!(1.5))],
    );
}

#[test]
fn an_answer_does_not_grow_without_bound() {
    static TEXTS: Model = Model {
        fields: &[optional("a", Schema::List(&Schema::Text))],
        closed: true,
        dataclass: None,
    };
    let found = problems(&TEXTS, &json!({"a": vec![1; 10_000]}));
    assert_eq!(found.len(), PROBLEMS_MAX);
}

#[test]
fn whole_numbers_in_a_query_are_read_as_pydantic_reads_them() {
    for (text, number) in [
        ("5", 5),
        ("+5", 5),
        (" 5 ", 5),
        ("5.0", 5),
        ("-5.00", -5),
        ("00012", 12),
        ("1_000", 1_000),
        ("1_0.0", 10),
        ("-0", 0),
        ("99999999999999999999", i64::MAX),
    ] {
        assert_eq!(lax::integer(text), Ok(number), "{text}");
    }
    for text in [
        "", "abc", "5.5", "0x10", "1e2", "1__0", "_1", "5.", ".0", "- 1", "１",
    ] {
        let kind = lax::integer(text).map_err(|(kind, _)| kind);
        assert_eq!(kind, Err("int_parsing"), "{text}");
    }
    let kind = lax::integer(&"9".repeat(4_301)).map_err(|(kind, _)| kind);
    assert_eq!(kind, Err("int_parsing_size"));
}

#[test]
fn truth_in_a_query_has_many_names() {
    for text in ["1", "true", "TRUE", "t", "yes", "Y", "on"] {
        assert_eq!(lax::boolean(text), Ok(true), "{text}");
    }
    for text in ["0", "false", "F", "no", "n", "OFF"] {
        assert_eq!(lax::boolean(text), Ok(false), "{text}");
    }
    for text in ["", "2", " true", "c"] {
        assert!(lax::boolean(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn every_number_is_read_back(number: i64) {
        prop_assert_eq!(lax::integer(&number.to_string()), Ok(number.max(-i64::MAX)));
    }

    #[test]
    fn a_text_is_json_or_says_where_it_is_not(text in "[\\[\\]{}:,\"\\\\a-fnu0-9. é\n-]{0,24}") {
        match parse(text.as_bytes()) {
            Ok(_) | Err(Bad::Unreadable) => {}
            Err(Bad::Syntax { at, .. }) => prop_assert!(at <= text.chars().count()),
        }
    }
}
