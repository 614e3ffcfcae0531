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

// TestLowerLevelsLeaveRoom: half of it, to the highest level that was seen within a second.
func TestLowerLevelsLeaveRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, ingest.Options{MinInFlight: 8, MaxInFlight: 8, Linger: time.Microsecond})
		dones := []<-chan error{r.hold(t)}
		come := func(level esh3ar.Level, many int) {
			for i := range many {
				dones = append(dones, r.submit(t.Context(), levelCall(level, esh3ar.Normal, strconv.Itoa(i))))
				synctest.Wait()
			}
		}
		flow := func(when string, inFlight, waiting int) {
			t.Helper()
			if f := r.in.Admission(); f.InFlight != inFlight || f.Waiting != waiting {
				t.Errorf("%s: %+v, want %d in flight and %d at the door", when, f, inFlight, waiting)
			}
		}
		come(esh3ar.Enterprise, 1)
		come(esh3ar.Basic, 4)
		flow("basic beside enterprise", 4, 2)
		come(esh3ar.Enterprise, 4)
		flow("enterprise finds the room that was kept", 8, 2)
		r.letThrough()
		for _, done := range dones {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		r.stop()
		close(r.enter)
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, ingest.Options{MinInFlight: 8, MaxInFlight: 8, Linger: time.Microsecond})
		dones := []<-chan error{r.hold(t), r.submit(t.Context(), levelCall(esh3ar.Enterprise, esh3ar.Normal, "once"))}
		synctest.Wait()
		time.Sleep(time.Second)
		for i := range 6 {
			dones = append(dones, r.submit(t.Context(), levelCall(esh3ar.Basic, esh3ar.Normal, strconv.Itoa(i))))
			synctest.Wait()
		}
		if f := r.in.Admission(); f.InFlight != 8 || f.Waiting != 0 {
			t.Errorf("a second after the last call of a higher level: %+v", f)
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

// deep is a store that takes as long for many calls as for one.
type deep struct{}

func (deep) Append(_ context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	time.Sleep(20 * time.Millisecond)
	return make([]esh3ar.Answer, len(calls)), nil
}

// TestRoomThatIsKeptDoesNotKeepTheLimitDown: some calls of a high level among many of a low one, and a store whose batches may be large.
func TestRoomThatIsKeptDoesNotKeepTheLimitDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := ingest.New(deep{}, quiet{}, ingest.Options{MinInFlight: 8})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- in.Run(ctx) }()
		var callers sync.WaitGroup
		for range 200 {
			callers.Go(func() {
				for range 100 {
					_, _ = in.Submit(t.Context(), levelCall(esh3ar.Basic, esh3ar.Normal, "m")) // some find no room
				}
			})
		}
		callers.Go(func() {
			for range 50 {
				_, _ = in.Submit(t.Context(), levelCall(esh3ar.Enterprise, esh3ar.Normal, "m")) // as above
				time.Sleep(100 * time.Millisecond)
			}
		})
		time.Sleep(4 * time.Second)
		if f := in.Admission(); f.Limit < 100 {
			t.Errorf("the limit stays at %d", f.Limit)
		}
		callers.Wait()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
