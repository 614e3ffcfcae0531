-- +goose Up

-- The lease and the state of the autoscaler. A single row; the token is incremented by each new holder.
CREATE TABLE scaling (
    id     integer     PRIMARY KEY CHECK (id = 1),
    holder text        NOT NULL,
    token  bigint      NOT NULL,
    until  timestamptz NOT NULL, -- expiry by the clock of the database server
    state  jsonb                 -- state of the autoscaler; null if there is none yet
);

-- History of the decisions.
CREATE TABLE scaling_diary (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry  jsonb  NOT NULL
);
