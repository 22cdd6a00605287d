//! Every statement that runs more than once in a while. Nothing is ever put into their text.
//!
//! Parameters of the same meaning have the same number wherever that is possible: 1 the project,
//! 2 the conversation or the low end of a range of ids, 3 its high end, 4 the owner, 5 the app.

/// The living conversation that a principal means, for a reader.
pub(super) const CONVERSATION: &str = "\
    SELECT id, app, updated_at, section, active, running, next_seq, title, metadata, extras, \
        slot, generation \
    FROM conversations \
    WHERE project = ?1 AND id BETWEEN ?2 AND ?3 AND owner = ?4 AND (?5 IS NULL OR app = ?5)";

/// The same, as much as a write needs to know.
pub(super) const HEAD: &str = "\
    SELECT id, app, updated_at, section, running, next_seq, last_item, turns, slot, generation, \
        owner \
    FROM conversations \
    WHERE project = ?1 AND id BETWEEN ?2 AND ?3 AND (?4 IS NULL OR owner = ?4) \
        AND (?5 IS NULL OR app = ?5)";

pub(super) const SAVE_HEAD: &str = "\
    UPDATE conversations \
    SET updated_at = ?3, section = ?4, running = ?5, next_seq = ?6, last_item = ?7, turns = ?8 \
    WHERE project = ?1 AND id = ?2";

pub(super) const SET_TITLE: &str =
    "UPDATE conversations SET updated_at = ?3, title = ?4 WHERE project = ?1 AND id = ?2";

pub(super) const SET_METADATA: &str =
    "UPDATE conversations SET updated_at = ?3, metadata = ?4 WHERE project = ?1 AND id = ?2";

pub(super) const SET_ACTIVE: &str =
    "UPDATE conversations SET active = ?3 WHERE project = ?1 AND id = ?2";

pub(super) const IS_TAKEN: &str = "\
    SELECT EXISTS (SELECT 1 FROM conversations WHERE project = ?1 AND id BETWEEN ?2 AND ?3) \
        OR EXISTS (SELECT 1 FROM tombstones WHERE project = ?1 AND id BETWEEN ?2 AND ?3)";

pub(super) const CREATE: &str = "\
    INSERT INTO conversations (project, id, app, owner, updated_at, active, next_seq, turns, \
        last_item, title, metadata, extras, slot, generation, commitment) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

/// The key of a conversation, for whoever is about to seal something for it.
pub(super) const KEY_OF: &str = "\
    SELECT slot, generation FROM conversations \
    WHERE project = ?1 AND id BETWEEN ?2 AND ?3 AND owner = ?4 AND (?5 IS NULL OR app = ?5)";

/// The names of all keys that anything is sealed with.
pub(super) const EVERY_KEY: &str = "\
    SELECT slot, generation FROM conversations \
    UNION ALL SELECT slot, generation FROM apps WHERE slot IS NOT NULL \
    UNION ALL SELECT slot, generation FROM keys WHERE slot IS NOT NULL \
    UNION ALL SELECT slot, generation FROM holds WHERE slot IS NOT NULL";

pub(super) const EVERY_CONVERSATION: &str =
    "SELECT project, id, slot, generation FROM conversations";

pub(super) const BLANK_APP: &str = "\
    UPDATE apps SET instructions = NULL, slot = NULL, generation = NULL \
    WHERE slot = ?1 AND generation = ?2";

/// A key whose user is gone must not come to speak for everybody: it is revoked.
pub(super) const BLANK_KEY: &str = "\
    UPDATE keys SET user = NULL, slot = NULL, generation = NULL, \
        revoked_at = coalesce(revoked_at, created_at) \
    WHERE slot = ?1 AND generation = ?2";

/// A hold whose key is gone was removed after this copy of the data was made. It is kept all the same:
/// only an operator ends a hold.
pub(super) const BLANK_HOLD: &str = "\
    UPDATE holds SET content = NULL, slot = NULL, generation = NULL \
    WHERE slot = ?1 AND generation = ?2";

/// How far the keyring must have come at the next start.
pub(super) const RECORD_MARK: &str = "\
    UPDATE store SET epoch = max(epoch, ?1), segments = max(segments, ?2)";

pub(super) const DELETE: &str = "DELETE FROM conversations WHERE project = ?1 AND id = ?2";

