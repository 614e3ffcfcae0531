package torture

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// script is a process that remembers what was done to it.
type script struct{ done []string }

func (s *script) did(what string) error         { s.done = append(s.done, what); return nil }
func (s *script) Kill() error                   { return s.did("kill") }
func (s *script) Pause() error                  { return s.did("pause") }
func (s *script) Resume() error                 { return s.did("resume") }
func (s *script) Restart(context.Context) error { return s.did("restart") }

// TestEveryFaultOfAPassIsDealtOnce, and by the same seed in the same order.
func TestEveryFaultOfAPassIsDealtOnce(t *testing.T) {
	t.Parallel()
	f := &fleet{nodes: []*target{newTarget(1, nodeproc.Config{}), newTarget(2, nodeproc.Config{})}}
	faults := f.faults()
	deal := func(seed uint64) (order []*fault, kills int) {
		dealer := &torment{random: rand.New(rand.NewPCG(seed, 1)), faults: faults}
		for range 2 * len(faults) {
			order = append(order, dealer.deal())
		}
		return order, dealer.kills
	}
	first, kills := deal(1)
	again, _ := deal(1)
	other, _ := deal(2)
	if kills != 8 || !slices.Equal(first, again) || slices.Equal(first, other) {
		t.Errorf("%d kills; the same again: %t, with another seed: %t", kills, slices.Equal(first, again), slices.Equal(first, other))
	}
	for _, f := range faults {
		for _, pass := range [][]*fault{first[:len(faults)], first[len(faults):]} {
			if !slices.Contains(pass, f) {
				t.Errorf("a pass lacks a fault of %s", f.part)
			}
		}
	}
}

// TestWhatIsDoneToAProcessIsUndone, also when the run is over: some pauses end with a kill.
func TestWhatIsDoneToAProcessIsUndone(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	seen := map[string]bool{}
	for seed := range uint64(6) {
		for _, ctx := range []context.Context{t.Context(), over} {
			p := &script{}
			for _, f := range ofProcess("it", p, 0, 1) {
				err := (&strike{f, s.round, rand.New(rand.NewPCG(seed, 1))}).run(ctx)
				if (err != nil) != (ctx == over) || err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("%v", err)
				}
			}
			seen[strings.Join(p.done, " ")] = true
		}
	}
	if len(seen) != 2 || !seen["pause resume"] || !seen["pause kill restart"] {
		t.Errorf("%v", seen)
	}
}
