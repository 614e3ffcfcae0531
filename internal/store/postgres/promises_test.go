package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
)

// TestAppend_FailsAfterItsFirstCommit_SaysUnknown: a batch needs a second statement if the key of a call was used earlier in
// the batch or before. If that statement fails, other calls of the batch are stored, so the error must not mean that nothing
// was stored.
func TestAppend_FailsAfterItsFirstCommit_SaysUnknown(t *testing.T) {
	business := esh3ar.NewBusinessID()
	keyed := func(key string) *esh3ar.Call {
		return &esh3ar.Call{Business: business, Messages: []*esh3ar.Message{message(business, 967771000001)}, Key: &esh3ar.IdempotencyKey{
			Key: key, ExpiresAt: esh3ar.TimeOf(time.Now().Add(time.Hour)),
		}}
	}
	drained := keyed("")
	drained.Key = nil
	drained.Drained = true
	for name, c := range map[string]struct {
		before []*esh3ar.Call
		batch  []*esh3ar.Call
		breaks string // SQL that runs after the first commit of the batch
	}{
		"the second call of a key": {
			batch:  []*esh3ar.Call{keyed("twice"), keyed("twice")},
			breaks: `ALTER FUNCTION append_calls RENAME TO gone`,
		},
		"a key that was known": {
			before: []*esh3ar.Call{keyed("known")},
			batch:  []*esh3ar.Call{keyed("new"), keyed("known")},
			breaks: `ALTER TABLE idempotency_keys RENAME TO gone`,
		},
		"a drained call that was stored": {
			before: []*esh3ar.Call{drained},
			batch:  []*esh3ar.Call{keyed("other"), drained},
			breaks: `ALTER TABLE messages RENAME TO gone`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			url := newDatabase(t)
			var armed atomic.Bool
			s := open(t, url, postgres.Options{OnCommit: func() {
				if armed.Swap(false) {
					execute(t, url, c.breaks)
				}
			}})
			if len(c.before) > 0 {
				if _, err := s.Append(t.Context(), c.before); err != nil {
					t.Fatal(err)
				}
			}
			armed.Store(true)
			_, err := s.Append(t.Context(), c.batch)
			if got := esh3ar.CodeOf(err); err == nil || got != esh3ar.OutcomeUnknown {
				t.Errorf("got %v (%s), want %s: the first call is stored", err, got, esh3ar.OutcomeUnknown)
			}
		})
	}
}

// TestQueued_FullPagesWithoutAMatch_WalksOn: a call ends at its bound of visited rows, even if none of them is queued. The
// cursor must lead to the following rows.
func TestQueued_FullPagesWithoutAMatch_WalksOn(t *testing.T) {
	const others = 2*5000 + 1 // more rows than two calls visit
	s, business := open(t, newDatabase(t), postgres.Options{}), esh3ar.NewBusinessID()
	var calls []*esh3ar.Call
	var changes []esh3ar.Change
	for i := range others {
		m := message(business, esh3ar.Recipient(967770000000+i%7))
		calls = append(calls, &esh3ar.Call{Business: business, Messages: []*esh3ar.Message{m}})
		changes = append(changes, esh3ar.Change{Message: m.ID, Recipient: m.Recipient, Life: 1, To: esh3ar.Pending, At: esh3ar.TimeOf(time.Now())})
	}
	var want []esh3ar.MessageID
	for range 3 {
		m := message(business, 967779999999) // sorts after all others
		calls = append(calls, &esh3ar.Call{Business: business, Messages: []*esh3ar.Message{m}})
		want = append(want, m.ID)
	}
	for chunk := range slices.Chunk(calls, 1000) {
		if _, err := s.Append(t.Context(), chunk); err != nil {
			t.Fatal(err)
		}
	}
	for chunk := range slices.Chunk(changes, 1000) {
		if _, err := s.Settle(t.Context(), chunk); err != nil {
			t.Fatal(err)
		}
	}
	var got []esh3ar.MessageID
	next, before := "", esh3ar.TimeOf(time.Now().Add(time.Hour))
	for range 100 {
		refs, following, err := s.Queued(t.Context(), before, next, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, ref := range refs {
			got = append(got, ref.ID)
		}
		if following == "" {
			break
		}
		next = following
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d messages %v, want %v", len(got), got, want)
	}
}

// TestSettleMessages_LeaseOfAnother_IsRefused calls the database function directly. Another node may claim the task between
// a node's read and its commit, and only this check detects that.
func TestSettleMessages_LeaseOfAnother_IsRefused(t *testing.T) {
	url := newDatabase(t)
	s, business := open(t, url, postgres.Options{}), esh3ar.NewBusinessID()
	m := message(business, 967771000001)
	m.SendAt = esh3ar.TimeOf(time.Now().Add(-time.Second))
	if _, err := s.Append(t.Context(), []*esh3ar.Call{{Business: business, Messages: []*esh3ar.Message{m}}}); err != nil {
		t.Fatal(err)
	}
	tasks, err := s.Claim(t.Context(), time.Hour, 10)
	if err != nil || len(tasks) != 1 {
		t.Fatalf("claimed %d tasks, %v, want 1", len(tasks), err)
	}
	conn, task := connect(t, url), tasks[0]
	var names, types []string
	err = conn.QueryRow(t.Context(), `SELECT proargnames, (SELECT array_agg(format_type(u.t, NULL) ORDER BY u.n) FROM unnest(proargtypes) WITH ORDINALITY u(t, n))
		FROM pg_proc WHERE proname = 'settle_messages'`).Scan(&names, &types)
	if err != nil {
		t.Fatal(err)
	}
	settle := func(lease uint64) error {
		ends := map[string]string{
			"p_now": "0", "e_id": fmt.Sprintf("ARRAY['%s']::uuid[]", task.Message), "e_kind": fmt.Sprintf("ARRAY[%d]::smallint[]", task.Kind),
			"e_due": fmt.Sprintf("ARRAY[%d]::bigint[]", task.Due), "e_lease": fmt.Sprintf("ARRAY[%d]::bigint[]", lease),
		}
		var args []string
		for i, kind := range types {
			value, ok := ends[names[i]]
			if !ok {
				value = "'{}'::" + kind
			}
			args = append(args, names[i]+" => "+value)
		}
		_, err := conn.Exec(t.Context(), "SELECT settle_messages("+strings.Join(args, ", ")+")")
		return err
	}
	var refused *pgconn.PgError
	if err := settle(task.Lease + 1); !errors.As(err, &refused) || refused.Code != "ES409" {
		t.Errorf("with another lease: got %v, want ES409", err)
	}
	if err := settle(task.Lease); err != nil {
		t.Errorf("with its own lease: got %v, want nil", err)
	}
	if err := settle(task.Lease); !errors.As(err, &refused) || refused.Code != "ES409" {
		t.Errorf("with a completed task: got %v, want ES409", err)
	}
}