pub(super) const BURY: &str = "\
    INSERT INTO tombstones (project, id, app, owner, updated_at, deleted_at, receipt) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

pub(super) const PURGE_LATER: &str =
    "INSERT INTO purges (project, conversation, receipt) VALUES (?1, ?2, ?3)";

/// Bytes of content in a conversation's items, and in its turns. The lengths stand at the beginning of the
/// rows.
pub(super) const ITEM_BYTES: &str =
    "SELECT coalesce(sum(length(body)), 0) FROM items WHERE project = ?1 AND conversation = ?2";

pub(super) const TURN_BYTES: &str =
    "SELECT coalesce(sum(length(record)), 0) FROM turns WHERE project = ?1 AND conversation = ?2";

pub(super) const PURGE_ITEMS: &str = "DELETE FROM items WHERE project = ?1 AND conversation = ?2";

pub(super) const PURGE_ALIASES: &str =
    "DELETE FROM aliases WHERE project = ?1 AND conversation = ?2";

pub(super) const PURGE_TURNS: &str = "DELETE FROM turns WHERE project = ?1 AND conversation = ?2";

// The lists of conversations: keys alone, so that the index answers. 2 is the owner, 3 the app.

pub(super) const LIST_CREATED_RISING: &str = "\
    SELECT 0, id FROM conversations INDEXED BY conversations_by_id \
    WHERE project = ?1 AND owner = ?2 AND app = ?3 AND id BETWEEN ?4 AND ?5 \
    ORDER BY id LIMIT ?6";

pub(super) const LIST_CREATED_FALLING: &str = "\
    SELECT 0, id FROM conversations INDEXED BY conversations_by_id \
    WHERE project = ?1 AND owner = ?2 AND app = ?3 AND id BETWEEN ?4 AND ?5 \
    ORDER BY id DESC LIMIT ?6";

pub(super) const LIST_UPDATED_RISING: &str = "\
    SELECT updated_at, id FROM conversations INDEXED BY conversations_by_change \
    WHERE project = ?1 AND owner = ?2 AND app = ?3 \
        AND (updated_at, id) > (?4, ?5) AND (updated_at, id) < (?6, ?7) \
    ORDER BY updated_at, id LIMIT ?8";

pub(super) const LIST_UPDATED_FALLING: &str = "\
    SELECT updated_at, id FROM conversations INDEXED BY conversations_by_change \
    WHERE project = ?1 AND owner = ?2 AND app = ?3 \
        AND (updated_at, id) > (?4, ?5) AND (updated_at, id) < (?6, ?7) \
    ORDER BY updated_at DESC, id DESC LIMIT ?8";

/// The next app of which the owner has conversations.
pub(super) const NEXT_APP: &str = "\
    SELECT app FROM conversations INDEXED BY conversations_by_id \
    WHERE project = ?1 AND owner = ?2 AND app > ?3 \
    ORDER BY app LIMIT 1";

pub(super) const ANCHOR_LIVING: &str = "\
    SELECT updated_at, id FROM conversations \
    WHERE project = ?1 AND id BETWEEN ?2 AND ?3 AND owner = ?4 AND (?5 IS NULL OR app = ?5)";

pub(super) const ANCHOR_DELETED: &str = "\
    SELECT updated_at, id FROM tombstones \
    WHERE project = ?1 AND id BETWEEN ?2 AND ?3 AND owner = ?4 AND (?5 IS NULL OR app = ?5)";

// Items. 5 and 6 are the kinds and the type that are let through, 7 the turn, 8 the turn that is
// left out.

pub(super) const ITEMS_RISING: &str = "\
    SELECT seq, id, kind, type, turn, section, modified_at, alias, body FROM items \
    WHERE project = ?1 AND conversation = ?2 AND seq BETWEEN ?3 AND ?4 \
        AND (?5 >> kind & 1 OR type = ?6) AND (?7 IS NULL OR turn = ?7) \
        AND (?8 IS NULL OR turn IS NOT ?8) \
    ORDER BY seq LIMIT ?9";

