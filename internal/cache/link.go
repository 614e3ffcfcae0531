package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// link is how this node hears of the others' invalidations: up while it is sure to hear them all.
type link struct {
	up      atomic.Bool // read with every look at a first level
	lost    atomic.Uint64
	forget  func()     // drops all first levels
	changed func(bool) //
	mu      struct {
		sync.Mutex           // also while first levels are dropped: what is dropped and whether the link is up change together
		heard      time.Time // the last text; zero: none since the link was lost
	}
}

// rise notes a text. After a loss nothing from before it may stay: whatever was asked for from now on is made invalid by
// texts that will be heard.
func (l *link) rise() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.heard = time.Now()
	if !l.up.Load() {
		l.forget()
		l.up.Store(true)
		l.changed(true)
	}
}

// fall notes that texts may have been missed.
func (l *link) fall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fallLocked()
}

// silent does the same, if nothing was heard meanwhile.
func (l *link) silent() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.up.Load() {
		l.fallLocked()
	}
}

func (l *link) fallLocked() {
	l.mu.heard = time.Time{}
	if l.up.Swap(false) {
		l.lost.Add(1)
		l.changed(false)
	}
	l.forget()
}

// quiet is how long nothing was heard; very long before the first text.
func (l *link) quiet() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.mu.heard)
}
