use rusqlite::{Connection, StatementStatus};

use super::{Durability, Host, admin, open, sql, writer};

fn database() -> (tempfile::TempDir, Connection) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    let db = open::writer(&Host::machine(), &path, Durability::Power).unwrap();
    (dir, db)
}

/// The plan of a statement, one line a step.
fn plan(db: &Connection, statement: &str) -> Vec<String> {
    let mut explain = db
        .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
        .unwrap();
    let rows = explain.raw_query().mapped(|row| row.get(3));
    rows.collect::<Result<_, _>>().unwrap()
}

/// Checks that each statement finds its rows as it should, and neither scans nor sorts.
fn check(cases: &[(&str, &str)]) {
    let (_dir, db) = database();
    for (statement, wanted) in cases {
        let plan = plan(&db, statement);
        let all = plan.join("\n");
        let found = plan.iter().any(|step| step.ends_with(wanted));
        assert!(found, "{wanted}:\n{all}");
        assert!(!all.contains("TEMP B-TREE"), "{statement}:\n{all}");
        let mut scans = plan.iter().filter(|step| step.starts_with("SCAN"));
        assert!(
            scans.all(|step| step == "SCAN CONSTANT ROW"),
            "{statement}:\n{all}"
        );
    }
}

#[test]
fn a_conversation_is_found_by_its_key() {
    let one = "conversations USING PRIMARY KEY (project=? AND id=?)";
    let some = "conversations USING PRIMARY KEY (project=? AND id>? AND id<?)";
    let deleted = "tombstones USING PRIMARY KEY (project=? AND id>? AND id<?)";
    check(&[
        (sql::CONVERSATION, some),
        (sql::HEAD, some),
        (sql::SAVE_HEAD, one),
        (sql::SET_TITLE, one),
        (sql::SET_METADATA, one),
        (sql::SET_ACTIVE, one),
        (sql::DELETE, one),
        (sql::IS_TAKEN, some),
        (sql::IS_TAKEN, deleted),
        (sql::ANCHOR_LIVING, some),
        (sql::ANCHOR_DELETED, deleted),
    ]);
}

#[test]
fn a_list_of_conversations_is_read_off_an_index() {
    let by_id = "USING COVERING INDEX conversations_by_id \
        (project=? AND owner=? AND app=? AND id>? AND id<?)";
    let by_change = "USING COVERING INDEX conversations_by_change \
        (project=? AND owner=? AND app=? AND (updated_at,id)>(?,?) AND (updated_at,id)<(?,?))";
    let apps = "USING COVERING INDEX conversations_by_id (project=? AND owner=? AND app>?)";
    check(&[
        (sql::LIST_CREATED_RISING, by_id),
        (sql::LIST_CREATED_FALLING, by_id),
        (sql::LIST_UPDATED_RISING, by_change),
        (sql::LIST_UPDATED_FALLING, by_change),
        (sql::NEXT_APP, apps),
    ]);
}

#[test]
fn an_item_is_found_by_its_key() {
    let one = "items USING PRIMARY KEY (project=? AND conversation=? AND seq=?)";
    let some = "items USING PRIMARY KEY (project=? AND conversation=? AND seq>? AND seq<?)";
    let first = "items USING PRIMARY KEY (project=? AND conversation=? AND seq<?)";
    let all = "items USING PRIMARY KEY (project=? AND conversation=?)";
    check(&[
        (sql::ITEMS_RISING, some),
        (sql::ITEMS_FALLING, some),
        (sql::FIRST_ITEM, some),
        (sql::ITEM_ALIAS, one),
        (sql::REPLACE_ITEM, one),
        (sql::REMOVE_ITEM, one),
        (sql::PURGE_FIRST_ITEMS, first),
        (sql::PURGE_ITEMS, all),
        (sql::ITEM_BYTES, all),
        (sql::FIRST_SIZES, all),
    ]);
}

#[test]
fn all_else_is_found_by_its_key() {
    let alias = "aliases USING PRIMARY KEY (project=? AND conversation=? AND alias_hash=?)";
    let turn = "turns USING PRIMARY KEY (project=? AND conversation=? AND id=?)";
    let tombstone = "tombstones USING PRIMARY KEY (project=? AND id=?)";
    let deleted = "tombstones USING PRIMARY KEY (project=? AND id>? AND id<?)";
    let receipt = "receipts USING INDEX sqlite_autoindex_receipts_1 (project=? AND id=?)";
    let receipts = "receipts USING INDEX sqlite_autoindex_receipts_1 (project=? AND id>?)";
    let digest = "keys USING INDEX sqlite_autoindex_keys_1 (digest=?)";
    check(&[
        (sql::ALIAS, alias),
        (sql::REMOVE_ALIAS, alias),
        (sql::PURGE_SOME_ALIASES, alias),
        (sql::TURN, turn),
        (sql::FINISH_TURN, turn),
        (sql::TURN_SPAN, turn),
        (sql::FAIL_TURN, turn),
        (sql::REMOVE_TURN, turn),
        (sql::FORGET, tombstone),
        (sql::RECEIPT_OF, deleted),
        (sql::ADVANCE_RECEIPT, receipt),
        (sql::WAITS_NO_MORE, receipt),
        (sql::RECEIPT, receipt),
        (sql::RECEIPTS, receipts),
        (admin::KEY, digest),
    ]);
}