pub(super) const ITEMS_FALLING: &str = "\
    SELECT seq, id, kind, type, turn, section, modified_at, alias, body FROM items \
    WHERE project = ?1 AND conversation = ?2 AND seq BETWEEN ?3 AND ?4 \
        AND (?5 >> kind & 1 OR type = ?6) AND (?7 IS NULL OR turn = ?7) \
        AND (?8 IS NULL OR turn IS NOT ?8) \
    ORDER BY seq DESC LIMIT ?9";

/// The first item of a span of sequence numbers: the step of the search by halves.
pub(super) const FIRST_ITEM: &str = "\
    SELECT seq, id, modified_at FROM items \
    WHERE project = ?1 AND conversation = ?2 AND seq BETWEEN ?3 AND ?4 \
    ORDER BY seq LIMIT 1";

pub(super) const ADD_ITEM: &str = "\
    INSERT INTO items (project, conversation, seq, id, kind, type, turn, section, alias_hash, \
        alias, body) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

pub(super) const REPLACE_ITEM: &str = "\
    UPDATE items SET body = ?4, modified_at = ?5 \
    WHERE project = ?1 AND conversation = ?2 AND seq = ?3";

pub(super) const ITEM_ALIAS: &str =
    "SELECT alias_hash FROM items WHERE project = ?1 AND conversation = ?2 AND seq = ?3";

pub(super) const REMOVE_ITEM: &str =
    "DELETE FROM items WHERE project = ?1 AND conversation = ?2 AND seq = ?3";

pub(super) const ALIAS: &str =
    "SELECT seq FROM aliases WHERE project = ?1 AND conversation = ?2 AND alias_hash = ?3";

pub(super) const ADD_ALIAS: &str = "\
    INSERT OR IGNORE INTO aliases (project, conversation, alias_hash, seq) \
    VALUES (?1, ?2, ?3, ?4)";

pub(super) const REMOVE_ALIAS: &str =
    "DELETE FROM aliases WHERE project = ?1 AND conversation = ?2 AND alias_hash = ?3";

// Turns.

/// The columns of a turn, in the order of [`TURN`].
macro_rules! turn_columns {
    () => {
        "turns.id, turns.conversation, turns.app, state, started_at, finished_at, input_tokens, \
         cached_tokens, output_tokens, reasoning_tokens, first_seq, output_seq, record"
    };
}

pub(super) const TURN: &str = concat!(
    "SELECT ",
    turn_columns!(),
    " FROM turns WHERE project = ?1 AND conversation = ?2 AND id = ?3"
);

/// Between which numbers a turn's items lie.
pub(super) const TURN_SPAN: &str = "\
    SELECT first_seq, end_seq FROM turns WHERE project = ?1 AND conversation = ?2 AND id = ?3";

// Turns of an owner, in both realms: 2 and 3 are the ends of a range of ids, 4 the owner, 5 the app that the
// conversation has to be of, 6 the app that has to answer. What a deleted conversation has left is no turn any
// more, though its rows go later: the conversation has to be there.

macro_rules! turns_of_owner {
    ($order:literal) => {
        concat!(
            "SELECT ",
            turn_columns!(),
            ", slot, generation FROM turns INDEXED BY turns_by_owner CROSS JOIN conversations \
                ON conversations.project = turns.project AND conversations.id = turns.conversation \
             WHERE turns.project = ?1 AND turns.id BETWEEN ?2 AND ?3 AND turns.owner = ?4 \
                AND (?5 IS NULL OR conversations.app = ?5) AND (?6 IS NULL OR turns.app = ?6) \
             ORDER BY ",
            $order
        )
    };
}

pub(super) const TURNS_RISING: &str = turns_of_owner!("turns.id, turns.conversation");

pub(super) const TURNS_FALLING: &str = turns_of_owner!("turns.id DESC, turns.conversation DESC");

// Turns of a conversation: 2 is that, 3 and 4 are the ends of a range of ids, 5 the app.

pub(super) const TURNS_WITHIN_RISING: &str = concat!(
    "SELECT ",
    turn_columns!(),
    " FROM turns WHERE project = ?1 AND conversation = ?2 AND id BETWEEN ?3 AND ?4 \
        AND (?5 IS NULL OR app = ?5) ORDER BY id"
);

pub(super) const TURNS_WITHIN_FALLING: &str = concat!(
    "SELECT ",
    turn_columns!(),
    " FROM turns WHERE project = ?1 AND conversation = ?2 AND id BETWEEN ?3 AND ?4 \
        AND (?5 IS NULL OR app = ?5) ORDER BY id DESC"
);

