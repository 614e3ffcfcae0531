package autoscale_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/autoscale"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// loads returns an observation of nodes with the given loads, all started by the target; the last one is removed first.
func loads(values ...float64) *autoscale.Observation {
	o := &autoscale.Observation{Current: len(values)}
	for i, v := range values {
		o.Nodes = append(o.Nodes, membership.Node{ID: membership.NodeID(fmt.Sprint("n", i)), Load: v})
		o.RemovalOrder = append([]membership.NodeID{o.Nodes[i].ID}, o.RemovalOrder...)
	}
	return o
}

// with applies change to an observation and returns it.
func with(o *autoscale.Observation, change func(*autoscale.Observation)) *autoscale.Observation {
	change(o)
	return o
}

// settled returns a state that has seen the observation for so long that no window or cooldown is pending.
func settled(p *autoscale.Policy, o *autoscale.Observation) (*autoscale.State, time.Duration) {
	var s autoscale.State
	now := time.Duration(0)
	for ; now <= p.Down.StabilizationWindow; now += tick {
		s.Decide(p, o, at(now))
	}
	return &s, now
}

func TestDecide_Table(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		policy string
		seen   *autoscale.Observation
		to     int
		reason autoscale.Reason
		why    string
	}{
		"right":                 {"", loads(0.7, 0.7), 2, autoscale.Steady, "2 nodes at load 0.70 over 30s (target 0.80): the number is right"},
		"just above 80 %":       {"", loads(0.81, 0.81), 3, autoscale.Rising, "2 nodes at load 0.81 over 30s (target 0.80) ask for 3"},
		"at 80 %":               {"", loads(0.8, 0.8, 0.8), 3, autoscale.Steady, "right"},
		"one":                   {"", loads(0.9), 2, autoscale.Rising, "1 node at load 0.90 over 30s (target 0.80) asks for 2"},
		"tolerated":             {"up: {tolerance: 0.1}", loads(0.87, 0.87), 2, autoscale.Steady, "right"},
		"full":                  {"max: 20", loads(1, 1, 1), 7, autoscale.Rising, "3 nodes full (load 1.00, target 0.80) ask for 7"},
		"more than the max":     {"max: 3", loads(1, 1), 3, autoscale.Rising, "2 nodes full (load 1.00, target 0.80) ask for 6; the policy allows 3"},
		"more than a step":      {"up: {step: 1, percent: 0}\nmetrics: [{metric: load, target: 0.5}]", loads(0.9, 0.9), 3, autoscale.Rising, "ask for 4; 1 more is enough for one step"},
		"at the policy's max":   {"max: 2", loads(0.9, 0.9), 2, autoscale.AtMax, "ask for 3; the policy allows 2"},
		"less":                  {"", loads(0.3, 0.3, 0.3), 2, autoscale.Falling, "3 nodes at load 0.30 over 30s (target 0.80); 2 would do, with room, for all of the last 5m"},
		"one at a time":         {"", loads(0, 0, 0, 0, 0), 4, autoscale.Falling, "1 would do"},
		"no room":               {"", loads(0.5, 0.5, 0.5), 3, autoscale.Steady, "right"}, // 1.5 on two nodes is 0.75: below the target, but not by a tenth
		"at the policy's min":   {"min: 3", loads(0, 0, 0), 3, autoscale.Steady, "right"},
		"below min":             {"min: 3", loads(0), 3, autoscale.BelowMin, "1 node; the policy wants at least 3"},
		"above max":             {"max: 2", loads(0.6, 0.6, 0.6), 2, autoscale.AboveMax, "3 nodes; the policy allows 2"},
		"above max, a spill":    {"max: 2", with(loads(0.6, 0.6, 0.6), func(o *autoscale.Observation) { o.Nodes[2].Spilled = 7 }), 3, autoscale.Spilled, "3 nodes; the policy allows 2; n2 has 7"},
		"less, at once":         {"down: {stabilizationWindow: 0s}", loads(0.3, 0.3, 0.3), 2, autoscale.Falling, "(target 0.80); 2 would do, with room\""},
		"nobody reports":        {"", &autoscale.Observation{Current: 2}, 2, autoscale.NoData, "no node reports"},
		"no registry":           {"", &autoscale.Observation{Current: 2, Unknown: errors.New("Redis is away")}, 2, autoscale.NoData, "Redis is away"},
		"an old list":           {"", with(loads(0.9, 0.9), func(o *autoscale.Observation) { o.Unknown = errors.New("Redis is away") }), 2, autoscale.NoData, "Redis is away"},
		"no registry, below":    {"min: 3", &autoscale.Observation{Current: 2, Unknown: errors.New("Redis is away")}, 3, autoscale.BelowMin, "at least 3"},
		"one drains":            {"", with(loads(0.1, 0.1), func(o *autoscale.Observation) { o.Nodes[1].Draining = true }), 2, autoscale.Incomplete, "1 of 2 nodes report"},
		"nonsense":              {"", with(loads(0.1, 0.1), func(o *autoscale.Observation) { o.Nodes[1].Load = math.Inf(1) }), 2, autoscale.Incomplete, "1 of 2 nodes report"},
		"some nonsense":         {"metrics: [{metric: load, target: 0.8}, {metric: connections, target: 100}]", with(loads(0.1, 0.1), func(o *autoscale.Observation) { o.Nodes[1].Load = math.NaN() }), 2, autoscale.Incomplete, "1 of 2 nodes report"},
		"beyond all bounds":     {"", loads(1e300, 0.1), 6, autoscale.Rising, "ask for 1000"},
		"more than full":        {"max: 20", loads(3, 3), 6, autoscale.Rising, "ask for 8; 4 more are enough for one step"},
		"full, by moments":      {"max: 20\nmetrics: [{metric: load, target: 0.8, window: 0s}]", loads(1, 1, 1), 7, autoscale.Rising, "3 nodes full"},
		"full, by another rule": {"metrics: [{metric: connections, target: 100}]", with(loads(1, 1), func(o *autoscale.Observation) { o.Nodes[0].Connections = 190 }), 2, autoscale.Steady, "right"},
		"a part of a node":      {"max: 20\nup: {step: 0, percent: 50}", loads(1, 1, 1), 5, autoscale.Rising, "ask for 5"},
		"missing and full": {"", with(loads(1, 1), func(o *autoscale.Observation) {
			o.Current = 3
			o.Nodes = append(o.Nodes, membership.Node{Load: math.NaN()})
		}), 7, autoscale.Rising, "2 nodes full"},
		"right in floats": {"metrics: [{metric: load, target: 0.1, window: 0s}]", loads(0.1, 0.1, 0.1), 3, autoscale.Steady, "right"},
		"up in floats":    {"metrics: [{metric: load, target: 0.1}]", loads(0.1, 0.2), 3, autoscale.Rising, "ask for 3"},
		"down in floats":  {"metrics: [{metric: load, target: 0.1}]\ndown: {tolerance: 0}", loads(0.1, 0.1, 0.1, 0), 3, autoscale.Falling, "3 would do"},
		"one missing":     {"", with(loads(0.1, 0.1), func(o *autoscale.Observation) { o.Current = 3 }), 3, autoscale.Incomplete, "2 of 3 nodes report; none is taken away"},
		"missing and busy": {"", with(loads(0.9, 0.9), func(o *autoscale.Observation) {
			o.Current = 3
			o.Nodes = append(o.Nodes, membership.Node{Load: math.NaN()})
		}), 4, autoscale.Rising, "2 nodes at load 0.90 over 30s (target 0.80) ask for 4; 1 more does not report"},
		"missing and max":      {"max: 2", with(loads(0.1, 0.1), func(o *autoscale.Observation) { o.Current = 3 }), 3, autoscale.Incomplete, "2 of 3"},
		"the last has a spill": {"", with(loads(0.1, 0.1, 0.1), func(o *autoscale.Observation) { o.Nodes[2].Spilled = 7 }), 3, autoscale.Spilled, "n2 has 7 accepted messages on its own disk"},
		"another has":          {"", with(loads(0.1, 0.1, 0.1), func(o *autoscale.Observation) { o.Nodes[0].Spilled = 7 }), 2, autoscale.Falling, "would do"},
		"who leaves is unknown": {"", with(loads(0.1, 0.1, 0.1), func(o *autoscale.Observation) {
			o.Nodes[0].Spilled = 7
			o.Opaque = true
		}), 3, autoscale.Spilled, "n0 has 7"},
		"two, the second has": {"down: {step: 2}", with(loads(0.1, 0.1, 0.1, 0.1), func(o *autoscale.Observation) { o.Nodes[2].Spilled = 7 }), 3, autoscale.Falling, "would do"},
		"none is ours":        {"", with(loads(0.1, 0.1), func(o *autoscale.Observation) { o.RemovalOrder = nil }), 2, autoscale.NotOurs, "not started here"},
		"another name":        {"", with(loads(0.1, 0.1, 0.1), func(o *autoscale.Observation) { o.Nodes[2].ID = "x" }), 3, autoscale.Incomplete, "n2 is the next to go and does not report"},
		"one that drains": {"", with(loads(0.8, 0.8, 0.4), func(o *autoscale.Observation) {
			o.Nodes[2].Draining = true
			o.Current = 2
		}), 3, autoscale.Rising, "ask for 3"},
		"the highest counts": {"metrics: [{metric: load, target: 0.8}, {metric: connections, target: 100}]", with(loads(0.1, 0.1), func(o *autoscale.Observation) { o.Nodes[0].Connections = 410 }), 5, autoscale.Rising, "2 nodes with 205 connections each over 30s (target 100) ask for 5"},
		"all must agree":     {"metrics: [{metric: load, target: 0.8}, {metric: waiting, target: 100}]", with(loads(0.1, 0.1), func(o *autoscale.Observation) { o.Nodes[0].Waiting = 150 }), 2, autoscale.Steady, "right"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := autoscale.ParsePolicy([]byte(c.policy))
			if err != nil {
				t.Fatal(err)
			}
			s, now := settled(&p, c.seen)
			d := s.Decide(&p, c.seen, at(now))
			if d.From != c.seen.Current || d.To != c.to || d.Reason != c.reason || !strings.Contains(`"`+d.Why+`"`, c.why) {
				t.Errorf("%d → %d, %s: %q\nwant %d → %d, %s: …%q…", d.From, d.To, d.Reason, d.Why, c.seen.Current, c.to, c.reason, c.why)
			}
		})
	}
}

