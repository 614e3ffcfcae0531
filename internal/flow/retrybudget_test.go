package flow_test

import (
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/flow"
)

func TestRetryBudget_TrySpend_FollowsCalls(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	b := flow.RetryBudget{Share: 0.2, Reserve: 3}
	spent := func() (n int) {
		for b.TrySpend(now) {
			n++
		}
		return n
	}
	if n := spent(); n != 3 {
		t.Errorf("without calls: got %d retries, want the reserve of 3", n)
	}
	for range 100 {
		b.RecordCall(now)
	}
	if n := spent(); n != 20 {
		t.Errorf("after 100 calls: got %d retries, want 20", n)
	}
	now = now.Add(9 * time.Second)
	if n := spent(); n != 0 {
		t.Errorf("within the window: got %d retries, want 0", n)
	}
	for range 10 {
		b.RecordCall(now)
	}
	now = now.Add(time.Second) // the first second leaves the window
	if left := b.Remaining(now); left != 5 {
		t.Errorf("before the next call: got %g retries left, want 5", left)
	}
	if n := spent(); n != 5 {
		t.Errorf("after ten calls: got %d retries, want 5: the reserve of 3 and 2", n)
	}
	now = now.Add(time.Hour)
	if left := b.Remaining(now); left != 3 {
		t.Errorf("after an hour: got %g retries left, want the reserve of 3", left)
	}
}
