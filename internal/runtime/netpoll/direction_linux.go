package netpoll

import (
	"sync"
	"sync/atomic"
	"time"
)

// direction is the input or the output of a connection. Its reader or writer waits here until the socket may be ready.
type direction struct {
	ready    chan struct{} // capacity 1: holds a signal that came before wait
	waiting  atomic.Bool   // wait is blocked
	deadline atomic.Int64  // set by the user, in Unix nanoseconds; zero if none
	limit    atomic.Int64  // set by this package, in Unix nanoseconds; zero if none

	mu      sync.Mutex
	onReady *func() // called once instead of sending on ready; nil if not registered
}

func newDirection() direction { return direction{ready: make(chan struct{}, 1)} }

// wait blocks until the next signal. The caller has found the socket not ready.
func (s *direction) wait() {
	s.waiting.Store(true)
	<-s.ready
	s.waiting.Store(false)
}

// notifyWhenReady registers f to be called at the next signal. If there is a signal already, it consumes the signal and
// returns false.
func (s *direction) notifyWhenReady(f *func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.ready:
		return false
	default:
		s.onReady = f
		return true
	}
}

// signal wakes the reader or writer, or calls the registered function: the socket may be ready, the deadline may have passed,
// or the connection may be closed.
func (s *direction) signal() {
	s.mu.Lock()
	f := s.onReady
	s.onReady = nil
	if f == nil {
		select {
		case s.ready <- struct{}{}:
		default: // a signal is pending already
		}
	}
	s.mu.Unlock()
	if f != nil {
		(*f)()
	}
}

// expired reports whether the deadline or the limit has passed.
func (s *direction) expired(now time.Time) bool {
	d, limit := s.deadline.Load(), s.limit.Load()
	return d != 0 && now.UnixNano() >= d || limit != 0 && now.UnixNano() >= limit
}

// setLimitOnce sets the limit if there is none. The sweep enforces it, up to sweepInterval late.
func (s *direction) setLimitOnce(t time.Time) { s.limit.CompareAndSwap(0, t.UnixNano()) }

// setDeadline sets the deadline, also for a call that is blocked already. A deadline within two sweep intervals gets a timer;
// the sweep enforces later ones.
func (s *direction) setDeadline(t time.Time) {
	if t.IsZero() {
		s.deadline.Store(0)
		return
	}
	s.deadline.Store(t.UnixNano())
	if left := time.Until(t); left <= 0 {
		s.signal()
	} else if left < 2*sweepInterval {
		time.AfterFunc(left, s.signal)
	}
}