// TestDecide_FirstObservation_ExplainsTheWait: the explanation must not refer to a time in which nothing was observed.
func TestDecide_FirstObservation_ExplainsTheWait(t *testing.T) {
	t.Parallel()
	p := autoscale.Default()
	p.Down.StabilizationWindow = 0
	for _, load := range []float64{0.9, 0.1} {
		var s autoscale.State
		if d := s.Decide(&p, loads(load, load), at(0)); d.Changes() || d.Reason != autoscale.Stabilising || !strings.HasSuffix(d.Why, "it is looked at once more first") {
			t.Errorf("%s: %s", d.Reason, d.Why)
		}
	}
}

// TestDecide_AfterElection_WaitsWholeWindow: after an election nothing is removed before a whole stabilization window has passed.
func TestDecide_AfterElection_WaitsWholeWindow(t *testing.T) {
	t.Parallel()
	p := autoscale.Default()
	var s autoscale.State
	for now := time.Duration(0); now < p.Down.StabilizationWindow; now += tick {
		if d := s.Decide(&p, loads(0, 0), at(now)); d.Changes() {
			t.Fatalf("%s: %s", now, d.Why)
		}
	}
}

func TestDecide_OneBusyObservation_PreventsStepDown(t *testing.T) {
	t.Parallel()
	p := autoscale.Default()
	var s autoscale.State
	var first time.Duration
	for now := time.Duration(0); now < 20*time.Minute && first == 0; now += tick {
		o := loads(0.1, 0.1)
		if now == 4*time.Minute {
			o = loads(1, 1) // two more such observations would count as full nodes
			p.Rules[0].Window = 0
		}
		if d := s.Decide(&p, o, at(now)); d.To < d.From {
			first = now
		}
	}
	if want := 4*time.Minute + p.Down.StabilizationWindow; first <= want {
		t.Errorf("taken away after %s, want later than %s", first, want)
	}
}

