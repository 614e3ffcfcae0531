package embedded_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

// sighting is something that a caller was told or a reader saw: after it, no power cut may take it back.
type sighting struct {
	id       esh3ar.MessageID
	seq      esh3ar.Seq
	version  uint32 // the message had come at least this far
	position esh3ar.Position
	event    esh3ar.EventID
	twin     *esh3ar.Call // a call whose key was answered with receipts
	receipts []esh3ar.Receipt
}

// ledger collects sightings; it only grows, so its length at a moment is what had been seen by then.
type ledger struct {
	mu   sync.Mutex
	seen []sighting
}

func (l *ledger) add(s ...sighting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, s...)
}

func (l *ledger) until() []sighting {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[:len(l.seen):len(l.seen)]
}

func saw(r *esh3ar.Record) sighting { return sighting{id: r.ID, seq: r.Seq, version: r.Version} }

// crowd is the recipients of the workload.
const crowd = 5

func recipient(i int) esh3ar.Recipient { return esh3ar.Recipient(967770000000 + i%crowd) }

var business = esh3ar.NewBusinessID()

func newMessage(i int) *esh3ar.Message {
	return &esh3ar.Message{
		ID: esh3ar.NewMessageID(), Business: business, From: "default", Recipient: recipient(i),
		Priority: esh3ar.Priority(i % esh3ar.Priorities), Content: fmt.Sprintf("message %d %0100d", i, i),
	}
}

func keyed(key string, messages ...*esh3ar.Message) *esh3ar.Call {
	return &esh3ar.Call{Business: business, Messages: messages, Key: &esh3ar.IdempotencyKey{
		Key: key, Fingerprint: [32]byte{1}, ExpiresAt: esh3ar.TimeOf(time.Now().Add(time.Hour)),
	}}
}

// readAll looks at the store through every reader and keeps what it saw in l.
func readAll(s *embedded.Store, l *ledger) error {
	ctx := context.Background()
	for i := range crowd {
		page, err := s.Pending(ctx, esh3ar.InboxQuery{Recipient: recipient(i), Limit: 20, Bytes: 1 << 20})
		if err != nil {
			return err
		}
		records, err := s.Since(ctx, recipient(i), max(page.Counter, 10)-10, 0, 20)
		if err != nil {
			return err
		}
		for _, r := range slices.Concat(page.Records, records) {
			l.add(saw(&r))
		}
	}
	list, err := s.List(ctx, esh3ar.ListQuery{Business: business, Limit: 20})
	if err != nil {
		return err
	}
	for _, r := range list.Records {
		l.add(saw(&r))
		one, err := s.Message(ctx, r.ID)
		if err != nil {
			return err
		}
		l.add(saw(&one))
	}
	tail, err := s.Tail(ctx)
	if err != nil {
		return err
	}
	page, err := s.Events(ctx, esh3ar.EventQuery{After: before(tail, 30), Limit: 100})
	for _, e := range page.Entries {
		l.add(sighting{id: e.Event.Message, version: e.Event.Version, position: e.Position, event: e.Event.ID})
	}
	return err
}

// before is the position n events back.
func before(p esh3ar.Position, n uint64) esh3ar.Position {
	var at uint64
	if _, err := fmt.Sscanf(string(p), "%x", &at); err != nil || at <= n {
		return ""
	}
	return esh3ar.Position(fmt.Sprintf("%016x", at-n))
}

// verify holds a store that came back against what had been seen before.
func verify(t *testing.T, s *embedded.Store, seen []sighting) {
	t.Helper()
	events := wholeLog(t, s)
	records := map[esh3ar.MessageID]esh3ar.Record{} // most messages were seen many times
	for _, want := range seen {
		if want.twin != nil {
			continue
		}
		got, ok := records[want.id]
		if !ok {
			var err error
			if got, err = s.Message(t.Context(), want.id); err != nil {
				t.Fatalf("seen before the power cut and lost: %s: %v", want.id, err)
			}
			records[want.id] = got
		}
		switch {
		case want.seq != 0 && got.Seq != want.seq:
			t.Fatalf("%s had seq %d, now %d", want.id, want.seq, got.Seq)
		case got.Version < want.version:
			t.Fatalf("%s had version %d, now %d", want.id, want.version, got.Version)
		case want.position != "" && events[want.position] != want.event:
			t.Fatalf("event at %s was %s, now %s", want.position, want.event, events[want.position])
		}
	}
	dense(t, s)
	if _, err := s.Verify(t.Context(), false, func(f esh3ar.Finding) { t.Errorf("%+v", f) }); err != nil {
		t.Fatal(err)
	}
	for _, want := range seen { // last: a lost key would be taken anew here
		if want.twin == nil {
			continue
		}
		answers, err := s.Append(t.Context(), []*esh3ar.Call{want.twin})
		if err != nil || answers[0].Outcome != esh3ar.Replayed || !slices.Equal(answers[0].Receipts, want.receipts) {
			t.Fatalf("key %s: got %v %v, want %v", want.twin.Key.Key, answers, err, want.receipts)
		}
	}
}

// wholeLog reads the event log and checks that no version of any message is missing in it.
func wholeLog(t *testing.T, s *embedded.Store) map[esh3ar.Position]esh3ar.EventID {
	t.Helper()
	found, versions := map[esh3ar.Position]esh3ar.EventID{}, map[esh3ar.MessageID]uint32{}
	for position := esh3ar.Position(""); ; {
		page, err := s.Events(t.Context(), esh3ar.EventQuery{After: position, Limit: 500})
		if err != nil {
			t.Fatalf("events: %v", err)
		}
		if page.Next == position {
			break
		}
		for _, e := range page.Entries {
			if versions[e.Event.Message]++; versions[e.Event.Message] != e.Event.Version {
				t.Fatalf("version %d of %s at %s", e.Event.Version, e.Event.Message, e.Position)
			}
			found[e.Position], position = e.Event.ID, e.Position
		}
	}
	for id, version := range versions {
		if r, err := s.Message(t.Context(), id); err != nil || r.Version != version {
			t.Fatalf("the log knows version %d of %s, the message %d, %v", version, id, r.Version, err)
		}
	}
	return found
}

// dense checks that the seqs of every recipient are 1, 2, 3 … up to the counter. The workloads expire nothing.
func dense(t *testing.T, s *embedded.Store) {
	t.Helper()
	for i := range crowd {
		counters, err := s.Counters(t.Context(), []esh3ar.Recipient{recipient(i)})
		if err != nil {
			t.Fatalf("counters: %v", err)
		}
		records, err := s.Since(t.Context(), recipient(i), 0, 0, 1<<20)
		if err != nil {
			t.Fatalf("since: %v", err)
		}
		if len(records) != int(counters[0]) {
			t.Fatalf("%s: counter %d, %d messages", recipient(i), counters[0], len(records))
		}
		for j, r := range records {
			if r.Seq != esh3ar.Seq(j+1) {
				t.Fatalf("%s: seq %d in place %d", recipient(i), r.Seq, j+1)
			}
		}
	}
}
