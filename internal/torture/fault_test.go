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

// recordingProcess is a process that records the operations on it.
type recordingProcess struct{ done []string }

func (s *recordingProcess) did(what string) error         { s.done = append(s.done, what); return nil }
func (s *recordingProcess) Kill() error                   { return s.did("kill") }
func (s *recordingProcess) Pause() error                  { return s.did("pause") }
func (s *recordingProcess) Resume() error                 { return s.did("resume") }
func (s *recordingProcess) Restart(context.Context) error { return s.did("restart") }

// TestFaultScheduler_OnePass_InjectsEachFaultOnce also checks that equal seeds give equal orders.
func TestFaultScheduler_OnePass_InjectsEachFaultOnce(t *testing.T) {
	t.Parallel()
	f := &fleet{nodes: []*target{newTarget(1, nodeproc.Config{}), newTarget(2, nodeproc.Config{})}}
	faults := f.faults()
	deal := func(seed uint64) (order []*fault, kills int) {
		dealer := &faultScheduler{random: rand.New(rand.NewPCG(seed, 1)), faults: faults}
		for range 2 * len(faults) {
			order = append(order, dealer.next())
		}
		return order, dealer.kills
	}
	first, kills := deal(1)
	again, _ := deal(1)
	other, _ := deal(2)
	if kills != 8 || !slices.Equal(first, again) || slices.Equal(first, other) {
		t.Errorf("kills: got %d, want 8; equal order with the same seed: got %t, want true; with another seed: got %t, want false", kills, slices.Equal(first, again), slices.Equal(first, other))
	}
	for _, f := range faults {
		for _, pass := range [][]*fault{first[:len(faults)], first[len(faults):]} {
			if !slices.Contains(pass, f) {
				t.Errorf("pass has no fault of %s", f.part)
			}
		}
	}
}

// TestFaultOccurrence_Pause_ResumesOrRestarts also covers a run that is already over. Some pauses end with a kill.
func TestFaultOccurrence_Pause_ResumesOrRestarts(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	seen := map[string]bool{}
	for seed := range uint64(6) {
		for _, ctx := range []context.Context{t.Context(), over} {
			p := &recordingProcess{}
			for _, f := range ofProcess("it", p, 0, 1) {
				err := (&faultOccurrence{f, s.round, rand.New(rand.NewPCG(seed, 1))}).run(ctx)
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