// TestDecide_AfterObservationGap_RestartsTheWindow: the load during the gap is unknown.
func TestDecide_AfterObservationGap_RestartsTheWindow(t *testing.T) {
	t.Parallel()
	p := autoscale.Default()
	var s autoscale.State
	var first time.Duration
	for now := time.Duration(0); now < 20*time.Minute && first == 0; now += tick {
		o := loads(0.1, 0.1)
		if now >= 4*time.Minute && now <= 6*time.Minute {
			o = &autoscale.Observation{Current: 2, Unknown: errors.New("Redis is away")}
		}
		if d := s.Decide(&p, o, at(now)); d.To < d.From {
			first = now
		}
	}
	if want := 6*time.Minute + p.Down.StabilizationWindow; first <= want {
		t.Errorf("taken away after %s, want later than %s", first, want)
	}
}

func TestDecide_StepUp_NeedsTheWholeWindow(t *testing.T) {
	t.Parallel()
	p := autoscale.Default()
	p.Up.StabilizationWindow, p.Rules[0].Window = time.Minute, 0
	var s autoscale.State
	for now := time.Duration(0); now <= time.Minute; now += tick {
		if d := s.Decide(&p, loads(0.9, 0.9), at(now)); d.Changes() || d.Reason != autoscale.Stabilising {
			t.Fatalf("%s: %s %s", now, d.Reason, d.Why)
		}
	}
	if d := s.Decide(&p, loads(0.9, 0.9), at(time.Minute+tick)); d.To != 3 {
		t.Errorf("%s %s", d.Reason, d.Why)
	}
}

