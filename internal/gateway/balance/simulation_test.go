package balance

import (
	"flag"
	"testing"
	"time"
)

var simSeed = flag.Uint64("seed", 0, "replay the history of this seed")

// seeds is the number of seeds per test.
func seeds(t *testing.T, play func(t *testing.T, seed uint64)) {
	t.Helper()
	first, last := uint64(1), uint64(2)
	if testing.Short() {
		last = 1
	}
	if *simSeed != 0 {
		first, last = *simSeed, *simSeed
	}
	for seed := first; seed <= last && !t.Failed(); seed++ {
		play(t, seed)
		if t.Failed() {
			t.Logf("seed %d: go test ./internal/gateway/balance -run %s -seed %d", seed, t.Name(), seed)
		}
	}
}

// loads are the numbers of callers: few, some, and more than the nodes have workers.
var loads = []int{2, 12, 100}

func TestSimulation_EqualNodes_GetEqualShares(t *testing.T) {
	t.Parallel()
	for _, callers := range loads {
		seeds(t, func(t *testing.T, seed uint64) {
			w := newSimulation(t, seed, 3, callers)
			shares := w.shares(w.play(30_000))
			if got := spread(shares); got > 0.2 {
				t.Errorf("%d callers: (max − min) / mean = %.2f of %v", callers, got, shares)
			}
		})
	}
}

// TestSimulation_Reports_CauseNoHerding checks that a node that reports full load gets fewer calls but not none, and that a node
// with a higher load and headroom gets its share.
func TestSimulation_Reports_CauseNoHerding(t *testing.T) {
	t.Parallel()
	seeds(t, func(t *testing.T, seed uint64) {
		w := newSimulation(t, seed, 3, 12)
		w.servers[0].reports, w.servers[1].reports = 1, 0.2
		w.pass(10 * time.Second)
		shares := w.shares(w.pass(20 * time.Second))
		if full := shares["n0"]; full > 0.2 || full < 0.05 {
			t.Errorf("a full node has %.2f of the calls", full)
		}
		if busy, rest := shares["n1"], shares["n2"]; busy < 0.9*rest || busy > 1.1*rest {
			t.Errorf("shares %v: a node with room has another share than the rest", shares)
		}
	})
}

// TestSimulation_SlowNode_LosesShareAndRecovers makes one node ten times slower; the others must hardly be affected.
func TestSimulation_SlowNode_LosesShareAndRecovers(t *testing.T) {
	t.Parallel()
	for _, callers := range loads {
		seeds(t, func(t *testing.T, seed uint64) {
			w := newSimulation(t, seed, 3, callers)
			before := quantile(w.pass(12*time.Second), 0.95)
			w.servers[1].slow = 10
			w.pass(time.Second)
			slow := w.pass(5 * time.Second)
			if share := w.shares(slow)["n1"]; share > 0.1 {
				t.Errorf("%d callers: the slow node has %.2f of the calls", callers, share)
			}
			if share := w.shares(slow)["n1"]; share == 0 {
				t.Errorf("%d callers: the slow node is never tried", callers)
			}
			if after := quantile(slow, 0.95); after > 2*before {
				t.Errorf("%d callers: 95 %% of the calls take %s, before: %s", callers, after, before)
			}
			w.servers[1].slow = 1
			w.pass(10 * time.Second)
			if got := spread(w.shares(w.play(30_000))); got > 0.2 {
				t.Errorf("%d callers: after recovery (max − min) / mean = %.2f", callers, got)
			}
		})
	}
}

// TestSimulation_DeadNode_GetsNoCallsAndRecovers checks that the node regains its share slowly.
func TestSimulation_DeadNode_GetsNoCallsAndRecovers(t *testing.T) {
	t.Parallel()
	seeds(t, func(t *testing.T, seed uint64) {
		w := newSimulation(t, seed, 3, 12)
		w.pass(20 * time.Second)
		w.servers[2].dead = true
		w.pass(5 * time.Second)
		if w.refused > 24 { // calls in progress, and those before the first refusal
			t.Errorf("got %d calls lost to a dead node, want at most 24", w.refused)
		}
		w.servers[2].dead = false
		w.pass(1100 * time.Millisecond) // until the next check
		if share := w.shares(w.pass(time.Second))["n2"]; share == 0 || share > 0.22 {
			t.Errorf("a node that is back has %.2f of the calls in its first second", share)
		}
		w.pass(10 * time.Second)
		if got := spread(w.shares(w.play(30_000))); got > 0.2 {
			t.Errorf("after its return (max − min) / mean = %.2f", got)
		}
	})
}

// TestSimulation_NodeBreaksCalls_IsEjectedLonger checks a node whose checks succeed while its calls break.
func TestSimulation_NodeBreaksCalls_IsEjectedLonger(t *testing.T) {
	t.Parallel()
	seeds(t, func(t *testing.T, seed uint64) {
		w := newSimulation(t, seed, 3, 4)
		w.pass(20 * time.Second)
		w.servers[0].breaks = true
		w.pass(time.Minute)
		if w.refused > 20 { // five in a row until it is ejected, then one for each of five or six trials
			t.Errorf("%d calls were broken within a minute", w.refused)
		}
		w.servers[0].breaks = false
		w.pass(80 * time.Second)
		if got := spread(w.shares(w.play(30_000))); got > 0.2 {
			t.Errorf("after it was mended (max − min) / mean = %.2f", got)
		}
	})
}

// TestSimulation_RandomFaults_EndAsBefore mixes crashes, restarts and slowness. There must always be a node, no slot may leak,
// and the shares must be equal at the end.
func TestSimulation_RandomFaults_EndAsBefore(t *testing.T) {
	t.Parallel()
	seeds(t, func(t *testing.T, seed uint64) {
		w := newSimulation(t, seed, 5, 10)
		for range 60 {
			s := w.servers[w.random.IntN(len(w.servers))]
			switch w.random.IntN(4) {
			case 0:
				s.dead = !s.dead
			case 1:
				s.breaks = !s.breaks
			case 2:
				s.slow = 1 + 9*w.random.Float64()
			case 3:
				w.list()
			}
			w.pass(time.Duration(w.random.Int64N(int64(3 * time.Second))))
		}
		for _, s := range w.servers {
			s.dead = false
			s.breaks = false
			s.slow = 1
		}
		w.pass(2 * time.Minute)
		under := 0
		for _, n := range w.b.Nodes() {
			under += n.slots()
			if n.state != Up {
				t.Errorf("%s is %s", n.ID, n.state)
			}
		}
		if under > w.callers {
			t.Errorf("%d slots for %d callers", under, w.callers)
		}
		if got := spread(w.shares(w.play(30_000))); got > 0.2 {
			t.Errorf("at the end (max − min) / mean = %.2f", got)
		}
	})
}
