package delivery

import (
	"fmt"
	"testing"
)

// TestCatchUp_AllEvents_FollowTheDiagram lists the next state for every state and event.
func TestCatchUp_AllEvents_FollowTheDiagram(t *testing.T) {
	t.Parallel()
	type next struct{ needRead, mayFind, discard, start, readEnded, finish catchUp }
	for state, want := range map[catchUp]next{
		caughtUp:     {behind, caughtUp, behind, caughtUp, caughtUp, caughtUp},
		behind:       {behind, behind, behind, reading, behind, caughtUp},
		waiting:      {behind, behind, behind, waiting, waiting, caughtUp},
		reading:      {readingAgain, readingAgain, discarding, reading, waiting, reading},
		readingAgain: {readingAgain, readingAgain, discarding, readingAgain, behind, readingAgain},
		discarding:   {discarding, discarding, discarding, discarding, behind, discarding},
	} {
		t.Run(fmt.Sprint(state), func(t *testing.T) {
			t.Parallel()
			if got := (next{state.needRead(), state.mayFind(), state.discard(), state.start(), state.readEnded(), state.finish()}); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}
