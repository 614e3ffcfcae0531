package postgres_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
)

// damage executes SQL that changes rows directly.
func damage(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	tag, err := conn.Exec(t.Context(), sql)
	if err != nil || tag.RowsAffected() == 0 {
		t.Fatalf("%s: %v, %s", sql, err, tag)
	}
}

// findings runs Verify and returns the names and actions of its findings.
func findings(t *testing.T, s *postgres.Store, repair bool) (found []string) {
	t.Helper()
	survey, err := s.Verify(t.Context(), repair, func(f esh3ar.Finding) { found = append(found, f.Check+" "+f.Action) })
	if err != nil {
		t.Fatal(err)
	}
	if survey.Findings != len(found) {
		t.Errorf("survey counts %d findings, got %d", survey.Findings, len(found))
	}
	return found
}

// populate fills a store with every kind of row.
func populate(t *testing.T, s *postgres.Store) {
	t.Helper()
	now := esh3ar.TimeOf(time.Now())
	business := esh3ar.NewBusinessID()
	var calls []*esh3ar.Call
	for i := range 8 {
		m := &esh3ar.Message{ID: esh3ar.NewMessageID(), Business: business, From: "b", Recipient: 967770000001 + esh3ar.Recipient(i%2), Priority: esh3ar.Normal, Content: "c"}
		c := &esh3ar.Call{Business: business, Messages: []*esh3ar.Message{m}}
		switch i {
		case 5:
			m.SendAt = now.Add(time.Hour)
		case 6:
			m.TTL, m.ExpiresAt = time.Hour, now.Add(time.Hour)
		case 7:
			c.Key = &esh3ar.IdempotencyKey{Key: "k", ExpiresAt: now.Add(time.Hour)}
		}
		calls = append(calls, c)
	}
	if _, err := s.Append(t.Context(), calls); err != nil {
		t.Fatal(err)
	}
	change := func(i int, to esh3ar.Status) esh3ar.Change {
		m := calls[i].Messages[0]
		return esh3ar.Change{Message: m.ID, Recipient: m.Recipient, To: to, At: now, Reason: "attempts_spent"}
	}
	if _, err := s.Settle(t.Context(), []esh3ar.Change{change(0, esh3ar.Sent), change(0, esh3ar.Delivered), change(1, esh3ar.Failed), change(2, esh3ar.Pending)}); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateBusiness(t.Context(), esh3ar.Business{ID: business}); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateKey(t.Context(), esh3ar.APIKey{ID: esh3ar.NewKeyID(), Business: business}); err != nil {
		t.Fatal(err)
	}
}

// TestVerify_EachDamage_IsFoundAndRepaired plants one kind of damage at a time. Verify must find it, and after a repair
// nothing repairable may be left.
func TestVerify_EachDamage_IsFoundAndRepaired(t *testing.T) {
	for _, c := range []struct {
		check, damage string
		repaired      string // action of a repair; empty if there is none
		left          []string
	}{
		{"inbox_missing", `DELETE FROM inbox WHERE ctid = (SELECT min(ctid) FROM inbox)`, esh3ar.Mended, nil},
		{"inbox_stray", `INSERT INTO inbox SELECT recipient, lane, seq, id FROM messages WHERE status = 7`, esh3ar.SetAside, nil},
		{"counter_low", `UPDATE counters SET seq = 1`, esh3ar.Mended, nil},
		{"counter_low", `DELETE FROM counters`, esh3ar.Mended, nil},
		{"seq_missing", `WITH i AS (DELETE FROM inbox RETURNING id) UPDATE messages m SET seq = NULL FROM i WHERE m.id = i.id AND m.ctid = (SELECT max(ctid) FROM messages WHERE status = 1)`, "", nil},
		{"enter_task_missing", `DELETE FROM tasks WHERE kind = 1`, esh3ar.Mended, nil},
		{"expire_task_missing", `DELETE FROM tasks WHERE kind = 2`, esh3ar.Mended, nil},
		{"task_stray", `INSERT INTO tasks (id, kind, due, recipient, life) VALUES (gen_random_uuid(), 1, 5, 5, 1)`, esh3ar.SetAside, nil},
		{"key_damaged", `UPDATE idempotency_keys SET seqs = '{}'`, esh3ar.SetAside, nil},
		{"api_key_damaged", `UPDATE api_keys SET hash = '\x00'`, esh3ar.SetAside, nil},
		{"steps_damaged", `UPDATE messages SET steps = '\xff' WHERE status = 2`, "", []string{"event_unknown reported"}},
		{"steps_illegal", `UPDATE messages SET steps = '\x01000201070000000103000000' WHERE status = 7`, "", nil},
		{"progress_differs", `UPDATE messages SET attempts = 9 WHERE status = 7`, esh3ar.Mended, nil},
		{"dead_letter_missing", `DELETE FROM dead_letters`, esh3ar.Mended, nil},
		{"dead_letter_stray", `INSERT INTO dead_letters SELECT business, 5, id FROM messages WHERE status = 7`, esh3ar.SetAside, nil},
		{"events_damaged", `UPDATE events SET entries = '\xff' WHERE pos = (SELECT max(pos) FROM events)`, esh3ar.SetAside, nil},
		{"event_missing", `DELETE FROM events WHERE pos = (SELECT max(pos) FROM events)`, esh3ar.Mended, nil},
		{"event_repeated", `INSERT INTO events SELECT pos, xid + 1, count, happened, entries FROM events WHERE pos = (SELECT max(pos) FROM events)`, "", nil},
		{"event_unknown", `UPDATE messages SET steps = '', status = 1, version = 1, discarded = false WHERE status = 2`, "", nil},
	} {
		t.Run(c.check, func(t *testing.T) {
			url := newDatabase(t)
			s := open(t, url, postgres.Options{})
			populate(t, s)
			if found := findings(t, s, false); len(found) > 0 {
				t.Fatalf("before the damage: got findings %q, want none", found)
			}
			damage(t, url, c.damage)
			if found := findings(t, s, false); !slices.Contains(found, c.check+" reported") {
				t.Errorf("got findings %q, want %s", found, c.check)
			}
			if c.repaired == "" {
				return
			}
			if found := findings(t, s, true); !slices.Contains(found, c.check+" "+c.repaired) {
				t.Errorf("repair: got findings %q, want action %s", found, c.repaired)
			}
			findings(t, s, true) // repairs what the first repair uncovered
			if found := findings(t, s, false); len(found) > 0 {
				t.Errorf("after two repairs: got findings %q, want none", found)
			}
		})
	}
}
