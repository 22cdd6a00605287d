-- Events that wait to be stated in the log of receipts, as canonical JSON. `number` is the order in which
-- they were recorded. In `receipt_log` an event has project 0 and an empty `receipt`.
CREATE TABLE receipt_events (
    number INTEGER NOT NULL PRIMARY KEY,
    id     BLOB    NOT NULL UNIQUE,
    event  TEXT    NOT NULL
) STRICT;

-- What must not be erased. `subject` is what is covered, in a form that can be looked for: 1 and a
-- conversation's id, 2 and the keyed hash of a user, or nothing for the whole project. `content` holds the
-- user's name and the note.
CREATE TABLE holds (
    project    INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    subject    BLOB    NOT NULL,
    added_at   INTEGER NOT NULL,
    slot       INTEGER,
    generation INTEGER,
    content    BLOB,
    PRIMARY KEY (project, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX holds_by_subject ON holds (project, subject);

-- What has not changed for longest, whoever's it is: for retention.
CREATE INDEX conversations_by_age ON conversations (project, updated_at, id);
