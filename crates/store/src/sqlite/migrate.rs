//! Brings the schema up to date.
//!
//! `user_version` is the number of the last migration that was applied. A checksum of each is kept,
//! so that a database which was migrated by something else is noticed.

use ring::digest;
use rusqlite::{Connection, TransactionBehavior, params};

use super::open::{OpenError, driver};

/// All migrations, the first one first. One that was released is never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_start.sql"),
    include_str!("../../migrations/sqlite/0002_receipt_log.sql"),
    include_str!("../../migrations/sqlite/0003_events_and_holds.sql"),
    include_str!("../../migrations/sqlite/0004_root_renewals.sql"),
    include_str!("../../migrations/sqlite/0005_erasures.sql"),
    include_str!("../../migrations/sqlite/0006_turns.sql"),
];

const MIGRATING: &str = "migrating it";

/// Applies what is missing, each migration in a transaction of its own.
pub(super) fn migrate(db: &mut Connection) -> Result<(), OpenError> {
    let (found, _) = versions(db)?;
    for (number, text) in (1..).zip(MIGRATIONS.iter().copied()) {
        if number <= found {
            check(db, number, text)?;
        } else {
            apply(db, number, text).map_err(driver(MIGRATING))?;
        }
    }
    Ok(())
}

/// Refuses a database that a start would migrate, or that this program does not know.
pub(super) fn check_current(db: &Connection) -> Result<(), OpenError> {
    match versions(db)? {
        (found, known) if found < known => Err(OpenError::Behind { found, known }),
        _ => Ok(()),
    }
}

/// The database's version, and the newest that is known. Refuses one that is newer.
fn versions(db: &Connection) -> Result<(i64, i64), OpenError> {
    let found: i64 = db
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(driver("reading its version"))?;
    let known = (1..).zip(MIGRATIONS).last().map_or(0, |(number, _)| number);
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    Ok((found, known))
}

fn check(db: &Connection, number: i64, text: &str) -> Result<(), OpenError> {
    let kept: Vec<u8> = db
        .query_row(
            "SELECT checksum FROM migrations WHERE number = ?1",
            params![number],
            |row| row.get(0),
        )
        .map_err(driver("reading its migrations"))?;
    if kept == checksum(text) {
        return Ok(());
    }
    Err(OpenError::Foreign { number })
}

fn apply(db: &mut Connection, number: i64, text: &str) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations ( \
            number INTEGER NOT NULL PRIMARY KEY, checksum BLOB NOT NULL) STRICT",
    )?;
    transaction.execute_batch(text)?;
    transaction.execute(
        "INSERT INTO migrations (number, checksum) VALUES (?1, ?2)",
        params![number, checksum(text)],
    )?;
    transaction.pragma_update(None, "user_version", number)?;
    transaction.commit()
}

