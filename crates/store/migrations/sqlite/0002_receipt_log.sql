-- The log of receipts: one for the whole store, so it leads with the place and not with a project. Nothing of
-- it is ever changed or removed. What is signed stands in it as text, byte for byte.

-- One statement of one receipt. `place` is the number of entries before it.
CREATE TABLE receipt_log (
    place     INTEGER NOT NULL PRIMARY KEY,
    project   INTEGER NOT NULL,
    receipt   BLOB    NOT NULL,
    statement TEXT    NOT NULL
) STRICT;

CREATE INDEX receipt_log_by_receipt ON receipt_log (receipt, place);

-- What one signature covers: the entries from `first` on, as many as there are hashes of 32 bytes in
-- `leaves`.
CREATE TABLE receipt_batches (
    first  INTEGER NOT NULL PRIMARY KEY,
    leaves BLOB    NOT NULL,
    signed TEXT    NOT NULL
) STRICT;

-- Signed roots over the first `size` entries.
CREATE TABLE receipt_checkpoints (
    size   INTEGER NOT NULL PRIMARY KEY,
    signed TEXT    NOT NULL
) STRICT;

-- One row: how far the log has come. `tree` holds the peaks of the Merkle tree over all entries, 32 bytes
-- each, `last` is the hash of the last entry.
CREATE TABLE receipt_log_head (
    only            INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    size            INTEGER NOT NULL,
    tree            BLOB    NOT NULL,
    last            BLOB,
    latest          INTEGER NOT NULL,
    batches         INTEGER NOT NULL,
    checkpoints     INTEGER NOT NULL,
    checkpointed    INTEGER NOT NULL,
    checkpointed_at INTEGER NOT NULL
) STRICT;

INSERT INTO receipt_log_head VALUES (1, 0, x'', NULL, 0, 0, 0, 0, 0);

-- A purge knows the receipt that waits for it, and the receipt knows that it waits, so that neither has to
-- be looked for. `receipt` is null where what is purged has none that waits.
ALTER TABLE purges ADD COLUMN receipt BLOB;
ALTER TABLE receipts ADD COLUMN waits INTEGER NOT NULL DEFAULT 0;

UPDATE purges SET receipt = (SELECT receipts.id FROM receipts INDEXED BY receipts_open
    WHERE receipts.state < 2 AND receipts.project = purges.project
        AND receipts.conversation = purges.conversation);

UPDATE receipts SET waits = 1 WHERE (project, id) IN (SELECT project, receipt FROM purges);

-- What was signed receipt by receipt comes into the log as it is, from `carried`, and has no statement
-- until then.
ALTER TABLE receipts RENAME COLUMN signed TO carried;

DROP INDEX receipts_open;

UPDATE receipts SET state = 0 WHERE carried IS NOT NULL;

-- What has no statement yet, and what waits for its second.
CREATE INDEX receipts_open   ON receipts (id) WHERE state = 0;
CREATE INDEX receipts_purged ON receipts (id) WHERE state = 1 AND NOT waits;
