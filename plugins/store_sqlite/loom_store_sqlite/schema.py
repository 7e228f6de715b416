"""The tables, their version, and how an older file becomes a newer one.

``MIGRATIONS[n]`` turns a file of version ``n`` into one of version ``n + 1``; an empty file has version 0. All that are
needed run in one transaction, which also sets the version, so that a file is never between two versions. A released
migration is never edited: a change of the schema is a further entry.

Ids of everything that belongs to a run are ``run_no << 32 | n``: rows of a run lie together, new ones at the end, and
a range of one run is a range of ids, without an index beside the table. ``n`` counts from 1 without gaps (for ``steps``
it is ``step_index + 2``, so that the initial state, step -1, is 1).

A text column of type ``ANY`` holds the text itself while it is short, else the integer id of a row of ``payloads``.
"""

from __future__ import annotations

APPLICATION_ID = 0x4C6F6F6D
"""``Loom`` in ASCII, in the header of every run database."""

PAGE_SIZE = 4096

_VERSION_1 = """
CREATE TABLE runs(                     -- what never changes after creation
    run_no          INTEGER PRIMARY KEY,
    run_id          TEXT NOT NULL UNIQUE,
    agent_name      TEXT NOT NULL,
    agent_version   TEXT NOT NULL,
    agent_reference TEXT,
    code_hash       TEXT,
    schema_hash     TEXT,
    input_digest    BLOB NOT NULL,
    created_at      REAL NOT NULL
) STRICT;

CREATE TABLE heads(                    -- what every commit changes: one small row a run, in no index
    run_no          INTEGER PRIMARY KEY,
    status          TEXT NOT NULL,
    reason          TEXT,
    step_index      INTEGER NOT NULL,
    attempt_index   INTEGER NOT NULL,
    epoch           INTEGER NOT NULL,
    lease_wall_s    REAL,
    lease_boot_s    REAL,
    wake_signal     TEXT,
    wake_at         REAL,
    updated_at      REAL NOT NULL,
    ended_at        REAL,
    result          ANY,
    error           ANY,
    calls           INTEGER NOT NULL,
    model_calls     INTEGER NOT NULL,
    failed_attempts INTEGER NOT NULL,
    failed_calls    INTEGER NOT NULL,
    unknown_calls   INTEGER NOT NULL,
    tokens_in       INTEGER NOT NULL,
    tokens_out      INTEGER NOT NULL
) STRICT;

CREATE TABLE steps(                    -- id = run, step_index + 2
    id            INTEGER PRIMARY KEY,
    outcome       INTEGER NOT NULL,    -- position in rows.OUTCOMES
    attempt_index INTEGER NOT NULL,
    epoch         INTEGER NOT NULL,
    at            REAL NOT NULL,
    digest        BLOB NOT NULL,       -- of the state's text; of the result's where a step completed the run
    form          INTEGER,             -- of loom_core.history; NULL where a step completed the run
    body          BLOB,
    notes         ANY
) STRICT;

CREATE TABLE attempts(                 -- id = run, n-th failed attempt
    id            INTEGER PRIMARY KEY,
    step_index    INTEGER NOT NULL,
    attempt_index INTEGER NOT NULL,
    epoch         INTEGER NOT NULL,
    started_at    REAL NOT NULL,
    ended_at      REAL NOT NULL,
    error         ANY NOT NULL,
    retry_at      REAL
) STRICT;

CREATE TABLE calls(                    -- id = run, n-th call
    id               INTEGER PRIMARY KEY,
    step_index       INTEGER NOT NULL,
    key              TEXT NOT NULL,
    try_index        INTEGER NOT NULL,
    attempt_index    INTEGER NOT NULL,
    epoch            INTEGER NOT NULL,
    kind             TEXT NOT NULL,
    name             TEXT NOT NULL,
    effect           TEXT NOT NULL,
    arguments        ANY NOT NULL,
    arguments_digest BLOB NOT NULL,
    idempotency_key  TEXT,
    messages         INTEGER,          -- the last message's row
    status           TEXT NOT NULL,
    result           ANY,
    error            ANY,
    not_started      INTEGER NOT NULL,
    started_at       REAL NOT NULL,
    ended_at         REAL,
    decided_by       TEXT,
    facts            ANY,
    late_result      ANY,
    tokens_in        INTEGER NOT NULL,
    tokens_out       INTEGER NOT NULL
) STRICT;

CREATE INDEX calls_by_idempotency_key ON calls(idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX calls_gone_wrong ON calls(status) WHERE status IN ('failed', 'unknown');

CREATE TABLE claims(                   -- id = run, epoch
    id         INTEGER PRIMARY KEY,
    owner      ANY NOT NULL,
    at         REAL NOT NULL,
    step_index INTEGER NOT NULL,
    found      TEXT NOT NULL
) STRICT;

CREATE TABLE signals(                  -- id = run, n-th signal
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL,
    payload     ANY NOT NULL,
    sent_at     REAL NOT NULL,
    consumed_by INTEGER
) STRICT;

CREATE INDEX signals_pending ON signals(name) WHERE consumed_by IS NULL;

CREATE TABLE payloads(                 -- texts, each stored once
    id   INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,         -- 16 bytes of BLAKE2b over the UTF-8 text
    form INTEGER NOT NULL,             -- 0 text, 1 zlib
    body ANY NOT NULL
) STRICT;

CREATE TABLE messages(                 -- conversations as a tree: a longer one adds only what is new in it
    id     INTEGER PRIMARY KEY,
    parent INTEGER NOT NULL,           -- the message before; minus run_no for the first of a conversation
    body   ANY NOT NULL
) STRICT;

CREATE INDEX messages_by_parent ON messages(parent);
"""

