package postgres_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
	"github.com/esh3artech/esh3ar/internal/testkit/pgproc"
)

// connect opens a connection that is closed at the end of the test.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// entryLiteral returns an event of m as an SQL literal.
func entryLiteral(m *esh3ar.Message, version uint32) string {
	e := lifecycle.Entry{Message: m.ID, Business: m.Business, Recipient: m.Recipient, Version: version, Step: lifecycle.Step{Life: 1, Status: esh3ar.Pending}}
	return fmt.Sprintf("'\\x%x'::bytea", e.Append(nil))
}

// fill inserts messages of one business directly: 100 recipients in turn, every tenth message undelivered.
func fill(t *testing.T, url string, from, to int) {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.WithoutCancel(t.Context())) // ending the session flushes its statistics
	for _, sql := range []string{
		`INSERT INTO messages (id, recipient, business, lane, sender, subject, content, correlation_id, send_at, ttl, seq, expires_at, status, pos)
			SELECT ('01800000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 967770000000 + n %% 100, '01800000-0000-7000-8000-000000000000', 1, 'b', '', 'hello', '', 0, 0, n / 100 + 1, 0,
			CASE WHEN n %% 10 = 0 THEN 1 ELSE 7 END, 1 FROM generate_series(%d, %d) n`,
		`INSERT INTO inbox SELECT 967770000000 + n %% 100, 1, n / 100 + 1, ('01800000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid FROM generate_series(%d, %d) n WHERE n %% 10 = 0`,
		`INSERT INTO tasks (id, kind, due, recipient, life) SELECT gen_random_uuid(), 1, 9000000000000 + n, 1, 1 FROM generate_series(%d, %d) n WHERE n %% 10 = 0`,
		`INSERT INTO idempotency_keys (business, key, fingerprint, expires_at, batch) SELECT '01800000-0000-7000-8000-000000000000', 'k' || n, '\x00', 9000000000000, '01800000-0000-7000-8000-000000000000' FROM generate_series(%d, %d) n WHERE n %% 10 = 0`,
		`INSERT INTO events SELECT 1 + n / 100 %% 500, -n, 1, 1, '' FROM generate_series(%d, %d) n WHERE n %% 100 = 0`,
		`INSERT INTO counters SELECT 967770000000 + n, 1 + %d + %d / 100 FROM generate_series(0, 99999) n ON CONFLICT (recipient) DO UPDATE SET seq = excluded.seq`,
	} {
		if _, err := conn.Exec(t.Context(), fmt.Sprintf(sql, from, to-1)); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	if _, err := conn.Exec(t.Context(), "ANALYZE"); err != nil {
		t.Fatal(err)
	}
}

// hotPath calls once every method that a node calls all the time.
func hotPath(t *testing.T, s *postgres.Store) {
	t.Helper()
	ctx := t.Context()
	business := esh3ar.NewBusinessID()
	r := esh3ar.Recipient(967770000001)
	now := esh3ar.TimeOf(time.Now())
	plain, later, keyed := message(business, r), message(business, r), message(business, r)
	later.SendAt = now.Add(time.Hour)
	later.TTL = time.Hour
	later.ExpiresAt = now.Add(2 * time.Hour)
	calls := []*esh3ar.Call{
		{Business: business, Messages: []*esh3ar.Message{plain, later}},
		{Business: business, Messages: []*esh3ar.Message{keyed}, Key: &esh3ar.IdempotencyKey{Key: "k", ExpiresAt: now.Add(time.Hour)}},
		{Business: business, Messages: []*esh3ar.Message{message(business, r)}, Drained: true},
	}
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Append(ctx, calls))
	must(s.Append(ctx, calls[1:2]))
	must(s.Settle(ctx, []esh3ar.Change{
		{Message: plain.ID, Recipient: r, To: esh3ar.Sent, Attempt: 1, At: now},
		{Message: plain.ID, Recipient: r, To: esh3ar.Delivered, At: now},
		{Message: later.ID, Recipient: r, To: esh3ar.Queued, At: now},
		{Message: keyed.ID, Recipient: r, To: esh3ar.Failed, At: now},
	}))
	must(s.DeadLetter(ctx, business, keyed.ID))
	must(s.Settle(ctx, []esh3ar.Change{{Message: keyed.ID, Recipient: r, To: esh3ar.Queued, Replay: true, At: now}}))
	must(s.Pending(ctx, esh3ar.InboxQuery{Recipient: r, Limit: 64, Bytes: 1 << 16}))
	must(s.Since(ctx, r, 9000, 0, 100))
	must(s.Counters(ctx, []esh3ar.Recipient{r, r + 1, r + 2}))
	must(s.Message(ctx, plain.ID))
	must(s.History(ctx, plain.ID))
	must(s.Progresses(ctx, []esh3ar.MessageRef{{ID: plain.ID, Recipient: r}}))
	must(s.List(ctx, esh3ar.ListQuery{Business: business, Limit: 50}))
	must(s.DeadLetters(ctx, esh3ar.DeadLetterQuery{Business: business, Limit: 50}))
	must(s.Claim(ctx, time.Second, 500))
	tail, err := s.Tail(ctx)
	must(tail, err)
	must(s.Events(ctx, esh3ar.EventQuery{After: tail, Limit: 500}))
	_, _, err = s.Queued(ctx, now, "", 500)
	must(nil, err)
	_, _, err = s.Purge(ctx, esh3ar.RetentionCutoffs{Default: now}, "", 500)
	must(nil, err)
	must(s.TrimEvents(ctx, 1))
	must(nil, s.DeleteExpiredKeys(ctx, now))
}

