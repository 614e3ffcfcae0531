package delivery

import (
	"context"
	"sync"
	"time"
)

// tickEvery is the resolution of timers. Acknowledgement timeouts and backoffs are seconds.
const tickEvery = 100 * time.Millisecond

// pauseAfter is the gap between two ticks that means that the process did not run: a stopped process, a sleeping
// machine. Phones could not be heard meanwhile, so nothing counts as late.
const pauseAfter = time.Second

// wheel holds sessions until their timers are due. A session is on it once at most; when its slot comes it looks for
// itself what is due, and returns for the next. So acknowledgements, which are many, never touch it.
type wheel struct {
	start time.Time
	mu    struct {
		sync.Mutex
		slots map[int64][]*Session
		next  int64 // the first slot that has not come
	}
}

func newWheel(start time.Time) *wheel {
	w := &wheel{start: start}
	w.mu.slots = map[int64][]*Session{}
	return w
}

func (w *wheel) slot(t time.Time) int64 { return int64(t.Sub(w.start) / tickEvery) }

// add puts a session into the slot after its time.
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

// tickAll lets due timers fire until ctx ends.
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

// tickAt lets timers fire that are due; last is the time of the tick before. Behind a pause of the process every session hears of it
// first, so that no timer takes the silence of the process for that of a phone.
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