_TIME = """
CREATE TABLE timers(                   -- only of runs that were set one: what a commit never has to touch
    run_no    INTEGER PRIMARY KEY,
    boot_id   TEXT,                    -- the boot whose clock counts, and the moment on it; wall time is in heads
    boot_s    REAL,
    timed_out INTEGER NOT NULL         -- the next step goes on without the signal that it waited for
) STRICT;

CREATE INDEX timers_by_boot ON timers(boot_id, boot_s) WHERE boot_id IS NOT NULL;

CREATE INDEX heads_to_do ON heads(status, wake_at)
 WHERE status = 'queued' OR status = 'running' OR status = 'waiting';

CREATE TABLE schedules(
    name       TEXT PRIMARY KEY,
    created_at REAL NOT NULL,          -- tells it from one that had the name before
    version    INTEGER NOT NULL,       -- rises with every change: whoever read an older one changes nothing
    body       TEXT NOT NULL           -- a JSON object
) STRICT;
"""
# heads_to_do: OR and not IN, of which SQLite does not see that one status implies it. The update of a commit sets none
# of its columns, so that SQLite does not even open it then (tests/plugins/store_sqlite/test_claimable.py).

_PEOPLE = """
ALTER TABLE signals ADD COLUMN sent_by TEXT;     -- the name that was given
ALTER TABLE signals ADD COLUMN sent_user TEXT;   -- the account that gave it

CREATE TABLE approvals(                -- id = run, n-th question
    id               INTEGER PRIMARY KEY,
    approval_id      TEXT NOT NULL,
    kind             TEXT NOT NULL,
    step_index       INTEGER NOT NULL,
    key              TEXT NOT NULL,
    attempt_index    INTEGER NOT NULL,
    subject          ANY NOT NULL,
    arguments        ANY NOT NULL,
    arguments_digest BLOB NOT NULL,
    approvers        ANY NOT NULL,     -- a JSON list of names
    asked_at         REAL NOT NULL,
    expires_at       REAL,
    facts            ANY,
    decision         TEXT,             -- NULL: it waits for its answer
    decided_at       REAL,
    decided_by       TEXT,
    decided_user     TEXT,
    note             ANY,
    used_at          REAL,
    used_try         INTEGER
) STRICT;

CREATE INDEX approvals_pending ON approvals(id) WHERE decision IS NULL;

CREATE TABLE budgets(                  -- a root run's limits, NULL for none, and what is spent and reserved of them
    run_no           INTEGER PRIMARY KEY,
    tool_calls       INTEGER,
    tokens           INTEGER,
    cost_usd         REAL,
    steps            INTEGER,
    seconds          REAL,
    answer_tokens    INTEGER NOT NULL,
    spent_tool_calls INTEGER NOT NULL,
    spent_tokens_in  INTEGER NOT NULL,
    spent_tokens_out INTEGER NOT NULL,
    spent_cost_nano  INTEGER NOT NULL,
    spent_seconds    REAL NOT NULL
) STRICT;

CREATE TABLE reservations(             -- id = the call's; what it reserved, and what it is charged
    id                  INTEGER PRIMARY KEY,
    budget_no           INTEGER NOT NULL,
    reserved_tool_calls INTEGER NOT NULL,
    reserved_tokens_in  INTEGER NOT NULL,
    reserved_tokens_out INTEGER NOT NULL,
    reserved_cost_nano  INTEGER NOT NULL,
    tool_calls          INTEGER NOT NULL,
    tokens_in           INTEGER NOT NULL,
    tokens_out          INTEGER NOT NULL,
    cost_nano           INTEGER NOT NULL
) STRICT;
"""

MIGRATIONS: tuple[str, ...] = (_VERSION_1, _TIME, _PEOPLE)

COMMIT_STATEMENT = "INSERT INTO temp.commits VALUES(?,?,?,?,?,?,?,?,?,?,?,?)"
"""Commits a step: one statement, so that it is atomic by itself and costs one call into SQLite.

Bindings: run_no, epoch, step_index, lease_wall_s, lease_boot_s, steps.id, attempt_index, at, digest, form, body, notes.
"""

TEMPORARY_OBJECTS = """
CREATE TEMP VIEW commits(
    run_no, epoch, step_index, lease_wall_s, lease_boot_s, id, attempt_index, at, digest, form, body, notes
) AS SELECT 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0;

CREATE TEMP TRIGGER commit_step INSTEAD OF INSERT ON commits BEGIN
    UPDATE heads
       SET step_index = NEW.step_index + 1, attempt_index = 0,
           lease_wall_s = NEW.lease_wall_s, lease_boot_s = NEW.lease_boot_s, updated_at = NEW.at
     WHERE run_no = NEW.run_no AND epoch = NEW.epoch AND step_index = NEW.step_index AND status = 'running';
    SELECT RAISE(ABORT, 'fenced') WHERE changes() <> 1;
    INSERT INTO steps(id, outcome, attempt_index, epoch, at, digest, form, body, notes)
    VALUES(NEW.id, 1, NEW.attempt_index, NEW.epoch, NEW.at, NEW.digest, NEW.form, NEW.body, NEW.notes);
END;
"""
"""Per connection and never in the file, so that the code that relies on them cannot meet those of another version."""
