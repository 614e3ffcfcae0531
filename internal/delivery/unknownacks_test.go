package delivery

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar"
)

// heldStore is a store whose commits wait until the test releases them. It records their sizes.
type heldStore struct {
	store
	turn  chan error
	mu    sync.Mutex
	sizes []int
}

func (s *heldStore) Settle(_ context.Context, changes []esh3ar.Change) ([]esh3ar.Settled, error) {
	s.mu.Lock()
	s.sizes = append(s.sizes, len(changes))
	s.mu.Unlock()
	err := <-s.turn
	results := make([]esh3ar.Settled, len(changes))
	for i := range changes {
		results[i] = esh3ar.Settled{Found: true, Applied: true, Message: changes[i].Message}
		results[i].Progress.Status = changes[i].To
	}
	return results, err
}

func (s *heldStore) commits() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sizes
}

// ackBench is a fixture of a settler with a heldStore, without the other parts of an engine.
type ackBench struct {
	store  *heldStore
	engine *Engine
	bg     sync.WaitGroup
}

func newAckBench() *ackBench {
	st := &heldStore{turn: make(chan error)}
	b := &ackBench{store: st, engine: New(st, Options{})}
	b.bg.Go(func() { b.engine.settler.run(context.Background()) })
	b.bg.Go(b.engine.ready.Run)
	return b
}

func (b *ackBench) stop() {
	close(b.store.turn)
	synctest.Wait()
	b.engine.ready.close()
	b.engine.settler.close()
	b.bg.Wait()
}

func (b *ackBench) session(r esh3ar.Recipient) *Session {
	s := &Session{engine: b.engine, device: Device{Recipient: r}}
	s.step.recipient = r
	return s
}

// pushed adds a message to the session's window.
func (b *ackBench) pushed(s *Session) esh3ar.MessageID {
	id := esh3ar.NewMessageID()
	if s.step.window == nil {
		s.step.window = &window{}
	}
	s.step.window.add(entry{id: id, seq: 1, life: 1})
	return id
}

func madeUp(n int) []esh3ar.MessageID {
	ids := make([]esh3ar.MessageID, n)
	for i := range ids {
		ids[i] = esh3ar.NewMessageID()
	}
	return ids
}

// outcome receives the completion of a call.
func outcome() (chan error, func(error)) {
	ch := make(chan error, 4)
	return ch, func(err error) { ch <- err }
}

func TestAcknowledge_FloodOfUnknownIDs_DelaysOnlyItsRecipient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newAckBench()
		defer b.stop()
		attackers := []*Session{b.session(1), b.session(1), b.session(1), b.session(1)}
		refused := 0
		var mu sync.Mutex
		flood := func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, ErrBusy) {
				refused++
			}
		}
		for range 10 {
			for _, s := range attackers {
				s.MarkAsRead(madeUp(500), flood)
			}
		}
		synctest.Wait()
		mu.Lock()
		if refused != 38 { // the burst is two calls of 500
			t.Errorf("%d of 40 calls were refused; want 38", refused)
		}
		mu.Unlock()
		if p := attackers[0].Penalty(); p <= 0 || p > maxPenalty {
			t.Errorf("the flooding recipient's penalty is %v; want up to %v", p, maxPenalty)
		}
		other := b.session(2)
		if p := other.Penalty(); p != 0 {
			t.Errorf("another recipient's penalty is %v; want none", p)
		}
		known, knownDone := outcome()
		other.Acknowledge([]esh3ar.MessageID{b.pushed(other)}, knownDone)
		old, oldDone := outcome()
		other.Acknowledge(madeUp(1), oldDone) // of a message that another connection had
		for range 3 {
			b.store.turn <- nil
			synctest.Wait()
		}
		if len(known) != 1 || len(old) != 1 {
			t.Errorf("after three commits %d known and %d earlier messages are settled; want 1 and 1", len(known), len(old))
		}
		time.Sleep(5 * time.Second) // on the bubble's clock
		if p := attackers[0].Penalty(); p != 0 {
			t.Errorf("after its time the penalty is %v; want none", p)
		}
	})
}

func TestAcknowledge_ManyRecipientsUnknownIDs_CommitsStaySmall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newAckBench()
		defer b.stop()
		ignore := func(error) {}
		for r := range esh3ar.Recipient(20) {
			for range 4 {
				b.session(r+1).Acknowledge(madeUp(100), ignore)
			}
		}
		for range 12 {
			b.store.turn <- nil
			synctest.Wait()
		}
		for i, n := range b.store.commits() {
			if n > unknownBatch+100 {
				t.Errorf("commit %d has %d changes of unknown messages; want at most %d and one call", i, n, unknownBatch)
			}
		}
	})
}

