use super::*;
use crate::crash::dialect::Dialect;
use crate::crash::journal::Cell;
use crate::crash::operator::App;

const APP: &str = "app-1  chat  echo  openai=a  dify=b  coze=c  openhands=d";
const KEY: &str = "0a  dify  app-1  user-1  all  2026-01-01T00:00:00Z  active";
const REVOKED: &str = "0a  dify  app-1  user-1  all  2026-01-01T00:00:00Z  revoked 2026-01-02";

/// A project with an app and a key, both as far as is said.
fn yard(app: Known, key: Known) -> Yard {
    Yard {
        name: "project-1".to_owned(),
        known: Known::Acknowledged,
        apps: vec![App {
            name: "app-1".to_owned(),
            mode: "chat",
            line: None,
            known: app,
        }],
        keys: vec![Key {
            user: "user-1".to_owned(),
            dialect: Dialect::Dify,
            app: "app-1".to_owned(),
            secret: None,
            id: None,
            known: key,
            revoked: Cell::new(false),
            touched: true,
        }],
        touched: true,
    }
}

fn acknowledged() -> Yard {
    yard(Known::Acknowledged, Known::Acknowledged)
}

/// What is wrong with lists of apps and keys, where this is the journal.
fn compared(of: &mut Yard, shown_apps: &str, shown_keys: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    apps(of, shown_apps, &mut wrong);
    keys(of, shown_keys, &mut wrong);
    wrong
}

#[track_caller]
fn complains(of: &mut Yard, shown_apps: &str, shown_keys: &str, expected: &str) {
    let found = compared(of, shown_apps, shown_keys);
    let named = found.iter().any(|what| what.contains(expected));
    assert!(named, "{found:?} does not say {expected:?}");
}

#[track_caller]
fn is_content(of: &mut Yard, shown_apps: &str, shown_keys: &str) {
    let none: [&str; 0] = [];
    assert_eq!(compared(of, shown_apps, shown_keys), none);
}

#[test]
fn what_was_acknowledged_and_is_there_is_right() {
    let mut of = acknowledged();
    is_content(&mut of, APP, KEY);
    assert_eq!(of.keys[0].id.as_deref(), Some("0a"));
}

#[test]
fn what_was_acknowledged_and_is_lost_is_a_violation() {
    let lost = "was acknowledged and is not there";
    complains(&mut acknowledged(), "", KEY, &format!("app app-1 {lost}"));
    complains(
        &mut acknowledged(),
        APP,
        "",
        &format!("the key of user-1 {lost}"),
    );
}

#[test]
fn an_order_without_an_answer_is_done_or_not_and_stays_so() {
    let unknown = || yard(Known::Sent, Known::Sent);
    let mut done = unknown();
    is_content(&mut done, APP, KEY);
    complains(&mut done, "", "", "was acknowledged and is not there");
    let mut undone = unknown();
    is_content(&mut undone, "", "");
    complains(&mut undone, APP, KEY, "was not made and is there");
}

#[test]
fn a_key_that_is_half_there_is_a_violation() {
    let mut of = yard(Known::Acknowledged, Known::Sent);
    complains(&mut of, APP, &KEY.replace("app-1", "-"), "is \"0a  dify  -");
    let mut of = yard(Known::Acknowledged, Known::Sent);
    let nobodys = KEY.replace("user-1", "-");
    complains(&mut of, APP, &nobodys, "nobody made a key of -");
}

#[test]
fn a_revoked_key_stays_revoked() {
    let mut of = acknowledged();
    of.keys[0].revoked = Cell::new(true);
    is_content(&mut of, APP, REVOKED);
    complains(&mut of, APP, KEY, "was revoked, and is active");
}

#[test]
fn a_revocation_without_an_answer_is_done_or_not() {
    for (shown, is_revoked) in [(KEY, false), (REVOKED, true)] {
        let mut of = acknowledged();
        of.keys[0].revoked.send(true);
        is_content(&mut of, APP, shown);
        assert_eq!(of.keys[0].revoked, Cell::new(is_revoked));
    }
    complains(&mut acknowledged(), APP, REVOKED, "was not revoked, and is");
}

#[test]
fn what_nobody_made_and_what_is_there_twice_is_a_violation() {
    let more = format!("{APP}\n{}", APP.replace("app-1", "app-2"));
    complains(&mut acknowledged(), &more, KEY, "nobody made app app-2");
    let twice = format!("{KEY}\n{KEY}");
    complains(&mut acknowledged(), APP, &twice, "user-1 is there twice");
}

#[test]
fn an_app_that_has_changed_is_a_violation() {
    let mut of = acknowledged();
    of.apps[0].line = Some(APP.to_owned());
    let changed = APP.replace("coze=c", "coze=e");
    complains(&mut of, &changed, KEY, "app app-1 is");
}
