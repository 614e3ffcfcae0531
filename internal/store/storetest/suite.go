// Package storetest defines the behaviour of store engines: one suite, which the tests of every engine run. It uses the port only.
// What only one engine can show, such as damaged bytes or failed writes, is tested by that engine.
//
// Concurrency: each test has its own store. Tests that need several goroutines start and end them.
package storetest

import (
	"context"
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
)

// Engine describes an engine to the suite.
type Engine struct {
	// Open returns a new empty store that uses now as its clock. It registers its own cleanup.
	Open func(t *testing.T, now func() time.Time) Instance
	// CanCrash reports whether instances have Crash. If it is false, the power failure tests are reported as skipped. If it
	// is true and Crash is missing, they fail, so an engine cannot lose them unnoticed.
	CanCrash bool
}

// Instance is a store and the ways to reopen its data.
type Instance struct {
	Store esh3ar.Store
	// Reopen closes the store and opens its data again. The previous store must not be used afterwards.
	Reopen func(t *testing.T) Instance
	// Crash simulates a power failure: it opens what a disk contains that kept only synced data. The previous store stays
	// open, on its own copy of the disk.
	Crash func(t *testing.T) Instance
}

// Run runs the suite.
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

// fixture is a store with one business and a manual clock, and helpers for common operations and checks.
type fixture struct {
	*testing.T
	Instance
	engine   Engine
	ctx      context.Context
	business esh3ar.BusinessID
	clock    *atomic.Int64 // milliseconds since 1970; moved by the tests
	ids      *atomic.Uint64
}

func newFixture(t *testing.T, engine Engine) *fixture {
	f := &fixture{T: t, engine: engine, ctx: t.Context(), business: esh3ar.NewBusinessID(), clock: new(atomic.Int64), ids: new(atomic.Uint64)}
	f.clock.Store(1_800_000_000_000)
	f.Instance = engine.Open(t, func() time.Time { return time.UnixMilli(f.clock.Load()) })
	return f
}

func (f *fixture) now() esh3ar.Time { return esh3ar.Time(f.clock.Load()) }

// Recipients of the tests.
const (
	alice esh3ar.Recipient = 967770000001
	bob   esh3ar.Recipient = 967770000002
)

// newID returns an id that is one millisecond newer than the previous one, so ids increase whatever the speed of the
// machine.
func (f *fixture) newID() esh3ar.MessageID {
	var entropy [10]byte
	binary.BigEndian.PutUint64(entropy[2:], f.ids.Add(1))
	return esh3ar.MessageIDAt(esh3ar.Time(f.clock.Add(1)), entropy)
}

func (f *fixture) message(r esh3ar.Recipient) *esh3ar.Message {
	return &esh3ar.Message{ID: f.newID(), Business: f.business, From: "default", Recipient: r, Priority: esh3ar.Normal, Content: "hello"}
}

func (f *fixture) call(messages ...*esh3ar.Message) *esh3ar.Call {
	return &esh3ar.Call{Business: f.business, Messages: messages}
}

// key adds an idempotency key to a call that expires after a day.
func (f *fixture) key(c *esh3ar.Call, key string, fingerprint byte) *esh3ar.Call {
	c.Key = &esh3ar.IdempotencyKey{Key: key, Fingerprint: [32]byte{fingerprint}, ExpiresAt: f.now().Add(24 * time.Hour)}
	return c
}

func (f *fixture) append(calls ...*esh3ar.Call) []esh3ar.Answer {
	f.Helper()
	answers, err := f.Store.Append(f.ctx, calls)
	f.ok(err, "append")
	if len(answers) != len(calls) {
		f.Fatalf("append: got %d answers, want %d", len(answers), len(calls))
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

// appendOne creates and appends one message.
func (f *fixture) appendOne(r esh3ar.Recipient) *esh3ar.Message {
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
		f.Fatalf("settle: got %d results, want %d", len(results), len(changes))
	}
	return results
}

// change returns the simplest change of m to a status.
func (f *fixture) change(m *esh3ar.Message, s esh3ar.Status) esh3ar.Change {
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

// want compares got with the wanted value.
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
