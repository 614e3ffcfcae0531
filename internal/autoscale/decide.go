package autoscale

import (
	"fmt"
	"slices"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Decide says how many nodes there should be. It advances what s remembers of observations; that a step was made is for
// Moved. Times that go back are none: call it with the times of one clock.
func (s *State) Decide(p *Policy, o *Observation, now time.Time) Decision {
	c := call{p, s, o, Decision{At: now, From: o.Current, To: o.Current}}
	s.notLater(now)
	s.begin(o.Current, now)
	s.forget(p, now)
	if o.Unknown != nil || len(o.Nodes) == 0 {
		return c.unknown()
	}
	sum, reporting := p.sampleOf(o, now)
	s.samples = append(s.samples, sum)
	readings := s.read(p, reporting, o.Current, s.lost(reporting, o.Current, now), now)
	s.judge(p, readings, reporting, now)
	up := slices.MaxFunc(readings, func(a, b reading) int { return a.up - b.up })
	down := slices.MaxFunc(readings, func(a, b reading) int { return a.down - b.down })
	s.relent(p, up.up > o.Current, now)
	if reporting < o.Current {
		down.down = max(down.down, o.Current) // what is missing may be anything
	}
	s.advise(up.up, down.down, now)
	switch {
	case o.Current < p.Min:
		return c.belowMin()
	case o.Current > p.Max:
		return c.down(&down, p.Max, reporting, AboveMax)
	case up.up > o.Current:
		return c.up(&up, reporting)
	default:
		return c.fewer(&down, reporting)
	}
}

// call is one decision in the making.
type call struct {
	*Policy
	s *State
	o *Observation
	d Decision
}

func (c *call) hold(r Reason, format string, args ...any) Decision {
	c.d.Reason, c.d.Why = r, fmt.Sprintf(format, args...)
	return c.d
}

func (c *call) move(to int, r Reason, format string, args ...any) Decision {
	c.d.To = to
	return c.hold(r, format, args...)
}

func (c *call) belowMin() Decision {
	return c.move(c.Min, BelowMin, "%s; the policy wants at least %d", nodes(c.o.Current), c.Min)
}

// unknown decides without a word from the nodes: the number stays, except that there are at least as many as there must be.
func (c *call) unknown() Decision {
	c.s.advise(c.o.Current, c.o.Current, c.d.At)
	c.s.whole = c.d.At
	if c.o.Current < c.Min {
		return c.belowMin()
	}
	if c.o.Unknown == nil {
		return c.hold(NoData, "no node reports; nothing is changed while nothing is known")
	}
	return c.hold(NoData, "nothing is known of the nodes, and nothing is changed meanwhile: %s", c.o.Unknown)
}

// up decides on a step that a metric asks for.
func (c *call) up(g *reading, reporting int) Decision {
	c.d.rule, c.d.before, c.d.lost = g.rule, g.mean, g.lost
	asks := g.asks(reporting)
	to := min(c.s.steadyUp(c.Policy, c.d.At), c.o.Current+c.Up.limit(c.o.Current), c.Max)
	switch {
	case c.o.Current >= c.Max:
		return c.hold(AtMax, "%s; the policy allows %d", asks, c.Max)
	case !c.s.GaveUpAt.IsZero():
		return c.hold(GaveUp, "%s, but it has not fallen through %s up: more nodes are not what is missing; tried again at %s",
			asks, steps(c.s.Useless), clock(c.s.retryAt(c.Policy)))
	case to <= c.o.Current:
		return c.hold(Stabilising, "%s; %s", asks, notYet(c.Up.StabilizationWindow))
	case c.d.At.Sub(c.s.LastUp) < c.Up.Cooldown:
		return c.hold(Cooling, "%s; the last step up was at %s, the next not before %s", asks, clock(c.s.LastUp), clock(c.s.LastUp.Add(c.Up.Cooldown)))
	case c.s.trial != nil && c.s.trial.steps+c.s.Useless >= c.MaxIneffectiveSteps && g.lost > 0:
		return c.hold(Incomplete, "%s; %d of %s report, and none is added before those come", g.says(reporting), reporting, nodes(c.o.Current))
	case c.s.trial != nil && c.s.trial.steps+c.s.Useless >= c.MaxIneffectiveSteps:
		return c.hold(Watching, "%s; first it is seen what %s up did", asks, steps(c.s.trial.steps))
	case to < g.up:
		return c.move(to, Rising, "%s; %s", asks, c.bound(to))
	default:
		return c.move(to, Rising, "%s", asks)
	}
}

// bound is what keeps a step up from all that is asked for.
func (c *call) bound(to int) string {
	switch more := to - c.o.Current; {
	case to == c.Max:
		return fmt.Sprintf("the policy allows %d", to)
	case more < c.Up.limit(c.o.Current):
		return fmt.Sprintf("%d were asked for all of the last %s", to, spell(c.Up.StabilizationWindow))
	case more == 1:
		return "1 more is enough for one step"
	default:
		return fmt.Sprintf("%d more are enough for one step", more)
	}
}

// fewer decides whether less would do.
func (c *call) fewer(g *reading, reporting int) Decision {
	switch {
	case reporting < c.o.Current:
		return c.incomplete(reporting)
	case max(g.down, c.Min) >= c.o.Current:
		return c.hold(Steady, "%s: the number is right", g.says(reporting))
	}
	to := max(c.s.steadyDown(c.Policy, c.d.At), c.Min)
	if to >= c.o.Current {
		return c.hold(Stabilising, "%s; %d would do, but %s", g.says(reporting), max(g.down, c.Min), notYet(c.Down.StabilizationWindow))
	}
	return c.down(g, to, reporting, Falling)
}

func (c *call) incomplete(reporting int) Decision {
	if c.s.starting(c.d.At) {
		return c.hold(Starting, "%d of %s report, the others start", reporting, nodes(c.o.Current))
	}
	return c.hold(Incomplete, "%d of %s report; none is taken away while one is missing", reporting, nodes(c.o.Current))
}

// down decides who may go.
func (c *call) down(g *reading, to, reporting int, why Reason) Decision {
	c.d.rule, c.d.before = g.rule, g.mean
	if reporting < c.o.Current {
		return c.incomplete(reporting)
	}
	wants := fmt.Sprintf("%s; the policy allows %d", nodes(c.o.Current), c.Max)
	if why != AboveMax {
		wants = fmt.Sprintf("%s; %d would do, with room", g.says(reporting), to)
		if c.Down.StabilizationWindow > 0 {
			wants += ", for all of the last " + spell(c.Down.StabilizationWindow)
		}
	}
	if c.d.At.Sub(c.s.LastChange) < c.Down.Cooldown {
		return c.hold(Cooling, "%s; the number changed at %s, the next step down is not before %s", wants, clock(c.s.LastChange), clock(c.s.LastChange.Add(c.Down.Cooldown)))
	}
	free, reason, held := c.free(min(c.o.Current-to, c.Down.limit(c.o.Current)))
	if free == 0 {
		return c.hold(reason, "%s; %s", wants, held)
	}
	return c.move(c.o.Current-free, why, "%s", wants)
}

// free is how many of those who would go, many at most, have nothing that only they have, and what holds up the next.
func (c *call) free(many int) (n int, reason Reason, held string) {
	if c.o.Blind { // anybody may go
		for i := range c.o.Nodes {
			if c.o.Nodes[i].Spilled > 0 {
				return 0, Spilled, spilled(&c.o.Nodes[i])
			}
		}
		return many, "", ""
	}
	for _, id := range c.o.Leaving[:min(many, len(c.o.Leaving))] {
		i := slices.IndexFunc(c.o.Nodes, func(n membership.Node) bool { return n.ID == id })
		switch {
		case i < 0:
			return n, Incomplete, string(id) + " is the next to go and does not report"
		case c.o.Nodes[i].Spilled > 0:
			return n, Spilled, spilled(&c.o.Nodes[i])
		}
		n++
	}
	return n, NotOurs, "those that are left were not started here"
}

func spilled(n *membership.Node) string {
	return fmt.Sprintf("%s has %s on its own disk only and goes when nothing is left there", n.ID, count(n.Spilled, "accepted message"))
}
