package delivery

import (
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// longest is a source of randomness that makes every delay as long as possible.
func longest(n int64) int64 { return n - 1 }

func TestBreaker_OneMessageFailsAlone_PauseStopsGrowing(t *testing.T) {
	t.Parallel()
	rules := &BreakerRules{Failures: 3, Within: 10 * time.Second, Pause: flow.Backoff{Base: 5 * time.Second, Cap: 300 * time.Second}}
	pauses := func(culprit func(i int) suspect) (all []time.Duration) {
		b, now := &breaker{}, time.Unix(1_700_000_000, 0)
		for i := range 8 {
			if !b.fail(rules, culprit(i), now, longest) {
				continue
			}
			all = append(all, b.opensAt.Sub(now))
			now = b.opensAt
		}
		return all
	}
	poison := suspect{messageLife: messageLife{esh3ar.NewMessageID(), 1}}
	same := pauses(func(i int) suspect {
		if i < rules.Failures {
			return suspect{} // whole windows
		}
		return poison
	})
	for i, pause := range same {
		if pause > 10*time.Second {
			t.Errorf("pause %d of one message is %v; want at most twice the first: %v", i+1, pause, same)
		}
	}
	for name, all := range map[string][]time.Duration{
		"each another":  pauses(func(int) suspect { return suspect{messageLife: messageLife{esh3ar.NewMessageID(), 1}} }),
		"whole windows": pauses(func(int) suspect { return suspect{} }),
	} {
		if last := all[len(all)-1]; last < 100*time.Second {
			t.Errorf("%s: the pauses are %v; want them to double", name, all)
		}
	}
}
