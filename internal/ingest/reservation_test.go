package ingest_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest"
)

// TestAdmission_LowerLevel_LeavesHalfToHigher: basic calls use half of the limit while enterprise calls were seen within the last second.
func TestAdmission_LowerLevel_LeavesHalfToHigher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, ingest.Options{MinInFlight: 8, MaxInFlight: 8, Linger: time.Microsecond})
		dones := []<-chan error{r.blockCommit(t)}
		arrive := func(level esh3ar.Level, many int) {
			for i := range many {
				dones = append(dones, r.submit(t.Context(), levelCall(level, esh3ar.Normal, strconv.Itoa(i))))
				synctest.Wait()
			}
		}
		wantStats := func(when string, inFlight, waiting int) {
			t.Helper()
			if f := r.in.Admission(); f.InFlight != inFlight || f.Waiting != waiting {
				t.Errorf("%s: got %+v, want %d in flight and %d waiting", when, f, inFlight, waiting)
			}
		}
		arrive(esh3ar.Enterprise, 1)
		arrive(esh3ar.Basic, 4)
		wantStats("basic after enterprise", 4, 2)
		arrive(esh3ar.Enterprise, 4)
		wantStats("enterprise uses the reserved half", 8, 2)
		r.releaseCommits()
		for _, done := range dones {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		r.stop()
		close(r.began)
	})
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, ingest.Options{MinInFlight: 8, MaxInFlight: 8, Linger: time.Microsecond})
		dones := []<-chan error{r.blockCommit(t), r.submit(t.Context(), levelCall(esh3ar.Enterprise, esh3ar.Normal, "once"))}
		synctest.Wait()
		time.Sleep(time.Second)
		for i := range 6 {
			dones = append(dones, r.submit(t.Context(), levelCall(esh3ar.Basic, esh3ar.Normal, strconv.Itoa(i))))
			synctest.Wait()
		}
		if f := r.in.Admission(); f.InFlight != 8 || f.Waiting != 0 {
			t.Errorf("a second after the last enterprise call: got %+v, want 8 in flight and 0 waiting", f)
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

// constantStore is a store whose commits take 20 ms, whatever their size.
type constantStore struct{}

func (constantStore) Append(_ context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	time.Sleep(20 * time.Millisecond)
	return make([]esh3ar.Answer, len(calls)), nil
}

// TestAdmission_Reservation_DoesNotHoldLimitDown: with few enterprise calls among many basic ones, the limit still grows to the large
// batches that suit this store.
func TestAdmission_Reservation_DoesNotHoldLimitDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := ingest.New(constantStore{}, nopPublisher{}, ingest.Options{MinInFlight: 8})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- in.Run(ctx) }()
		var callers sync.WaitGroup
		for range 200 {
			callers.Go(func() {
				for range 100 {
					_, _ = in.Submit(t.Context(), levelCall(esh3ar.Basic, esh3ar.Normal, "m")) // some calls are refused
				}
			})
		}
		callers.Go(func() {
			for range 50 {
				_, _ = in.Submit(t.Context(), levelCall(esh3ar.Enterprise, esh3ar.Normal, "m")) // may be refused too
				time.Sleep(100 * time.Millisecond)
			}
		})
		time.Sleep(4 * time.Second)
		if f := in.Admission(); f.Limit < 100 {
			t.Errorf("got limit %d, want at least 100", f.Limit)
		}
		callers.Wait()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
