package autoscale

import (
	"slices"
	"time"
)

// State holds what decisions depend on besides the current observation. Exported fields survive a change of the leader. The others
// start from scratch, which never removes a node earlier.
type State struct {
	Ordered          int       `json:"ordered"`    // number of nodes last ordered from the target; 0 if never
	LastUp           time.Time `json:"lastUp"`     // time of the last step up
	LastChange       time.Time `json:"lastChange"` // when the number last changed, by this scaler or by anyone else
	IneffectiveSteps int       `json:"useless"`    // consecutive steps up that did not lower the metric
	GaveUpAt         time.Time `json:"gaveUpAt"`   // when it gave up; zero if it has not
	GaveUps          int       `json:"gaveUps"`    // how often it gave up in a row

	current         int              // expected number of nodes in the last observation; 0 if there was none
	lastComplete    time.Time        // when all nodes last reported, or nothing was known
	samples         []sample         // within the longest rule window, oldest first
	recommendations []recommendation // within the longest stabilization window, oldest first
	check           *scaleUpCheck    // nil if no step up is being evaluated
}

// recommendation is the result of one observation.
type recommendation struct {
	at       time.Time
	up, down int
}

// scaleUpCheck evaluates whether steps up had an effect.
type scaleUpCheck struct {
	rule          Metric
	from, to      int       // number of nodes before the first step, and after the last
	before        float64   // metric per node before the first step
	steps         int       // steps so far
	completeSince time.Time // since when all new nodes have reported; zero if they have not
}

// clampTimes replaces times in the future by now. They come from a leader whose clock was wrong, and must not delay anything.
func (s *State) clampTimes(now time.Time) {
	for _, t := range []*time.Time{&s.LastUp, &s.LastChange, &s.GaveUpAt} {
		if t.After(now) {
			*t = now
		}
	}
}

// observeCount records the current number of nodes. The first observation counts as if the number had always been right, so that
// nothing is removed before a whole stabilization window has passed. Nodes that someone else has added count as right as well.
func (s *State) observeCount(current int, now time.Time) {
	if len(s.recommendations) == 0 {
		s.recommend(current, current, now)
	}
	if before := s.current; before != 0 && before != current {
		s.LastChange = now
		if current > before {
			s.recommend(maxNodes, current, now)
		}
	}
	s.current = current
}

// ResetObservations discards the observations after a gap, because the load during the gap is unknown. The record of past steps
// stays.
func (s *State) ResetObservations() {
	s.samples = nil
	s.recommendations = nil
	s.lastComplete = time.Time{}
	if s.check != nil {
		s.check.completeSince = time.Time{}
	}
}

func (s *State) recommend(up, down int, now time.Time) {
	s.recommendations = append(s.recommendations, recommendation{now, up, down})
}

// trim drops observations that are older than the policy looks back. The windows of the policy and the observation interval bound
// what is stored.
func (s *State) trim(p *Policy, now time.Time) {
	oldest := now.Add(-max(p.Up.StabilizationWindow, p.Down.StabilizationWindow))
	s.recommendations = slices.DeleteFunc(s.recommendations, func(a recommendation) bool { return a.at.Before(oldest) })
	var window time.Duration
	for i := range p.Rules {
		window = max(window, p.Rules[i].Window)
	}
	for len(s.samples) > fullSamples && s.samples[0].at.Before(now.Add(-window)) {
		s.samples = s.samples[1:]
	}
}

// mean returns the mean of the totals within the window of a rule.
func (s *State) mean(p *Policy, rule int, now time.Time) float64 {
	after := now.Add(-p.Rules[rule].Window)
	sum := 0.0
	n := 0
	for i := range s.samples {
		if m := &s.samples[i]; !m.at.Before(after) {
			sum, n = sum+m.totals[rule], n+1
		}
	}
	return sum / float64(max(n, 1))
}

// fullSamples is the number of consecutive observations that must be full before the nodes count as full.
const fullSamples = 3

// full reports whether all expected nodes report and are full. While some are still starting, the nodes may be enough.
func (s *State) full(current int) bool {
	if len(s.samples) < fullSamples {
		return false
	}
	for _, m := range s.samples[len(s.samples)-fullSamples:] {
		if m.full < max(current, 1) {
			return false
		}
	}
	return true
}

// evaluateRules evaluates all rules. Lost nodes are added to what a rule asks for.
func (s *State) evaluateRules(p *Policy, reporting, current, lost int, now time.Time) []evaluation {
	readings := make([]evaluation, len(p.Rules))
	for i := range p.Rules {
		r := &p.Rules[i]
		readings[i] = p.evaluate(r, s.mean(p, i, now), reporting, current, lost)
		if r.Metric == Load && s.full(current-lost) {
			readings[i].markFull(p, s.samples[len(s.samples)-1].load, current)
		}
	}
	return readings
}