fn checksum(text: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, text.as_bytes())
        .as_ref()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use parlance_domain::model::Due;
    use parlance_domain::model::ReceiptState::{self, Complete, Destroyed};
    use parlance_domain::{Id, ReceiptId, Timestamp};
    use parlance_testkit::samples::notary;

    use super::super::receipts;
    use super::super::value::Bits;
    use super::*;

    /// Receipts as they were before there was a log: number, state, whether rows wait to be purged,
    /// whether something was signed.
    const BEFORE: [(u128, i64, bool, bool); 5] = [
        (1, 2, false, true),
        (2, 1, true, true),
        (3, 1, false, true),
        (4, 0, true, false),
        (5, 0, false, false),
    ];

    fn before_the_log() -> Connection {
        let mut db = Connection::open_in_memory().unwrap();
        apply(&mut db, 1, MIGRATIONS[0]).unwrap();
        for (number, state, waits, signed) in BEFORE {
            let conversation = (state < 2).then_some(Bits::from(number << 64));
            db.execute(
                "INSERT INTO receipts VALUES (1, ?1, ?2, 10, 20, ?3, 1, ?4, ?5, ?6)",
                params![
                    Bits::from(number),
                    state,
                    signed.then_some(30),
                    [9_u8; 32],
                    conversation,
                    signed.then(|| signed_before(number, state)),
                ],
            )
            .unwrap();
            if waits {
                db.execute("INSERT INTO purges VALUES (1, ?1)", params![conversation])
                    .unwrap();
            }
        }
        // Buried at a start: it has no receipt.
        db.execute("INSERT INTO purges VALUES (1, zeroblob(16))", [])
            .unwrap();
        db
    }

    /// What was signed then.
    fn signed_before(number: u128, state: i64) -> String {
        let id = ReceiptId::from_bits(number).text();
        let hash = "09".repeat(32);
        let subject = "05".repeat(32);
        let (state, purged) = match state {
            2 => ("complete", "40"),
            _ => ("destroyed", "null"),
        };
        format!(
            "{{\"exclusions\":[],\"id\":\"{id}\",\"items\":\"1-9\",\"key_commitment\":\"sha256:{hash}\",\
             \"keyring_snapshots_kept_s\":1,\"level\":\"L2\",\"project\":1,\"server\":{{\"build\":\"before\",\
             \"key_id\":\"ed25519:00\"}},\"signature\":\"ed25519:00\",\"state\":\"{state}\",\
             \"subject\":\"{subject}\",\"times_us\":{{\"key_destroyed\":30,\"requested\":10,\
             \"rows_purged\":{purged},\"tombstoned\":20,\"unreadable_everywhere_by\":1000030}},\
             \"v\":\"erasure-receipt/1\"}}"
        )
    }

    /// Signs all that is due once, and gives of which receipts.
    fn sign(db: &Connection) -> Vec<u128> {
        let due = receipts::due(db, 9).unwrap();
        let head = receipts::log_head(db).unwrap();
        let batch = notary().state(&head, Timestamp::from_micros(50), &due);
        receipts::append(db, &batch.unwrap()).unwrap();
        let receipts = due.iter().filter_map(Due::receipt);
        receipts.map(Id::bits).collect()
    }

    fn one(db: &Connection, number: u128) -> (ReceiptState, Option<String>) {
        let found = receipts::one(db, ReceiptId::from_bits(number)).unwrap();
        let found = found.expect("no receipt is lost");
        (
            found.entry.state,
            found.proven.map(|proven| proven.statement),
        )
    }

    #[test]
    fn receipts_of_before_there_was_a_log_come_into_it_and_none_is_lost() {
        let mut db = before_the_log();
        migrate(&mut db).unwrap();
        let all = BEFORE.map(|(number, ..)| number);
        assert_eq!(sign(&db), all, "each is stated in the log");
        for (number, state, _, signed) in BEFORE {
            let (_, said) = one(&db, number);
            let said = said.expect("it is in the log");
            if signed {
                assert!(said.contains("\"build\":\"before\""), "{said}");
                let purged = if state == 2 { "40" } else { "null" };
                assert!(
                    said.contains(&format!("\"rows_purged\":{purged}")),
                    "{said}"
                );
            }
        }
        let states = all.map(|number| one(&db, number).0);
        assert_eq!(
            states,
            [Complete, Destroyed, Destroyed, Destroyed, Complete]
        );
        assert_eq!(sign(&db), [3], "whose rows are gone already");
        while super::super::sweep::sweep(&db, 0).unwrap() {}
        assert_eq!(sign(&db), [2, 4]);
        assert!(all.iter().all(|number| one(&db, *number).0 == Complete));
        let rest = "SELECT count(*) FROM receipts WHERE carried NOT NULL OR conversation NOT NULL";
        let rest: i64 = db.query_row(rest, [], |row| row.get(0)).unwrap();
        assert_eq!(
            rest, 0,
            "a complete one is not connected to what it is about"
        );
        assert_eq!(receipts::due(&db, 9).unwrap(), []);
    }

    /// A conversation's row as it was before turns had an owner.
    fn conversation_before(db: &Connection, number: u128, owner: &[u8]) {
        let app = Bits::from(number + 100);
        db.execute(
            "INSERT INTO conversations (project, id, app, owner, updated_at, active, next_seq, turns, \
                slot, generation) VALUES (1, ?1, ?2, ?3, 5, 0, 4, 2, 0, 0)",
            params![Bits::from(number), app, owner],
        )
        .unwrap();
    }

    #[test]
    fn turns_of_before_they_had_owners_get_those_of_their_conversations() {
        let mut db = Connection::open_in_memory().unwrap();
        for (number, text) in (1..=5).zip(MIGRATIONS) {
            apply(&mut db, number, text).unwrap();
        }
        let ann: &[u8] = &[7; 16];
        conversation_before(&db, 1, ann);
        conversation_before(&db, 2, &[]);
        // The third conversation is deleted, and its rows wait to be purged.
        for (conversation, turn, state) in [(1, 10, 1), (1, 11, 0), (2, 12, 4), (3, 13, 1)] {
            db.execute(
                "INSERT INTO turns VALUES (1, ?1, ?2, ?3, 20, 30, 40, 50, 60, 70)",
                params![Bits::from(conversation), Bits::from(turn), state],
            )
            .unwrap();
        }
        for (number, model) in [(1_u128, "echo"), (2, "gpt")] {
            db.execute(
                "INSERT INTO apps (project, id, name, mode, model, created_at) \
                 VALUES (1, ?1, ?2, 'chat', ?2, 0)",
                params![Bits::from(number), model],
            )
            .unwrap();
        }
        migrate(&mut db).unwrap();
        let mut select = db
            .prepare(
                "SELECT id, app, owner, state, output_seq, end_seq, record FROM turns ORDER BY id",
            )
            .unwrap();
        let rows = select.query_map([], |row| {
            let (id, app): (Bits, Bits) = (row.get(0)?, row.get(1)?);
            let whose: Vec<u8> = row.get(2)?;
            let rest: (i64, Option<i64>, i64, Option<Vec<u8>>) =
                (row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?);
            Ok((id, app, whose, rest))
        });
        let rows: Vec<_> = rows.unwrap().collect::<Result<_, _>>().unwrap();
        let row = |id: u128, app: u128, whose: &[u8], state| {
            let rest = (state, None, 70, None);
            (Bits::from(id), Bits::from(app), whose.to_vec(), rest)
        };
        assert_eq!(
            rows,
            [
                row(10, 101, ann, 1),
                row(11, 101, ann, 0),
                row(12, 102, &[], 4)
            ]
        );
        let models = "SELECT group_concat(model, ',' ORDER BY id) FROM apps";
        let models: String = db.query_row(models, [], |row| row.get(0)).unwrap();
        assert_eq!(models, ",gpt", "nobody chose what there was no choice of");
    }
}