// TestDecide_StepUp_UsesTheLowestRecommendation: a step goes to the number that was recommended throughout the window, even if more
// is asked for now.
func TestDecide_StepUp_UsesTheLowestRecommendation(t *testing.T) {
	t.Parallel()
	p := autoscale.Default()
	p.Max = 20
	p.Up.StabilizationWindow = time.Minute
	p.Rules[0].Window = 0
	var s autoscale.State
	for now := time.Duration(0); now <= time.Minute; now += tick {
		s.Decide(&p, loads(0.9, 0.9), at(now))
	}
	d := s.Decide(&p, loads(2, 2), at(time.Minute+tick))
	if want := "ask for 5; 3 were asked for all of the last 1m"; d.To != 3 || !strings.HasSuffix(d.Why, want) {
		t.Errorf("%d → %d: %s, want …%s", d.From, d.To, d.Why, want)
	}
}

func TestDecide_Cooldown_DelaysTheStep(t *testing.T) {
	t.Parallel()
	p := autoscale.Default()
	p.Up.Cooldown = time.Minute
	p.Rules[0].Window = 0
	p.Up.Step = 1
	p.Up.Percent = 0
	var s autoscale.State
	busy := loads(0.9, 0.9, 0.9, 0.9)
	up := s.Decide(&p, busy, at(0))
	s.Moved(&up)
	busy = loads(0.9, 0.9, 0.9, 0.9, 0.9)
	if d := s.Decide(&p, busy, at(30*time.Second)); d.Reason != autoscale.Cooling || !strings.Contains(d.Why, "not before") {
		t.Errorf("half a minute after a step: %s %s", d.Reason, d.Why)
	}
	if d := s.Decide(&p, busy, at(time.Minute)); d.To != 6 {
		t.Errorf("a minute after a step: %s %s", d.Reason, d.Why)
	}
	p.Down.StabilizationWindow, p.Down.Cooldown = 0, time.Minute
	s = autoscale.State{LastChange: at(0)}
	s.Decide(&p, loads(0, 0), at(tick))
	if d := s.Decide(&p, loads(0, 0), at(time.Minute-tick)); d.Reason != autoscale.Cooling {
		t.Errorf("less than a minute after a change: %s %s", d.Reason, d.Why)
	}
	if d := s.Decide(&p, loads(0, 0), at(time.Minute)); d.To != 1 {
		t.Errorf("a minute after a change: %s %s", d.Reason, d.Why)
	}
}

// TestDecide_IneffectiveSteps_GivesUp covers a metric that two steps did not lower, and one that they did.
func TestDecide_IneffectiveSteps_GivesUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		load func(nodes int) float64
		want autoscale.Reason
	}{
		"it does not fall": {func(int) float64 { return 0.85 }, autoscale.GaveUp},
		"it falls":         {func(n int) float64 { return 1.7 / float64(n) }, autoscale.Steady},
	} {
		p := autoscale.Default()
		var s autoscale.State
		n := 2
		now := time.Duration(0)
		moves := 0
		var d autoscale.Decision
		for ; now < 5*time.Minute; now += tick {
			seen := make([]float64, n)
			for i := range seen {
				seen[i] = c.load(n)
			}
			if d = s.Decide(&p, loads(seen...), at(now)); d.Changes() {
				moves, n = moves+1, d.To
				s.Moved(&d)
			}
		}
		if d.Reason != c.want || moves > p.MaxIneffectiveSteps {
			t.Errorf("%s: %d steps, %s: %s", name, moves, d.Reason, d.Why)
		}
		if c.want == autoscale.GaveUp && !strings.Contains(d.Why, "has not fallen through 2 steps up: more nodes are not what is missing; tried again at ") {
			t.Errorf("it does not say so: %s", d.Why)
		}
	}
}

