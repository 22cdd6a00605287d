-- Events that wait to be stated in the log of receipts, as canonical JSON. `number` is the order in which
-- they were recorded. In `receipt_log` an event has project 0 and an empty `receipt`.
CREATE TABLE receipt_events (
    number INTEGER NOT NULL PRIMARY KEY,
    id     BLOB    NOT NULL UNIQUE,
    event  TEXT    NOT NULL
) STRICT;
