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

// observation is something that a caller was told or a reader saw. No later power failure may take it back.
type observation struct {
	id        esh3ar.MessageID
	seq       esh3ar.Seq
	version   uint32 // lowest version that the message may have now
	position  esh3ar.Position
	event     esh3ar.EventID
	duplicate *esh3ar.Call // a call whose key was answered with receipts
	receipts  []esh3ar.Receipt
}

// observationLog collects observations. It only grows, so a prefix is what had been seen at some moment.
type observationLog struct {
	mu   sync.Mutex
	seen []observation
}

func (l *observationLog) add(s ...observation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, s...)
}

// until returns what has been seen until now.
func (l *observationLog) until() []observation {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[:len(l.seen):len(l.seen)]
}

func observe(r *esh3ar.Record) observation {
	return observation{id: r.ID, seq: r.Seq, version: r.Version}
}

// recipients is the number of recipients of the workload.
const recipients = 5

func recipient(i int) esh3ar.Recipient { return esh3ar.Recipient(967770000000 + i%recipients) }

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

// readAll reads the store through every reader and records what it saw in l.
func readAll(s *embedded.Store, l *observationLog) error {
	ctx := context.Background()
	for i := range recipients {
		page, err := s.Pending(ctx, esh3ar.InboxQuery{Recipient: recipient(i), Limit: 20, Bytes: 1 << 20})
		if err != nil {
			return err
		}
		records, err := s.Since(ctx, recipient(i), max(page.Counter, 10)-10, 0, 20)
		if err != nil {
			return err
		}
		for _, r := range slices.Concat(page.Records, records) {
			l.add(observe(&r))
		}
	}
	list, err := s.List(ctx, esh3ar.ListQuery{Business: business, Limit: 20})
	if err != nil {
		return err
	}
	for _, r := range list.Records {
		l.add(observe(&r))
		one, err := s.Message(ctx, r.ID)
		if err != nil {
			return err
		}
		l.add(observe(&one))
	}
	tail, err := s.Tail(ctx)
	if err != nil {
		return err
	}
	page, err := s.Events(ctx, esh3ar.EventQuery{After: before(tail, 30), Limit: 100})
	for _, e := range page.Entries {
		l.add(observation{id: e.Event.Message, version: e.Event.Version, position: e.Position, event: e.Event.ID})
	}
	return err
}

// before returns the position n events earlier.
func before(p esh3ar.Position, n uint64) esh3ar.Position {
	var at uint64
	if _, err := fmt.Sscanf(string(p), "%x", &at); err != nil || at <= n {
		return ""
	}
	return esh3ar.Position(fmt.Sprintf("%016x", at-n))
}

// verify checks a reopened store against what had been seen before the failure.
func verify(t *testing.T, s *embedded.Store, seen []observation) {
	t.Helper()
	events := wholeLog(t, s)
	records := map[esh3ar.MessageID]esh3ar.Record{} // most messages were seen many times
	for _, want := range seen {
		if want.duplicate != nil {
			continue
		}
		got, ok := records[want.id]
		if !ok {
			var err error
			if got, err = s.Message(t.Context(), want.id); err != nil {
				t.Fatalf("message %s was seen before the power failure, now: %v", want.id, err)
			}
			records[want.id] = got
		}
		switch {
		case want.seq != 0 && got.Seq != want.seq:
			t.Fatalf("message %s: seq was %d, now %d", want.id, want.seq, got.Seq)
		case got.Version < want.version:
			t.Fatalf("message %s: version was %d, now %d", want.id, want.version, got.Version)
		case want.position != "" && events[want.position] != want.event:
			t.Fatalf("event at %s was %s, now %s", want.position, want.event, events[want.position])
		}
	}
	dense(t, s)
	if _, err := s.Verify(t.Context(), false, func(f esh3ar.Finding) { t.Errorf("finding: %+v", f) }); err != nil {
		t.Fatal(err)
	}
	// Last, because this Append would store a lost key again.
	for _, want := range seen {
		if want.duplicate == nil {
			continue
		}
		answers, err := s.Append(t.Context(), []*esh3ar.Call{want.duplicate})
		if err != nil || answers[0].Outcome != esh3ar.Replayed || !slices.Equal(answers[0].Receipts, want.receipts) {
			t.Fatalf("key %s: got %v %v, want %v", want.duplicate.Key.Key, answers, err, want.receipts)
		}
	}
}

// wholeLog returns the event log. It checks that the versions of every message are complete and in order.
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
			versions[e.Event.Message]++
			if want := versions[e.Event.Message]; want != e.Event.Version {
				t.Fatalf("message %s at position %s: got version %d, want %d", e.Event.Message, e.Position, e.Event.Version, want)
			}
			found[e.Position], position = e.Event.ID, e.Position
		}
	}
	for id, version := range versions {
		if r, err := s.Message(t.Context(), id); err != nil || r.Version != version {
			t.Fatalf("the log ends at version %d of %s, the message has version %d, %v", version, id, r.Version, err)
		}
	}
	return found
}

// dense checks that the seqs of every recipient are 1, 2, 3, … up to its counter. It requires a workload in which no message
// expires.
func dense(t *testing.T, s *embedded.Store) {
	t.Helper()
	for i := range recipients {
		counters, err := s.Counters(t.Context(), []esh3ar.Recipient{recipient(i)})
		if err != nil {
			t.Fatalf("counters: %v", err)
		}
		records, err := s.Since(t.Context(), recipient(i), 0, 0, 1<<20)
		if err != nil {
			t.Fatalf("since: %v", err)
		}
		if len(records) != int(counters[0]) {
			t.Fatalf("%s: counter is %d, got %d messages", recipient(i), counters[0], len(records))
		}
		for j, r := range records {
			if r.Seq != esh3ar.Seq(j+1) {
				t.Fatalf("%s: got seq %d, want %d", recipient(i), r.Seq, j+1)
			}
		}
	}
}
