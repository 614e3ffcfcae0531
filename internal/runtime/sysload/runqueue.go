package sysload

import (
	"runtime"
	"runtime/metrics"
	"sync"
)

// RunQueue sees how many goroutines wait for a processor. Many may use one.
type RunQueue struct {
	mu     sync.Mutex
	sample [1]metrics.Sample
}

// Runnable is how many goroutines could run and do not, as the scheduler counts them just now. It takes some 200 ns.
func (q *RunQueue) Runnable() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sample[0].Name = "/sched/goroutines/runnable:goroutines"
	metrics.Read(q.sample[:])
	return int(q.sample[0].Value.Uint64())
}

// Share is how many of them there are for each processor of Go's.
func (q *RunQueue) Share() float64 { return float64(q.Runnable()) / float64(runtime.GOMAXPROCS(0)) }