pub(super) const START_TURN: &str = "\
    INSERT OR IGNORE INTO turns (project, conversation, id, state, started_at, first_seq, app, \
        owner, record, input_tokens, cached_tokens, output_tokens, reasoning_tokens) \
    VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, ?8, 0, 0, 0, 0)";

pub(super) const FINISH_TURN: &str = "\
    UPDATE turns SET state = ?4, finished_at = ?5, output_seq = ?6, end_seq = ?7, \
        input_tokens = ?8, cached_tokens = ?9, output_tokens = ?10, reasoning_tokens = ?11, \
        record = coalesce(?12, record) \
    WHERE project = ?1 AND conversation = ?2 AND id = ?3";

/// A turn that was running when the process ended: without an output.
pub(super) const FAIL_TURN: &str = "\
    UPDATE turns SET state = ?4, finished_at = ?5, output_seq = ?6, end_seq = ?6 \
    WHERE project = ?1 AND conversation = ?2 AND id = ?3";

pub(super) const REMOVE_TURN: &str =
    "DELETE FROM turns WHERE project = ?1 AND conversation = ?2 AND id = ?3";

pub(super) const RUNNING: &str = "\
    SELECT project, id, running, next_seq FROM conversations INDEXED BY conversations_running \
    WHERE running IS NOT NULL";

pub(super) const STOP_RUNNING: &str =
    "UPDATE conversations SET running = NULL WHERE project = ?1 AND id = ?2";

// Holds, and what operators erase.

/// Whether there is a hold on one of two subjects, or on the whole project.
pub(super) const IS_HELD: &str = "\
    SELECT EXISTS (SELECT 1 FROM holds INDEXED BY holds_by_subject \
        WHERE project = ?1 AND subject IN (?2, ?3, x''))";

pub(super) const ADD_HOLD: &str = "\
    INSERT OR IGNORE INTO holds (project, id, subject, added_at, slot, generation, content) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

pub(super) const HOLD_KEY: &str =
    "SELECT slot, generation FROM holds WHERE project = ?1 AND id = ?2";

pub(super) const REMOVE_HOLD: &str = "DELETE FROM holds WHERE project = ?1 AND id = ?2";

pub(super) const HOLDS: &str = "\
    SELECT id, subject, added_at, content, slot, generation FROM holds \
    WHERE project = ?1 ORDER BY id";

pub(super) const LIVES: &str =
    "SELECT EXISTS (SELECT 1 FROM conversations WHERE project = ?1 AND id = ?2)";

/// The living conversation among these ids, whoever's it is.
pub(super) const LOCATED: &str = "\
    SELECT updated_at, id, owner FROM conversations WHERE project = ?1 AND id BETWEEN ?2 AND ?3";

/// What was last changed before a time, from a place on, the oldest first.
pub(super) const OLDEST: &str = "\
    SELECT updated_at, id, owner FROM conversations INDEXED BY conversations_by_age \
    WHERE project = ?1 AND (updated_at, id) > (?2, ?3) AND updated_at < ?4 \
    ORDER BY updated_at, id LIMIT ?5";

/// The same of one owner and one app.
pub(super) const OLDEST_OF_OWNER: &str = "\
    SELECT updated_at, id FROM conversations INDEXED BY conversations_by_change \
    WHERE project = ?1 AND owner = ?2 AND app = ?3 AND (updated_at, id) > (?4, ?5) \
        AND updated_at < ?6 \
    ORDER BY updated_at, id LIMIT ?7";

// Receipts. 3 is the receipt.

/// Begins the receipt of a conversation that is about to be deleted.
pub(super) const BEGIN_RECEIPT: &str = "\
    INSERT OR IGNORE INTO receipts (project, id, state, requested_at, tombstoned_at, items, waits, \
        commitment, conversation) \
    SELECT project, ?3, 0, ?4, ?5, ?6, ?7, commitment, id FROM conversations \
    WHERE project = ?1 AND id = ?2";

