package autoscale

import (
	"errors"
	"fmt"
	"time"
)

// Metric is something that each node says of itself, and that adds up over the nodes.
type Metric string

// The metrics; see route.Node.
const (
	Load        Metric = "load"        // share of its capacity in use; 1 is full
	Waiting     Metric = "waiting"     // messages in its lanes
	Connections Metric = "connections" // phones that it holds
)

// Policy is what a decision goes by. The zero value is not valid; Default is.
type Policy struct {
	Min, Max            int
	Rules               []Rule        // the one that asks for most nodes decides
	Up, Down            Pace          // how fast to move
	MaxIneffectiveSteps int           // steps up in a row that may fail to lower the metric
	Retry               time.Duration // time after which one more step up is tried once MaxIneffectiveSteps is reached; doubles each time
}

// Rule is a metric with the value per node that is right for it.
type Rule struct {
	Metric Metric
	Target float64       // per node
	Window time.Duration // the mean over it counts
}

// Pace bounds the steps of one direction.
type Pace struct {
	StabilizationWindow time.Duration // time for which every observation must ask for the step; zero: the last one decides
	Step                int           // nodes at once,
	Percent             int           // or so many of a hundred nodes, whichever is more
	Cooldown            time.Duration // up: since the last step up; down: since the number changed, by whomever
	Tolerance           float64       // share of the target: up acts that much above it, down has to stay that much below it
}

// Default adds nodes above 80 % of capacity at once, by as many as there are, and takes them away one by one after five
// quiet minutes.
func Default() Policy {
	return Policy{
		Min: 1, Max: 10,
		Rules:               []Rule{{Load, 0.8, 30 * time.Second}},
		Up:                  Pace{Step: 4, Percent: 100, Cooldown: 30 * time.Second},
		Down:                Pace{StabilizationWindow: 5 * time.Minute, Step: 1, Cooldown: time.Minute, Tolerance: 0.1},
		MaxIneffectiveSteps: 2, Retry: 5 * time.Minute,
	}
}

// Bounds of a policy. The times bound what a State remembers: an hour in steps of a second.
const (
	maxNodes              = 1000
	maxWindow             = 10 * time.Minute
	maxPause              = time.Hour
	ineffectiveStepsLimit = 10
	minRetry              = time.Minute
	maxRetry              = 24 * time.Hour
	maxPercent            = 1000
)

// Validate names every field that cannot work.
func (p *Policy) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(p.Min < 1 || p.Min > maxNodes, "min: %d is not 1 to %d", p.Min, maxNodes)
	fault(p.Max < p.Min || p.Max > maxNodes, "max: %d is not min (%d) to %d", p.Max, p.Min, maxNodes)
	fault(len(p.Rules) == 0, "metrics: must name at least one")
	seen := map[Metric]bool{}
	for i, r := range p.Rules {
		at := fmt.Sprintf("metrics[%d].", i)
		fault(seen[r.Metric], "%smetric: %q is there twice", at, r.Metric)
		seen[r.Metric] = true
		r.validate(at, fault)
	}
	p.Up.validate("up.", fault)
	p.Down.validate("down.", fault)
	fault(p.MaxIneffectiveSteps < 1 || p.MaxIneffectiveSteps > ineffectiveStepsLimit, "maxIneffectiveSteps: %d is not 1 to %d", p.MaxIneffectiveSteps, ineffectiveStepsLimit)
	fault(p.Retry < minRetry || p.Retry > maxRetry, "retry: %s is not %s to %s", p.Retry, minRetry, maxRetry)
	return errors.Join(faults...)
}

func (r *Rule) validate(at string, fault func(bad bool, format string, args ...any)) {
	switch r.Metric {
	case Load:
		fault(!(r.Target > 0 && r.Target <= 1), "%starget: %g is not above 0 and at most 1, which is full", at, r.Target)
	case Waiting, Connections:
		fault(!(r.Target > 0 && r.Target <= 1e9), "%starget: %g is not above 0 and at most 1e9", at, r.Target)
	default:
		fault(true, "%smetric: %q is not load, waiting or connections", at, r.Metric)
	}
	fault(r.Window < 0 || r.Window > maxWindow, "%swindow: %s is not 0s to %s", at, r.Window, maxWindow)
}

func (p *Pace) validate(at string, fault func(bad bool, format string, args ...any)) {
	fault(p.StabilizationWindow < 0 || p.StabilizationWindow > maxPause, "%sstabilizationWindow: %s is not 0s to %s", at, p.StabilizationWindow, maxPause)
	fault(p.Step < 0 || p.Step > maxNodes, "%sstep: %d is not 0 to %d", at, p.Step, maxNodes)
	fault(p.Percent < 0 || p.Percent > maxPercent, "%spercent: %d is not 0 to %d", at, p.Percent, maxPercent)
	fault(p.Step == 0 && p.Percent == 0, "%sstep: with percent 0 too nothing would ever move", at)
	fault(p.Cooldown < 0 || p.Cooldown > maxPause, "%scooldown: %s is not 0s to %s", at, p.Cooldown, maxPause)
	fault(!(p.Tolerance >= 0 && p.Tolerance < 1), "%stolerance: %g is not 0 to below 1", at, p.Tolerance)
}

// limit is how many nodes one step may move with n there: at least one, also where there is none to take a share of.
func (p *Pace) limit(n int) int {
	return max(p.Step, (n*p.Percent+99)/100, 1)
}
