package keyring_test

import (
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
)

// TestRing_Verifies_UntilTheKeyEnds asks for a key by its id before, at and after its end.
func TestRing_Verifies_UntilTheKeyEnds(t *testing.T) {
	t.Parallel()
	start := time.UnixMilli(1_800_000_000_000)
	now := start
	ends := keyring.Key{Secret: keyring.NewSecret(), EndsAt: esh3ar.TimeOf(start.Add(time.Hour))}
	stays := keyring.Key{Secret: keyring.NewSecret()}
	ring, err := keyring.New(func() time.Time { return now }, ends, stays)
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]bool{0: true, time.Hour - time.Millisecond: true, time.Hour: false, 2 * time.Hour: false} {
		now = start.Add(after)
		if got := ring.Verifies(ends.ID()); got != want {
			t.Errorf("%v after the start: got verifies %t, want %t", after, got, want)
		}
		if !ring.Verifies(stays.ID()) {
			t.Errorf("%v after the start: a key without an end does not verify, want it to", after)
		}
	}
}
