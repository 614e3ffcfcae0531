package postgres_test

import (
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
)

// slowDeletes delays the deletion of each row, which prolongs the locks of the deletion.
const slowDeletes = `
	CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.05); RETURN OLD; END $$;
	CREATE TRIGGER slow BEFORE DELETE ON messages FOR EACH ROW EXECUTE FUNCTION slow();
	CREATE TRIGGER slow BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION slow();
	CREATE TRIGGER slow BEFORE DELETE ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION slow();`

// TestRetention_SlowDeletes_DoNotBlockTraffic makes the steps of retention slow, and runs typical traffic for the same
// recipients during each step.
func TestRetention_SlowDeletes_DoNotBlockTraffic(t *testing.T) {
	url := newDatabase(t)
	s := open(t, url, postgres.Options{})
	finished(t, url, 60)
	execute(t, url, slowDeletes)
	conn := connect(t, url)
	before := esh3ar.TimeOf(time.Now().Add(-time.Hour))
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"purge", func() error {
			_, _, err := s.Purge(t.Context(), esh3ar.RetentionCutoffs{Default: before}, "", 60)
			return err
		}},
		{"trim_events", func() error { _, err := s.TrimEvents(t.Context(), before); return err }},
	} {
		done := make(chan error, 1)
		go func() { done <- step.do() }()
		for under := false; !under; {
			if len(done) > 0 {
				t.Fatalf("%s ended before it deleted a row: %v", step.name, <-done)
			}
			err := conn.QueryRow(t.Context(), `SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()`).Scan(&under)
			if err != nil {
				t.Fatal(err)
			}
		}
		traffic(t, s)
		select {
		case err := <-done:
			t.Errorf("%s ended (%v) before the traffic: the test covers nothing", step.name, err)
		default:
		}
		if err := <-done; err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
	}
}

// finished stores messages that ended long ago.
func finished(t *testing.T, url string, n int) {
	t.Helper()
	then := time.Now().Add(-1000 * time.Hour)
	s := open(t, url, postgres.Options{Now: func() time.Time { return then }})
	past, business := esh3ar.TimeOf(then), esh3ar.NewBusinessID()
	for i := range n {
		m := message(business, esh3ar.Recipient(967770000000+i%20))
		m.ID = esh3ar.MessageIDAt(past, [10]byte{1: byte(i)})
		if _, err := s.Append(t.Context(), []*esh3ar.Call{{Business: business, Messages: []*esh3ar.Message{m}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Settle(t.Context(), []esh3ar.Change{{Message: m.ID, Recipient: m.Recipient, To: esh3ar.Delivered, At: past}}); err != nil {
			t.Fatal(err)
		}
	}
}

// traffic appends, reads and settles messages of recipients whose old messages are being deleted.
func traffic(t *testing.T, s *postgres.Store) {
	t.Helper()
	now, business := esh3ar.TimeOf(time.Now()), esh3ar.NewBusinessID()
	for n := range 20 {
		m := message(business, esh3ar.Recipient(967770000000+n))
		key := &esh3ar.IdempotencyKey{Key: m.ID.String(), ExpiresAt: now.Add(time.Hour)}
		if _, err := s.Append(t.Context(), []*esh3ar.Call{{Business: business, Messages: []*esh3ar.Message{m}, Key: key}}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Pending(t.Context(), esh3ar.InboxQuery{Recipient: m.Recipient, Limit: 64, Bytes: 1 << 16}); err != nil {
			t.Fatal(err)
		}
		for _, to := range []esh3ar.Status{esh3ar.Sent, esh3ar.Delivered} {
			if _, err := s.Settle(t.Context(), []esh3ar.Change{{Message: m.ID, Recipient: m.Recipient, To: to, At: now}}); err != nil {
				t.Fatal(err)
			}
		}
	}
}
