package autoscale

import "time"

// Reason is why a decision is as it is.
type Reason string

// The reasons.
const (
	Steady      Reason = "steady"      // the number is right
	Rising      Reason = "rising"      // a metric asks for more
	Falling     Reason = "falling"     // fewer would do
	BelowMin    Reason = "below_min"   // the policy's min asks for more
	AboveMax    Reason = "above_max"   // the policy's max asks for fewer
	AtMax       Reason = "at_max"      // more are asked for than the policy allows
	Stabilising Reason = "stabilising" // it has not been so for long enough
	Cooling     Reason = "cooling"     // the last step was a moment ago
	Watching    Reason = "watching"    // what the last steps did is not known yet
	GaveUp      Reason = "gave_up"     // more nodes have not helped
	NoData      Reason = "no_data"     // nothing is known of the nodes
	Starting    Reason = "starting"    // nodes of the last step have not reported yet
	Incomplete  Reason = "incomplete"  // not every node reports
	Spilled     Reason = "spilled"     // who would leave has accepted messages on its own disk only
	NotOurs     Reason = "not_ours"    // who is left was not started by the target
)

// Decision is how many nodes there should be, and why.
type Decision struct {
	At       time.Time
	From, To int
	Reason   Reason
	Why      string // for people

	rule   *Rule   // that decided; nil: none did
	before float64 // its mean per node
	lost   int     // nodes of From that are not counted on
}

// Moves tells whether the number changes.
func (d *Decision) Moves() bool { return d.From != d.To }

// lasting tells what a diary says once, when it begins: a state of affairs somebody should know of.
func (r Reason) lasting() bool {
	switch r {
	case TargetFailed, AtMax, GaveUp, NoData, Incomplete, Spilled, NotOurs:
		return true
	case Steady, Rising, Falling, BelowMin, AboveMax, Stabilising, Cooling, Watching, Starting, Elected:
		return false
	}
	return false
}
