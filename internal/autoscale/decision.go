package autoscale

import "time"

// Reason is a machine-readable reason of a decision.
type Reason string

// The reasons.
const (
	Steady      Reason = "steady"      // the number is right
	Rising      Reason = "rising"      // a metric asks for more nodes
	Falling     Reason = "falling"     // fewer nodes are enough
	BelowMin    Reason = "below_min"   // below the minimum of the policy
	AboveMax    Reason = "above_max"   // above the maximum of the policy
	AtMax       Reason = "at_max"      // a metric asks for more nodes than the policy allows
	Stabilising Reason = "stabilising" // the stabilization window has not passed
	Cooling     Reason = "cooling"     // in the cooldown after the last step
	Watching    Reason = "watching"    // the effect of the last steps is not known yet
	GaveUp      Reason = "gave_up"     // more nodes have not lowered the metric
	NoData      Reason = "no_data"     // no node reports
	Starting    Reason = "starting"    // nodes of the last step have not reported yet
	Incomplete  Reason = "incomplete"  // not every node reports
	Spilled     Reason = "spilled"     // the next node to remove has accepted messages only on its own disk
	NotOurs     Reason = "not_ours"    // the remaining nodes were not started by the target
)

// Decision is a number of nodes with a reason.
type Decision struct {
	At       time.Time
	From, To int
	Reason   Reason
	Why      string // explanation for people

	rule   *Rule   // rule that decided; nil if none did
	before float64 // mean of its metric per node
	lost   int     // nodes of From that are assumed lost
}

// Changes reports whether the decision changes the number of nodes.
func (d *Decision) Changes() bool { return d.From != d.To }

// persistent reports whether the reason describes a lasting condition that an operator should know. The history records such a
// condition once, when it begins.
func (r Reason) persistent() bool {
	switch r {
	case TargetFailed, AtMax, GaveUp, NoData, Incomplete, Spilled, NotOurs:
		return true
	case Steady, Rising, Falling, BelowMin, AboveMax, Stabilising, Cooling, Watching, Starting, Elected:
		return false
	}
	return false
}