// steadyUp returns the smallest number recommended within the stabilization window of steps up; steadyDown returns the largest one
// within that of steps down.
func (s *State) steadyUp(p *Policy, now time.Time) int {
	n, after := maxNodes, now.Add(-p.Up.StabilizationWindow)
	for _, a := range s.recommendations {
		if !a.at.Before(after) {
			n = min(n, a.up)
		}
	}
	return n
}

func (s *State) steadyDown(p *Policy, now time.Time) int {
	n, after := 0, now.Add(-p.Down.StabilizationWindow)
	for _, a := range s.recommendations {
		if !a.at.Before(after) {
			n = max(n, a.down)
		}
	}
	return n
}

// Moved records that the target executed a decision that changes the number.
func (s *State) Moved(d *Decision) {
	s.Ordered = d.To
	s.current = d.To
	s.LastChange = d.At
	if d.To < d.From {
		s.check = nil
		return
	}
	s.LastUp = d.At
	if d.Reason != Rising {
		return
	}
	if s.check == nil {
		s.check = &scaleUpCheck{from: d.From - d.lost, to: d.From - d.lost}
	}
	if s.check.rule != d.rule.Metric { // steps that another metric asked for have not lowered this one either
		s.check.rule = d.rule.Metric
		s.check.from = s.check.to
		s.check.before = d.before
	}
	s.check.to += d.To - d.From
	s.check.completeSince = time.Time{}
	s.check.steps++
}

// threshold returns the value to which the metric must have fallen for the steps to count as effective. That is half of the way to
// where it would be if the load had stayed the same, because the load may have grown meanwhile. If the nodes were full, their real
// load was higher than the metric could show. Then any value clearly below full is enough.
func (t *scaleUpCheck) threshold(there int) float64 {
	halfway := t.before * (1 + float64(t.from)/float64(there)) / 2
	if t.rule == Load && t.before >= fullAt {
		return max(halfway, fullAt-0.05)
	}
	return halfway
}

// evaluate ends the check once the nodes of its steps have reported for a window. If some of them never come, those that came
// count; if none came, the check continues.
func (s *State) evaluate(p *Policy, readings []evaluation, reporting int, now time.Time) {
	t := s.check
	if t == nil {
		return
	}
	there := min(reporting, t.to)
	if there < t.to && (there <= t.from || s.starting(now)) {
		t.completeSince = time.Time{}
		return
	}
	if t.completeSince.IsZero() {
		t.completeSince = now
	}
	for i := range readings {
		g := &readings[i]
		if g.rule.Metric != t.rule || now.Sub(t.completeSince) <= g.rule.Window {
			continue
		}
		s.check = nil
		if g.mean <= t.threshold(there) {
			s.clearGaveUp()
			return
		}
		s.IneffectiveSteps += t.steps
		if s.IneffectiveSteps >= p.MaxIneffectiveSteps && s.GaveUpAt.IsZero() {
			s.GaveUpAt = now
			s.GaveUps++
		}
		return
	}
}

// startGrace is how long new nodes may take before they count as missing, and before the existing nodes count as all: a migration,
// or provisioning of a machine, takes minutes.
const startGrace = 2 * time.Minute

func (s *State) starting(now time.Time) bool { return now.Sub(s.LastUp) < startGrace }

// missingNodes returns how many nodes have been missing for so long that the others must take over their load.
func (s *State) missingNodes(reporting, current int, now time.Time) int {
	if reporting >= current || s.lastComplete.IsZero() {
		s.lastComplete = now
	}
	if s.starting(now) || now.Sub(s.lastComplete) < startGrace {
		return 0
	}
	return current - reporting
}

// clearGaveUp resets the record of ineffective steps.
func (s *State) clearGaveUp() {
	s.IneffectiveSteps = 0
	s.GaveUpAt = time.Time{}
	s.GaveUps = 0
}

// maybeRetry ends the state of having given up if no metric asks for nodes any more, or if it is time for another attempt.
func (s *State) maybeRetry(p *Policy, asked bool, now time.Time) {
	if !asked && s.check == nil {
		s.clearGaveUp()
	} else if !s.GaveUpAt.IsZero() && !now.Before(s.retryAt(p)) {
		s.IneffectiveSteps, s.GaveUpAt = p.MaxIneffectiveSteps-1, time.Time{}
	}
}

// retryAt returns the time of the next attempt after giving up. The wait doubles with every failed attempt.
func (s *State) retryAt(p *Policy) time.Time {
	wait := p.Retry
	for i := 1; i < s.GaveUps && wait < maxRetry; i++ {
		wait *= 2
	}
	return s.GaveUpAt.Add(min(wait, maxRetry))
}
