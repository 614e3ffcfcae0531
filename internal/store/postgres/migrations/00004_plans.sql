-- +goose Up

CREATE TABLE plans (
    name        text             PRIMARY KEY COLLATE "C", -- sorted by bytes, as in Go
    rate        double precision NOT NULL, -- messages per second
    burst       integer          NOT NULL,
    daily_quota bigint           NOT NULL, -- 0: none
    concurrent  integer          NOT NULL, -- 0: no limit
    level       smallint         NOT NULL, -- 0 basic to 2 enterprise
    retention   bigint           NOT NULL, -- nanoseconds; 0: the default of the node
    updated_at  bigint           NOT NULL
);

CREATE INDEX businesses_plan ON businesses (plan);

-- Usage of businesses per day. Days are counted from 1970-01-01.
CREATE TABLE usage (
    business uuid    NOT NULL,
    day      integer NOT NULL,
    messages bigint  NOT NULL,
    refused  bigint  NOT NULL,
    PRIMARY KEY (business, day)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
