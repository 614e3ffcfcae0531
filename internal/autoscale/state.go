package autoscale

import (
	"slices"
	"time"
)

// State is what decisions remember. What must outlive its holder is exported; the rest is begun anew, which takes nothing
// away any sooner.
type State struct {
	Ordered    int       `json:"ordered"`    // nodes that the target was last asked for; 0: never
	LastUp     time.Time `json:"lastUp"`     // step
	LastChange time.Time `json:"lastChange"` // of the number, by whomever
	Useless    int       `json:"useless"`    // steps up in a row that left the metric where it was
	GaveUpAt   time.Time `json:"gaveUpAt"`   // zero: it has not
	GaveUps    int       `json:"gaveUps"`    // in a row

	current int       // nodes that there should be, by the last look; 0: none yet
	whole   time.Time // when all of them were last seen, or nothing was known
	samples []sample  // of the longest window, oldest first
	advice  []advice  // of the longest stabilization window, oldest first
	trial   *trial    // nil: no step up is watched
}

// advice is what one observation asked for.
type advice struct {
	at       time.Time
	up, down int
}

// trial watches whether steps up did anything.
type trial struct {
	rule     Metric
	from, to int       // nodes that are there, and that are to be
	before   float64   // the metric per node at the first step
	steps    int       // until now
	joined   time.Time // when the last of the new nodes had reported; zero: not yet
}

// notLater takes times that lie ahead for now: another holder's clock was wrong, and nothing should wait for it to be right.
func (s *State) notLater(now time.Time) {
	for _, t := range []*time.Time{&s.LastUp, &s.LastChange, &s.GaveUpAt} {
		if t.After(now) {
			*t = now
		}
	}
}

// begin starts the history: it is as if the present number had always been right, so nothing is taken away before all of
// the stabilization window has passed. What somebody else has added is right as well.
func (s *State) begin(current int, now time.Time) {
	if len(s.advice) == 0 {
		s.advise(current, current, now)
	}
	if before := s.current; before != 0 && before != current {
		s.LastChange = now
		if current > before {
			s.advise(maxNodes, current, now)
		}
	}
	s.current = current
}

// Anew forgets what was seen, after a time in which nothing was: what was not seen may have been busy. What was done stays.
func (s *State) Anew() {
	s.samples, s.advice, s.whole = nil, nil, time.Time{}
	if s.trial != nil {
		s.trial.joined = time.Time{}
	}
}

func (s *State) advise(up, down int, now time.Time) {
	s.advice = append(s.advice, advice{now, up, down})
}

// forget drops what is older than the policy looks back. The times of a policy and the pace of its observations bound what
// is kept.
func (s *State) forget(p *Policy, now time.Time) {
	oldest := now.Add(-max(p.Up.StabilizationWindow, p.Down.StabilizationWindow))
	s.advice = slices.DeleteFunc(s.advice, func(a advice) bool { return a.at.Before(oldest) })
	var window time.Duration
	for i := range p.Rules {
		window = max(window, p.Rules[i].Window)
	}
	for len(s.samples) > fullFor && s.samples[0].at.Before(now.Add(-window)) {
		s.samples = s.samples[1:]
	}
}

// mean of the sums that a rule's window holds.
func (s *State) mean(p *Policy, rule int, now time.Time) float64 {
	after, sum, n := now.Add(-p.Rules[rule].Window), 0.0, 0
	for i := range s.samples {
		if m := &s.samples[i]; !m.at.Before(after) {
			sum, n = sum+m.totals[rule], n+1
		}
	}
	return sum / float64(max(n, 1))
}

// fullFor is how many observations in a row must say so before nodes are taken to be full: one may be a moment.
const fullFor = 3

// full tells whether all nodes that there should be report, and are full. While some start, those may be enough.
func (s *State) full(current int) bool {
	if len(s.samples) < fullFor {
		return false
	}
	for _, m := range s.samples[len(s.samples)-fullFor:] {
		if m.full < max(current, 1) {
			return false
		}
	}
	return true
}

// read reads all rules. Nodes that are lost are asked for once more.
func (s *State) read(p *Policy, reporting, current, lost int, now time.Time) []reading {
	readings := make([]reading, len(p.Rules))
	for i := range p.Rules {
		r := &p.Rules[i]
		readings[i] = p.reading(r, s.mean(p, i, now), reporting, current, lost)
		if r.Metric == Load && s.full(current-lost) {
			readings[i].fill(p, s.samples[len(s.samples)-1].load, current)
		}
	}
	return readings
}

