package fairshare

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Errors of Acquire and TryAcquire. Nothing was granted when one of them is returned.
var (
	// ErrFull is returned when the total is in use. It says nothing about the owner.
	ErrFull = errors.New("the shared resource is in use")
	// ErrShare is returned when the owner holds its share.
	ErrShare = errors.New("the owner holds its share of the resource")
)

// Options are the bounds of a Pool.
type Options struct {
	Name               string // name of the resource in metrics and documents
	Total              int64  // units in the pool; at least 1
	Guaranteed         int64  // units that one owner may hold whenever the total permits; default 1
	MaxWaitingPerOwner int    // calls of Acquire of one owner that may wait; further ones fail; default 16
	MaxWaiting         int    // calls of Acquire of all owners that may wait; further ones fail; default 1024
}

// Pool is one shared resource. K identifies an owner.
type Pool[K comparable] struct {
	opts Options
	mu   struct {
		sync.Mutex
		used    int64 // units
		owners  map[K]*owner[K]
		turns   []*owner[K] // owners with waiting calls, in the order in which they are served
		waiting int         // waiting calls of all owners
		stats   counters
	}
}

// owner is one owner that holds or waits for something.
type owner[K comparable] struct {
	key     K
	held    int64
	waiting []*waiter // oldest first
}

// waiter is one call of Acquire. The pool's mutex guards it.
type waiter struct {
	n     int64
	ready chan struct{} // closed when granted
}

type counters struct{ granted, full, share uint64 }

// Stats describes a Pool at one moment. Counters start at its creation.
type Stats struct {
	Name          string
	Total         int64  // units
	InUse         int64  // units
	Owners        int    // owners that hold or wait for something
	Waiting       int    // calls that wait
	Granted       uint64 // grants
	RefusedShare  uint64 // refusals because the owner held its share
	RefusedFull   uint64 // refusals because the total was in use
	LargestHolder int64  // units of the owner that holds most
}

// New returns a pool with nothing in use.
func New[K comparable](o Options) *Pool[K] {
	o.Total = max(o.Total, 1)
	if o.Guaranteed == 0 {
		o.Guaranteed = 1
	}
	if o.MaxWaitingPerOwner == 0 {
		o.MaxWaitingPerOwner = 16
	}
	if o.MaxWaiting == 0 {
		o.MaxWaiting = 1024
	}
	p := &Pool[K]{opts: o}
	p.mu.owners = map[K]*owner[K]{}
	return p
}

// TryAcquire takes n units for an owner and does not wait. It returns nil, ErrShare or ErrFull. n below 1 is granted
// and takes nothing.
func (p *Pool[K]) TryAcquire(key K, n int64) error {
	if n < 1 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.ownerLocked(key)
	err := p.fitsLocked(o, n)
	if err == nil && len(o.waiting) > 0 {
		err = ErrShare // older calls of the owner come first
	}
	if err != nil {
		p.refusedLocked(err)
		p.dropIdleLocked(o)
		return err
	}
	p.grantLocked(o, n)
	return nil
}

// Acquire takes n units for an owner, waiting until they are in its share. Owners that wait are served in turn, one
// call each; calls of one owner in the order of arrival. Acquire returns ErrShare at once if the owner has too
// many waiting calls or n is more than it could ever hold, ErrFull if all owners together have too many, and the
// context's error when that ends first.
func (p *Pool[K]) Acquire(ctx context.Context, key K, n int64) error {
	if n < 1 {
		return nil
	}
	w, err := p.enqueue(key, n)
	if w == nil {
		return err
	}
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	if !p.withdraw(key, w) {
		p.Release(key, n) // granted meanwhile
	}
	return fmt.Errorf("wait for a share of %s: %w", p.opts.Name, ctx.Err())
}

// enqueue grants n units and returns nil and nil, or returns why they are refused, or returns a waiter.
func (p *Pool[K]) enqueue(key K, n int64) (*waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.ownerLocked(key)
	if len(o.waiting) == 0 && p.fitsLocked(o, n) == nil {
		p.grantLocked(o, n)
		return nil, nil
	}
	var err error
	if n > p.largest() || len(o.waiting) >= p.opts.MaxWaitingPerOwner {
		err = ErrShare
	} else if p.mu.waiting >= p.opts.MaxWaiting {
		err = ErrFull
	}
	if err != nil {
		p.refusedLocked(err)
		p.dropIdleLocked(o)
		return nil, err
	}
	w := &waiter{n: n, ready: make(chan struct{})}
	if len(o.waiting) == 0 {
		p.mu.turns = append(p.mu.turns, o)
	}
	o.waiting = append(o.waiting, w)
	p.mu.waiting++
	return w, nil
}

