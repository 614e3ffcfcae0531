package spill_test

import (
	"slices"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest/spill"
)

// TestSpill_ReopenedWithQuarantine_GivesNoPositionTwice: the newest call moves to the quarantine under its position and the spill is opened
// again. The next call must not get that position, or one of the two would overwrite the other in the quarantine.
func TestSpill_ReopenedWithQuarantine_GivesNoPositionTwice(t *testing.T) {
	t.Parallel()
	r := newFixture(t, spill.Options{})
	refused := esh3ar.Errorf(esh3ar.Invalid, "no such character")
	store := newMemoryStore()
	store.refuse = func([]*esh3ar.Call) error { return refused }
	want := []string{"first", "second", "third"}
	for _, content := range want {
		r.add(call(message(alice, content)))
		if err := spill.NewDrainer(r.Spill, store, spill.DrainOptions{}).Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.reopen()
	}
	var got []string
	for _, q := range r.quarantine() {
		got = append(got, q.Call.Messages[0].Content)
	}
	if !slices.Equal(got, want) {
		t.Errorf("in quarantine: got %v, want %v", got, want)
	}
	r.add(call(message(alice, "fourth")))
	if n, err := r.Readmit(t.Context()); n != len(want) || err != nil {
		t.Fatalf("readmitted: got %d, %v, want %d", n, err, len(want))
	}
	r.reopen()
	store.refuse = nil
	if err := spill.NewDrainer(r.Spill, store, spill.DrainOptions{}).Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	store.want(t, "fourth", "first", "second", "third")
}
