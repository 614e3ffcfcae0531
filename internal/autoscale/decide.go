package autoscale

import (
	"fmt"
	"slices"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Decide returns how many nodes there should be. It updates the observations in s; call Moved once a decision was executed. now
// must not go back between calls.
func (s *State) Decide(p *Policy, o *Observation, now time.Time) Decision {
	c := decider{p, s, o, Decision{At: now, From: o.Current, To: o.Current}}
	s.clampTimes(now)
	s.observeCount(o.Current, now)
	s.trim(p, now)
	if o.Unknown != nil || len(o.Nodes) == 0 {
		return c.unknown()
	}
	sum, reporting := p.sampleOf(o, now)
	s.samples = append(s.samples, sum)
	readings := s.evaluateRules(p, reporting, o.Current, s.missingNodes(reporting, o.Current, now), now)
	s.evaluate(p, readings, reporting, now)
	up := slices.MaxFunc(readings, func(a, b evaluation) int { return a.up - b.up })
	down := slices.MaxFunc(readings, func(a, b evaluation) int { return a.down - b.down })
	s.maybeRetry(p, up.up > o.Current, now)
	if reporting < o.Current {
		down.down = max(down.down, o.Current) // the missing nodes may carry any load
	}
	s.recommend(up.up, down.down, now)
	switch {
	case o.Current < p.Min:
		return c.belowMin()
	case o.Current > p.Max:
		return c.stepDown(&down, p.Max, reporting, AboveMax)
	case up.up > o.Current:
		return c.decideUp(&up, reporting)
	default:
		return c.decideDown(&down, reporting)
	}
}

// decider holds the inputs of one decision while it is made.
type decider struct {
	*Policy
	s *State
	o *Observation
	d Decision
}

func (c *decider) hold(r Reason, format string, args ...any) Decision {
	c.d.Reason, c.d.Why = r, fmt.Sprintf(format, args...)
	return c.d
}

func (c *decider) change(to int, r Reason, format string, args ...any) Decision {
	c.d.To = to
	return c.hold(r, format, args...)
}

func (c *decider) belowMin() Decision {
	return c.change(c.Min, BelowMin, "%s; the policy wants at least %d", nodeCount(c.o.Current), c.Min)
}

// unknown decides without any report from the nodes: the number stays, except that it is raised to the minimum.
func (c *decider) unknown() Decision {
	c.s.recommend(c.o.Current, c.o.Current, c.d.At)
	c.s.lastComplete = c.d.At
	if c.o.Current < c.Min {
		return c.belowMin()
	}
	if c.o.Unknown == nil {
		return c.hold(NoData, "no node reports, so the number stays")
	}
	return c.hold(NoData, "the nodes could not be read, so the number stays: %s", c.o.Unknown)
}

// decideUp decides on a step up that a metric asks for.
func (c *decider) decideUp(g *evaluation, reporting int) Decision {
	c.d.rule = g.rule
	c.d.before = g.mean
	c.d.lost = g.lost
	asks := g.requestText(reporting)
	to := min(c.s.steadyUp(c.Policy, c.d.At), c.o.Current+c.Up.limit(c.o.Current), c.Max)
	switch {
	case c.o.Current >= c.Max:
		return c.hold(AtMax, "%s; the policy allows %d", asks, c.Max)
	case !c.s.GaveUpAt.IsZero():
		return c.hold(GaveUp, "%s, but it has not fallen through %s up: more nodes are not what is missing; tried again at %s",
			asks, stepCount(c.s.IneffectiveSteps), formatTime(c.s.retryAt(c.Policy)))
	case to <= c.o.Current:
		return c.hold(Stabilising, "%s; %s", asks, notYetText(c.Up.StabilizationWindow))
	case c.d.At.Sub(c.s.LastUp) < c.Up.Cooldown:
		return c.hold(Cooling, "%s; the last step up was at %s, the next not before %s", asks, formatTime(c.s.LastUp), formatTime(c.s.LastUp.Add(c.Up.Cooldown)))
	case c.s.check != nil && c.s.check.steps+c.s.IneffectiveSteps >= c.MaxIneffectiveSteps && g.lost > 0:
		return c.hold(Incomplete, "%s; %d of %s report, and none is added before those come", g.text(reporting), reporting, nodeCount(c.o.Current))
	case c.s.check != nil && c.s.check.steps+c.s.IneffectiveSteps >= c.MaxIneffectiveSteps:
		return c.hold(Watching, "%s; first it is seen what %s up did", asks, stepCount(c.s.check.steps))
	case to < g.up:
		return c.change(to, Rising, "%s; %s", asks, c.limitReason(to))
	default:
		return c.change(to, Rising, "%s", asks)
	}
}

// limitReason returns why a step up is smaller than asked for.
func (c *decider) limitReason(to int) string {
	switch more := to - c.o.Current; {
	case to == c.Max:
		return fmt.Sprintf("the policy allows %d", to)
	case more < c.Up.limit(c.o.Current):
		return fmt.Sprintf("%d were asked for all of the last %s", to, formatDuration(c.Up.StabilizationWindow))
	case more == 1:
		return "1 more is enough for one step"
	default:
		return fmt.Sprintf("%d more are enough for one step", more)
	}
}

// decideDown decides whether fewer nodes are enough.
func (c *decider) decideDown(g *evaluation, reporting int) Decision {
	if reporting < c.o.Current {
		return c.incomplete(reporting)
	}
	if max(g.down, c.Min) >= c.o.Current {
		return c.hold(Steady, "%s: the number is right", g.text(reporting))
	}
	to := max(c.s.steadyDown(c.Policy, c.d.At), c.Min)
	if to >= c.o.Current {
		return c.hold(Stabilising, "%s; %d would do, but %s", g.text(reporting), max(g.down, c.Min), notYetText(c.Down.StabilizationWindow))
	}
	return c.stepDown(g, to, reporting, Falling)
}

func (c *decider) incomplete(reporting int) Decision {
	if c.s.starting(c.d.At) {
		return c.hold(Starting, "%d of %s report, the others start", reporting, nodeCount(c.o.Current))
	}
	return c.hold(Incomplete, "%d of %s report; none is taken away while one is missing", reporting, nodeCount(c.o.Current))
}

// stepDown decides which nodes may be removed.
func (c *decider) stepDown(g *evaluation, to, reporting int, why Reason) Decision {
	c.d.rule, c.d.before = g.rule, g.mean
	if reporting < c.o.Current {
		return c.incomplete(reporting)
	}
	wants := fmt.Sprintf("%s; the policy allows %d", nodeCount(c.o.Current), c.Max)
	if why != AboveMax {
		wants = fmt.Sprintf("%s; %d would do, with room", g.text(reporting), to)
		if c.Down.StabilizationWindow > 0 {
			wants += ", for all of the last " + formatDuration(c.Down.StabilizationWindow)
		}
	}
	if c.d.At.Sub(c.s.LastChange) < c.Down.Cooldown {
		return c.hold(Cooling, "%s; the number changed at %s, the next step down is not before %s", wants, formatTime(c.s.LastChange), formatTime(c.s.LastChange.Add(c.Down.Cooldown)))
	}
	free, reason, held := c.removable(min(c.o.Current-to, c.Down.limit(c.o.Current)))
	if free == 0 {
		return c.hold(reason, "%s; %s", wants, held)
	}
	return c.change(c.o.Current-free, why, "%s", wants)
}

// removable returns how many of the next limit nodes hold no undrained spill, and why the first of the rest cannot be removed.
func (c *decider) removable(many int) (n int, reason Reason, held string) {
	if c.o.Opaque { // any node may be removed
		for i := range c.o.Nodes {
			if c.o.Nodes[i].Spilled > 0 {
				return 0, Spilled, spilled(&c.o.Nodes[i])
			}
		}
		return many, "", ""
	}
	for _, id := range c.o.RemovalOrder[:min(many, len(c.o.RemovalOrder))] {
		i := slices.IndexFunc(c.o.Nodes, func(n membership.Node) bool { return n.ID == id })
		if i < 0 {
			return n, Incomplete, string(id) + " is the next to go and does not report"
		}
		if c.o.Nodes[i].Spilled > 0 {
			return n, Spilled, spilled(&c.o.Nodes[i])
		}
		n++
	}
	return n, NotOurs, "those that are left were not started here"
}

func spilled(n *membership.Node) string {
	return fmt.Sprintf("%s has %s on its own disk only and goes when nothing is left there", n.ID, plural(n.Spilled, "accepted message"))
}
