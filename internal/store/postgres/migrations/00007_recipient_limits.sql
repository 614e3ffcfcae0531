-- +goose Up

-- What a business may have waiting in one inbox, and how fast it may send to one recipient; 0: the default.
ALTER TABLE plans
    ADD COLUMN inbox_limit     integer          NOT NULL DEFAULT 0, -- messages per lane
    ADD COLUMN recipient_rate  double precision NOT NULL DEFAULT 0, -- messages per second
    ADD COLUMN recipient_burst integer          NOT NULL DEFAULT 0; -- messages at once
