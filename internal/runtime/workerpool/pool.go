// Package workerpool runs a pool of goroutines whose number follows the depth of the queue that they work on: a deep queue brings
// more of them by itself, and those that are not needed any more leave. It knows nothing of the queue but its depth, and
// keeps no order: what must happen in order must not be in the queue at the same time.
//
// Nothing polls. Whoever puts something in tells the depth, which costs one load unless another worker is needed, so a queue
// that fills while all workers are stuck still brings more; whoever takes something out tells it too, and learns whether to
// stay.
//
// Concurrency: every method may be called from any goroutine; Run owns the workers.
package workerpool

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"
)

// Rules say how many workers there are. The zero value of a field means its default.
type Rules struct {
	Min            int           // that are always there; default 1
	Max            int           // default: Min
	DepthPerWorker int           // items a worker that may wait before another comes; default 4: one that only fills a pause is not worth its start
	Linger         time.Duration // how long the queue must have been shallow before one leaves; default 1 s: bursts come in rows
}

func (r Rules) withDefaults() Rules {
	r.Min = max(r.Min, 1)
	r.Max = max(r.Max, r.Min)
	r.DepthPerWorker = cmp.Or(r.DepthPerWorker, 4)
	r.Linger = cmp.Or(r.Linger, time.Second)
	return r
}

// NeedsMore tells whether so many workers are too few for the depth.
func (r *Rules) NeedsMore(workers, depth int) bool {
	return workers < r.Max && depth >= workers*r.DepthPerWorker
}

// AllowsFewer tells whether one of the workers may leave: fewer could have done all the time since the queue was deep last.
func (r *Rules) AllowsFewer(workers int, deep, now time.Time) bool {
	return workers > r.Min && now.Sub(deep) >= r.Linger
}

// Stats are the workers now, and the most since the start.
type Stats struct{ Workers, Peak int }

// Pool is the workers.
type Pool struct {
	rules   Rules
	work    func(stay func(depth int) bool)
	workers atomic.Int64 // workers; written under mu
	mu      struct {
		sync.Mutex
		group        sync.WaitGroup
		lastDeep     time.Time // when the queue was too deep for one worker less, last
		initialDepth int       // depth of the queue before Run
		most         int
	}
}

// New makes a pool. work takes items until there will be none, or until stay, which it asks with the depth after each item
// that it took out, is false.
func New(r Rules, work func(stay func(depth int) bool)) *Pool {
	return &Pool{rules: r.withDefaults(), work: work}
}

// Run starts the workers and returns when the last has ended.
func (p *Pool) Run() {
	p.mu.Lock()
	p.mu.lastDeep = time.Now()
	for range p.rules.Min {
		p.startLocked()
	}
	for p.rules.NeedsMore(int(p.workers.Load()), p.mu.initialDepth) {
		p.startLocked()
	}
	p.mu.Unlock()
	p.mu.group.Wait()
}

// ReportDepth tells how deep the queue is with what was just put in. What it is told before Run counts when that begins; after its
// end it does nothing.
func (p *Pool) ReportDepth(depth int) {
	if n := int(p.workers.Load()); n > 0 && !p.rules.NeedsMore(n, depth) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.workers.Load() == 0 {
		p.mu.initialDepth = depth
		return
	}
	if p.rules.NeedsMore(int(p.workers.Load()), depth) {
		p.startLocked()
	}
}

func (p *Pool) startLocked() {
	p.mu.lastDeep = time.Now()
	p.mu.most = max(p.mu.most, int(p.workers.Add(1)))
	p.mu.group.Go(p.run)
}

// run is one worker.
func (p *Pool) run() {
	left := false
	p.work(func(depth int) bool {
		left = !p.mayStay(depth)
		return !left
	})
	if left {
		return // stay has counted it out
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workers.Add(-1) // under the lock: nobody may come once Run has seen the last one go
}

// mayStay counts a worker out that may leave. While there are no more than there must be it is one load.
func (p *Pool) mayStay(depth int) bool {
	if int(p.workers.Load()) <= p.rules.Min {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n, now := int(p.workers.Load()), time.Now()
	if depth >= (n-1)*p.rules.DepthPerWorker {
		p.mu.lastDeep = now
	}
	if !p.rules.AllowsFewer(n, p.mu.lastDeep, now) {
		return true
	}
	p.mu.lastDeep = now // the next leaves after another pause
	p.workers.Add(-1)
	return false
}

// Stats reads the numbers.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{int(p.workers.Load()), p.mu.most}
}
