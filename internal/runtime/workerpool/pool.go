// Package workerpool runs a pool of goroutines whose number follows the depth of the queue that they serve. A deep queue starts
// workers, up to a maximum; a shallow one lets them end. The pool knows only the depth of the queue. It does not preserve order:
// items that must be processed in order must not be in the queue at the same time.
//
// There is no polling. A producer reports the depth after it adds an item, which costs one atomic load unless another worker is
// needed. So a queue that fills while all workers are blocked still starts more of them. A worker reports the depth after it takes
// an item, and learns whether it should stay.
//
// Concurrency: every method may be called from any goroutine; Run owns the workers.
package workerpool

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"
)

// Rules configure the number of workers; the zero value of a field selects its default.
type Rules struct {
	Min            int           // workers that always run; default 1
	Max            int           // most workers; default Min
	DepthPerWorker int           // queued items per worker from which another worker starts; default 4: fewer are processed sooner than a worker starts
	Linger         time.Duration // how long the queue must have been shallow before a worker ends; default 1 s, because bursts come in series
}

func (r Rules) withDefaults() Rules {
	r.Min = max(r.Min, 1)
	r.Max = max(r.Max, r.Min)
	r.DepthPerWorker = cmp.Or(r.DepthPerWorker, 4)
	r.Linger = cmp.Or(r.Linger, time.Second)
	return r
}

// NeedsMore reports whether the depth calls for another worker.
func (r *Rules) NeedsMore(workers, depth int) bool {
	return workers < r.Max && depth >= workers*r.DepthPerWorker
}

// AllowsFewer reports whether one worker may end: fewer would have been enough since deep, when the queue was last deep.
func (r *Rules) AllowsFewer(workers int, deep, now time.Time) bool {
	return workers > r.Min && now.Sub(deep) >= r.Linger
}

// Stats holds the current number of workers and the highest since the start.
type Stats struct{ Workers, Peak int }

// Pool is a pool of workers.
type Pool struct {
	rules   Rules
	work    func(stay func(depth int) bool)
	workers atomic.Int64 // number of workers; written under mu
	mu      struct {
		sync.Mutex
		group        sync.WaitGroup
		lastDeep     time.Time // when the queue was last too deep for one worker less
		initialDepth int       // depth reported before Run
		most         int
	}
}

// New returns a pool. work processes items until the queue is closed, or until stay returns false. It must call stay with the
// current depth after each item that it takes.
func New(r Rules, work func(stay func(depth int) bool)) *Pool {
	return &Pool{rules: r.withDefaults(), work: work}
}

// Run starts the workers and returns when all of them have ended.
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

// ReportDepth reports the depth of the queue, including the item just added. A depth reported before Run takes effect when Run
// starts; after Run it has no effect.
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

// run is the goroutine of one worker.
func (p *Pool) run() {
	left := false
	p.work(func(depth int) bool {
		left = !p.mayStay(depth)
		return !left
	})
	if left {
		return // mayStay has already subtracted it
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workers.Add(-1) // under mu, so that no worker starts after Run has seen the last one end
}

// mayStay reports whether a worker should continue, and subtracts it otherwise. While there are no more than Min workers it costs
// one load.
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
	p.mu.lastDeep = now // the next worker ends after another Linger
	p.workers.Add(-1)
	return false
}

// Stats returns the counters.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{int(p.workers.Load()), p.mu.most}
}