// TestDecide_Overload_KeepsScalingWhileItHelps: the metric falls with each step and stays above full for a long time.
func TestDecide_Overload_KeepsScalingWhileItHelps(t *testing.T) {
	t.Parallel()
	p := autoscale.Default()
	p.Max = 40
	var s autoscale.State
	n := 2
	for now := time.Duration(0); now < 5*time.Minute; now += tick {
		seen := make([]float64, n)
		for i := range seen {
			seen[i] = 24 / float64(n)
		}
		if d := s.Decide(&p, loads(seen...), at(now)); d.Changes() {
			n = d.To
			s.Moved(&d)
		}
	}
	if n < 30 {
		t.Errorf("%d nodes after five minutes with 24 nodes' worth of load", n)
	}
}

// TestDecide_GaveUp_RetriesWithBackoff leaves the metric unchanged for a day.
func TestDecide_GaveUp_RetriesWithBackoff(t *testing.T) {
	t.Parallel()
	p := autoscale.Default()
	p.Max = 1000
	var s autoscale.State
	n, moves := 2, []time.Duration(nil)
	for now := time.Duration(0); now < 24*time.Hour; now += tick {
		seen := make([]float64, n)
		for i := range seen {
			seen[i] = 0.85
		}
		if d := s.Decide(&p, loads(seen...), at(now)); d.Changes() {
			moves, n = append(moves, now), d.To
			s.Moved(&d)
		}
	}
	for i := 3; i < len(moves); i++ { // the first two came before it gave up
		if moves[i]-moves[i-1] < (moves[i-1]-moves[i-2])*3/2 {
			t.Errorf("steps at %v", moves)
			break
		}
	}
	if len(moves) < 5 || len(moves) > 12 {
		t.Errorf("%d steps in a day: %v", len(moves), moves)
	}
}

// TestDecide_RandomHistory_KeepsInvariants runs random simulations with random policies; a failure prints its seed.
func TestDecide_RandomHistory_KeepsInvariants(t *testing.T) {
	t.Parallel()
	for seed := range uint64(1000) {
		if fault := checkRandomHistory(rand.New(rand.NewPCG(seed, 0))); fault != "" {
			t.Fatalf("seed %d: %s", seed, fault)
		}
	}
}

// randomPolicy returns a policy that changes often, so that four minutes show many decisions.
func randomPolicy(r *rand.Rand) autoscale.Policy {
	p := autoscale.Default()
	p.Min = 1 + r.IntN(4)
	p.Max = p.Min + r.IntN(9)
	p.Up = autoscale.StepRules{Step: 1 + r.IntN(3), Cooldown: 10 * time.Second}
	p.Down = autoscale.StepRules{StabilizationWindow: time.Duration(r.IntN(3)) * 20 * time.Second, Step: 1 + r.IntN(3), Cooldown: 15 * time.Second, Tolerance: 0.1}
	return p
}

// randomObservation returns any observation with the given expected number of nodes.
func randomObservation(r *rand.Rand, current int) *autoscale.Observation {
	seen := make([]float64, max(current+1-r.IntN(2)*r.IntN(3), 0))
	most := 1.2 * r.Float64()
	for i := range seen {
		seen[i] = most * r.Float64()
	}
	o := loads(seen...)
	o.Current = current
	if r.IntN(10) == 0 {
		o.Nodes, o.Unknown = nil, errors.New("away")
	}
	for i := range o.Nodes {
		o.Nodes[i].Spilled = max(r.IntN(7)-5, 0)
	}
	return o
}