/// What is to be signed, the oldest first: once when the key is destroyed, if there was one, and once
/// when no rows wait to be purged. Both parts are read off their index, whatever waits besides. 2 is the
/// last receipt of before the last renewal of the root.
pub(super) const RECEIPTS_TO_SIGN: &str = "\
    SELECT id, project, requested_at, tombstoned_at, destroyed_at, renewed_at, items, commitment, \
        conversation, waits, rowid <= ?2, carried \
    FROM receipts INDEXED BY receipts_open \
    WHERE state = 0 AND (commitment IS NOT NULL OR carried IS NOT NULL OR NOT waits) \
    UNION ALL \
    SELECT id, project, requested_at, tombstoned_at, destroyed_at, renewed_at, items, commitment, \
        conversation, waits, rowid <= ?2, carried \
    FROM receipts INDEXED BY receipts_purged \
    WHERE state = 1 AND NOT waits \
    ORDER BY 1 LIMIT ?1";

/// Receipts of which nothing is to be signed but that the root was renewed since their keys were
/// destroyed, the oldest first. A complete one goes by what it has said.
pub(super) const RECEIPTS_RENEWED: &str = "\
    SELECT id, project, requested_at, tombstoned_at, destroyed_at, renewed_at, items, commitment, \
        conversation, waits, 1, \
        CASE WHEN state = 2 THEN \
            (SELECT statement FROM receipt_log INDEXED BY receipt_log_by_receipt \
             WHERE receipt = receipts.id ORDER BY place DESC LIMIT 1) END \
    FROM receipts INDEXED BY receipts_unrenewed \
    WHERE renewed_at IS NULL AND commitment IS NOT NULL \
        AND rowid <= ?2 AND (state = 2 OR (state = 1 AND waits)) \
    ORDER BY rowid LIMIT ?1";

/// The row id of the last receipt of before the last renewal of the root.
pub(super) const LAST_RENEWED: &str = "SELECT renewed_receipts FROM store";

/// The row id of the last receipt.
pub(super) const LAST_RECEIPT: &str = "SELECT coalesce(max(rowid), 0) FROM receipts";

/// The root was renewed when everything up to this receipt was wiped.
pub(super) const RENEWED: &str =
    "UPDATE store SET renewed_receipts = ?1 WHERE renewed_receipts < ?1";

/// What has happened and is not stated yet, in the order in which it was recorded.
pub(super) const EVENTS_TO_SIGN: &str = "SELECT event FROM receipt_events ORDER BY number LIMIT ?1";

pub(super) const RECORD_EVENT: &str =
    "INSERT OR IGNORE INTO receipt_events (id, event) VALUES (?1, ?2)";

pub(super) const EVENT_IS_STATED: &str = "DELETE FROM receipt_events WHERE id = ?1";

/// A receipt says more than before. A complete one is not connected to what it is about any more.
pub(super) const ADVANCE_RECEIPT: &str = "\
    UPDATE receipts SET state = ?3, destroyed_at = ?4, renewed_at = ?5, carried = NULL, \
        conversation = CASE WHEN ?3 < 2 THEN conversation END \
    WHERE project = ?1 AND id = ?2 \
        AND (state < ?3 OR (state = ?3 AND renewed_at IS NULL AND ?5 IS NOT NULL))";

/// The rows that a receipt waits for are gone.
pub(super) const WAITS_NO_MORE: &str =
    "UPDATE receipts SET waits = 0 WHERE project = ?1 AND id = ?2";

pub(super) const LOG_HEAD: &str = "\
    SELECT size, tree, last, latest, batches, checkpoints, checkpointed, checkpointed_at \
    FROM receipt_log_head";

/// 1 is how many entries there have to be.
pub(super) const SAVE_LOG_HEAD: &str = "\
    UPDATE receipt_log_head SET size = ?2, tree = ?3, last = ?4, latest = ?5, batches = ?6, \
        checkpoints = ?7, checkpointed = ?8, checkpointed_at = ?9 \
    WHERE only = 1 AND size = ?1";

pub(super) const LOG: &str =
    "INSERT INTO receipt_log (place, project, receipt, statement) VALUES (?1, ?2, ?3, ?4)";

pub(super) const LOG_BATCH: &str =
    "INSERT INTO receipt_batches (first, leaves, signed) VALUES (?1, ?2, ?3)";

pub(super) const LOG_CHECKPOINT: &str =
    "INSERT OR IGNORE INTO receipt_checkpoints (size, signed) VALUES (?1, ?2)";

