-- +goose Up

-- Limits per recipient: undelivered messages of a business in one inbox, and its sending rate; 0 selects the default.
ALTER TABLE plans
    ADD COLUMN inbox_limit     integer          NOT NULL DEFAULT 0, -- messages per lane
    ADD COLUMN recipient_rate  double precision NOT NULL DEFAULT 0, -- messages per second
    ADD COLUMN recipient_burst integer          NOT NULL DEFAULT 0; -- messages at once
