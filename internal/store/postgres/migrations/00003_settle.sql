-- +goose Up

-- settle_messages writes changes that a node has decided on, all or none. If a row has changed since the node read it, or a task has another
-- lease, it raises ES409 and writes nothing; the node reads again. So no decision is made while rows are locked. Rows are locked in the order
-- tasks, counters, messages, and within these in the order of the arrays, which are sorted.

-- +goose StatementBegin
CREATE FUNCTION settle_messages(
    p_now bigint,
    m_id uuid[], m_recipient bigint[], m_revision integer[], -- the row as it was read
    m_life integer[], m_status smallint[], m_attempts integer[], m_version integer[], m_steps bytea[], m_expires bigint[], m_discarded boolean[],
    m_enters boolean[],   -- whether the message gets the next seq
    m_events integer[], m_entries bytea[], -- number of new events, and their encoding
    i_recipient bigint[], i_lane smallint[], i_seq bigint[], -- inbox entries to delete
    d_business uuid[], d_failed bigint[], d_id uuid[],   -- dead letters to delete
    n_business uuid[], n_failed bigint[], n_id uuid[],   -- dead letters to insert
    e_id uuid[], e_kind smallint[], e_due bigint[], e_lease bigint[], -- tasks to delete; a null lease matches any
    t_id uuid[], t_kind smallint[], t_due bigint[], t_recipient bigint[], t_life integer[] -- tasks to insert
) RETURNS bigint[] -- the new seqs, in the order of the messages that get one
LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
DECLARE
    xid     bigint := pg_current_xact_id()::text::bigint;
    changed integer;
    numbers integer[] := '{}';
    entered bigint[] := '{}';
BEGIN
    IF cardinality(e_id) > 0 THEN
        DELETE FROM tasks t USING unnest(e_id, e_kind, e_due, e_lease) u(id, kind, due, lease)
        WHERE t.id = u.id AND t.kind = u.kind AND t.due = u.due AND (u.lease IS NULL OR t.lease = u.lease);
        GET DIAGNOSTICS changed = ROW_COUNT;
        IF changed < (SELECT count(lease) FROM unnest(e_lease) lease) THEN
            RAISE EXCEPTION 'a task has another lease' USING ERRCODE = 'ES409';
        END IF;
    END IF;

    IF true = ANY (m_enters) THEN
        WITH u AS (
            SELECT n, recipient, count(*) OVER (PARTITION BY recipient) AS entering, row_number() OVER (PARTITION BY recipient ORDER BY n) AS nth
            FROM unnest(m_recipient, m_enters) WITH ORDINALITY u(recipient, enters, n) WHERE enters
        ), counted AS (
            INSERT INTO counters AS c (recipient, seq)
            SELECT recipient, count(*) FROM u GROUP BY recipient ORDER BY recipient
            ON CONFLICT (recipient) DO UPDATE SET seq = c.seq + excluded.seq
            RETURNING recipient, seq
        )
        SELECT array_agg(u.n ORDER BY u.n), array_agg(c.seq - u.entering + u.nth ORDER BY u.n) INTO numbers, entered
        FROM u JOIN counted c ON c.recipient = u.recipient;
    END IF;

    WITH u AS MATERIALIZED (
        SELECT * FROM unnest(m_id, m_recipient, m_revision, m_life, m_status, m_attempts, m_version, m_steps, m_expires, m_discarded, m_enters, m_events, m_entries)
            WITH ORDINALITY u(id, recipient, revision, life, status, attempts, version, steps, expires, discarded, enters, events, entries, n)
    ), updated AS (
        UPDATE messages m SET life = u.life, status = u.status, attempts = u.attempts, version = u.version, steps = u.steps,
            expires_at = u.expires, discarded = u.discarded, revision = m.revision + 1, pos = CASE WHEN u.events > 0 THEN greatest(m.pos, xid) ELSE m.pos END,
            seq = CASE WHEN u.enters THEN entered[array_position(numbers, u.n::integer)] ELSE m.seq END
        FROM u WHERE m.id = u.id AND m.recipient = u.recipient AND m.revision = u.revision
        RETURNING u.n, m.pos, u.events, u.entries
    ), logged AS (
        INSERT INTO events (pos, xid, count, happened, entries)
        SELECT pos, xid, sum(events), p_now, string_agg(entries, ''::bytea ORDER BY n) FROM updated WHERE events > 0 GROUP BY pos
    )
    SELECT count(*) INTO changed FROM updated;
    IF changed < cardinality(m_id) THEN
        RAISE EXCEPTION 'a message has changed' USING ERRCODE = 'ES409';
    END IF;

    IF cardinality(i_recipient) > 0 THEN
        DELETE FROM inbox i USING unnest(i_recipient, i_lane, i_seq) u(recipient, lane, seq)
        WHERE i.recipient = u.recipient AND i.lane = u.lane AND i.seq = u.seq;
    END IF;
    IF cardinality(numbers) > 0 THEN
        INSERT INTO inbox (recipient, lane, seq, id)
        SELECT m.recipient, m.lane, m.seq, m.id
        FROM unnest(m_id, m_recipient, m_enters, m_status) u(id, recipient, enters, status)
        JOIN messages m ON m.id = u.id AND m.recipient = u.recipient WHERE u.enters AND u.status < 4;
    END IF;
    IF cardinality(d_id) > 0 THEN
        DELETE FROM dead_letters d USING unnest(d_business, d_failed, d_id) u(business, failed, id)
        WHERE d.business = u.business AND d.failed_at = u.failed AND d.id = u.id;
    END IF;
    INSERT INTO dead_letters (business, failed_at, id) SELECT * FROM unnest(n_business, n_failed, n_id);
    INSERT INTO tasks (id, kind, due, recipient, life) SELECT * FROM unnest(t_id, t_kind, t_due, t_recipient, t_life)
        ON CONFLICT (id, kind, due) DO UPDATE SET life = excluded.life, lease = 0, leased_until = 0;
    RETURN entered;
END
$$;
-- +goose StatementEnd

-- claim_tasks leases tasks that are due by p_now, or by the database's clock if p_now is null.
-- +goose StatementBegin
CREATE FUNCTION claim_tasks(p_now bigint, p_lease bigint, p_limit integer)
RETURNS TABLE (id uuid, kind smallint, due bigint, recipient bigint, life integer, lease bigint) LANGUAGE plpgsql
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    at bigint := coalesce(p_now, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint);
BEGIN
    RETURN QUERY
    WITH ripe AS MATERIALIZED (
        SELECT t.id, t.kind, t.due FROM tasks t WHERE t.due <= at AND t.leased_until <= at ORDER BY t.due, t.id LIMIT p_limit FOR UPDATE SKIP LOCKED
    )
    UPDATE tasks t SET lease = nextval('leases'), leased_until = at + p_lease FROM ripe r
    WHERE t.id = r.id AND t.kind = r.kind AND t.due = r.due
    RETURNING t.id, t.kind, t.due, t.recipient, t.life, t.lease;
END
$$;
-- +goose StatementEnd
