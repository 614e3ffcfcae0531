package sysload_test

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/runtime/sysload"
)

// TestRunQueue_BusyGoroutines_AreCounted checks that runnable goroutines are counted while they exist.
func TestRunQueue_BusyGoroutines_AreCounted(t *testing.T) {
	var queue sysload.RunQueue
	var busy sync.WaitGroup
	stop := make(chan struct{})
	const each = 40
	for range each * runtime.GOMAXPROCS(0) {
		busy.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					runtime.Gosched()
				}
			}
		})
	}
	waitForShare(t, &queue, func(share float64) bool { return share > each/2 })
	close(stop)
	busy.Wait()
	waitForShare(t, &queue, func(share float64) bool { return share < 1 })
}

func waitForShare(t *testing.T, queue *sysload.RunQueue, good func(float64) bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !good(queue.PerProcessor()) {
		select {
		case <-deadline:
			t.Fatalf("got %g runnable goroutines per processor after 10 s", queue.PerProcessor())
		default:
			runtime.Gosched()
		}
	}
}
