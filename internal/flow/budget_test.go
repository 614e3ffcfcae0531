package flow_test

import (
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/flow"
)

func TestBudget(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	b := flow.Budget{Share: 0.2, Reserve: 3}
	spent := func() (n int) {
		for b.Spend(now) {
			n++
		}
		return n
	}
	if n := spent(); n != 3 {
		t.Errorf("%d repeats in silence, want the reserve of 3", n)
	}
	for range 100 {
		b.Called(now)
	}
	if n := spent(); n != 20 {
		t.Errorf("%d repeats after 100 calls, want 20", n)
	}
	now = now.Add(9 * time.Second)
	if n := spent(); n != 0 {
		t.Errorf("%d repeats before the window has passed", n)
	}
	for range 10 {
		b.Called(now)
	}
	now = now.Add(time.Second) // the first second is forgotten, calls and repeats
	if left := b.Left(now); left != 5 {
		t.Errorf("%g left before the second is begun, want 5", left)
	}
	if n := spent(); n != 5 {
		t.Errorf("%d repeats, want the reserve of 3 and 2 for ten calls", n)
	}
	now = now.Add(time.Hour)
	if left := b.Left(now); left != 3 {
		t.Errorf("%g left after an hour, want the reserve", left)
	}
}
