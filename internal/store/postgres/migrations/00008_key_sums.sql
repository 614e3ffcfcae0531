-- +goose Up

-- A key is stored as its SHA-256 in hexadecimal, like in the embedded store, which does not know the key itself.
UPDATE idempotency_keys SET key = encode(sha256(convert_to(key, 'UTF8')), 'hex');
