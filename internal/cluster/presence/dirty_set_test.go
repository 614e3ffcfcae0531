package presence

import (
	"slices"
	"testing"

	"github.com/esh3artech/esh3ar"
)

// TestMarks_TakenRecipient_CanBeMarkedAgain takes a part: a recipient that changes after it was taken is marked again, and one
// that still waits is not marked twice.
func TestMarks_TakenRecipient_CanBeMarkedAgain(t *testing.T) {
	t.Parallel()
	m := dirtySet{limit: 3}
	for _, r := range []esh3ar.Recipient{1, 2, 3, 2} {
		if !m.add(r) {
			t.Fatalf("recipient %d is not marked, want it marked", r)
		}
	}
	if m.add(4) {
		t.Error("recipient 4 is marked beyond the bound of 3")
	}
	if got, want := m.pop(2), []esh3ar.Recipient{1, 2}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, r := range []esh3ar.Recipient{1, 3} {
		if !m.add(r) {
			t.Errorf("recipient %d is not marked after 2 were taken, want it marked", r)
		}
	}
	if got, want := m.pop(10), []esh3ar.Recipient{3, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := m.pop(10); len(got) != 0 {
		t.Errorf("got %v of no marks, want none", got)
	}
}
