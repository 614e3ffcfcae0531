package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
	"github.com/esh3artech/esh3ar/internal/store/transfer"
	"github.com/esh3artech/esh3ar/internal/testkit/pgproc"
)

const (
	alice esh3ar.Recipient = 967770000001
	bob   esh3ar.Recipient = 967770000002
)

// clock is the fixed time that the stores of the tests read, so that nothing expires during a test.
var clock = time.UnixMilli(1_800_000_000_000)

func now() esh3ar.Time { return esh3ar.TimeOf(clock) }

// both is the interface that the stores of both engines implement.
type both interface {
	esh3ar.Store
	transfer.Reader
}

func openEmbedded(t *testing.T, dir string) *embedded.Store {
	t.Helper()
	s, err := embedded.Open(dir, embedded.Options{Now: func() time.Time { return clock }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func openPostgres(t *testing.T) *postgres.Store {
	t.Helper()
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	server, err := pgproc.Start(t.Context(), pgproc.Config{Settings: map[string]string{"autovacuum": "off"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	s, err := postgres.Open(t.Context(), server.URL("postgres"), postgres.Options{Now: func() time.Time { return clock }, CallTimeout: time.Minute, Copies: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// filled is a store with a row of every kind, and messages in every state.
type filled struct {
	*testing.T
	store    esh3ar.Store
	business esh3ar.BusinessID
	made     int64
	ids      map[string]esh3ar.MessageID // by name
}

func (f *filled) ok(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *filled) send(name string, r esh3ar.Recipient, change func(*esh3ar.Call, *esh3ar.Message)) {
	f.Helper()
	f.made++
	m := &esh3ar.Message{
		ID: esh3ar.MessageIDAt(now()-100_000+esh3ar.Time(f.made), [10]byte{byte(f.made)}), Business: f.business, From: "shop", Recipient: r,
		Priority: esh3ar.Normal, Content: "content of " + name,
	}
	c := &esh3ar.Call{Business: f.business, Messages: []*esh3ar.Message{m}}
	if change != nil {
		change(c, m)
	}
	_, err := f.store.Append(f.Context(), []*esh3ar.Call{c})
	f.ok(err)
	f.ids[name] = m.ID
}

func (f *filled) settle(name string, r esh3ar.Recipient, changes ...esh3ar.Change) {
	f.Helper()
	for i := range changes {
		changes[i].Message = f.ids[name]
		changes[i].Recipient = r
		changes[i].At = now() - 50_000 + esh3ar.Time(i)
	}
	results, err := f.store.Settle(f.Context(), changes)
	f.ok(err)
	for _, result := range results {
		if !result.Applied {
			f.Fatalf("a change of %s was not applied", name)
		}
	}
}

func fill(t *testing.T, store esh3ar.Store) *filled {
	f := &filled{T: t, store: store, business: esh3ar.NewBusinessID(), ids: map[string]esh3ar.MessageID{}}
	ctx := t.Context()
	f.ok(store.PutPlan(ctx, esh3ar.Plan{Name: "gold", Rate: 12.5, Burst: 30, DailyQuota: 7, Concurrent: 3, Level: esh3ar.Premium, Retention: 72 * time.Hour, UpdatedAt: now(), InboxLimit: 5, RecipientRate: 1.5, RecipientBurst: 9}))
	f.ok(store.CreateBusiness(ctx, esh3ar.Business{ID: f.business, Name: "shop", Plan: "gold", CreatedAt: now()}))
	for i := range byte(2) {
		key := esh3ar.APIKey{ID: esh3ar.NewKeyID(), Business: f.business, Hash: esh3ar.KeyHash{i + 1}, CreatedAt: now()}
		f.ok(store.CreateKey(ctx, key))
		if i == 1 {
			f.ok(store.RevokeKey(ctx, f.business, key.ID, now()+5))
		}
	}
	_, err := store.AddUsage(ctx, []esh3ar.Usage{{Business: f.business, Day: 20833, Messages: 12, Refused: 3}})
	f.ok(err)
	_, err = store.InitSetting(ctx, "signing-key", []byte{0, 1, 2, 255})
	f.ok(err)
	for _, device := range []string{"", "phone-1", ""} {
		_, err = store.RevokeTokens(ctx, esh3ar.Revocation{Recipient: alice, Device: device, At: now()})
		f.ok(err)
	}
	f.messages()
	return f
}

func (f *filled) messages() {
	for i := range 5 {
		f.send(fmt.Sprint("waits", i), alice, func(c *esh3ar.Call, m *esh3ar.Message) {
			m.Priority = esh3ar.Priority(i % esh3ar.Priorities)
			if i == 2 {
				m.Subject = "subject \u0600 <&"
				m.CorrelationID = "order-7"
				m.Metadata = map[string]string{"a": "1", "b": "\"x\""}
			}
		})
	}
	f.send("keyed", bob, func(c *esh3ar.Call, m *esh3ar.Message) {
		c.Key = &esh3ar.IdempotencyKey{Key: "once", Fingerprint: [32]byte{7}, ExpiresAt: now().Add(time.Hour)}
		c.Batch, m.CorrelationID = esh3ar.NewBatchID(), "order-8"
	})
	f.send("key over", bob, func(c *esh3ar.Call, _ *esh3ar.Message) {
		c.Key = &esh3ar.IdempotencyKey{Key: "over", Fingerprint: [32]byte{8}, ExpiresAt: now() - 1}
	})
	f.send("pushed", alice, nil)
	f.settle("pushed", alice, esh3ar.Change{To: esh3ar.Sent, Attempt: 1}, esh3ar.Change{Attempt: 2})
	f.send("read", alice, func(_ *esh3ar.Call, m *esh3ar.Message) { m.CorrelationID = "order-9" })
	f.settle("read", alice, esh3ar.Change{To: esh3ar.Sent, Attempt: 1}, esh3ar.Change{To: esh3ar.Delivered}, esh3ar.Change{To: esh3ar.Read})
	for _, name := range []string{"dead", "discarded", "replayed", "late"} {
		f.send(name, bob, func(_ *esh3ar.Call, m *esh3ar.Message) {
			m.TTL, m.ExpiresAt = time.Hour, now().Add(time.Hour)
		})
		f.settle(name, bob, esh3ar.Change{To: esh3ar.Failed, Reason: "no_acknowledgement"})
	}
	f.ok(f.store.Discard(f.Context(), f.business, f.ids["discarded"]))
	f.settle("replayed", bob, esh3ar.Change{To: esh3ar.Queued, Replay: true})
	f.settle("late", bob, esh3ar.Change{To: esh3ar.Delivered})
	f.send("scheduled", bob, func(_ *esh3ar.Call, m *esh3ar.Message) {
		m.SendAt = now().Add(time.Hour)
		m.TTL = time.Hour
		m.ExpiresAt = now().Add(2 * time.Hour)
	})
	f.send("canceled", alice, func(_ *esh3ar.Call, m *esh3ar.Message) { m.SendAt = now().Add(time.Hour) })
	f.settle("canceled", alice, esh3ar.Change{To: esh3ar.Canceled})
	f.send("entered", alice, func(_ *esh3ar.Call, m *esh3ar.Message) { m.SendAt = now() - 70_000 })
	f.settle("entered", alice, esh3ar.Change{To: esh3ar.Queued})
}

// state is the content of a filled store as the store port returns it.
func (f *filled) state(s esh3ar.Store) map[string]any {
	f.Helper()
	ctx, got := f.Context(), map[string]any{}
	note := func(name string, value any, err error) {
		f.Helper()
		if err != nil {
			f.Errorf("%s: %v", name, err)
		}
		got[name] = fmt.Sprintf("%+v", value)
	}
	for name, id := range f.ids {
		record, err := s.Message(ctx, id)
		note("message "+name, record, err)
		history, err := s.History(ctx, id)
		note("history "+name, history, err)
	}
	for _, r := range []esh3ar.Recipient{alice, bob} {
		page, err := s.Pending(ctx, esh3ar.InboxQuery{Recipient: r, Limit: 100, Bytes: 1 << 20})
		note(fmt.Sprint("inbox of ", r), page, err)
		since, err := s.Since(ctx, r, 0, 0, 100)
		note(fmt.Sprint("sync of ", r), since, err)
	}
	letters, err := s.DeadLetters(ctx, esh3ar.DeadLetterQuery{Business: f.business, Limit: 100})
	note("dead letters", letters.Records, err)
	list, err := s.List(ctx, esh3ar.ListQuery{Business: f.business, Limit: 100})
	note("list", list.Records, err)
	plans, err := s.Plans(ctx)
	note("plans", plans, err)
	usage, err := s.Usage(ctx, f.business, 20000, 21000)
	note("usage", usage, err)
	revoked, err := s.RevokedTokens(ctx, 0, 10)
	note("revocations", revoked, err)
	setting, err := s.Setting(ctx, "signing-key")
	note("setting", setting, err)
	business, err := s.Business(ctx, f.business)
	note("business", business, err)
	for i := range byte(2) {
		key, err := s.KeyByHash(ctx, esh3ar.KeyHash{i + 1})
		note(fmt.Sprint("key ", i), key, err)
	}
	backlog, err := s.Backlog(ctx, 100)
	note("undelivered", backlog.Undelivered, err)
	for _, key := range []esh3ar.IdempotencyKey{{Key: "once", Fingerprint: [32]byte{7}}, {Key: "once"}, {Key: "over", Fingerprint: [32]byte{8}}} {
		answer, known, err := s.KnownKey(ctx, f.business, &key)
		note(fmt.Sprint("idempotency key ", key), fmt.Sprint(answer, known), err)
	}
	return got
}

// events returns the events of the log by message, in the order of the log.
func (f *filled) events(s esh3ar.Store) map[esh3ar.MessageID][]string {
	f.Helper()
	of, next := map[esh3ar.MessageID][]string{}, esh3ar.Position("")
	for {
		page, err := s.Events(f.Context(), esh3ar.EventQuery{After: next, Limit: 7})
		f.ok(err)
		for _, e := range page.Entries {
			of[e.Event.Message] = append(of[e.Event.Message], fmt.Sprintf("%+v", e.Event))
		}
		if page.Next == next {
			return of
		}
		next = page.Next
	}
}

func (f *filled) same(want, got both) {
	f.Helper()
	before, after := f.state(want), f.state(got)
	for name := range before {
		if before[name] != after[name] {
			f.Errorf("%s\n  got %v\n want %v", name, after[name], before[name])
		}
	}
	logged, copied := f.events(want), f.events(got)
	for id, events := range logged {
		if !slices.Equal(events, copied[id]) {
			f.Errorf("events of %s\n  got %v\n want %v", id, copied[id], events)
		}
	}
	survey, err := got.Verify(f.Context(), false, func(found esh3ar.Finding) { f.Errorf("verify: %+v", found) })
	f.ok(err)
	if survey.Messages == 0 || survey.Events == 0 {
		f.Errorf("verify saw %+v", survey)
	}
}

func (f *filled) copy(from both, to transfer.Writer) *transfer.Sums {
	f.Helper()
	sums, err := transfer.Copy(f.Context(), from, to, now(), func(*transfer.Sums) {})
	f.ok(err)
	for _, kind := range transfer.Kinds {
		if sums.Count(kind) == 0 && kind != "marks" {
			f.Errorf("the test copies none of the %s", kind)
		}
	}
	return sums
}

func (f *filled) proves(sums *transfer.Sums, got both) {
	f.Helper()
	there, err := transfer.Survey(f.Context(), got, now(), func(*transfer.Sums) {})
	f.ok(err)
	if lines := sums.Differences(there); len(lines) > 0 {
		f.Errorf("differences: %q", lines)
	}
}

// goesOn checks that a copied store continues the sequence numbers of its source.
func (f *filled) goesOn(s esh3ar.Store) {
	f.Helper()
	f.store = s
	f.send("next", alice, nil)
	counters, err := s.Counters(f.Context(), []esh3ar.Recipient{alice})
	f.ok(err)
	record, err := s.Message(f.Context(), f.ids["next"])
	f.ok(err)
	if record.Seq != 9 || counters[0] != 9 {
		f.Errorf("next seq %d, counter %d, want 9", record.Seq, counters[0])
	}
	f.settle("waits0", alice, esh3ar.Change{To: esh3ar.Delivered})
	f.settle("dead", bob, esh3ar.Change{To: esh3ar.Queued, Replay: true})
	if events := f.events(s)[f.ids["dead"]]; len(events) != 3 {
		f.Errorf("events of the replayed dead letter: got %v, want 3", events)
	}
	version, err := s.RevokeTokens(f.Context(), esh3ar.Revocation{Recipient: bob, At: now()})
	f.ok(err)
	if version != 4 {
		f.Errorf("version of the next revocation: got %d, want 4", version)
	}
	tasks, err := s.Claim(f.Context(), time.Minute, 10)
	f.ok(err)
	if len(tasks) != 1 || tasks[0].Message != f.ids["entered"] {
		f.Errorf("due tasks: got %+v, want that of the message that entered", tasks)
	}
}

func TestCopy_EmbeddedToPostgres_HoldsTheSame(t *testing.T) {
	from := openEmbedded(t, t.TempDir())
	f := fill(t, from)
	to := openPostgres(t)
	f.ok(to.Fill(t.Context(), func(w transfer.Writer) error { f.copy(from, w); return nil }))
	f.same(from, to)
	f.proves(f.sums(from), to)
	f.goesOn(to)
}

func TestCopy_PostgresToEmbedded_HoldsTheSame(t *testing.T) {
	from := openPostgres(t)
	f := fill(t, from)
	dir := t.TempDir()
	target := openEmbedded(t, dir)
	f.copy(from, target.Fill())
	f.ok(target.Close())
	to := openEmbedded(t, dir)
	f.same(from, to)
	f.proves(f.sums(from), to)
	f.goesOn(to)
}

func (f *filled) sums(s both) *transfer.Sums {
	f.Helper()
	sums, err := transfer.Survey(f.Context(), s, now(), func(*transfer.Sums) {})
	f.ok(err)
	return sums
}

func TestSums_RowMissingDoubledOrChanged_Differ(t *testing.T) {
	from := openEmbedded(t, t.TempDir())
	fill(t, from)
	var rows []any
	err := from.Rows(t.Context(), now(), func(row any) error { rows = append(rows, row); return nil })
	if err != nil {
		t.Fatal(err)
	}
	sums := func(rows []any) *transfer.Sums {
		s := transfer.NewSums()
		for _, row := range rows {
			if err := s.Add(row); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	whole := sums(rows)
	turned := slices.Clone(rows)
	slices.Reverse(turned)
	if lines := whole.Differences(sums(turned)); len(lines) > 0 {
		t.Errorf("another order: got %q, want no difference", lines)
	}
	for i := range rows {
		if lines := whole.Differences(sums(slices.Delete(slices.Clone(rows), i, i+1))); len(lines) != 1 {
			t.Errorf("without row %d: got %q, want one difference", i, lines)
		}
		if lines := whole.Differences(sums(append(slices.Clone(rows), rows[i]))); len(lines) != 1 {
			t.Errorf("with row %d twice: got %q, want one difference", i, lines)
		}
		m, ok := rows[i].(transfer.Message)
		if !ok {
			continue
		}
		m.Seq++
		changed := slices.Clone(rows)
		changed[i] = m
		if lines := whole.Differences(sums(changed)); len(lines) != 1 {
			t.Errorf("message %d with another seq: got %q, want one difference", i, lines)
		}
	}
}

func TestCopy_Interrupted_EndsWithTheCause(t *testing.T) {
	from := openEmbedded(t, t.TempDir())
	fill(t, from)
	cause := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	_, err := transfer.Copy(ctx, from, openEmbedded(t, t.TempDir()).Fill(), now(), func(*transfer.Sums) {})
	if !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
}