// steadyUp is the least that was asked for in all of the time that up stabilises; steadyDown the most.
func (s *State) steadyUp(p *Policy, now time.Time) int {
	n, after := maxNodes, now.Add(-p.Up.StabilizationWindow)
	for _, a := range s.advice {
		if !a.at.Before(after) {
			n = min(n, a.up)
		}
	}
	return n
}

func (s *State) steadyDown(p *Policy, now time.Time) int {
	n, after := 0, now.Add(-p.Down.StabilizationWindow)
	for _, a := range s.advice {
		if !a.at.Before(after) {
			n = max(n, a.down)
		}
	}
	return n
}

// Moved notes that the target took a decision that moves.
func (s *State) Moved(d *Decision) {
	s.Ordered, s.current, s.LastChange = d.To, d.To, d.At
	if d.To < d.From {
		s.trial = nil
		return
	}
	s.LastUp = d.At
	if d.Reason != Rising {
		return
	}
	if s.trial == nil {
		s.trial = &trial{from: d.From - d.lost, to: d.From - d.lost}
	}
	if s.trial.rule != d.rule.Metric { // steps that another metric asked for have not made this one fall either
		s.trial.rule, s.trial.from, s.trial.before = d.rule.Metric, s.trial.to, d.before
	}
	s.trial.to += d.To - d.From
	s.trial.joined = time.Time{}
	s.trial.steps++
}

// fallen is what the metric must have come down to for the steps to have helped: half of the way to where it would be were
// the load the same and shared by more, because load may have grown meanwhile. What was full may have had more load
// than could be seen; there anything that is clearly less than full has fallen too.
func (t *trial) fallen(there int) float64 {
	halfway := t.before * (1 + float64(t.from)/float64(there)) / 2
	if t.rule == Load && t.before >= fullAt {
		return max(halfway, fullAt-0.05)
	}
	return halfway
}

// judge ends the trial once the nodes of its steps have reported for a window. Where some do not come those that have count; where
// none came it goes on.
func (s *State) judge(p *Policy, readings []reading, reporting int, now time.Time) {
	t := s.trial
	if t == nil {
		return
	}
	there := min(reporting, t.to)
	if there < t.to && (there <= t.from || s.starting(now)) {
		t.joined = time.Time{}
		return
	}
	if t.joined.IsZero() {
		t.joined = now
	}
	for i := range readings {
		g := &readings[i]
		if g.rule.Metric != t.rule || now.Sub(t.joined) <= g.rule.Window {
			continue
		}
		if s.trial = nil; g.mean <= t.fallen(there) {
			s.hope()
			return
		}
		if s.Useless += t.steps; s.Useless >= p.MaxIneffectiveSteps && s.GaveUpAt.IsZero() {
			s.GaveUpAt = now
			s.GaveUps++
		}
		return
	}
}

// startGrace is how long new nodes may take before it is worth a word that they are not there, and before those that are there
// are taken to be all: a migration, or a machine that is made for them, takes minutes.
const startGrace = 2 * time.Minute

func (s *State) starting(now time.Time) bool { return now.Sub(s.LastUp) < startGrace }

// lost is how many nodes have been missing for so long that what they would take is for others to take.
func (s *State) lost(reporting, current int, now time.Time) int {
	if reporting >= current || s.whole.IsZero() {
		s.whole = now
	}
	if s.starting(now) || now.Sub(s.whole) < startGrace {
		return 0
	}
	return current - reporting
}

// hope forgets what did not help.
func (s *State) hope() { s.Useless, s.GaveUpAt, s.GaveUps = 0, time.Time{}, 0 }

// relent takes back that it gave up: no metric asks for anything any more, or enough time has passed for one step more.
func (s *State) relent(p *Policy, asked bool, now time.Time) {
	switch {
	case !asked && s.trial == nil:
		s.hope()
	case !s.GaveUpAt.IsZero() && !now.Before(s.retryAt(p)):
		s.Useless, s.GaveUpAt = p.MaxIneffectiveSteps-1, time.Time{}
	}
}

// retryAt is when it tries one step more; each time that this did not help either it waits twice as long.
func (s *State) retryAt(p *Policy) time.Time {
	wait := p.Retry
	for i := 1; i < s.GaveUps && wait < maxRetry; i++ {
		wait *= 2
	}
	return s.GaveUpAt.Add(min(wait, maxRetry))
}
