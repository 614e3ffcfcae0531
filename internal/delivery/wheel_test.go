package delivery

import (
	"slices"
	"testing"
	"time"
)

// TestEngine_TickAt_PauseOfTheProcess_IsToldBeforeTimersFire checks the order of events of a session whose timer became due while the
// process did not run. After a gap that is not a pause, only the timer fires.
func TestEngine_TickAt_PauseOfTheProcess_IsToldBeforeTimersFire(t *testing.T) {
	t.Parallel()
	for gap, want := range map[time.Duration][]eventKind{
		pauseAfter:                        {openEvent, tickEvent},
		pauseAfter + time.Millisecond:     {openEvent, resumedEvent, tickEvent},
		time.Hour:                         {openEvent, resumedEvent, tickEvent},
		pauseAfter - 100*time.Millisecond: {openEvent, tickEvent},
	} {
		e := New(nil, Options{}) // nothing works through the events
		s := e.Connect(Device{Recipient: 967771234567}, full{})
		last := e.wheel.start
		s.mu.onWheel = true
		e.wheel.add(s, last.Add(100*time.Millisecond))
		e.tickAt(last.Add(gap), last)
		var got []eventKind
		for _, ev := range s.mu.events {
			got = append(got, ev.kind)
		}
		if !slices.Equal(got, want) {
			t.Errorf("events behind a gap of %s: got %v, want %v", gap, got, want)
		}
		var pauses uint64
		if slices.Contains(want, resumedEvent) {
			pauses = 1
		}
		if got := e.stats.pauses.Load(); got != pauses {
			t.Errorf("pauses behind a gap of %s: got %d, want %d", gap, got, pauses)
		}
	}
}
