-- Everything leads with the project and the conversation. Times are microseconds since 1970, ids 16
-- bytes with the high byte first, so that they sort as they rise. What is called content (titles,
-- metadata, bodies, users, instructions) is sealed; a blob of it says nothing by itself. `slot` and
-- `generation` name the key in the keyring that it is sealed with.

-- One row: which keyring belongs to this database, and how far it must have come.
CREATE TABLE store (
    only     INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    id       BLOB    NOT NULL,
    ready    INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    segments INTEGER NOT NULL
) STRICT;

CREATE TABLE projects (
    id         INTEGER NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE apps (
    project      INTEGER NOT NULL,
    id           BLOB    NOT NULL,
    name         TEXT    NOT NULL,
    mode         TEXT    NOT NULL,
    model        TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    slot         INTEGER,
    generation   INTEGER,
    instructions BLOB,
    PRIMARY KEY (project, id),
    UNIQUE (project, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    project    INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    digest     BLOB    NOT NULL UNIQUE,
    app        BLOB    NOT NULL,
    dialect    TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    scopes     TEXT,
    slot       INTEGER,
    generation INTEGER,
    user       BLOB,
    PRIMARY KEY (project, id)
) STRICT, WITHOUT ROWID;

-- `section` is null for the first one. `last_item` is the highest id that an item ever had here.
-- `commitment` is a hash of the key, for the receipt; null where nothing is sealed.
CREATE TABLE conversations (
    project    INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    app        BLOB    NOT NULL,
    owner      BLOB    NOT NULL,
    updated_at INTEGER NOT NULL,
    active     INTEGER NOT NULL,
    next_seq   INTEGER NOT NULL,
    turns      INTEGER NOT NULL,
    slot       INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    commitment BLOB,
    section    BLOB,
    running    BLOB,
    last_item  BLOB,
    title      BLOB,
    metadata   BLOB,
    extras     BLOB,
    PRIMARY KEY (project, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX conversations_by_id     ON conversations (project, owner, app, id);
CREATE INDEX conversations_by_change ON conversations (project, owner, app, updated_at, id);
CREATE INDEX conversations_running   ON conversations (project, id) WHERE running IS NOT NULL;

-- No index on ids: they rise with `seq`, so a search by halves finds them.
CREATE TABLE items (
    project      INTEGER NOT NULL,
    conversation BLOB    NOT NULL,
    seq          INTEGER NOT NULL,
    id           BLOB    NOT NULL,
    kind         INTEGER NOT NULL,
    type         TEXT,
    turn         BLOB,
    section      BLOB,
    modified_at  INTEGER,
    alias_hash   BLOB,
    alias        BLOB,
    body         BLOB    NOT NULL,
    PRIMARY KEY (project, conversation, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE aliases (
    project      INTEGER NOT NULL,
    conversation BLOB    NOT NULL,
    alias_hash   BLOB    NOT NULL,
    seq          INTEGER NOT NULL,
    PRIMARY KEY (project, conversation, alias_hash)
) STRICT, WITHOUT ROWID;

-- The turn's items lie between `first_seq` and `end_seq`, the latter excluded.
CREATE TABLE turns (
    project       INTEGER NOT NULL,
    conversation  BLOB    NOT NULL,
    id            BLOB    NOT NULL,
    state         INTEGER NOT NULL,
    started_at    INTEGER NOT NULL,
    finished_at   INTEGER,
    input_tokens  INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    first_seq     INTEGER NOT NULL,
    end_seq       INTEGER,
    PRIMARY KEY (project, conversation, id)
) STRICT, WITHOUT ROWID;

-- Deleted conversations, for a day: their ids stay taken, and cursors that name them keep their place.
CREATE TABLE tombstones (
    project    INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    app        BLOB    NOT NULL,
    owner      BLOB    NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL,
    receipt    BLOB    NOT NULL,
    PRIMARY KEY (project, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX tombstones_by_age ON tombstones (deleted_at);

-- Deleted conversations whose rows are still to be removed.
CREATE TABLE purges (
    project      INTEGER NOT NULL,
    conversation BLOB    NOT NULL,
    PRIMARY KEY (project, conversation)
) STRICT, WITHOUT ROWID;

-- Receipts of what was erased, for good. `state`: 0 nothing is signed, 1 the key is destroyed, 2 the rows
-- are gone too. `items` is the number of decimal digits of how many there were. `conversation` is there
-- until state 2, to find the rows that are left and to sign with. With row ids, because a signed one is
-- too long for the tree of an index.
CREATE TABLE receipts (
    project       INTEGER NOT NULL,
    id            BLOB    NOT NULL,
    state         INTEGER NOT NULL,
    requested_at  INTEGER NOT NULL,
    tombstoned_at INTEGER NOT NULL,
    destroyed_at  INTEGER,
    items         INTEGER NOT NULL,
    commitment    BLOB,
    conversation  BLOB,
    signed        TEXT,
    PRIMARY KEY (project, id)
) STRICT;

CREATE INDEX receipts_open ON receipts (project, id) WHERE state < 2;
