-- +goose Up

-- Revocations of device tokens. A writer locks the counter until it commits, so versions are in commit order.
CREATE TABLE token_revocations (
    recipient  bigint NOT NULL,
    device     text   NOT NULL, -- empty: all devices
    version    bigint NOT NULL,
    revoked_at bigint NOT NULL,
    PRIMARY KEY (recipient, device)
);

CREATE INDEX token_revocations_version ON token_revocations (version);

CREATE TABLE token_revocation_version (newest bigint NOT NULL);
INSERT INTO token_revocation_version VALUES (0);
