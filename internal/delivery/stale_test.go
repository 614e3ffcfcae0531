package delivery

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar"
)

// neverEmpty is a store for tests of walks. Every walk finds a message on its second page. It counts the pages.
type neverEmpty struct {
	store
	pages, settled atomic.Int64
	youngest       atomic.Int64 // age that the last walk looked for, in nanoseconds
}

func (s *neverEmpty) Queued(_ context.Context, before esh3ar.Time, next string, _ int) ([]esh3ar.MessageRef, string, error) {
	s.pages.Add(1)
	s.youngest.Store(int64(time.Since(before.Time())))
	if next == "" {
		return nil, "second", nil
	}
	return []esh3ar.MessageRef{{ID: esh3ar.NewMessageID(), Recipient: 5, Seq: 1, Life: 1}}, "", nil
}

func (s *neverEmpty) Settle(_ context.Context, changes []esh3ar.Change) ([]esh3ar.Settled, error) {
	s.settled.Add(int64(len(changes)))
	return make([]esh3ar.Settled, len(changes)), nil
}

// TestStaleWalk_SomethingMissed_IsDue: a walk is due after a start, once more for messages that were too young then, and later only if
// statuses were missed, not because inboxes hold messages in delivery.
func TestStaleWalk_SomethingMissed_IsDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &neverEmpty{}
		e := New(s, Options{})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { e.markOfflinePending(ctx) })
		running.Go(func() { e.settler.run(context.Background()) })
		pages := func(after time.Duration, want int64) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if pages, settled := s.pages.Load(), s.settled.Load(); pages != want || settled != want/2 {
				t.Errorf("%d pages, %d changes; want %d and %d", pages, settled, want, want/2)
			}
		}
		pages(3*time.Second, 2)
		pages(time.Minute, 4)
		e.missedStatuses.markDirty()
		e.missedStatuses.markDirty()
		pages(4*time.Second, 4) // what was missed may be on its way
		pages(time.Minute, 6)
		if age := time.Duration(s.youngest.Load()); age != e.opts.StaleAfter {
			t.Errorf("looked for messages older than %v", age)
		}
		stop()
		e.settler.close()
		running.Wait()
	})
}

// TestStaleWalk_SettlerBusy_Waits: while the settler is busy, a walk could not settle its changes and would delay deliveries.
func TestStaleWalk_SettlerBusy_Waits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &neverEmpty{}
		e := New(s, Options{})
		if !e.settler.offer(make([]esh3ar.Change, maxChanges/2)) {
			t.Fatal("no room")
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { e.markOfflinePending(ctx) })
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := s.pages.Load(); n != 0 {
			t.Errorf("%d pages", n)
		}
		running.Go(func() { e.settler.run(context.Background()) })
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.pages.Load() == 0 {
			t.Error("no walk when there is room again")
		}
		stop()
		e.settler.close()
		running.Wait()
	})
}

// TestStaleWalk_MissedDuringWalk_StartsNextWalk: statuses that are missed during a walk start another one, those before it do not.
func TestStaleWalk_MissedDuringWalk_StartsNextWalk(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	w := staleWalk{after: 5 * time.Second}
	for _, step := range []struct {
		missed, now int
		due         bool
	}{{100, 100, false}, {100, 104, false}, {103, 105, true}, {103, 106, true}} {
		if got := w.due(at(step.missed), at(step.now)); got != step.due {
			t.Fatalf("%+v: %t", step, got)
		}
	}
	w.walking = false // it was walked to the end
	for _, step := range []struct {
		missed, now int
		due         bool
	}{{103, 107, false}, {103, 111, false}, {103, 112, true}} {
		if got := w.due(at(step.missed), at(step.now)); got != step.due {
			t.Fatalf("missed when the walk had begun: %+v: %t", step, got)
		}
	}
	w.walking = false
	if w.due(at(103), at(200)) {
		t.Error("a walk for what is done with")
	}
}
