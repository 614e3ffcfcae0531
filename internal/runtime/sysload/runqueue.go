package sysload

import (
	"runtime"
	"runtime/metrics"
	"sync"
)

// RunQueue reads the number of runnable goroutines. The zero value is ready; it is safe for concurrent use.
type RunQueue struct {
	mu     sync.Mutex
	sample [1]metrics.Sample
}

// Runnable returns the number of goroutines that wait for a processor. It takes about 200 ns.
func (q *RunQueue) Runnable() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sample[0].Name = "/sched/goroutines/runnable:goroutines"
	metrics.Read(q.sample[:])
	return int(q.sample[0].Value.Uint64())
}

// PerProcessor returns Runnable divided by GOMAXPROCS.
func (q *RunQueue) PerProcessor() float64 {
	return float64(q.Runnable()) / float64(runtime.GOMAXPROCS(0))
}
