-- +goose Up

-- append_calls stores calls: keys first, then counters, each in sorted order, then the other rows, so concurrent executions do not deadlock.
-- Calls are numbered 1, 2, 3, …, and every message carries the number of its call. The planner settings force index plans, whatever the
-- statistics of a new table suggest.
--
-- outcomes, per call: 0 stored, 1 not stored because its key is used, 2 not stored because its messages are, 3 stored as a duplicate.
-- numbers and seqs, per stored message: its index in the arguments, starting at 1, and its seq or null.

-- +goose StatementBegin
CREATE FUNCTION append_calls(
    p_now bigint,
    c_business uuid[], c_key text[], c_fingerprint bytea[], c_expires bigint[], c_batch uuid[], c_drained boolean[],
    m_call integer[], m_id uuid[], m_recipient bigint[], m_lane smallint[], m_sender text[], m_subject text[], m_content text[],
    m_correlation text[], m_metadata text[], m_send_at bigint[], m_ttl integer[], m_expires bigint[], m_event bytea[],
    m_duplicate bytea[], -- events and steps for messages stored as duplicates; null unless the call is drained
    m_canceled bytea[],
    OUT outcomes smallint[], OUT numbers integer[], OUT seqs bigint[]
) LANGUAGE plpgsql
SET enable_mergejoin = off SET enable_seqscan = off
AS $$
DECLARE
    at_xid    bigint := pg_current_xact_id()::text::bigint;
    skipped   integer[] := '{}'; -- numbers of calls that store nothing
    duplicate integer[] := '{}'; -- numbers of drained calls whose key another call has used
    known     integer[];
    keyed     boolean := EXISTS (SELECT FROM unnest(c_key) k WHERE k IS NOT NULL);
