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
	Min    int           // that are always there; default 1
	Max    int           // default: Min
	Deep   int           // items a worker that may wait before another comes; default 4: one that only fills a pause is not worth its start
	Linger time.Duration // how long the queue must have been shallow before one leaves; default 1 s: bursts come in rows
}

func (r Rules) withDefaults() Rules {
	r.Min = max(r.Min, 1)
	r.Max = max(r.Max, r.Min)
	r.Deep = cmp.Or(r.Deep, 4)
	r.Linger = cmp.Or(r.Linger, time.Second)
	return r
}

// More tells whether so many workers are too few for the depth.
func (r *Rules) More(workers, depth int) bool {
	return workers < r.Max && depth >= workers*r.Deep
}

// Fewer tells whether one of the workers may leave: fewer could have done all the time since the queue was deep last.
func (r *Rules) Fewer(workers int, deep, now time.Time) bool {
	return workers > r.Min && now.Sub(deep) >= r.Linger
}

// Stats are the workers now, and the most since the start.
type Stats struct{ Now, Most int }

// Pool is the workers.
type Pool struct {
	rules Rules
	work  func(stay func(depth int) bool)
	now   atomic.Int64 // workers; written under mu
	mu    struct {
		sync.Mutex
		group sync.WaitGroup
		deep  time.Time // when the queue was too deep for one worker less, last
		early int       // depth of the queue before Run
		most  int
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
	p.mu.deep = time.Now()
	for range p.rules.Min {
		p.startLocked()
	}
	for p.rules.More(int(p.now.Load()), p.mu.early) {
		p.startLocked()
	}
	p.mu.Unlock()
	p.mu.group.Wait()
}

// Deep tells how deep the queue is with what was just put in. What it is told before Run counts when that begins; after its
// end it does nothing.
func (p *Pool) Deep(depth int) {
	if n := int(p.now.Load()); n > 0 && !p.rules.More(n, depth) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now.Load() == 0 {
		p.mu.early = depth
		return
	}
	if p.rules.More(int(p.now.Load()), depth) {
		p.startLocked()
	}
}

func (p *Pool) startLocked() {
	p.mu.deep = time.Now()
	p.mu.most = max(p.mu.most, int(p.now.Add(1)))
	p.mu.group.Go(p.run)
}

// run is one worker.
func (p *Pool) run() {
	left := false
	p.work(func(depth int) bool {
		left = !p.stay(depth)
		return !left
	})
	if left {
		return // stay has counted it out
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Add(-1) // under the lock: nobody may come once Run has seen the last one go
}

// stay counts a worker out that may leave. While there are no more than there must be it is one load.
func (p *Pool) stay(depth int) bool {
	if int(p.now.Load()) <= p.rules.Min {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n, now := int(p.now.Load()), time.Now()
	if depth >= (n-1)*p.rules.Deep {
		p.mu.deep = now
	}
	if !p.rules.Fewer(n, p.mu.deep, now) {
		return true
	}
	p.mu.deep = now // the next leaves after another pause
	p.now.Add(-1)
	return false
}

// Stats reads the numbers.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{int(p.now.Load()), p.mu.most}
}
