package autoscale

import (
	"errors"
	"fmt"
	"time"
)

// Metric is a value that each node reports and that can be summed over the nodes.
type Metric string

// The metrics; see membership.Node.
const (
	Load        Metric = "load"        // share of the node's capacity in use; 1 is full
	Waiting     Metric = "waiting"     // messages in the node's lanes
	Connections Metric = "connections" // connected phones
)

// Policy holds the parameters of decisions. The zero value is invalid; see Default.
type Policy struct {
	Min, Max            int
	Rules               []Rule        // the rule that asks for most nodes decides
	Up, Down            StepRules     // limits of the steps in each direction
	MaxIneffectiveSteps int           // steps up in a row that may fail to lower the metric
	Retry               time.Duration // time after which one more step up is tried once MaxIneffectiveSteps is reached; doubles each time
}

// Rule is a metric with its target value per node.
type Rule struct {
	Metric Metric
	Target float64       // target per node
	Window time.Duration // the mean over this time is compared with Target
}

// StepRules limit the steps in one direction.
type StepRules struct {
	StabilizationWindow time.Duration // time for which every observation must ask for the step; zero means that the last one decides
	Step                int           // largest step in nodes,
	Percent             int           // or in percent of the nodes, whichever is larger
	Cooldown            time.Duration // pause since the last step up for steps up, since any change of the number for steps down
	Tolerance           float64       // share of the target: a step up needs a load that much above it, a step down must leave the load that much below it
}

// Default returns a policy that adds nodes above 80 % of capacity, at most doubling their number at once, and removes them one by
// one after five quiet minutes.
func Default() Policy {
	return Policy{
		Min: 1, Max: 10,
		Rules:               []Rule{{Load, 0.8, 30 * time.Second}},
		Up:                  StepRules{Step: 4, Percent: 100, Cooldown: 30 * time.Second},
		Down:                StepRules{StabilizationWindow: 5 * time.Minute, Step: 1, Cooldown: time.Minute, Tolerance: 0.1},
		MaxIneffectiveSteps: 2, Retry: 5 * time.Minute,
	}
}

// Bounds of a policy. The times bound the memory of a State.
const (
	maxNodes              = 1000
	maxWindow             = 10 * time.Minute
	maxPause              = time.Hour
	ineffectiveStepsLimit = 10
	minRetry              = time.Minute
	maxRetry              = 24 * time.Hour
	maxPercent            = 1000
)

// Validate returns an error that names every invalid field, or nil.
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

func (p *StepRules) validate(at string, fault func(bad bool, format string, args ...any)) {
	fault(p.StabilizationWindow < 0 || p.StabilizationWindow > maxPause, "%sstabilizationWindow: %s is not 0s to %s", at, p.StabilizationWindow, maxPause)
	fault(p.Step < 0 || p.Step > maxNodes, "%sstep: %d is not 0 to %d", at, p.Step, maxNodes)
	fault(p.Percent < 0 || p.Percent > maxPercent, "%spercent: %d is not 0 to %d", at, p.Percent, maxPercent)
	fault(p.Step == 0 && p.Percent == 0, "%sstep: with percent 0 too nothing would ever move", at)
	fault(p.Cooldown < 0 || p.Cooldown > maxPause, "%scooldown: %s is not 0s to %s", at, p.Cooldown, maxPause)
	fault(!(p.Tolerance >= 0 && p.Tolerance < 1), "%stolerance: %g is not 0 to below 1", at, p.Tolerance)
}

// limit returns how many nodes one step may add or remove with n nodes: at least one.
func (p *StepRules) limit(n int) int {
	return max(p.Step, (n*p.Percent+99)/100, 1)
}
