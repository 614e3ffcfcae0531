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

// TestAdmission_CPUPressure_QueuesCalls: while levels compete under CPU pressure, only half of MinInFlight is in flight. The other calls
// are admitted by level when the pressure ends.
func TestAdmission_CPUPressure_QueuesCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runnable atomic.Int64
		r := newFixture(t, ingest.Options{
			LaneMessages: 100, MinInFlight: 4, MaxInFlight: 50, Linger: time.Microsecond,
			RunnablePerCPU: func() float64 { return float64(runnable.Load()) },
		})
		dones := []<-chan error{r.blockCommit(t)}
		arrive := func(level esh3ar.Level, content string) {
			dones = append(dones, r.submit(t.Context(), levelCall(level, esh3ar.Normal, content)))
			synctest.Wait()
		}
		arrive(esh3ar.Basic, "before")
		arrive(esh3ar.Enterprise, "before 2")
		if f := r.in.Admission(); f.InFlight != 3 || f.Waiting != 0 {
			t.Errorf("without pressure: got %+v, want 3 in flight and 0 waiting", f)
		}
		runnable.Store(1000)
		time.Sleep(time.Millisecond)
		arrive(esh3ar.Basic, "basic")
		arrive(esh3ar.Enterprise, "enterprise")
		arrive(esh3ar.Premium, "premium")
		if f := r.in.Admission(); f.InFlight != 3 || f.Waiting != 3 {
			t.Errorf("under pressure: got %+v, want 3 in flight and 3 waiting", f)
		}
		runnable.Store(0)
		time.Sleep(time.Millisecond)
		r.releaseCommits()
		for _, done := range dones {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if i := slices.Index(r.stored, "enterprise"); i < 0 || !slices.Equal(r.stored[i:], []string{"enterprise", "premium", "basic"}) {
			t.Errorf("got stored %q, want enterprise, premium and basic at the end", r.stored)
		}
		r.stop()
		close(r.began)
	})
}

// TestAdmission_LastingCPUPressure_StillAdmits: calls proceed however busy the processors are.
func TestAdmission_LastingCPUPressure_StillAdmits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, least := range []int{1, 8} {
			r := newFixture(t, ingest.Options{MinInFlight: least, Linger: time.Microsecond, RunnablePerCPU: func() float64 { return 1000 }})
			dones := []<-chan error{r.blockCommit(t)}
			for i := range 50 {
				dones = append(dones, r.submit(t.Context(), levelCall(esh3ar.Level((i+1)%esh3ar.Levels), esh3ar.Normal, strconv.Itoa(i))))
				synctest.Wait()
			}
			if f, want := r.in.Admission(), max(1, least/2); f.InFlight != want || f.Waiting != 51-want {
				t.Errorf("MinInFlight %d: got %+v, want %d in flight and %d waiting", least, f, want, 51-want)
			}
			r.releaseCommits()
			for _, done := range dones {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			r.stop()
			close(r.began)
		}
	})
}

// TestAdmission_CPUPressureOneLevel_AdmitsAll: without competition between levels the order does not matter.
func TestAdmission_CPUPressureOneLevel_AdmitsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, ingest.Options{MinInFlight: 8, Linger: time.Microsecond, RunnablePerCPU: func() float64 { return 1000 }})
		dones := []<-chan error{r.blockCommit(t)}
		for i := range 20 {
			dones = append(dones, r.submit(t.Context(), levelCall(esh3ar.Basic, esh3ar.Normal, strconv.Itoa(i))))
			synctest.Wait()
		}
		if f := r.in.Admission(); f.InFlight != 21 || f.Waiting != 0 {
			t.Errorf("got %+v, want 21 in flight and 0 waiting", f)
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
