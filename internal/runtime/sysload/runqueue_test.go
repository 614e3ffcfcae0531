package sysload_test

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/runtime/sysload"
)

// TestTheRunQueueIsSeen: goroutines that want to run and cannot are counted, and gone when they have run.
func TestTheRunQueueIsSeen(t *testing.T) {
	var queue sysload.RunQueue
	var crowd sync.WaitGroup
	stop := make(chan struct{})
	const each = 40
	for range each * runtime.GOMAXPROCS(0) {
		crowd.Go(func() {
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
	awaitShare(t, &queue, func(share float64) bool { return share > each/2 })
	close(stop)
	crowd.Wait()
	awaitShare(t, &queue, func(share float64) bool { return share < 1 })
}

func awaitShare(t *testing.T, queue *sysload.RunQueue, good func(float64) bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !good(queue.Share()) {
		select {
		case <-deadline:
			t.Fatalf("%g goroutines wait for each processor", queue.Share())
		default:
			runtime.Gosched()
		}
	}
}