func checkRandomHistory(r *rand.Rand) (fault string) {
	p := randomPolicy(r)
	var s autoscale.State
	current := r.IntN(15)
	lastUp := -time.Hour
	last := -time.Hour
	for now := time.Duration(0); now < 4*time.Minute; now += tick {
		o := randomObservation(r, current)
		d := s.Decide(&p, o, at(now))
		switch {
		case d.Why == "" || d.Reason == "":
			return fmt.Sprintf("no reason: %+v", d)
		case d.From != current:
			return fmt.Sprintf("from another number than %d: %+v", current, d)
		case d.To > d.From && d.Reason != autoscale.BelowMin && (d.To-d.From > p.Up.Step || d.To > p.Max || now-lastUp < p.Up.Cooldown || o.Unknown != nil):
			return fmt.Sprintf("up: %+v", d)
		case d.To < d.From && (d.From-d.To > p.Down.Step || d.To < p.Min || now-last < p.Down.Cooldown || len(o.Nodes) < current):
			return fmt.Sprintf("down with %d nodes: %+v", len(o.Nodes), d)
		case d.To < d.From && spillLeaves(o, d.From-d.To):
			return fmt.Sprintf("a spill leaves: %+v", d)
		}
		if d.To > d.From {
			lastUp = now
		}
		if d.Changes() {
			last, current = now, d.To
			s.Moved(&d)
		}
	}
	return ""
}

func spillLeaves(o *autoscale.Observation, many int) bool {
	for _, id := range o.RemovalOrder[:many] {
		for _, n := range o.Nodes {
			if n.ID == id && n.Spilled > 0 {
				return true
			}
		}
	}
	return false
}

// TestDecide_NumberChangedByOthers_StartsCooldown: an operator changed it, or a step whose target reported a failure. The cooldown
// applies as after any step, and added nodes are not removed because of earlier recommendations.
func TestDecide_NumberChangedByOthers_StartsCooldown(t *testing.T) {
	t.Parallel()
	p := autoscale.Default()
	s, now := settled(&p, loads(0.1, 0.1, 0.1))
	if d := s.Decide(&p, loads(0.1, 0.1, 0.1), at(now)); d.To != 2 {
		t.Fatalf("%s: %s", d.Reason, d.Why)
	}
	// the target has not answered, so Moved was not called, but there are two nodes
	now += tick
	if d := s.Decide(&p, loads(0.1, 0.1), at(now)); d.Changes() || d.Reason != autoscale.Cooling || !strings.Contains(d.Why, "the number changed at "+at(now).UTC().Format("15:04:05")) {
		t.Errorf("%d → %d, %s: %s", d.From, d.To, d.Reason, d.Why)
	}
	added, last := now+tick, time.Duration(0)
	for now = added; now < added+20*time.Minute && last == 0; now += tick {
		if d := s.Decide(&p, loads(0.1, 0.1, 0.1, 0.1, 0.1, 0.1), at(now)); d.Changes() {
			last = now - added
		}
	}
	if last <= p.Down.StabilizationWindow {
		t.Errorf("the first of those that were added goes after %s", last)
	}
}

// TestDecide_FutureTimes_AreClamped: the last step of another leader seems to be in the future and must not delay anything.
func TestDecide_FutureTimes_AreClamped(t *testing.T) {
	t.Parallel()
	p := autoscale.Default()
	s := autoscale.State{LastUp: at(24 * time.Hour), LastChange: at(24 * time.Hour), GaveUpAt: at(24 * time.Hour), IneffectiveSteps: 2, GaveUps: 1}
	for now := time.Duration(0); now <= p.Retry+time.Minute; now += tick {
		if d := s.Decide(&p, loads(0.9, 0.9), at(now)); d.Changes() {
			return
		}
	}
	t.Error("nothing moves")
}

// queues returns an observation of nodes with the given numbers of waiting messages.
func queues(current int, waiting ...int) *autoscale.Observation {
	o := loads(make([]float64, len(waiting))...)
	o.Current = current
	for i := range waiting {
		o.Nodes[i].Waiting = waiting[i]
	}
	return o
}

// waitingPolicy asks for one node per hundred messages.
func waitingPolicy() autoscale.Policy {
	p := autoscale.Default()
	p.Max, p.Rules = 50, []autoscale.Rule{{Metric: autoscale.Waiting, Target: 100}}
	return p
}

