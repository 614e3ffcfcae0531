// Package storetest states how a store engine behaves: one suite, run by every engine's own tests. It knows the port
// and nothing of any engine; what only one engine can show (a flipped bit, a failed write) stays with that engine.
//
// Concurrency: each test has a store of its own; the tests that need several goroutines start and end them.
package storetest

import (
	"context"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
)

// Engine is what the suite must know of an engine.
type Engine struct {
	// Open gives a new empty store that reads the time from now. It registers its own cleanup.
	Open func(t *testing.T, now func() time.Time) Instance
	// CanCrash says that the instances have Crash. Without it the tests of power cuts are reported as skipped, and
	// with it a missing Crash is a failure: an engine cannot lose them unseen.
	CanCrash bool
}

// Instance is one store and the ways to come back to its data.
type Instance struct {
	Store esh3ar.Store
	// Reopen closes the store and opens its data again. The store of before must not be used any more.
	Reopen func(t *testing.T) Instance
	// Crash cuts the power without a word to the store, and opens what a disk that keeps only what was synced holds.
	// The store of before goes on in its own world.
	Crash func(t *testing.T) Instance
}

// Run holds an engine against the suite.
func Run(t *testing.T, engine Engine) {
	for _, group := range []struct {
		name  string
		tests map[string]func(*fixture)
	}{
		{"append", appendTests},
		{"keys", keyTests},
		{"drained", drainedTests},
		{"inbox", inboxTests},
		{"waiting", waitingTests},
		{"settle", settleTests},
		{"dead letters", deadLetterTests},
		{"tasks", taskTests},
		{"events", eventTests},
		{"janitor", janitorTests},
		{"list", listTests},
		{"accounts", accountTests},
		{"credentials", credentialTests},
		{"plans", planTests},
		{"durability", durabilityTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for name, test := range group.tests {
				t.Run(name, func(t *testing.T) { test(newFixture(t, engine)) })
			}
		})
	}
}

// fixture is a store with a business, a clock that only moves when told, and short ways to do and to check things.
type fixture struct {
	*testing.T
	Instance
	engine   Engine
	ctx      context.Context
	business esh3ar.BusinessID
	clock    *atomic.Int64 // milliseconds
	made     *atomic.Uint64
}

func newFixture(t *testing.T, engine Engine) *fixture {
	f := &fixture{T: t, engine: engine, ctx: t.Context(), business: esh3ar.NewBusinessID(), clock: new(atomic.Int64), made: new(atomic.Uint64)}
	f.clock.Store(1_800_000_000_000)
	f.Instance = engine.Open(t, func() time.Time { return time.UnixMilli(f.clock.Load()) })
	return f
}

func (f *fixture) now() esh3ar.Time { return esh3ar.Time(f.clock.Load()) }

// recipients of the tests.
const (
	alice esh3ar.Recipient = 967770000001
	bob   esh3ar.Recipient = 967770000002
)

// newID makes an id one millisecond after the last: ids rise as they are made, whatever the machine does.
func (f *fixture) newID() esh3ar.MessageID {
	var entropy [10]byte
	binary.BigEndian.PutUint64(entropy[2:], f.made.Add(1))
	return esh3ar.MessageIDAt(esh3ar.Time(f.clock.Add(1)), entropy)
}

func (f *fixture) message(r esh3ar.Recipient) *esh3ar.Message {
	return &esh3ar.Message{ID: f.newID(), Business: f.business, From: "default", Recipient: r, Priority: esh3ar.Normal, Content: "hello"}
}

func (f *fixture) call(messages ...*esh3ar.Message) *esh3ar.Call {
	return &esh3ar.Call{Business: f.business, Messages: messages}
}

// key gives a call an idempotency key that holds for a day.
func (f *fixture) key(c *esh3ar.Call, key string, fingerprint byte) *esh3ar.Call {
	c.Key = &esh3ar.IdempotencyKey{Key: key, Fingerprint: [32]byte{fingerprint}, ExpiresAt: f.now().Add(24 * time.Hour)}
	return c
}

func (f *fixture) append(calls ...*esh3ar.Call) []esh3ar.Answer {
	f.Helper()
	answers, err := f.Store.Append(f.ctx, calls)
	f.ok(err, "append")
	if len(answers) != len(calls) {
		f.Fatalf("append: %d answers to %d calls", len(answers), len(calls))
	}
	return answers
}

// send appends one call per message.
func (f *fixture) send(messages ...*esh3ar.Message) {
	f.Helper()
	calls := make([]*esh3ar.Call, len(messages))
	for i, m := range messages {
		calls[i] = f.call(m)
	}
	f.append(calls...)
}

// sent makes and appends one message.
func (f *fixture) sent(r esh3ar.Recipient) *esh3ar.Message {
	f.Helper()
	m := f.message(r)
	f.send(m)
	return m
}

func (f *fixture) settle(changes ...esh3ar.Change) []esh3ar.Settled {
	f.Helper()
	results, err := f.Store.Settle(f.ctx, changes)
	f.ok(err, "settle")
	if len(results) != len(changes) {
		f.Fatalf("settle: %d results of %d changes", len(results), len(changes))
	}
	return results
}

// to is the plainest change of m.
func (f *fixture) to(m *esh3ar.Message, s esh3ar.Status) esh3ar.Change {
	return esh3ar.Change{Message: m.ID, Recipient: m.Recipient, To: s, At: f.now()}
}

func (f *fixture) record(id esh3ar.MessageID) esh3ar.Record {
	f.Helper()
	r, err := f.Store.Message(f.ctx, id)
	f.ok(err, "message")
	return r
}

func (f *fixture) pending(q esh3ar.InboxQuery) esh3ar.InboxPage {
	f.Helper()
	if q.Limit == 0 {
		q.Limit = 1000
	}
	if q.Bytes == 0 {
		q.Bytes = 1 << 20
	}
	page, err := f.Store.Pending(f.ctx, q)
	f.ok(err, "pending")
	return page
}

func (f *fixture) history(id esh3ar.MessageID) []esh3ar.Event {
	f.Helper()
	events, err := f.Store.History(f.ctx, id)
	f.ok(err, "history")
	return events
}

func (f *fixture) counter(r esh3ar.Recipient) esh3ar.Seq {
	f.Helper()
	seqs, err := f.Store.Counters(f.ctx, []esh3ar.Recipient{r})
	f.ok(err, "counters")
	return seqs[0]
}

func (f *fixture) ok(err error, what string) {
	f.Helper()
	if err != nil {
		f.Fatalf("%s: %v", what, err)
	}
}

func (f *fixture) wantCode(err error, code esh3ar.Code, what string) {
	f.Helper()
	if err == nil || esh3ar.CodeOf(err) != code {
		f.Errorf("%s: got error %v, want code %s", what, err, code)
	}
}

// want compares.
func want[T comparable](f *fixture, got, wanted T, what string) {
	f.Helper()
	if got != wanted {
		f.Errorf("%s: got %v, want %v", what, got, wanted)
	}
}

// wantSeqs compares the seqs of records.
func (f *fixture) wantSeqs(records []esh3ar.Record, seqs ...esh3ar.Seq) {
	f.Helper()
	got := make([]esh3ar.Seq, len(records))
	for i := range records {
		got[i] = records[i].Seq
	}
	if len(got) != len(seqs) {
		f.Fatalf("got seqs %v, want %v", got, seqs)
	}
	for i := range got {
		if got[i] != seqs[i] {
			f.Fatalf("got seqs %v, want %v", got, seqs)
		}
	}
}
