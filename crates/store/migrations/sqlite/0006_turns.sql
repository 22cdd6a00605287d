-- A turn is found by whose it is, in a conversation or alone. What stands alone has a conversation of the same
-- bits to itself, whose `owner` ends with a byte of 1: so it is in no list of conversations. `owner` here has no
-- such byte. `app` is the one that answers, which need not be the conversation's. The items from `output_seq` on
-- are the output; null where that is not known, and while the turn runs. `record` is content: what is kept of
-- the turn beside its items; null if nothing is.
--
-- Made anew, so that no column has a default that hides what is missing. The turns of deleted conversations
-- are not taken along: their rows were to be purged.
CREATE TABLE turns_6 (
    project          INTEGER NOT NULL,
    conversation     BLOB    NOT NULL,
    id               BLOB    NOT NULL,
    app              BLOB    NOT NULL,
    owner            BLOB    NOT NULL,
    state            INTEGER NOT NULL,
    started_at       INTEGER NOT NULL,
    finished_at      INTEGER,
    input_tokens     INTEGER NOT NULL,
    cached_tokens    INTEGER NOT NULL,
    output_tokens    INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    first_seq        INTEGER NOT NULL,
    output_seq       INTEGER,
    end_seq          INTEGER,
    record           BLOB,
    PRIMARY KEY (project, conversation, id)
) STRICT, WITHOUT ROWID;

INSERT INTO turns_6
SELECT turns.project, turns.conversation, turns.id, conversations.app, conversations.owner, turns.state,
    turns.started_at, turns.finished_at, turns.input_tokens, 0, turns.output_tokens, 0, turns.first_seq, NULL,
    turns.end_seq, NULL
FROM turns CROSS JOIN conversations
    ON conversations.project = turns.project AND conversations.id = turns.conversation
ORDER BY turns.project, turns.conversation, turns.id;

DROP TABLE turns;
ALTER TABLE turns_6 RENAME TO turns;

CREATE INDEX turns_by_owner ON turns (project, owner, id);

-- An app that names no model is answered by the server's default. There was one model, so nobody chose it.
UPDATE apps SET model = '' WHERE model = 'echo';
