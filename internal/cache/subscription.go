package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// subscription is how this node hears of the others' invalidations: up while it is sure to hear them all.
type subscription struct {
	up      atomic.Bool // read with every look at a first level
	losses  atomic.Uint64
	dropAll func()     // drops all first levels
	changed func(bool) //
	mu      struct {
		sync.Mutex           // also while first levels are dropped: what is dropped and whether the link is up change together
		lastText   time.Time // the last text; zero: none since the link was lost
	}
}

// textReceived notes a text. After a loss nothing from before it may stay: whatever was asked for from now on is made invalid by
// texts that will be heard.
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

// lost notes that texts may have been missed.
func (l *subscription) lost() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lostLocked()
}

// lostIfUp does the same, if nothing was heard meanwhile.
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

// silence is how long nothing was heard; very long before the first text.
func (l *subscription) silence() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.mu.lastText)
}
