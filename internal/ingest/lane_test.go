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

// letThrough lets the running commit and all later ones end well.
func (r *rig) letThrough() {
	go func() {
		r.result <- nil
		for range r.enter {
			r.result <- nil
		}
	}()
}

// hold starts a commit that waits, so that what comes next gathers.
func (r *rig) hold(t *testing.T) <-chan error {
	t.Helper()
	done := r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "running"))
	<-r.enter
	return done
}

func (r *rig) parked() int { return r.in.Lanes()[esh3ar.Normal].Overflow }

func TestWhoFindsTheLaneFullWaitsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, ingest.Options{LaneMessages: 8, BatchMessages: 4})
		dones := []<-chan error{r.hold(t)}
		want := []string{"running"}
		for i := range 14 {
			content := string(rune('a' + i))
			dones = append(dones, r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, content)))
			want = append(want, content)
			synctest.Wait()
		}
		if n := r.parked(); n != 6 {
			t.Errorf("%d wait for room, want 6", n)
		}
		r.letThrough()
		for _, done := range dones {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if !slices.Equal(r.stored, want) {
			t.Errorf("stored %v, want %v", r.stored, want)
		}
		r.stop()
		close(r.enter)
	})
}

func TestWhoWaitsForHisQuarterHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, ingest.Options{LaneMessages: 8, BatchMessages: 2})
		greedy := esh3ar.NewBusinessID()
		dones := []<-chan error{r.hold(t)}
		for range 4 { // two admitted, two parked
			dones = append(dones, r.submit(t.Context(), call(greedy, esh3ar.Normal, "greedy")))
			synctest.Wait()
		}
		if err := <-r.submit(t.Context(), call(greedy, esh3ar.Normal, "too much")); esh3ar.CodeOf(err) != esh3ar.Overloaded {
			t.Errorf("beyond both quarters: %v", err)
		}
		dones = append(dones, r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "other")))
		synctest.Wait()
		if lane := r.in.Lanes()[esh3ar.Normal]; lane.Messages != 3 || lane.Overflow != 2 {
			t.Errorf("%d admitted and %d parked, want 3 and 2", lane.Messages, lane.Overflow)
		}
		r.letThrough()
		for _, done := range dones {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		r.stop()
		close(r.enter)
	})
}

func TestWhenAllWhoAreAdmittedLeaveTheParkedComeIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, ingest.Options{LaneMessages: 4})
		ctx, leave := context.WithCancel(t.Context())
		var gone []<-chan error
		for range 4 { // while the batcher gathers
			gone = append(gone, r.submit(ctx, call(esh3ar.NewBusinessID(), esh3ar.Normal, "gone")))
			synctest.Wait()
		}
		parked := r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "parked"))
		synctest.Wait()
		leave()
		for _, done := range gone {
			if err := <-done; esh3ar.CodeOf(err) != esh3ar.Abandoned {
				t.Error(err)
			}
		}
		go func() {
			for range r.enter {
				r.result <- nil
			}
		}()
		if err := <-parked; err != nil {
			t.Error(err)
		}
		if !slices.Equal(r.stored, []string{"parked"}) {
			t.Errorf("stored %v", r.stored)
		}
		r.stop()
		close(r.enter)
	})
}

func TestAStopRefusesWhoWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{gate: newGate(), pub: &published{}}
		r.in = ingest.New(r.gate, r.pub, ingest.Options{LaneMessages: 4}) // nobody commits yet
		var dones []<-chan error
		for range 4 {
			dones = append(dones, r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "admitted")))
			synctest.Wait()
		}
		parked := r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "parked"))
		synctest.Wait()
		stopped, stop := context.WithCancel(t.Context())
		stop()
		ended := make(chan error, 1)
		go func() { ended <- r.in.Run(stopped) }()
		start := time.Now()
		if err := <-parked; esh3ar.CodeOf(err) != esh3ar.Overloaded || time.Since(start) > 0 {
			t.Errorf("parked: %v after %s", err, time.Since(start))
		}
		<-r.enter
		r.result <- nil
		for _, done := range append(dones, ended) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if slices.Contains(r.stored, "parked") || len(r.stored) != 4 {
			t.Errorf("stored %v", r.stored)
		}
	})
}

// TestEveryAnswerIsTrue runs many impatient callers against a store that fails now and then: who was told yes is stored
// once, who was told no is not stored.
func TestEveryAnswerIsTrue(t *testing.T) {
	t.Parallel()
	store := &shaky{stored: map[esh3ar.MessageID]int{}}
	in := ingest.New(store, &published{}, ingest.Options{LaneMessages: 64, BatchMessages: 8, LaneTimeout: 3 * time.Millisecond, Linger: time.Microsecond})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx) }()
	var callers sync.WaitGroup
	for i := range 200 {
		callers.Go(func() {
			business := esh3ar.NewBusinessID()
			for j := range 50 {
				c := call(business, esh3ar.Priority(j%esh3ar.Priorities), "m")
				waits, leave := context.WithTimeout(t.Context(), time.Duration(1+i%7)*time.Millisecond)
				_, err := in.Submit(waits, c)
				leave()
				if stored := store.count(c.Messages[0].ID); stored > 1 || (err == nil) != (stored == 1) {
					t.Errorf("answer %v, stored %d times", err, stored)
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

// shaky is a store that refuses every seventh batch.
type shaky struct {
	mu     sync.Mutex
	n      int
	stored map[esh3ar.MessageID]int
}

func (s *shaky) Append(_ context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n++; s.n%7 == 0 {
		return nil, esh3ar.Errorf(esh3ar.StoreUnavailable, "away")
	}
	for _, c := range calls {
		s.stored[c.Messages[0].ID]++
	}
	return make([]esh3ar.Answer, len(calls)), nil
}

func (s *shaky) count(id esh3ar.MessageID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored[id]
}

// BenchmarkSubmit measures what the way through a lane costs a call, with 300 callers and a store that does nothing.
func BenchmarkSubmit(b *testing.B) {
	in := ingest.New(idle{}, quiet{}, ingest.Options{})
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

type idle struct{}

func (idle) Append(_ context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	return make([]esh3ar.Answer, len(calls)), nil
}

type quiet struct{}

func (quiet) Publish([]*esh3ar.Message) {}
