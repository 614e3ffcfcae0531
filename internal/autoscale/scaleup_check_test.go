package autoscale_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/autoscale"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// instantPolicy returns a policy that uses only the last observation and changes the number at once.
func instantPolicy() autoscale.Policy {
	p := autoscale.Default()
	p.Max = 100
	p.Rules[0].Window = 0
	p.Up.Cooldown = 0
	p.Up.Step = 1
	p.Up.Percent = 0
	p.Down.StabilizationWindow, p.Down.Cooldown = 0, 0
	return p
}

// repeatDecide repeats the same observation, executes the steps, and returns the last decision.
func repeatDecide(s *autoscale.State, p *autoscale.Policy, o *autoscale.Observation, from, to time.Duration) autoscale.Decision {
	var d autoscale.Decision
	for now := from; now <= to; now += tick {
		if d = s.Decide(p, o, at(now)); d.Changes() {
			s.Moved(&d)
			return d
		}
	}
	return d
}

// TestScaleUpCheck_EffectiveStep_ClearsTheRecord: a step is effective if it brought the metric half of the way, or away from full.
func TestScaleUpCheck_EffectiveStep_ClearsTheRecord(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after float64 // load of two nodes, then of three
		useless       int
	}{
		"half of the way":         {0.9, 0.74, 0},
		"less":                    {0.9, 0.76, 2},
		"from full, away from it": {1, 0.89, 0},
		"from full, hardly":       {1, 0.91, 2},
	} {
		p, s := instantPolicy(), autoscale.State{IneffectiveSteps: 1}
		p.MaxIneffectiveSteps = 5
		p.Rules[0].Target = 0.5 // asks for more whatever the effect of a step
		if d := repeatDecide(&s, &p, loads(c.before, c.before), 0, tick); d.To != 3 {
			t.Fatalf("%s: %s", name, d.Why)
		}
		s.Decide(&p, loads(c.after, c.after, c.after), at(2*tick))
		s.Decide(&p, loads(c.after, c.after, c.after), at(3*tick))
		if s.IneffectiveSteps != c.useless {
			t.Errorf("%s: %d steps did not help, want %d", name, s.IneffectiveSteps, c.useless)
		}
	}
}

func TestScaleUpCheck_NothingAskedFor_ClearsGaveUp(t *testing.T) {
	t.Parallel()
	p, s := instantPolicy(), autoscale.State{IneffectiveSteps: 2, GaveUpAt: at(0), GaveUps: 3}
	if d := repeatDecide(&s, &p, loads(0.9, 0.9), tick, tick); d.Reason != autoscale.GaveUp {
		t.Fatal(d.Why)
	}
	s.Decide(&p, loads(0.5, 0.5), at(2*tick))
	if s.IneffectiveSteps != 0 || !s.GaveUpAt.IsZero() || s.GaveUps != 0 {
		t.Errorf("%+v", s)
	}
}

func TestScaleUpCheck_GaveUpOften_RetriesDaily(t *testing.T) {
	t.Parallel()
	p, s := instantPolicy(), autoscale.State{IneffectiveSteps: 2, GaveUpAt: at(0), GaveUps: 1000}
	if d := repeatDecide(&s, &p, loads(0.9, 0.9), 24*time.Hour-2*tick, 24*time.Hour-tick); d.Reason != autoscale.GaveUp {
		t.Fatal(d.Why)
	}
	if d := repeatDecide(&s, &p, loads(0.9, 0.9), 24*time.Hour, 24*time.Hour); d.Reason != autoscale.Rising {
		t.Error(d.Why)
	}
}

func TestScaleUpCheck_StepDown_EndsTheCheck(t *testing.T) {
	t.Parallel()
	p, s := instantPolicy(), autoscale.State{}
	p.MaxIneffectiveSteps = 1
	repeatDecide(&s, &p, loads(0.9, 0.9), 0, tick)
	if d := repeatDecide(&s, &p, loads(0.1, 0.1, 0.1), 2*tick, 2*tick); d.To != 2 {
		t.Fatal(d.Why)
	}
	if d := repeatDecide(&s, &p, loads(0.9, 0.9), 3*tick, 4*tick); d.To != 3 {
		t.Errorf("%s: %s", d.Reason, d.Why)
	}
}

