use std::path::Path;

use super::{Tree, read, rules};

#[test]
fn the_repository_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a root");
    let findings = rules::check(&read(root).expect("a readable repository"));
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// One file alone must lead to one finding that holds `expected`; to none, if that is empty.
#[track_caller]
fn check(path: &str, text: &str, expected: &str) {
    let mut tree = Tree::new();
    // A dialect for others to meddle with.
    tree.insert("crates/dialects/src/dify/mod.rs".to_owned(), String::new());
    tree.insert(path.to_owned(), text.to_owned());
    let findings = rules::check(&tree);
    match findings.as_slice() {
        [] => assert!(expected.is_empty(), "nothing was found in {path}"),
        [one] if !expected.is_empty() => assert!(one.contains(expected), "{one}"),
        several => panic!("{several:?}"),
    }
}

#[test]
fn a_production_file_has_500_lines_at_most_and_its_tests_do_not_count() {
    check("crates/domain/src/a.rs", &"\n".repeat(500), "");
    check("crates/domain/src/a.rs", &"\n".repeat(501), "501 lines");
    let tested = format!("{}mod tests {{\n{}", "\n".repeat(500), "\n".repeat(9));
    check("crates/domain/src/a.rs", &tested, "");
    check("crates/domain/src/tests.rs", &"\n".repeat(501), "");
}

#[test]
fn a_dialect_knows_no_other_and_neither_does_the_kit() {
    let import = "use crate::dify::wire;";
    check(
        "crates/dialects/src/coze/mod.rs",
        import,
        "`coze` must not know `crate::dify`",
    );
    check(
        "crates/dialects/src/kit/mod.rs",
        import,
        "`kit` must not know `crate::dify`",
    );
    check("crates/dialects/src/dify/wire.rs", import, "");
    check("crates/dialects/src/lib.rs", import, "");
}

#[test]
fn the_domain_knows_no_http_and_no_sql() {
    check(
        "crates/domain/src/a.rs",
        "use axum::Router;",
        "must not know `axum`",
    );
    check(
        "crates/domain/src/a.rs",
        "\"SELECT id\"",
        "a.rs:1: SQL (`SELECT`)",
    );
    check("crates/store/src/a.rs", "\"SELECT id\"", "");
}

#[test]
fn a_crate_states_its_invariant() {
    let both = |head: &str| {
        let files = [("x/Cargo.toml", ""), ("x/src/lib.rs", head)];
        rules::check(
            &files
                .map(|(path, text)| (path.to_owned(), text.to_owned()))
                .into(),
        )
    };
    assert_eq!(
        both("//! X.\n//!\n//! Invariant: is x.\n"),
        Vec::<String>::new()
    );
    assert_eq!(both("//! X.\n\n// Invariant: is x.\n").len(), 1);
}

#[test]
fn a_fixture_says_where_it_comes_from_and_is_read() {
    check("fixtures/dify/a.http", "# langgenius/dify\n", "");
    check("fixtures/dify/a.http", "GET /\n", "no `#` lines");
    check("fixtures/nobody/a.http", "# somewhere\n", "no test reads");
    check(
        "fixtures/dify/a.sse",
        "# langgenius/dify\n",
        "no test reads",
    );
}

#[test]
fn a_setting_is_documented() {
    let page = |page: &str| {
        let code = "const PATHS: &[&str] = &[\n    \"listen\",\n    \"log.format\",\n];";
        let files = [
            ("crates/server/src/config/settings.rs", code),
            ("docs/configuration.md", page),
        ];
        rules::check(
            &files
                .map(|(path, text)| (path.to_owned(), text.to_owned()))
                .into(),
        )
    };
    assert_eq!(page("`listen` and `log.format`"), Vec::<String>::new());
    assert_eq!(
        page("`listen`"),
        ["docs/configuration.md: the setting `log.format` is not described"]
    );
}

#[test]
fn text_is_english_outside_translations_and_tests() {
    check(
        "README.md",
        "\u{4f60}\u{597d}",
        "README.md:1: not in English",
    );
    check("docs/zh/index.md", "\u{4f60}\u{597d}", "");
    check("crates/domain/src/tests.rs", "\u{4f60}\u{597d}", "");
    check("README.md", "caf\u{e9} \u{2026} \u{1f600}", "");
}

#[test]
fn nothing_is_left_to_do_and_no_machine_is_named() {
    check("README.md", concat!("TO", "DO: write"), "left-over");
    check("README.md", concat!("see /wo", "rk/notes"), "one machine");
}
