package balance

import (
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// The tests below simulate equal nodes on one busy machine for ten seconds, with 90,000 calls of 300 callers: their commits pause,
// more at one node than at another, their reports vary near full load, and they refuse calls while they pause.
var unevenness = map[string]func(w *simulation){
	"nothing":       func(*simulation) {},
	"one pause":     func(w *simulation) { w.pauseAt(2*time.Second, w.servers[1], 400*time.Millisecond) },
	"three pauses":  func(w *simulation) { w.pauses(w.servers[1], 3*time.Second, 500*time.Millisecond, 3) },
	"short pauses":  func(w *simulation) { w.pauses(w.servers[1], 700*time.Millisecond, 80*time.Millisecond, 14) },
	"reports swing": func(w *simulation) { w.swing() },
	"one report is high": func(w *simulation) {
		w.servers[0].report, w.servers[2].report = constant(0.82), constant(0.82)
		w.servers[1].report = constant(0.97)
	},
	"refusals in a pause": func(w *simulation) {
		w.servers[1].sheds = true
		w.pauseAt(2*time.Second, w.servers[1], 200*time.Millisecond)
	},
	"pauses and reports": func(w *simulation) {
		w.swing()
		w.pauses(w.servers[1], 2*time.Second, 300*time.Millisecond, 5)
	},
}

func constant(load float64) func() float64 { return func() float64 { return load } }

// TestBalancer_EqualNodesWithPauses_GetEqualShares checks that a node regains within ten seconds what it loses in a pause.
func TestBalancer_EqualNodesWithPauses_GetEqualShares(t *testing.T) {
	t.Parallel()
	for name, happens := range unevenness {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seeds(t, func(t *testing.T, seed uint64) {
				w := newSimulation(t, seed, 3, 0)
				for _, s := range w.servers {
					s.workers = 30
				}
				for range 300 {
					w.call()
				}
				w.pass(12 * time.Second) // they have grown
				happens(w)
				shares := w.shares(w.play(90_000))
				if got := spread(shares); got > 0.15 {
					t.Errorf("(max − min) / mean = %.3f of %v", got, shares)
				}
			})
		})
	}
}

// pauseAt makes a server finish no calls for a while.
func (w *simulation) pauseAt(in time.Duration, s *server, lasts time.Duration) {
	w.after(in, func() { s.pausedUntil = w.now.Add(lasts) })
}

func (w *simulation) pauses(s *server, every, last time.Duration, n int) {
	for i := range n {
		w.pauseAt(time.Duration(i+1)*every-every/2, s, last)
	}
}

// swing makes every report vary between 0.7 and 1.
func (w *simulation) swing() {
	for _, s := range w.servers {
		load := 0.85
		s.report = func() float64 {
			load = min(1, max(0.7, load+(w.random.Float64()-0.5)*0.2))
			return load
		}
	}
}

// word returns the report of a server.
func (s *server) word() *membership.Node {
	if s.report != nil {
		return &membership.Node{ID: s.id, Load: s.report()}
	}
	return &membership.Node{ID: s.id, Load: min(1, float64(s.busy)/float64(s.workers)+s.reports)}
}
