package retention

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestJanitor_ClockJumpedAhead_AsksTheStoreForNothing holds whole rounds, not only the look at the clock.
func TestJanitor_ClockJumpedAhead_AsksTheStoreForNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		j := New(store, Options{})
		j.runOnce(t.Context(), time.Now())
		before := len(store.asked)
		if before == 0 {
			t.Fatal("got no question to the store in the first round, want some")
		}
		time.Sleep(time.Minute)
		j.wall = j.wall.Add(-48 * time.Hour) // as if the wall clock had been set ahead meanwhile
		j.runOnce(t.Context(), time.Now())
		if got := j.Stats(); len(store.asked) != before || got.Paused != 1 || got.Rounds != 1 {
			t.Errorf("after a jump: got questions %q, %+v; want none, 1 held, 1 round", store.asked[before:], got)
		}
		time.Sleep(time.Hour)
		j.runOnce(t.Context(), time.Now())
		if got := j.Stats(); len(store.asked) != 2*before || got.Rounds != 2 {
			t.Errorf("an hour later: got questions %q, %+v; want a round", store.asked[before:], got)
		}
	})
}