// TestDecide_NewNodesMissing_HoldsAndExplains: no further steps are made, because their effect cannot be seen.
func TestDecide_NewNodesMissing_HoldsAndExplains(t *testing.T) {
	t.Parallel()
	p := waitingPolicy()
	var s autoscale.State
	n, moves := 2, 0
	var d autoscale.Decision
	for now := time.Duration(0); now < 20*time.Minute; now += tick {
		if d = s.Decide(&p, queues(n, 3000, 3000), at(now)); d.Changes() {
			n, moves = d.To, moves+1
			s.Moved(&d)
		}
	}
	if moves != p.MaxIneffectiveSteps || d.Reason != autoscale.Incomplete || !strings.Contains(d.Why, fmt.Sprintf("2 of %d nodes report", n)) {
		t.Errorf("%d steps, %s: %s", moves, d.Reason, d.Why)
	}
}

// TestDecide_OneNewNodeMissing_OthersCount: the other nodes have lowered the metric.
func TestDecide_OneNewNodeMissing_OthersCount(t *testing.T) {
	t.Parallel()
	p := waitingPolicy()
	var s autoscale.State
	n := 2
	for now := time.Duration(0); now < 30*time.Minute; now += tick {
		there := make([]int, max(n-1, 2))
		for i := range there {
			there[i] = 3000 / len(there)
		}
		if d := s.Decide(&p, queues(n, there...), at(now)); d.Changes() {
			n = d.To
			s.Moved(&d)
		}
	}
	if n < 31 {
		t.Errorf("%d nodes, one of which never came, for 30 nodes' worth of messages", n)
	}
}

// TestDecide_NodeLostForLong_IsReplaced: the load of the reporting nodes counts, not the expected number.
func TestDecide_NodeLostForLong_IsReplaced(t *testing.T) {
	t.Parallel()
	for _, load := range []float64{0.9, 1} {
		p := autoscale.Default()
		s, now := settled(&p, loads(0.5, 0.5))
		begin, n := now, 2
		var moved time.Duration
		var why string
		for ; now < begin+10*time.Minute && moved == 0; now += tick {
			seen := loads(load)
			seen.Current = n
			if now > begin+time.Minute && now < begin+3*time.Minute {
				seen.Nodes, seen.Unknown = nil, errors.New("away") // a failed registry is not the fault of the node
			}
			if d := s.Decide(&p, seen, at(now)); d.Changes() {
				n = d.To
				moved = now - begin
				why = d.Why
			}
		}
		if n < 3 || moved < 5*time.Minute-tick || !strings.Contains(why, "; 1 more does not report and is not counted on") {
			t.Errorf("load %g: %d nodes after %s: %s", load, n, moved, why)
		}
	}
}

// TestDecide_AlternatingMetrics_GivesUp: two metrics take turns in asking for most nodes.
func TestDecide_AlternatingMetrics_GivesUp(t *testing.T) {
	t.Parallel()
	p := autoscale.Default()
	p.Max, p.Rules = 100, []autoscale.Rule{{Metric: autoscale.Load, Target: 0.8}, {Metric: autoscale.Waiting, Target: 80}}
	p.Up.Step = 1
	p.Up.Percent = 0
	p.Up.Cooldown = tick
	var s autoscale.State
	n, moves := 20, 0
	for now := time.Duration(0); now < p.Retry; now += tick {
		o := loads(make([]float64, n)...)
		for i := range o.Nodes {
			o.Nodes[i].Load, o.Nodes[i].Waiting = 0.9, 95-10*(n%2)
		}
		if d := s.Decide(&p, o, at(now)); d.Changes() {
			n, moves = d.To, moves+1
			s.Moved(&d)
		}
	}
	if moves > p.MaxIneffectiveSteps {
		t.Errorf("%d steps", moves)
	}
}

// TestDecide_OneFaultyNode_IsNotFullCluster: one node reports a hundred times its load, and the others are idle.
func TestDecide_OneFaultyNode_IsNotFullCluster(t *testing.T) {
	t.Parallel()
	p := autoscale.Default()
	p.Rules[0].Target = 1
	p.Max = 20
	o := loads(2.9, 0.05, 0.05)
	s, now := settled(&p, o)
	if d := s.Decide(&p, o, at(now)); d.Changes() || strings.Contains(d.Why, "full") {
		t.Errorf("%d → %d, %s: %s", d.From, d.To, d.Reason, d.Why)
	}
}
