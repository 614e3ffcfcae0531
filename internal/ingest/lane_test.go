package ingest_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest"
)

// releaseCommits lets the running commit and all later ones succeed.
func (r *fixture) releaseCommits() {
	go func() {
		r.result <- nil
		for range r.began {
			r.result <- nil
		}
	}()
}

// blockCommit starts a commit that waits, so that later calls stay in their lanes.
func (r *fixture) blockCommit(t *testing.T) <-chan error {
	t.Helper()
	done := r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "running"))
	<-r.began
	return done
}

// overflow returns the number of messages in the overflow of the normal lane.
func (r *fixture) overflow() int { return r.in.Lanes()[esh3ar.Normal].Overflow }

func TestLane_Full_OverflowKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, ingest.Options{LaneMessages: 8, BatchMessages: 4})
		dones := []<-chan error{r.blockCommit(t)}
		want := []string{"running"}
		for i := range 14 {
			content := string(rune('a' + i))
			dones = append(dones, r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, content)))
			want = append(want, content)
			synctest.Wait()
		}
		if n := r.overflow(); n != 6 {
			t.Errorf("got %d messages in the overflow, want 6", n)
		}
		r.releaseCommits()
		for _, done := range dones {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if !slices.Equal(r.stored, want) {
			t.Errorf("got stored %v, want %v", r.stored, want)
		}
		r.stop()
		close(r.began)
	})
}

func TestLane_BusinessAtItsQuarter_DoesNotBlockOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, ingest.Options{LaneMessages: 8, BatchMessages: 2})
		greedy := esh3ar.NewBusinessID()
		dones := []<-chan error{r.blockCommit(t)}
		for range 4 { // two in the lane, two in its overflow
			dones = append(dones, r.submit(t.Context(), call(greedy, esh3ar.Normal, "greedy")))
			synctest.Wait()
		}
		if err := <-r.submit(t.Context(), call(greedy, esh3ar.Normal, "too much")); esh3ar.CodeOf(err) != esh3ar.Overloaded {
			t.Errorf("call beyond both quarters: got %v, want overloaded", err)
		}
		dones = append(dones, r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "other")))
		synctest.Wait()
		if lane := r.in.Lanes()[esh3ar.Normal]; lane.Messages != 3 || lane.Overflow != 2 {
			t.Errorf("got %d messages in the lane and %d in its overflow, want 3 and 2", lane.Messages, lane.Overflow)
		}
		r.releaseCommits()
		for _, done := range dones {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		r.stop()
		close(r.began)
	})
}

func TestLane_AllCallsAbandoned_TakesOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, ingest.Options{LaneMessages: 4})
		ctx, cancel := context.WithCancel(t.Context())
		var abandoned []<-chan error
		for range 4 { // while the batcher lingers
			abandoned = append(abandoned, r.submit(ctx, call(esh3ar.NewBusinessID(), esh3ar.Normal, "abandoned")))
			synctest.Wait()
		}
		overflow := r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "overflow"))
		synctest.Wait()
		cancel()
		for _, done := range abandoned {
			if err := <-done; esh3ar.CodeOf(err) != esh3ar.Abandoned {
				t.Errorf("got %v, want abandoned", err)
			}
		}
		go func() {
			for range r.began {
				r.result <- nil
			}
		}()
		if err := <-overflow; err != nil {
			t.Error(err)
		}
		if !slices.Equal(r.stored, []string{"overflow"}) {
			t.Errorf("got stored %v, want all calls but those that were refused or abandoned", r.stored)
		}
		r.stop()
		close(r.began)
	})
}

func TestIntake_Stop_RefusesOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fixture{gatedStore: newGatedStore(), pub: &recorder{}}
		r.in = ingest.New(r.gatedStore, r.pub, ingest.Options{LaneMessages: 4}) // Run is not started yet
		var dones []<-chan error
		for range 4 {
			dones = append(dones, r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "admitted")))
			synctest.Wait()
		}
		overflow := r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "overflow"))
		synctest.Wait()
		stopped, stop := context.WithCancel(t.Context())
		stop()
		ended := make(chan error, 1)
		go func() { ended <- r.in.Run(stopped) }()
		start := time.Now()
		if err := <-overflow; esh3ar.CodeOf(err) != esh3ar.Overloaded || time.Since(start) > 0 {
			t.Errorf("call in the overflow: got %v after %s, want overloaded at once", err, time.Since(start))
		}
		<-r.began
		r.result <- nil
		for _, done := range append(dones, ended) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if slices.Contains(r.stored, "overflow") || len(r.stored) != 4 {
			t.Errorf("got stored %v, want all calls but those that were refused or abandoned", r.stored)
		}
	})
}

// TestIntake_FlakyStore_AnswersMatchStore runs many callers with short timeouts against a store that fails now and then: an accepted call
// is stored once, a refused one is not stored.
func TestIntake_FlakyStore_AnswersMatchStore(t *testing.T) {
	t.Parallel()
	store := &flakyStore{stored: map[esh3ar.MessageID]int{}}
	in := ingest.New(store, &recorder{}, ingest.Options{LaneMessages: 64, BatchMessages: 8, LaneTimeout: 3 * time.Millisecond, Linger: time.Microsecond})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx) }()
	var callers sync.WaitGroup
	for i := range 200 {
		callers.Go(func() {
			business := esh3ar.NewBusinessID()
			for j := range 50 {
				c := call(business, esh3ar.Priority(j%esh3ar.Priorities), "m")
				waits, cancel := context.WithTimeout(t.Context(), time.Duration(1+i%7)*time.Millisecond)
				_, err := in.Submit(waits, c)
				cancel()
				if stored := store.count(c.Messages[0].ID); stored > 1 || (err == nil) != (stored == 1) {
					t.Errorf("got answer %v for a call stored %d times", err, stored)
				}
			}
		})
	}
	callers.Wait()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// flakyStore is a store that fails for every seventh batch.
type flakyStore struct {
	mu     sync.Mutex
	n      int
	stored map[esh3ar.MessageID]int
}

func (s *flakyStore) Append(_ context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	if s.n%7 == 0 {
		return nil, esh3ar.Errorf(esh3ar.StoreUnavailable, "away")
	}
	for _, c := range calls {
		s.stored[c.Messages[0].ID]++
	}
	return make([]esh3ar.Answer, len(calls)), nil
}

func (s *flakyStore) count(id esh3ar.MessageID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored[id]
}

// BenchmarkSubmit measures the cost of a call in the intake, with 300 callers and a store that does nothing.
func BenchmarkSubmit(b *testing.B) {
	in := ingest.New(nopStore{}, nopPublisher{}, ingest.Options{})
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx) }()
	b.SetParallelism(150)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c := call(esh3ar.NewBusinessID(), esh3ar.Normal, "m")
		for pb.Next() {
			if _, err := in.Submit(ctx, c); err != nil {
				b.Error(err)
			}
		}
	})
	stop()
	<-ended
}

type nopStore struct{}

func (nopStore) Append(_ context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	return make([]esh3ar.Answer, len(calls)), nil
}

type nopPublisher struct{}

func (nopPublisher) Publish([]*esh3ar.Message) {}
