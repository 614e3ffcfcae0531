package netpoll

import (
	"sync/atomic"
	"time"
)

// side is one direction of a connection: where its reader or writer waits.
type side struct {
	ready    chan struct{} // capacity 1: a word that nobody waits for yet is kept
	waits    atomic.Bool   // somebody does
	deadline atomic.Int64  // Unix nanoseconds; zero: none
}

func newSide() side { return side{ready: make(chan struct{}, 1)} }

// wait is for who has found the socket not ready.
func (s *side) wait() {
	s.waits.Store(true)
	<-s.ready
	s.waits.Store(false)
}

// tell wakes who waits, or will: the socket may be ready, the deadline may have passed, the connection may be closed.
func (s *side) tell() {
	select {
	case s.ready <- struct{}{}:
	default: // it is said already
	}
}

func (s *side) late(now time.Time) bool {
	d := s.deadline.Load()
	return d != 0 && now.UnixNano() >= d
}

// setDeadline also holds for who waits already. One that is near gets a timer; the others are the sweeper's.
func (s *side) setDeadline(t time.Time) {
	if t.IsZero() {
		s.deadline.Store(0)
		return
	}
	s.deadline.Store(t.UnixNano())
	switch left := time.Until(t); {
	case left <= 0:
		s.tell()
	case left < 2*sweepEvery:
		time.AfterFunc(left, s.tell)
	}
}
