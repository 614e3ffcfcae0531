package spill

import (
	"sync"

	"github.com/esh3artech/esh3ar"
)

// life counts who is inside the database, so that nobody is when it closes.
type life struct {
	mu     sync.Mutex
	ended  bool
	inside sync.WaitGroup // grows under mu and before the end only
}

// end lets nobody in any more; false: it has ended before.
func (l *life) end() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.ended = true
	return true
}

var errClosed = esh3ar.Errorf(esh3ar.StoreUnavailable, "the spill is closed")

// enter lets a call in that is to touch the database; it leaves by life.inside.Done. After a fault nobody gets in: pebble
// may hold its locks for good then, and a reader would hang in them.
func (s *Spill) enter() error {
	if s.fault.Err() != nil {
		return s.failed()
	}
	s.life.mu.Lock()
	defer s.life.mu.Unlock()
	if s.life.ended {
		return errClosed
	}
	s.life.inside.Add(1)
	return nil
}