func TestAcknowledge_Repeated_AsksTheStoreOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newAckBench()
		defer b.stop()
		first := b.session(3)
		hold := b.pushed(first)
		first.Acknowledge([]esh3ar.MessageID{hold}, func(error) {}) // the commit in flight
		synctest.Wait()
		s := b.session(1)
		id := b.pushed(s)
		results := make([]chan error, 6)
		for i := range results {
			ch, done := outcome()
			results[i] = ch
			if i%2 == 0 {
				s.Acknowledge([]esh3ar.MessageID{id, id}, done)
			} else {
				s.MarkAsRead([]esh3ar.MessageID{id, id}, done)
			}
		}
		synctest.Wait()
		for i, ch := range results {
			if len(ch) != 0 {
				t.Errorf("call %d completed before its commit", i)
			}
		}
		b.store.turn <- nil
		synctest.Wait()
		b.store.turn <- nil
		synctest.Wait()
		if got := b.store.commits(); len(got) != 2 || got[1] != 3 { // delivered; delivered and read
			t.Errorf("commits of %v changes; want 1 and 3", got)
		}
		for i, ch := range results {
			if len(ch) != 1 || <-ch != nil {
				t.Errorf("call %d is not complete without an error", i)
			}
		}
		ch, done := outcome()
		s.MarkAsRead([]esh3ar.MessageID{id}, done)
		synctest.Wait()
		if len(ch) != 1 && s.step.window != nil {
			t.Errorf("a repeat of what is durable waits")
		}
	})
}

func TestAcknowledge_JoinedCommitFails_EveryCallFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newAckBench()
		defer b.stop()
		s := b.session(1)
		id := b.pushed(s)
		first, firstDone := outcome()
		s.Acknowledge([]esh3ar.MessageID{id}, firstDone)
		synctest.Wait()
		second, secondDone := outcome()
		s.Acknowledge([]esh3ar.MessageID{id}, secondDone)
		synctest.Wait()
		b.store.turn <- errors.New("disk")
		synctest.Wait()
		if len(first) != 1 || len(second) != 1 {
			t.Fatalf("%d and %d completions; want 1 and 1", len(first), len(second))
		}
		if a, c := <-first, <-second; a == nil || c == nil {
			t.Errorf("completed with %v and %v; want errors: nothing is durable", a, c)
		}
		third, thirdDone := outcome()
		s.Acknowledge([]esh3ar.MessageID{id}, thirdDone)
		synctest.Wait()
		b.store.turn <- nil
		synctest.Wait()
		if len(third) != 1 || <-third != nil {
			t.Error("the next acknowledgement is not settled")
		}
	})
}

// sparseStore has one message that Sync returns after many that it omits. It records the requested ranges.
type sparseStore struct {
	store
	at     esh3ar.Seq
	widest esh3ar.Seq
}

func (s *sparseStore) Since(_ context.Context, _ esh3ar.Recipient, after, until esh3ar.Seq, _ int) ([]esh3ar.Record, error) {
	s.widest = max(s.widest, until-after)
	if after < s.at && s.at <= until {
		return []esh3ar.Record{{Message: esh3ar.Message{Seq: s.at}}}, nil
	}
	return nil, nil
}

func (s *sparseStore) Counters(context.Context, []esh3ar.Recipient) ([]esh3ar.Seq, error) {
	return []esh3ar.Seq{s.at + 10_000}, nil
}

func TestSync_LongRangeWithoutMessages_ReadsItInSteps(t *testing.T) {
	t.Parallel()
	st := &sparseStore{at: 50_000}
	e := New(st, Options{})
	got, err := e.Sync(t.Context(), 1, 0, 10)
	if err != nil || len(got) != 1 || got[0].Seq != st.at {
		t.Errorf("got %v, %v; want the message at %d", got, err, st.at)
	}
	if got, err := e.Sync(t.Context(), 1, st.at, 10); err != nil || len(got) != 0 {
		t.Errorf("behind it: got %v, %v; want the end", got, err)
	}
	if _, err := e.Sync(t.Context(), 1, esh3ar.Seq(1<<64-2), 10); err != nil {
		t.Errorf("behind the highest seq: %v", err)
	}
	if st.widest > syncStep {
		t.Errorf("one read looked at %d messages; want at most %d", st.widest, syncStep)
	}
}
