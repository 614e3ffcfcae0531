package flow_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/flow"
)

func TestBackoff_Delay_DoublesUpToCap(t *testing.T) {
	t.Parallel()
	b := flow.Backoff{Base: 5 * time.Second, Cap: 300 * time.Second}
	none := func(int64) int64 { return 0 }
	all := func(n int64) int64 { return n - 1 }
	for k, d := range map[int]time.Duration{
		1: 5 * time.Second, 2: 10 * time.Second, 3: 20 * time.Second, 6: 160 * time.Second, 7: 300 * time.Second,
		8: 300 * time.Second, 9: 300 * time.Second, 100: 300 * time.Second,
	} {
		if got := b.Delay(k, none); got != d/2 {
			t.Errorf("retry %d without jitter: got %s, want %s", k, got, d/2)
		}
		if got := b.Delay(k, all); got != d-1 {
			t.Errorf("retry %d with all jitter: got %s, want %s", k, got, d-1)
		}
	}
	b.Base = 1 << 40 // about 18 minutes; shifted by 24 it would overflow
	b.Cap = 1 << 62
	if got := b.Delay(25, none); got != 1<<61 {
		t.Errorf("retry 25 of a large base: got %s, want half of the cap", got)
	}
	if got := (flow.Backoff{}).Delay(1, rand.Int64N); got != 0 {
		t.Errorf("zero Backoff: got %s, want 0", got)
	}
}
