package autoscale_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar/internal/autoscale"
)

// TestScaler_TwoScalersWithFaults_KeepInvariants makes every dependency fail and recover. Whichever scaler acts, nodes are removed
// one by one with the cooldown in between, the number stays within the policy's bounds, and no older term acts after a newer one.
// An opaque target may lose two nodes at once: the next leader does not know the nodes that a leader added and could not record
// before it lost the lease.
func TestScaler_TwoScalersWithFaults_KeepInvariants(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) { runWithFaults(t, rand.New(rand.NewPCG(seed, 1)), seed) })
	}
}

func runWithFaults(t *testing.T, r *rand.Rand, seed uint64) {
	t.Helper()
	o, s := &memoryStore{}, &fakeCluster{own: 3, load: 2, blind: r.IntN(2) == 0}
	policy := autoscale.Default()
	policy.Down.StabilizationWindow = time.Minute
	for _, name := range []string{"a", "b"} {
		_, stop := start(o, s, name, func(o *autoscale.Options) { o.Policy = policy })
		defer stop()
	}
	maybe := func(err error) error {
		if r.IntN(4) == 0 {
			return err
		}
		return nil
	}
	down := time.Now().Add(-time.Hour)
	seen := 0
	token := uint64(0)
	before := 3
	for range 3600 {
		if r.IntN(10) == 0 {
			away := errors.New("away")
			o.mu.Lock()
			o.fault = maybe(away)
			o.full = maybe(away)
			o.asleep = []string{"", "", "a", "b"}[r.IntN(4)]
			o.mu.Unlock()
			s.set(func() {
				s.load = 6 * r.Float64()
				s.away = r.IntN(5) == 0
				s.broken = maybe(away)
				s.silent = maybe(away)
				s.unseen = r.IntN(8) == 0
			})
		}
		pass(time.Second)
		s.set(func() {
			for _, one := range s.orders[seen:] {
				if one.Nodes < policy.Min || one.Nodes > policy.Max || one.Token < token {
					t.Errorf("seed %d: %d nodes by term %d after %d\n%s", seed, one.Nodes, one.Token, token, o.historyText())
				} else if !s.blind && one.Nodes < before-1 || one.Nodes < before && time.Since(down) < policy.Down.Cooldown {
					t.Errorf("seed %d: %d → %d, %s after the last\n%s", seed, before, one.Nodes, time.Since(down), o.historyText())
				}
				if one.Nodes < before {
					down = time.Now()
				}
				before, token = one.Nodes, one.Token
			}
			seen = len(s.orders)
		})
	}
	if seen == 0 {
		t.Errorf("seed %d: nothing was done", seed)
	}
}
