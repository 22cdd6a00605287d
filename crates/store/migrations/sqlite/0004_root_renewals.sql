-- The root of the keyring is replaced from time to time, and a receipt says so once more then.

-- The renewals that are done cover the receipts of these row ids: all that have no higher one. Row ids rise
-- as receipts are begun, since none is ever removed.
ALTER TABLE store ADD COLUMN renewed_receipts INTEGER NOT NULL DEFAULT 0;

-- What the receipt has said of it.
ALTER TABLE receipts ADD COLUMN renewed_at INTEGER;

-- What has not said it yet, by row id.
CREATE INDEX receipts_unrenewed ON receipts (renewed_at)
    WHERE renewed_at IS NULL AND commitment IS NOT NULL;