pub(super) const LOGGED_BATCH: &str =
    "SELECT length(leaves) / 32, signed FROM receipt_batches WHERE first = ?1";

pub(super) const LOGGED_CHECKPOINT: &str = "SELECT signed FROM receipt_checkpoints WHERE size = ?1";

/// The statements from one place to before another.
pub(super) const STATEMENTS: &str = "\
    SELECT statement FROM receipt_log WHERE place >= ?1 AND place < ?2 ORDER BY place";

/// What a receipt has said last.
pub(super) const LAST_STATEMENT: &str = "\
    SELECT place, project, statement FROM receipt_log INDEXED BY receipt_log_by_receipt \
    WHERE receipt = ?1 ORDER BY place DESC LIMIT 1";

pub(super) const BATCH_OF: &str = "\
    SELECT first, leaves, signed FROM receipt_batches \
    WHERE first <= ?1 ORDER BY first DESC LIMIT 1";

pub(super) const RECEIPT_OF: &str = "\
    SELECT receipt FROM tombstones \
    WHERE project = ?1 AND id BETWEEN ?2 AND ?3 AND owner = ?4 AND (?5 IS NULL OR app = ?5)";

pub(super) const RECEIPTS: &str = "\
    SELECT id, state, commitment, renewed_at, tombstoned_at FROM receipts \
    WHERE project = ?1 AND id > ?2 ORDER BY id LIMIT ?3";

pub(super) const RECEIPT: &str = "\
    SELECT id, state, commitment, renewed_at, tombstoned_at FROM receipts \
    WHERE project = ?1 AND id = ?2";

/// The project of a receipt that has said nothing yet.
pub(super) const OPEN_RECEIPT: &str =
    "SELECT project FROM receipts INDEXED BY receipts_open WHERE state = 0 AND id = ?1";

// The log of erasures.

pub(super) const NOTE_ERASED: &str =
    "INSERT INTO erasures (slot, generation, erased_at) VALUES (?1, ?2, ?3)";

pub(super) const LOGGED: &str = "SELECT logged FROM store";

pub(super) const SET_LOGGED: &str = "UPDATE store SET logged = max(logged, ?1)";

pub(super) const ERASED_AFTER: &str = "\
    SELECT place, slot, generation, erased_at FROM erasures \
    WHERE place > ?1 ORDER BY place LIMIT ?2";

/// The last one in the log stays: the next one's place is counted from it.
pub(super) const FORGET_ERASED: &str = "\
    DELETE FROM erasures WHERE place IN \
        (SELECT place FROM erasures ORDER BY place LIMIT ?2) \
        AND erased_at < ?1 AND place < (SELECT logged FROM store)";

// The sweep.

pub(super) const NEXT_PURGE: &str =
    "SELECT project, conversation, receipt FROM purges ORDER BY project, conversation LIMIT 1";

pub(super) const PURGED: &str = "DELETE FROM purges WHERE project = ?1 AND conversation = ?2";

pub(super) const FIRST_SIZES: &str = "\
    SELECT seq, length(body) FROM items WHERE project = ?1 AND conversation = ?2 \
    ORDER BY seq LIMIT ?3";

pub(super) const PURGE_FIRST_ITEMS: &str =
    "DELETE FROM items WHERE project = ?1 AND conversation = ?2 AND seq <= ?3";

pub(super) const PURGE_SOME_ALIASES: &str = "\
    DELETE FROM aliases WHERE project = ?1 AND conversation = ?2 AND alias_hash IN \
        (SELECT alias_hash FROM aliases WHERE project = ?1 AND conversation = ?2 \
         ORDER BY alias_hash LIMIT ?3)";

pub(super) const FIRST_TURN_SIZES: &str = "\
    SELECT id, coalesce(length(record), 0) FROM turns WHERE project = ?1 AND conversation = ?2 \
    ORDER BY id LIMIT ?3";

pub(super) const PURGE_FIRST_TURNS: &str =
    "DELETE FROM turns WHERE project = ?1 AND conversation = ?2 AND id <= ?3";

pub(super) const FORGET: &str = "\
    DELETE FROM tombstones WHERE (project, id) IN \
        (SELECT project, id FROM tombstones WHERE deleted_at < ?1 ORDER BY deleted_at LIMIT ?2)";
