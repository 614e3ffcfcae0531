package drain_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar/internal/runtime/drain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGate_Close_WaitsForOperations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g drain.Gate
		for range 2 {
			if !g.Enter() {
				t.Fatal("Enter of an open gate: got false, want true")
			}
		}
		var closed atomic.Int32
		var closers sync.WaitGroup
		for range 2 {
			closers.Go(func() {
				if g.Close() {
					closed.Add(1)
				}
				closed.Add(10)
			})
		}
		synctest.Wait()
		if g.Enter() {
			t.Error("Enter during Close: got true, want false")
		}
		g.Leave()
		synctest.Wait()
		if n := closed.Load(); n != 0 {
			t.Errorf("Close returned while an operation was in progress: %d", n)
		}
		g.Leave()
		closers.Wait()
		if n := closed.Load(); n != 21 {
			t.Errorf("got %d, want 21: both calls return, one of them true", n)
		}
	})
}

// TestGate_EnterDuringClose_IsRefused starts operations while the gate closes, which a sync.WaitGroup alone does not allow.
func TestGate_EnterDuringClose_IsRefused(t *testing.T) {
	t.Parallel()
	for range 100 {
		var g drain.Gate
		var ended atomic.Bool
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				for g.Enter() {
					if ended.Load() {
						t.Error("an operation started after Close had returned")
					}
					g.Leave()
				}
			})
		}
		g.Close()
		ended.Store(true)
		callers.Wait()
	}
}
