package vitals

import "runtime/metrics"

// RunQueue sees how many goroutines wait for a processor. It may be used by one at a time.
type RunQueue struct{ sample [1]metrics.Sample }

// Runnable is how many goroutines could run and do not, as the scheduler counts them just now; some 200 ns.
func (q *RunQueue) Runnable() int {
	q.sample[0].Name = "/sched/goroutines/runnable:goroutines"
	metrics.Read(q.sample[:])
	return int(q.sample[0].Value.Uint64())
}
