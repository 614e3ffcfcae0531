package node

import (
	"testing"
	"time"
)

// TestMemoryReturn_PeakReleased_IsDueOncePerInterval: a small decrease is not worth a garbage collection.
func TestMemoryReturn_PeakReleased_IsDueOncePerInterval(t *testing.T) {
	t.Parallel()
	var r memoryReturn
	begin := time.Unix(1000, 0)
	for _, step := range []struct {
		second int
		inUse  int64
		want   bool
	}{
		{0, 0, false},
		{1, largeRelease - 1, false},
		{2, 0, false}, // too little
		{3, 300 << 20, false},
		{4, 300<<20 - largeRelease, true},
		{5, 0, false}, // too soon
		{13, 0, false},
		{14, 0, true},
		{30, 0, false}, // nothing was in use since
	} {
		if got := r.due(begin.Add(time.Duration(step.second)*time.Second), step.inUse); got != step.want {
			t.Errorf("second %d, %d bytes in use: got %t, want %t", step.second, step.inUse, got, step.want)
		}
	}
}
