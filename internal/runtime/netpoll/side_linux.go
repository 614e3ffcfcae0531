package netpoll

import (
	"sync"
	"sync/atomic"
	"time"
)

// side is one direction of a connection: where its reader or writer waits.
type side struct {
	ready    chan struct{} // capacity 1: a word that nobody waits for yet is kept
	waits    atomic.Bool   // somebody does
	deadline atomic.Int64  // Unix nanoseconds; zero: none
	limit    atomic.Int64  // a deadline that its owner did not ask for; likewise

	mu   sync.Mutex
	then *func() // called in place of the word, once; nil: nobody asked
}

func newSide() side { return side{ready: make(chan struct{}, 1)} }

// wait is for who has found the socket not ready.
func (s *side) wait() {
	s.waits.Store(true)
	<-s.ready
	s.waits.Store(false)
}

// await has f called when there is a word; false: there is one already, which this takes.
func (s *side) await(f *func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.ready:
		return false
	default:
		s.then = f
		return true
	}
}

// tell wakes who waits, or will: the socket may be ready, the deadline may have passed, the connection may be closed.
func (s *side) tell() {
	s.mu.Lock()
	f := s.then
	s.then = nil
	if f == nil {
		select {
		case s.ready <- struct{}{}:
		default: // it is said already
		}
	}
	s.mu.Unlock()
	if f != nil {
		(*f)()
	}
}

func (s *side) late(now time.Time) bool {
	d, limit := s.deadline.Load(), s.limit.Load()
	return d != 0 && now.UnixNano() >= d || limit != 0 && now.UnixNano() >= limit
}

// limitOnce sets the limit unless there is one. The sweep finds it: it may be a second late.
func (s *side) limitOnce(t time.Time) { s.limit.CompareAndSwap(0, t.UnixNano()) }

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
