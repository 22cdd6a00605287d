-- The keys that were erased, in the order of the commits, for a day: what `erasures.log` is completed from.
-- The last one stays, so that places rise.
CREATE TABLE erasures (
    place      INTEGER NOT NULL PRIMARY KEY,
    slot       INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    erased_at  INTEGER NOT NULL
) STRICT;

-- The last place that is durably in `erasures.log`.
ALTER TABLE store ADD COLUMN logged INTEGER NOT NULL DEFAULT 0;
