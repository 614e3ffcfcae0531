-- +goose Up

-- A message and its progress in one row. Immutable columns come first. Updates change no indexed column, so they are HOT updates on the same
-- page without new index entries; the fill factor leaves space for them. Times are milliseconds since 1970 UTC.
CREATE TABLE messages (
    id             uuid     NOT NULL, -- UUIDv7: sorted by creation
    recipient      bigint   NOT NULL, -- E.164 without the plus; also the key for distributing tables
    business       uuid     NOT NULL,
    lane           smallint NOT NULL, -- priority, 0 to 3
    sender         text     NOT NULL, -- name of the business when it sent the message
    subject        text     NOT NULL,
    content        text     NOT NULL,
    correlation_id text     NOT NULL,
    metadata       jsonb,             -- strings to strings; null: none
    send_at        bigint   NOT NULL, -- 0: at once
    ttl            integer  NOT NULL, -- seconds; 0: no limit
    seq            bigint,            -- sequence number in the inbox; null if it has none yet
    expires_at     bigint   NOT NULL, -- expiry of this life; 0: never
    life           integer  NOT NULL DEFAULT 1,
    status         smallint NOT NULL, -- values of the root package, from 0 (scheduled) to 8 (read)
    attempts       integer  NOT NULL DEFAULT 0,
    version        integer  NOT NULL DEFAULT 1, -- events so far
    steps          bytea    NOT NULL DEFAULT '', -- status changes after the first, see package lifecycle
    discarded      boolean  NOT NULL DEFAULT false, -- whether its dead letter was discarded
    pos            bigint   NOT NULL, -- position of its newest event in the log
    revision       integer  NOT NULL DEFAULT 1, -- incremented by every change of the row
    PRIMARY KEY (id, recipient)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE messages ALTER COLUMN content SET STORAGE EXTERNAL; -- compression costs more CPU than it saves

CREATE UNIQUE INDEX messages_recipient_seq ON messages (recipient, seq);
CREATE INDEX messages_business ON messages (business, id);

-- One row per undelivered message that has a seq.
CREATE TABLE inbox (
    recipient bigint   NOT NULL,
    lane      smallint NOT NULL,
    seq       bigint   NOT NULL,
    id        uuid     NOT NULL,
    PRIMARY KEY (recipient, lane, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- The highest seq of each recipient.
CREATE TABLE counters (
    recipient bigint PRIMARY KEY,
    seq       bigint NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE idempotency_keys (
    business     uuid   NOT NULL,
    key          text   NOT NULL,
    fingerprint  bytea  NOT NULL,
    expires_at   bigint NOT NULL,
    batch        uuid   NOT NULL,
    ids          uuid[]   NOT NULL DEFAULT '{}', -- the receipts; set in the transaction of the call
    seqs         bigint[] NOT NULL DEFAULT '{}',
    recipients   bigint[] NOT NULL DEFAULT '{}',
    correlations text[]   NOT NULL DEFAULT '{}',
    PRIMARY KEY (business, key)
) WITH (fillfactor = 70);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

CREATE TABLE dead_letters (
    business  uuid   NOT NULL,
    failed_at bigint NOT NULL,
    id        uuid   NOT NULL,
    PRIMARY KEY (business, failed_at, id)
);

CREATE SEQUENCE leases;

CREATE TABLE tasks (
    id           uuid     NOT NULL, -- id of the message
    kind         smallint NOT NULL,
    due          bigint   NOT NULL,
    recipient    bigint   NOT NULL,
    life         integer  NOT NULL,
    lease        bigint   NOT NULL DEFAULT 0, -- number of the newest claim
    leased_until bigint   NOT NULL DEFAULT 0,
    PRIMARY KEY (id, kind, due)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX tasks_due ON tasks (due);

-- The event log. Events of one transaction that share a position are one row. A position is the id of the transaction of the change, or the
-- position of the message's previous event if that is higher, so the events of a message are always in order.
CREATE TABLE events (
    pos      bigint  NOT NULL,
    xid      bigint  NOT NULL, -- id of the transaction that wrote the row
    count    integer NOT NULL,
    happened bigint  NOT NULL, -- time of the newest event in the row
    entries  bytea   NOT NULL,
    PRIMARY KEY (pos, xid)
);
ALTER TABLE events ALTER COLUMN entries SET STORAGE EXTERNAL;

-- How far the log was trimmed.
CREATE TABLE events_trimmed (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    pos      bigint  NOT NULL,
    count    integer NOT NULL, -- events of that position
    since    bigint  NOT NULL  -- events after this time were not deleted
);

CREATE TABLE businesses (
    id         uuid   PRIMARY KEY,
    name       text   NOT NULL,
    plan       text   NOT NULL,
    created_at bigint NOT NULL
);

CREATE TABLE api_keys (
    id         uuid   PRIMARY KEY,
    business   uuid   NOT NULL REFERENCES businesses,
    hash       bytea  NOT NULL UNIQUE,
    created_at bigint NOT NULL,
    revoked_at bigint NOT NULL -- 0: not revoked
);

CREATE TABLE settings (
    name  text  PRIMARY KEY,
    value bytea NOT NULL
);

-- Damaged rows that a repair moved here unchanged.
CREATE TABLE set_aside (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    aside  timestamptz NOT NULL DEFAULT now(),
    source text  NOT NULL, -- name of the table
    finding text NOT NULL,
    row    jsonb NOT NULL
);
