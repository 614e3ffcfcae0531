package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// subscription is the state of this node's subscription to invalidations. It is up while no invalidation can be missed.
type subscription struct {
	up      atomic.Bool // read with every lookup of a first level
	losses  atomic.Uint64
	dropAll func()     // drops all first levels
	changed func(bool) // // called after each change of up
	mu      struct {
		sync.Mutex           // also held while first levels are dropped, so that both change together
		lastText   time.Time // time of the last text; zero if there was none since the last loss
	}
}

// textReceived records a text. The first text after a loss drops the first levels: entries from before may have missed an
// invalidation, later ones cannot.
func (l *subscription) textReceived() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.lastText = time.Now()
	if !l.up.Load() {
		l.dropAll()
		l.up.Store(true)
		l.changed(true)
	}
}

// lost records that texts may have been missed.
func (l *subscription) lost() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lostLocked()
}

// lostIfUp does the same unless the subscription is down already.
func (l *subscription) lostIfUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.up.Load() {
		l.lostLocked()
	}
}

func (l *subscription) lostLocked() {
	l.mu.lastText = time.Time{}
	if l.up.Swap(false) {
		l.losses.Add(1)
		l.changed(false)
	}
	l.dropAll()
}

// silence returns the time since the last text. It is very long before the first text.
func (l *subscription) silence() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.mu.lastText)
}
