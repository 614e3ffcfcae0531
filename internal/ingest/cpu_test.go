package ingest_test

import (
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest"
)

// TestInACrowdCallsWaitAtTheDoor: while goroutines wait for processors and levels compete, half of the least is worked on, and the rest
// is in order of its levels; and all enter when the crowd has gone.
func TestInACrowdCallsWaitAtTheDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runnable atomic.Int64
		r := newRig(t, ingest.Options{
			LaneMessages: 100, MinInFlight: 4, MaxInFlight: 50, Linger: time.Microsecond,
			RunnablePerCPU: func() float64 { return float64(runnable.Load()) },
		})
		dones := []<-chan error{r.hold(t)}
		come := func(level esh3ar.Level, content string) {
			dones = append(dones, r.submit(t.Context(), levelCall(level, esh3ar.Normal, content)))
			synctest.Wait()
		}
		come(esh3ar.Basic, "before")
		come(esh3ar.Enterprise, "before, too")
		if f := r.in.Admission(); f.InFlight != 3 || f.Waiting != 0 {
			t.Errorf("without a crowd: %+v", f)
		}
		runnable.Store(1000)
		time.Sleep(time.Millisecond)
		come(esh3ar.Basic, "basic")
		come(esh3ar.Enterprise, "enterprise")
		come(esh3ar.Premium, "premium")
		if f := r.in.Admission(); f.InFlight != 3 || f.Waiting != 3 {
			t.Errorf("in a crowd: %+v", f)
		}
		runnable.Store(0)
		time.Sleep(time.Millisecond)
		r.letThrough()
		for _, done := range dones {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if i := slices.Index(r.stored, "enterprise"); i < 0 || !slices.Equal(r.stored[i:], []string{"enterprise", "premium", "basic"}) {
			t.Errorf("stored %q", r.stored)
		}
		r.stop()
		close(r.enter)
	})
}

// TestACrowdThatStaysStopsNobody: whatever the processors are busy with, calls go on.
func TestACrowdThatStaysStopsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, least := range []int{1, 8} {
			r := newRig(t, ingest.Options{MinInFlight: least, Linger: time.Microsecond, RunnablePerCPU: func() float64 { return 1000 }})
			dones := []<-chan error{r.hold(t)}
			for i := range 50 {
				dones = append(dones, r.submit(t.Context(), levelCall(esh3ar.Level((i+1)%esh3ar.Levels), esh3ar.Normal, strconv.Itoa(i))))
				synctest.Wait()
			}
			if f, want := r.in.Admission(), max(1, least/2); f.InFlight != want || f.Waiting != 51-want {
				t.Errorf("least %d: %+v", least, f)
			}
			r.letThrough()
			for _, done := range dones {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			r.stop()
			close(r.enter)
		}
	})
}

// TestACrowdOfOneLevelIsLetIn: there is nobody to be in order with.
func TestACrowdOfOneLevelIsLetIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, ingest.Options{MinInFlight: 8, Linger: time.Microsecond, RunnablePerCPU: func() float64 { return 1000 }})
		dones := []<-chan error{r.hold(t)}
		for i := range 20 {
			dones = append(dones, r.submit(t.Context(), levelCall(esh3ar.Basic, esh3ar.Normal, strconv.Itoa(i))))
			synctest.Wait()
		}
		if f := r.in.Admission(); f.InFlight != 21 || f.Waiting != 0 {
			t.Errorf("%+v", f)
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
