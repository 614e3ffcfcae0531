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

func TestCloseWaitsForThoseInside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g drain.Gate
		for range 2 {
			if !g.Enter() {
				t.Fatal("an open gate let nobody in")
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
			t.Error("let in while it closes")
		}
		g.Leave()
		synctest.Wait()
		if n := closed.Load(); n != 0 {
			t.Errorf("closed with somebody inside: %d", n)
		}
		g.Leave()
		closers.Wait()
		if n := closed.Load(); n != 21 {
			t.Errorf("%d: both calls return, and one has closed it", n)
		}
	})
}

// TestCallersComeWhileItCloses is what a WaitGroup alone does not stand.
func TestCallersComeWhileItCloses(t *testing.T) {
	t.Parallel()
	for range 100 {
		var g drain.Gate
		var ended atomic.Bool
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				for g.Enter() {
					if ended.Load() {
						t.Error("inside after the end")
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
