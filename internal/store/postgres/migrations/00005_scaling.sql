-- +goose Up

-- Who scales the cluster, and what it must remember. One row; the token rises with each new holder.
CREATE TABLE scaling (
    id     integer     PRIMARY KEY CHECK (id = 1),
    holder text        NOT NULL,
    token  bigint      NOT NULL,
    until  timestamptz NOT NULL, -- by this server's clock; later anybody may take it
    state  jsonb                 -- of the holder's decisions; null: none yet
);

-- What was decided, and why.
CREATE TABLE scaling_diary (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry  jsonb  NOT NULL
);