#[test]
fn turns_are_read_off_an_index_and_each_conversation_is_looked_up_by_its_key() {
    let by_owner = "turns USING INDEX turns_by_owner (project=? AND owner=? AND id>? AND id<?)";
    let conversation = "conversations USING PRIMARY KEY (project=? AND id=?)";
    let within = "turns USING PRIMARY KEY (project=? AND conversation=? AND id>? AND id<?)";
    let first = "turns USING PRIMARY KEY (project=? AND conversation=? AND id<?)";
    let all = "turns USING PRIMARY KEY (project=? AND conversation=?)";
    check(&[
        (sql::TURNS_RISING, by_owner),
        (sql::TURNS_FALLING, by_owner),
        (sql::TURNS_RISING, conversation),
        (sql::TURNS_FALLING, conversation),
        (sql::TURNS_WITHIN_RISING, within),
        (sql::TURNS_WITHIN_FALLING, within),
        (sql::PURGE_FIRST_TURNS, first),
        (sql::FIRST_TURN_SIZES, all),
        (sql::TURN_BYTES, all),
        (sql::PURGE_TURNS, all),
    ]);
}

#[test]
fn what_is_to_be_erased_and_what_is_held_is_found_in_an_index() {
    let held = "holds USING COVERING INDEX holds_by_subject (project=? AND subject=?)";
    check(&[
        (sql::IS_HELD, held),
        (
            sql::HOLD_KEY,
            "holds USING PRIMARY KEY (project=? AND id=?)",
        ),
        (
            sql::REMOVE_HOLD,
            "holds USING PRIMARY KEY (project=? AND id=?)",
        ),
        (sql::HOLDS, "holds USING PRIMARY KEY (project=?)"),
        (
            sql::LIVES,
            "conversations USING PRIMARY KEY (project=? AND id=?)",
        ),
        (
            sql::LOCATED,
            "conversations USING PRIMARY KEY (project=? AND id>? AND id<?)",
        ),
        (
            sql::OLDEST,
            "INDEX conversations_by_age (project=? AND (updated_at,id)>(?,?) AND updated_at<?)",
        ),
        (
            sql::OLDEST_OF_OWNER,
            "COVERING INDEX conversations_by_change \
             (project=? AND owner=? AND app=? AND (updated_at,id)>(?,?) AND updated_at<?)",
        ),
    ]);
}

#[test]
fn receipts_to_sign_are_looked_for_among_the_open_ones_alone_and_in_their_order() {
    let (_dir, db) = database();
    let plan = plan(&db, sql::RECEIPTS_TO_SIGN);
    let wanted = [
        "MERGE (UNION ALL)",
        "LEFT",
        "SCAN receipts USING INDEX receipts_open",
        "RIGHT",
        "SCAN receipts USING INDEX receipts_purged",
    ];
    assert_eq!(plan, wanted);
}

#[test]
fn the_log_of_receipts_is_read_by_places() {
    check(&[
        (
            sql::LOGGED_BATCH,
            "receipt_batches USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        (
            sql::BATCH_OF,
            "receipt_batches USING INTEGER PRIMARY KEY (rowid<?)",
        ),
        (
            sql::LOGGED_CHECKPOINT,
            "receipt_checkpoints USING INTEGER PRIMARY KEY (rowid=?)",
        ),
        (
            sql::STATEMENTS,
            "receipt_log USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        ),
        (
            sql::LAST_STATEMENT,
            "receipt_log USING INDEX receipt_log_by_receipt (receipt=?)",
        ),
        (
            sql::RECEIPTS_RENEWED,
            "receipts USING INDEX receipts_unrenewed (renewed_at=? AND rowid<?)",
        ),
        (
            sql::OPEN_RECEIPT,
            "receipts USING INDEX receipts_open (id=?)",
        ),
        (
            sql::SAVE_LOG_HEAD,
            "receipt_log_head USING INTEGER PRIMARY KEY (rowid=?)",
        ),
    ]);
}

#[test]
fn a_statement_is_planned_once_whatever_its_parameters_are() {
    let (dir, writer) = database();
    let path = dir.path().join("test.db");
    let connections = [
        writer,
        open::copier(&Host::machine(), &path).unwrap().db,
        open::reader(&Host::machine(), &path).unwrap(),
    ];
    for db in connections {
        let mut select = db.prepare(sql::ITEMS_RISING).unwrap();
        for value in 0..5_i64 {
            for parameter in 1..=select.parameter_count() {
                select.raw_bind_parameter(parameter, value).unwrap();
            }
            assert!(select.raw_query().next().unwrap().is_none());
        }
        assert_eq!(select.get_status(StatementStatus::RePrepare), 0);
    }
}

#[test]
fn every_connection_overwrites_what_it_deletes() {
    let (dir, writer) = database();
    let reader = open::reader(&Host::machine(), &dir.path().join("test.db")).unwrap();
    let holds = |db: &Connection, setting: &str, wanted: i64| {
        let found: i64 = db
            .pragma_query_value(None, setting, |row| row.get(0))
            .unwrap();
        assert_eq!(found, wanted, "{setting}");
    };
    let copying = open::copier(&Host::machine(), &dir.path().join("test.db")).unwrap();
    let copier = copying.db;
    holds(&copier, "synchronous", 2);
    for db in [&writer, &reader, &copier] {
        holds(db, "secure_delete", 1);
        holds(db, "temp_store", 2);
        holds(db, "busy_timeout", 5_000);
    }
    holds(&writer, "auto_vacuum", 2);
    holds(&writer, "synchronous", 2);
    assert!(reader.execute("DELETE FROM items", []).is_err());
}

#[test]
fn an_idle_wal_can_be_emptied() {
    let (_dir, db) = database();
    assert!(writer::checkpoint(&db).unwrap());
}
