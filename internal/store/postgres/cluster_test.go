package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
)

// message returns a new message of normal priority.
func message(business esh3ar.BusinessID, r esh3ar.Recipient) *esh3ar.Message {
	return &esh3ar.Message{ID: esh3ar.NewMessageID(), Business: business, From: "b", Recipient: r, Priority: esh3ar.Normal, Content: "hello"}
}

// TestStore_ConcurrentNodes_StayConsistent runs three nodes that append and settle messages of the same recipients, with
// shared idempotency keys, while a reader follows the log. Sequence numbers must be dense, each key stored once, and the log
// must contain every version of every message in order.
func TestStore_ConcurrentNodes_StayConsistent(t *testing.T) {
	const nodes, writers, rounds = 3, 3, 25
	url, business := newDatabase(t), esh3ar.NewBusinessID()
	var group sync.WaitGroup
	var mu sync.Mutex
	keyed := map[string]map[esh3ar.MessageID]bool{} // message ids returned to callers, by key
	for node := range nodes {
		s := open(t, url, postgres.Options{})
		for writer := range writers {
			group.Go(func() {
				for round := range rounds {
					key := fmt.Sprintf("%d/%d", writer, round) // the writer with this number on each node uses the same key
					returned, err := writeOne(t.Context(), s, business, key, round)
					if err != nil {
						t.Errorf("node %d: %v", node, err)
						return
					}
					mu.Lock()
					if keyed[key] == nil {
						keyed[key] = map[esh3ar.MessageID]bool{}
					}
					keyed[key][returned] = true
					mu.Unlock()
				}
			})
		}
	}
	reader := open(t, url, postgres.Options{})
	done := make(chan struct{})
	var read []esh3ar.LogEntry
	var follower sync.WaitGroup
	follower.Go(func() { read = follow(t, reader, done) })
	group.Wait()
	close(done)
	follower.Wait()
	for key, ids := range keyed {
		if len(ids) != 1 {
			t.Errorf("key %s: callers got %d different messages, want 1", key, len(ids))
		}
	}
	checkLog(t, reader, read, 2*nodes*writers*rounds+len(keyed)*2)
	if found := findings(t, reader, false); len(found) > 0 {
		t.Errorf("verify: got findings %q, want none", found)
	}
}

// writeOne appends a batch of a call without a key and a call with one, and settles both. It returns the message id that the
// second call got.
func writeOne(ctx context.Context, s *postgres.Store, business esh3ar.BusinessID, key string, round int) (esh3ar.MessageID, error) {
	r := esh3ar.Recipient(967770000001 + round%2)
	plain, keyed := message(business, r), message(business, r)
	answers, err := s.Append(ctx, []*esh3ar.Call{
		{Business: business, Messages: []*esh3ar.Message{plain}},
		{Business: business, Messages: []*esh3ar.Message{keyed}, Key: &esh3ar.IdempotencyKey{Key: key, ExpiresAt: esh3ar.TimeOf(time.Now()).Add(time.Hour)}},
	})
	if err != nil {
		return esh3ar.MessageID{}, err
	}
	returned := answers[1].Receipts[0].ID
	now := esh3ar.TimeOf(time.Now())
	// Every node settles the message of the call with the key.
	_, err = s.Settle(ctx, []esh3ar.Change{
		{Message: plain.ID, Recipient: r, To: esh3ar.Delivered, At: now},
		{Message: returned, Recipient: r, To: esh3ar.Delivered, At: now},
	})
	return returned, err
}

// follow reads the log until done is closed and the end is reached.
func follow(t *testing.T, s *postgres.Store, done <-chan struct{}) []esh3ar.LogEntry {
	var read []esh3ar.LogEntry
	position := esh3ar.Position("")
	over := false
	for {
		page, err := s.Events(t.Context(), esh3ar.EventQuery{After: position, Limit: 50})
		if err != nil {
			t.Error(err)
			return read
		}
		read = append(read, page.Entries...)
		if page.Next == position && over {
			return read
		}
		position = page.Next
		select {
		case <-done:
			over = true
		default:
		}
	}
}

// checkLog checks the events that a reader saw during concurrent writes.
func checkLog(t *testing.T, s *postgres.Store, read []esh3ar.LogEntry, events int) {
	t.Helper()
	versions := map[esh3ar.MessageID]uint32{}
	for i, e := range read {
		versions[e.Event.Message]++
		if want := versions[e.Event.Message]; want != e.Event.Version {
			t.Fatalf("message %s: got version %d, want %d", e.Event.Message, e.Event.Version, want)
		}
		if i > 0 && e.Position <= read[i-1].Position {
			t.Fatalf("position %s follows %s", e.Position, read[i-1].Position)
		}
	}
	if len(read) != events {
		t.Errorf("reader got %d events, want %d", len(read), events)
	}
	for id, n := range versions {
		if history, err := s.History(t.Context(), id); err != nil || len(history) != int(n) {
			t.Errorf("message %s: got %d events in the log and %d in its history, %v", id, n, len(history), err)
		}
	}
}

// appenderURL is the environment variable that turns the test binary into a node that only appends.
const appenderURL = "ESH3AR_TEST_APPENDER_URL"

