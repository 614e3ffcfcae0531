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

func message(business esh3ar.BusinessID, r esh3ar.Recipient) *esh3ar.Message {
	return &esh3ar.Message{ID: esh3ar.NewMessageID(), Business: business, From: "b", Recipient: r, Priority: esh3ar.Normal, Content: "hello"}
}

// TestSeveralStores lets three nodes write and settle the same recipients' messages at once, with keys that meet, and a reader
// follow the log meanwhile: numbers stay dense, a key is stored once, and the log has every version of every message in order.
func TestSeveralStores(t *testing.T) {
	const nodes, writers, rounds = 3, 3, 25
	url, business := newDatabase(t), esh3ar.NewBusinessID()
	var group sync.WaitGroup
	var mu sync.Mutex
	keyed := map[string]map[esh3ar.MessageID]bool{} // by key, the ids that callers were told
	for node := range nodes {
		s := open(t, url, postgres.Options{})
		for writer := range writers {
			group.Go(func() {
				for round := range rounds {
					key := fmt.Sprintf("%d/%d", writer, round) // every node's writer of that number uses it
					told, err := writeOne(t.Context(), s, business, key, round)
					if err != nil {
						t.Errorf("node %d: %v", node, err)
						return
					}
					mu.Lock()
					if keyed[key] == nil {
						keyed[key] = map[esh3ar.MessageID]bool{}
					}
					keyed[key][told] = true
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
			t.Errorf("key %s: callers were told %d messages", key, len(ids))
		}
	}
	holdLog(t, reader, read, 2*nodes*writers*rounds+len(keyed)*2)
	if found := findings(t, reader, false); len(found) > 0 {
		t.Errorf("verify: %q", found)
	}
}

// writeOne stores a batch of a plain call and one with a key, settles both in two steps, and gives what the key's caller is told.
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
	told := answers[1].Receipts[0].ID
	now := esh3ar.TimeOf(time.Now())
	_, err = s.Settle(ctx, []esh3ar.Change{ // the keyed one is settled by every node
		{Message: plain.ID, Recipient: r, To: esh3ar.Delivered, At: now},
		{Message: told, Recipient: r, To: esh3ar.Delivered, At: now},
	})
	return told, err
}

// follow reads the log until the writers are done and the end is reached.
func follow(t *testing.T, s *postgres.Store, done <-chan struct{}) (read []esh3ar.LogEntry) {
	position, over := esh3ar.Position(""), false
	for {
		page, err := s.Events(t.Context(), esh3ar.EventQuery{After: position, Limit: 50})
		if err != nil {
			t.Error(err)
			return read
		}
		if read = append(read, page.Entries...); page.Next == position && over {
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

// holdLog checks what a reader saw while others wrote.
func holdLog(t *testing.T, s *postgres.Store, read []esh3ar.LogEntry, events int) {
	t.Helper()
	versions := map[esh3ar.MessageID]uint32{}
	for i, e := range read {
		if versions[e.Event.Message]++; versions[e.Event.Message] != e.Event.Version {
			t.Fatalf("version %d of %s where %d was due", e.Event.Version, e.Event.Message, versions[e.Event.Message])
		}
		if i > 0 && e.Position <= read[i-1].Position {
			t.Fatalf("position %s after %s", e.Position, read[i-1].Position)
		}
	}
	if len(read) != events {
		t.Errorf("the reader saw %d events, want %d", len(read), events)
	}
	for id, n := range versions {
		if history, err := s.History(t.Context(), id); err != nil || len(history) != int(n) {
			t.Errorf("message %s: %d events in the log, %d in its history, %v", id, n, len(history), err)
		}
	}
}

// appenderURL makes this test binary a node that does nothing but append.
const appenderURL = "ESH3AR_TEST_APPENDER_URL"

// appendForEver is that node.
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

// TestAStoppedNodeStallsNobody stops a node wherever it happens to be in an append, again and again, and appends for the same
// recipients: had it locks, these would wait until lock_timeout and fail.
func TestAStoppedNodeStallsNobody(t *testing.T) {
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
		for range round % 5 { // let it get on for a different while each time
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
		t.Errorf("the node that was stopped appended next to nothing: %v, %v", counters, err)
	}
}

func one(t *testing.T, s *postgres.Store, business esh3ar.BusinessID) {
	t.Helper()
	calls := make([]*esh3ar.Call, 200)
	for i := range calls {
		calls[i] = &esh3ar.Call{Business: business, Messages: []*esh3ar.Message{message(business, 967770000200-esh3ar.Recipient(i))}}
	}
	if _, err := s.Append(t.Context(), calls); err != nil {
		t.Fatalf("beside a stopped node: %v", err)
	}
}

// TestALateCommitIsNotSkipped holds a transaction open that has an older id than others that have committed since: the log
// stops before it, and goes on with nothing missing when it has committed.
func TestALateCommitIsNotSkipped(t *testing.T) {
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
		t.Errorf("read past a transaction that runs: %v, %v", page, err)
	}
	if age, err := s.XminAge(t.Context()); err != nil || age < 1 {
		t.Errorf("age of the oldest transaction: %d, %v", age, err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	page, err = s.Events(t.Context(), esh3ar.EventQuery{Limit: 10})
	if err != nil || len(page.Entries) != 1 {
		t.Errorf("after it: %v, %v", page, err)
	}
}

// TestVersionsDoNotTurnAround settles by a transaction whose id is lower than that of the message's append: the event of version 2
// still comes behind that of version 1.
func TestVersionsDoNotTurnAround(t *testing.T) {
	url, business := newDatabase(t), esh3ar.NewBusinessID()
	s := open(t, url, postgres.Options{})
	conn := connect(t, url)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT pg_current_xact_id()"); err != nil { // the lower id
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
		t.Errorf("%+v, %v", page.Entries, err)
	}
}