func TestScaleUpCheck_MetricChanges_RestartsWithNewMetric(t *testing.T) {
	t.Parallel()
	p, s := instantPolicy(), autoscale.State{}
	p.MaxIneffectiveSteps = 5
	p.Rules = append(p.Rules, autoscale.Rule{Metric: autoscale.Connections, Target: 100})
	seen := func(load float64, connections, n int) *autoscale.Observation {
		values := make([]float64, n)
		for i := range values {
			values[i] = load
		}
		return with(loads(values...), func(o *autoscale.Observation) {
			for i := range o.Nodes {
				o.Nodes[i].Connections = connections
			}
		})
	}
	repeatDecide(&s, &p, seen(0.9, 50, 2), 0, tick)
	if d := repeatDecide(&s, &p, seen(0.5, 150, 3), 2*tick, 2*tick); d.To != 4 || !strings.Contains(d.Why, "connections") {
		t.Fatal(d.Why)
	}
	s.Decide(&p, seen(0.4, 150, 4), at(3*tick))
	s.Decide(&p, seen(0.4, 150, 4), at(4*tick))
	if s.IneffectiveSteps != 2 {
		t.Errorf("connections have not fallen through two steps, %d of them are known", s.IneffectiveSteps)
	}
}

// missing returns an observation in which one node reports an invalid value.
func missing(values ...float64) *autoscale.Observation {
	return with(loads(values...), func(o *autoscale.Observation) {
		o.Current++
		o.Nodes = append(o.Nodes, membership.Node{ID: "gone", Load: math.NaN()})
	})
}

// TestScaleUpCheck_LostNode_IsNotCounted: it counts neither among the existing nor among the new nodes.
func TestScaleUpCheck_LostNode_IsNotCounted(t *testing.T) {
	t.Parallel()
	p, s := instantPolicy(), autoscale.State{}
	p.MaxIneffectiveSteps = 1
	p.Rules[0].Target = 0.7
	d := repeatDecide(&s, &p, missing(0.9, 0.9), 0, 5*time.Minute)
	if d.From != 3 || d.To != 4 {
		t.Fatal(d.Why)
	}
	now := d.At.Sub(at(0))
	repeatDecide(&s, &p, missing(0.94, 0.94, 0.94), now+tick, now+3*tick)
	if s.IneffectiveSteps != 1 {
		t.Error("a step that did not help is not noticed beside a node that is lost")
	}
}

// TestScaleUpCheck_StartingNodes_AreNotLost holds, even if another node has been lost for long: no further nodes are asked for.
func TestScaleUpCheck_StartingNodes_AreNotLost(t *testing.T) {
	t.Parallel()
	p, s := instantPolicy(), autoscale.State{}
	d := repeatDecide(&s, &p, missing(0.9, 0.9), 0, 5*time.Minute)
	if d.To != 4 {
		t.Fatal(d.Why)
	}
	o := with(missing(0.9, 0.9), func(o *autoscale.Observation) { o.Current = 4 })
	now := d.At.Sub(at(0))
	if d = repeatDecide(&s, &p, o, now+tick, now+time.Minute); d.Reason != autoscale.Starting {
		t.Errorf("%s: %s", d.Reason, d.Why)
	}
}

// TestScaleUpCheck_AfterGap_StartsFromScratch: loads, lost nodes and running checks from before the gap do not count.
func TestScaleUpCheck_AfterGap_StartsFromScratch(t *testing.T) {
	t.Parallel()
	p, s := autoscale.Default(), autoscale.State{}
	repeatDecide(&s, &p, loads(0.7, 0.7), 0, time.Minute)
	s.ResetObservations()
	if d := s.Decide(&p, loads(0.1, 0.1), at(time.Minute+20*time.Second)); !strings.Contains(d.Why, "load 0.10") {
		t.Error(d.Why)
	}
	s.ResetObservations()
	if d := s.Decide(&p, missing(0.9, 0.9), at(10*time.Minute)); strings.Contains(d.Why, "does not report") {
		t.Error(d.Why)
	}
	p, s = instantPolicy(), autoscale.State{}
	p.Rules[0].Window = 30 * time.Second
	repeatDecide(&s, &p, loads(0.9, 0.9), 0, tick)
	s.Decide(&p, loads(0.9, 0.9, 0.9), at(2*tick))
	s.ResetObservations()
	if s.Decide(&p, loads(0.9, 0.9, 0.9), at(10*time.Minute)); s.IneffectiveSteps != 0 {
		t.Error("a step is judged by one look")
	}
}

func TestDecide_SeveralRules_EachUsesItsWindow(t *testing.T) {
	t.Parallel()
	load, phones := autoscale.Rule{Metric: autoscale.Load, Target: 0.8, Window: 30 * time.Second}, autoscale.Rule{Metric: autoscale.Connections, Target: 100}
	for _, rules := range [][]autoscale.Rule{{load, phones}, {phones, load}} {
		p, s := instantPolicy(), autoscale.State{}
		p.Rules, p.Down.StabilizationWindow = rules, 5*time.Minute
		repeatDecide(&s, &p, loads(0.5, 0.5), 0, time.Minute)
		if d := s.Decide(&p, loads(2, 2), at(time.Minute+tick)); d.Changes() {
			t.Errorf("by one look: %s", d.Why)
		}
	}
}