// appendForEver is the main function of that node.
func appendForEver(url string) {
	s, err := postgres.Open(context.Background(), url, postgres.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	business := esh3ar.NewBusinessID()
	fmt.Println("begun")
	for {
		calls := make([]*esh3ar.Call, 200)
		for i := range calls {
			calls[i] = &esh3ar.Call{Business: business, Messages: []*esh3ar.Message{message(business, 967770000001+esh3ar.Recipient(i))}}
		}
		if _, err := s.Append(context.Background(), calls); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// TestAppend_OtherNodeStopped_DoesNotWait stops a node at arbitrary points of an append, repeatedly, and appends for the
// same recipients. If the stopped node held locks, these appends would wait until lock_timeout and fail.
func TestAppend_OtherNodeStopped_DoesNotWait(t *testing.T) {
	url, business := newDatabase(t), esh3ar.NewBusinessID()
	s := open(t, url, postgres.Options{})
	node := exec.Command(os.Args[0])
	node.Env = append(os.Environ(), appenderURL+"="+url)
	node.Stderr = os.Stderr
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(node.Process.Kill(), node.Wait()) }()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	for round := range 40 {
		// The node runs for a different time in each round.
		for range round % 5 {
			one(t, s, business)
		}
		if err := node.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		one(t, s, business)
		if err := node.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	counters, err := s.Counters(t.Context(), []esh3ar.Recipient{967770000001})
	if err != nil || counters[0] < 100 {
		t.Errorf("the stopped node appended too little for the test: counters %v, %v", counters, err)
	}
}

// one appends a batch for the recipients of the other node.
func one(t *testing.T, s *postgres.Store, business esh3ar.BusinessID) {
	t.Helper()
	calls := make([]*esh3ar.Call, 200)
	for i := range calls {
		calls[i] = &esh3ar.Call{Business: business, Messages: []*esh3ar.Message{message(business, 967770000200-esh3ar.Recipient(i))}}
	}
	if _, err := s.Append(t.Context(), calls); err != nil {
		t.Fatalf("append while the other node is stopped: %v", err)
	}
}

// TestEvents_OlderTransactionRunning_StopBeforeIt holds a transaction open that has an older id than commits since. The log
// must stop before it, and continue without a gap afterwards.
func TestEvents_OlderTransactionRunning_StopBeforeIt(t *testing.T) {
	url, business := newDatabase(t), esh3ar.NewBusinessID()
	s := open(t, url, postgres.Options{})
	conn := connect(t, url)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT pg_current_xact_id()"); err != nil {
		t.Fatal(err)
	}
	m := message(business, 967770000001)
	if _, err := s.Append(t.Context(), []*esh3ar.Call{{Business: business, Messages: []*esh3ar.Message{m}}}); err != nil {
		t.Fatal(err)
	}
	page, err := s.Events(t.Context(), esh3ar.EventQuery{Limit: 10})
	if err != nil || len(page.Entries) > 0 || page.Next != "" {
		t.Errorf("while the transaction runs: got %v, %v; want no events", page, err)
	}
	if age, err := s.XminAge(t.Context()); err != nil || age < 1 {
		t.Errorf("XminAge: got %d, %v; want at least 1", age, err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	page, err = s.Events(t.Context(), esh3ar.EventQuery{Limit: 10})
	if err != nil || len(page.Entries) != 1 {
		t.Errorf("after the transaction: got %v, %v; want 1 event", page, err)
	}
}

// TestEvents_LowerTransactionID_KeepVersionOrder settles in a transaction whose id is lower than that of the message's
// append. The event of version 2 must still come after that of version 1.
func TestEvents_LowerTransactionID_KeepVersionOrder(t *testing.T) {
	url, business := newDatabase(t), esh3ar.NewBusinessID()
	s := open(t, url, postgres.Options{})
	conn := connect(t, url)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Assigns the lower id.
	if _, err := tx.Exec(t.Context(), "SELECT pg_current_xact_id()"); err != nil {
		t.Fatal(err)
	}
	m := message(business, 967770000001)
	if _, err := s.Append(t.Context(), []*esh3ar.Call{{Business: business, Messages: []*esh3ar.Message{m}}}); err != nil {
		t.Fatal(err)
	}
	none := "'{}'"
	args := fmt.Sprintf("0, ARRAY['%s'::uuid], ARRAY[967770000001], ARRAY[1], ARRAY[1], ARRAY[2::smallint], ARRAY[0], ARRAY[2], ARRAY['\\x'::bytea], ARRAY[0::bigint], ARRAY[false], ARRAY[false], ARRAY[1], ARRAY[%s]",
		m.ID, entryLiteral(m, 2))
	for range 18 {
		args += "," + none
	}
	if _, err := tx.Exec(t.Context(), "SELECT settle_messages("+args+")"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	page, err := s.Events(t.Context(), esh3ar.EventQuery{Limit: 10})
	if err != nil || !slices.EqualFunc(page.Entries, []uint32{1, 2}, func(e esh3ar.LogEntry, v uint32) bool { return e.Event.Version == v }) {
		t.Errorf("got %+v, %v; want versions 1, 2", page.Entries, err)
	}
}