BEGIN
    outcomes := array_fill(0::smallint, ARRAY[cardinality(c_business)]);

    IF true = ANY (c_drained) THEN
        SELECT coalesce(array_agg(DISTINCT u.call), '{}') INTO known
        FROM unnest(m_call, m_id, m_recipient) u(call, id, recipient)
        CROSS JOIN LATERAL (SELECT FROM messages m WHERE m.id = u.id AND m.recipient = u.recipient LIMIT 1) m
        WHERE c_drained[u.call];
        skipped := known;
        FOR i IN 1 .. cardinality(known) LOOP
            outcomes[known[i]] := 2;
        END LOOP;
    END IF;

    IF keyed THEN
        WITH wanted AS MATERIALIZED (
            SELECT u.* FROM unnest(c_business, c_key, c_fingerprint, c_expires, c_batch) WITH ORDINALITY u(business, key, fingerprint, expires, batch, call)
            WHERE u.key IS NOT NULL AND u.call <> ALL (skipped)
        ), won AS (
            INSERT INTO idempotency_keys AS k (business, key, fingerprint, expires_at, batch)
            SELECT business, key, fingerprint, expires, batch FROM wanted ORDER BY business, key
            ON CONFLICT (business, key) DO UPDATE
                SET fingerprint = excluded.fingerprint, expires_at = excluded.expires_at, batch = excluded.batch
                WHERE k.expires_at <= p_now
            RETURNING business, key
        )
        SELECT coalesce(array_agg(w.call), '{}') INTO known
        FROM wanted w LEFT JOIN won ON won.business = w.business AND won.key = w.key WHERE won.key IS NULL;
        FOR i IN 1 .. cardinality(known) LOOP
            IF c_drained[known[i]] THEN
                outcomes[known[i]] := 3;
                duplicate := duplicate || known[i];
            ELSE
                outcomes[known[i]] := 1;
            END IF;
        END LOOP;
        skipped := skipped || known;
    END IF;

    WITH u AS (
        SELECT u.*, count(*) FILTER (WHERE u.send_at = 0) OVER (PARTITION BY u.recipient) AS entering,
            CASE WHEN u.send_at = 0 THEN count(*) FILTER (WHERE u.send_at = 0) OVER (PARTITION BY u.recipient ORDER BY u.n) END AS nth
        FROM unnest(m_call, m_id, m_recipient, m_lane, m_sender, m_subject, m_content, m_correlation, m_metadata, m_send_at, m_ttl, m_expires, m_event)
            WITH ORDINALITY u(call, id, recipient, lane, sender, subject, content, correlation, metadata, send_at, ttl, expires, event, n)
        WHERE u.call <> ALL (skipped)
    ), counted AS (
        INSERT INTO counters AS c (recipient, seq)
        SELECT recipient, count(*) FROM u WHERE send_at = 0 GROUP BY recipient ORDER BY recipient
        ON CONFLICT (recipient) DO UPDATE SET seq = c.seq + excluded.seq
        RETURNING recipient, seq
    ), numbered AS MATERIALIZED (
        SELECT u.*, c.seq - u.entering + u.nth AS seq FROM u LEFT JOIN counted c ON c.recipient = u.recipient
    ), stored AS (
        INSERT INTO messages (id, recipient, business, lane, sender, subject, content, correlation_id, metadata, send_at, ttl, seq, expires_at, status, pos)
        SELECT id, recipient, c_business[call], lane, sender, subject, content, correlation, nullif(metadata, '')::jsonb, send_at, ttl, seq, expires,
            CASE WHEN seq IS NULL THEN 0 ELSE 1 END, at_xid
        FROM numbered
    ), placed AS (
        INSERT INTO inbox (recipient, lane, seq, id) SELECT recipient, lane, seq, id FROM numbered WHERE seq IS NOT NULL
    ), due AS (
        INSERT INTO tasks (id, kind, due, recipient, life)
        SELECT id, 1, send_at, recipient, 1 FROM numbered WHERE send_at <> 0
        UNION ALL SELECT id, 2, expires, recipient, 1 FROM numbered WHERE expires <> 0
    ), logged AS (
        INSERT INTO events (pos, xid, count, happened, entries)
        SELECT at_xid, at_xid, count(*), p_now, string_agg(event, ''::bytea ORDER BY n) FROM numbered HAVING count(*) > 0
    ), receipts AS (
        UPDATE idempotency_keys k SET ids = r.ids, seqs = r.seqs, recipients = r.recipients, correlations = r.correlations
        FROM (
            SELECT call, array_agg(id ORDER BY n) AS ids, array_agg(coalesce(seq, 0) ORDER BY n) AS seqs,
                array_agg(recipient ORDER BY n) AS recipients, array_agg(correlation ORDER BY n) AS correlations
            FROM numbered WHERE keyed AND c_key[call] IS NOT NULL GROUP BY call
        ) r
        WHERE k.business = c_business[r.call] AND k.key = c_key[r.call]
    )
    SELECT array_agg(n), array_agg(seq) INTO numbers, seqs FROM numbered;

    IF cardinality(duplicate) > 0 THEN
        WITH u AS MATERIALIZED (
            SELECT u.* FROM unnest(m_call, m_id, m_recipient, m_lane, m_sender, m_subject, m_content, m_correlation, m_metadata, m_send_at, m_ttl, m_expires, m_duplicate, m_canceled)
                WITH ORDINALITY u(call, id, recipient, lane, sender, subject, content, correlation, metadata, send_at, ttl, expires, event, steps, n)
            WHERE u.call = ANY (duplicate)
        ), stored AS (
            INSERT INTO messages (id, recipient, business, lane, sender, subject, content, correlation_id, metadata, send_at, ttl, expires_at, status, version, steps, pos)
            SELECT id, recipient, c_business[call], lane, sender, subject, content, correlation, nullif(metadata, '')::jsonb, send_at, ttl, expires, 4, 2, steps, at_xid
            FROM u
        )
        INSERT INTO events AS e (pos, xid, count, happened, entries)
        SELECT at_xid, at_xid, 2 * count(*), p_now, string_agg(event, ''::bytea ORDER BY n) FROM u
        ON CONFLICT (pos, xid) DO UPDATE SET count = e.count + excluded.count, entries = e.entries || excluded.entries;
    END IF;
END
$$;
-- +goose StatementEnd
