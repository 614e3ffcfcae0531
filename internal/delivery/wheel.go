package delivery

import (
	"context"
	"sync"
	"time"
)

// tickEvery is the resolution of timers. Acknowledgement timeouts and backoffs are seconds.
const tickEvery = 100 * time.Millisecond

// pauseAfter is the gap between two ticks from which the process counts as paused: it was stopped, or the machine slept.
// Phones could not be heard meanwhile, so no acknowledgement counts as late.
const pauseAfter = time.Second

// wheel holds sessions until their timers are due. A session is on the wheel at most once. When its slot comes, the session
// checks which of its timers are due, and is added again for the next one. So an acknowledgement never changes the wheel.
type wheel struct {
	start time.Time
	mu    struct {
		sync.Mutex
		slots map[int64][]*Session
		next  int64 // number of the first slot that is not due yet
	}
}

func newWheel(start time.Time) *wheel {
	w := &wheel{start: start}
	w.mu.slots = map[int64][]*Session{}
	return w
}

func (w *wheel) slot(t time.Time) int64 { return int64(t.Sub(w.start) / tickEvery) }

// add adds a session to the first slot after the given time.
func (w *wheel) add(s *Session, due time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	slot := max(w.slot(due)+1, w.mu.next)
	w.mu.slots[slot] = append(w.mu.slots[slot], s)
}

// advance removes and returns the sessions that are due.
func (w *wheel) advance(now time.Time) (due []*Session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for end := w.slot(now); w.mu.next <= end; w.mu.next++ {
		due = append(due, w.mu.slots[w.mu.next]...)
		delete(w.mu.slots, w.mu.next)
	}
	return due
}

// all returns all sessions on the wheel.
func (w *wheel) all() (all []*Session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, slot := range w.mu.slots {
		all = append(all, slot...)
	}
	return all
}

// tickAll fires due timers until ctx ends.
func (e *Engine) tickAll(ctx context.Context) {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		e.tickAt(now, last)
		last = now
	}
}

// tickAt fires the timers that are due. last is the time of the previous tick. After a pause of the process, every session is notified
// first, so that no timer mistakes the pause for silence of a phone.
func (e *Engine) tickAt(now, last time.Time) {
	if now.Sub(last) > pauseAfter {
		e.stats.pauses.Add(1)
		for _, s := range e.wheel.all() {
			s.post(event{kind: resumedEvent})
		}
	}
	for _, s := range e.wheel.advance(now) {
		s.mu.Lock()
		s.mu.onWheel = false
		closed := s.mu.closed
		s.mu.Unlock()
		if !closed {
			s.post(event{kind: tickEvent})
		}
	}
}