// TestHotPath_LargeTables_NoSequentialScan runs everything that a node does on a million messages, often enough for generic
// plans, and checks the server's statistics for sequential scans.
func TestHotPath_LargeTables_NoSequentialScan(t *testing.T) {
	url := newDatabase(t)
	s := open(t, url, postgres.Options{})
	fill(t, url, 0, 1_000_000)
	conn := connect(t, url)
	scans := func() (n int) {
		t.Helper()
		const sql = `SELECT coalesce(sum(seq_scan), 0) FROM pg_stat_user_tables WHERE relname IN ('messages', 'inbox', 'tasks', 'idempotency_keys', 'events', 'counters')`
		if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := scans()
	for range 7 { // PostgreSQL switches to a generic plan after five executions
		hotPath(t, s)
	}
	// A session flushes its statistics when it ends.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 50 { // until the last session has ended
		var left int
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'esh3ar' AND datname = current_database()`).Scan(&left); err != nil {
			t.Fatal(err)
		}
		if left == 0 {
			break
		}
	}
	if n := scans() - before; n > 0 {
		rows, err := conn.Query(t.Context(), `SELECT relname, seq_scan FROM pg_stat_user_tables WHERE seq_scan > 0`)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values, _ := rows.Values()
			t.Log(values...)
		}
		t.Errorf("got %d sequential scans, want 0", n)
	}
}

// TestPlans_LargeTables_LogsDurations measures the reads of every connect and every listing at several table sizes.
func TestPlans_LargeTables_LogsDurations(t *testing.T) {
	if os.Getenv("ESH3AR_STORED") == "" {
		t.Skip("this measurement takes long: set ESH3AR_STORED to a number of messages")
	}
	most, err := strconv.Atoi(os.Getenv("ESH3AR_STORED"))
	if err != nil {
		t.Fatal(err)
	}
	url := newDatabase(t)
	s := open(t, url, postgres.Options{})
	for from, to := 0, 100_000; to <= most; from, to = to, to*10 {
		fill(t, url, from, to)
		const reads = 300
		start := time.Now()
		for i := range reads {
			if _, err := s.Pending(t.Context(), esh3ar.InboxQuery{Recipient: 967770000000 + esh3ar.Recipient(10*(i%10)), After: [esh3ar.Priorities]esh3ar.Seq{}, Limit: 64, Bytes: 1 << 16}); err != nil {
				t.Fatal(err)
			}
		}
		inbox := time.Since(start) / reads
		start = time.Now()
		business, err := esh3ar.ParseBusinessID("01800000-0000-7000-8000-000000000000")
		if err != nil {
			t.Fatal(err)
		}
		for range reads {
			if _, err := s.List(t.Context(), esh3ar.ListQuery{Business: business, Limit: 50}); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("%d messages: %s to read an inbox, %s to list", to, inbox, time.Since(start)/reads)
	}
}

// TestOpen_UnsafeServer_NamesSetting rejects servers that may lose committed data.
func TestOpen_UnsafeServer_NamesSetting(t *testing.T) {
	if server == nil {
		t.Skip("needs PostgreSQL")
	}
	for _, setting := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		other, err := pgproc.Start(t.Context(), pgproc.Config{Settings: map[string]string{setting: "off"}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = postgres.Open(t.Context(), other.URL("postgres"), postgres.Options{})
		if want := "the server has " + setting + " = off"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", setting, err, want)
		}
		if err := other.Stop(); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct{ url, says string }{
		{"postgres://127.0.0.1:x/b", "--database-url"},
		{server.URL("nothing"), "does not exist"},
	} {
		if _, err := postgres.Open(t.Context(), c.url, postgres.Options{}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %q", c.url, err, c.says)
		}
	}
	if _, err := postgres.Open(t.Context(), newDatabase(t), postgres.Options{RequireSyncStandby: true}); err == nil || !strings.Contains(err.Error(), "--require-sync-standby") {
		t.Errorf("without a standby: got %v, want an error that names the flag", err)
	}
}