// withdraw removes a waiter and reports whether it was still waiting; if not, its units were granted.
func (p *Pool[K]) withdraw(key K, w *waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.mu.owners[key]
	if o == nil {
		return false
	}
	for i, other := range o.waiting {
		if other == w {
			o.waiting = append(o.waiting[:i], o.waiting[i+1:]...)
			p.mu.waiting--
			p.serveLocked() // calls after it may fit
			return true
		}
	}
	return false
}

// Release returns n units of an owner. It panics if the owner holds fewer.
func (p *Pool[K]) Release(key K, n int64) {
	if n < 1 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.mu.owners[key]
	if o == nil || o.held < n {
		panic("fairshare: " + p.opts.Name + ": released more than was acquired")
	}
	o.held -= n
	p.mu.used -= n
	p.dropIdleLocked(o)
	p.serveLocked()
}

// Stats returns the counters. It walks the owners that hold something.
func (p *Pool[K]) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{
		Name: p.opts.Name, Total: p.opts.Total, InUse: p.mu.used, Owners: len(p.mu.owners), Waiting: p.mu.waiting,
		Granted: p.mu.stats.granted, RefusedShare: p.mu.stats.share, RefusedFull: p.mu.stats.full,
	}
	for _, o := range p.mu.owners {
		s.LargestHolder = max(s.LargestHolder, o.held)
	}
	return s
}

// largest returns the most units that one owner can ever hold.
func (p *Pool[K]) largest() int64 { return max(p.opts.Total/2, min(p.opts.Guaranteed, p.opts.Total)) }

// fitsLocked returns nil if the owner may take n more units now, else ErrShare or ErrFull.
func (p *Pool[K]) fitsLocked(o *owner[K], n int64) error {
	free := p.opts.Total - p.mu.used
	wanted := o.held + n
	switch {
	case n > free:
		if wanted > p.largest() {
			return ErrShare
		}
		return ErrFull
	case wanted <= p.opts.Guaranteed:
		return nil
	case wanted > free-n:
		return ErrShare
	case p.mu.used > o.held && wanted > p.opts.Total/4: // others hold something
		return ErrShare
	}
	return nil
}

func (p *Pool[K]) grantLocked(o *owner[K], n int64) {
	o.held += n
	p.mu.used += n
	p.mu.stats.granted++
}

func (p *Pool[K]) refusedLocked(err error) {
	if errors.Is(err, ErrFull) {
		p.mu.stats.full++
	} else {
		p.mu.stats.share++
	}
}

// ownerLocked returns the record of an owner, and makes one if there is none.
func (p *Pool[K]) ownerLocked(key K) *owner[K] {
	o := p.mu.owners[key]
	if o == nil {
		o = &owner[K]{key: key}
		p.mu.owners[key] = o
	}
	return o
}

// dropIdleLocked drops an owner that holds nothing and waits for nothing.
func (p *Pool[K]) dropIdleLocked(o *owner[K]) {
	if o.held == 0 && len(o.waiting) == 0 {
		delete(p.mu.owners, o.key)
	}
}

// serveLocked grants waiting calls, one of each owner in turn, until no owner's oldest call fits.
func (p *Pool[K]) serveLocked() {
	granted := true
	for granted && len(p.mu.turns) > 0 {
		granted = false
		for range len(p.mu.turns) {
			o := p.mu.turns[0]
			p.mu.turns = p.mu.turns[1:]
			if p.serveOneLocked(o) {
				granted = true
			}
			if len(o.waiting) > 0 {
				p.mu.turns = append(p.mu.turns, o)
			} else {
				p.dropIdleLocked(o)
			}
		}
	}
}

// serveOneLocked grants the owner's oldest waiting call if it fits, and reports whether it did.
func (p *Pool[K]) serveOneLocked(o *owner[K]) bool {
	if len(o.waiting) == 0 || p.fitsLocked(o, o.waiting[0].n) != nil {
		return false
	}
	w := o.waiting[0]
	o.waiting = o.waiting[1:]
	p.mu.waiting--
	p.grantLocked(o, w.n)
	close(w.ready)
	return true
}
