package balance

// Try is how a call fared at a node that did not do it.
type Try struct {
	Refusal    bool // the node answered that it took nothing
	Sent       bool // a byte of the call may have reached it
	Safe       bool // the call only reads
	Keyed      bool // it has an idempotency key: done twice it is done once
	Replayable bool // all of it is still here
	Tries      int  // of this call so far, those that sent nothing left out
}

// Next is what to do then.
type Next uint8

// The possibilities.
const (
	Elsewhere   Next = iota // try another node
	PassOn                  // the node's refusal is the answer
	Unavailable             // nothing was taken, and the caller may try again later
	Unknown                 // it may have been taken, and nobody can tell
)

// maxTries of one call. What two nodes could not do is not the nodes' fault.
const maxTries = 3

// Next decides. Whatever sent nothing may be tried elsewhere as often as there are nodes: it costs nobody anything.
// Everything else must be safe to repeat, and must be paid for: spend takes a repeat from the budget.
func (t Try) Next(spend func() bool) Next {
	if !t.Sent && !t.Refusal {
		return Elsewhere
	}
	harmless := t.Refusal || t.Safe || t.Keyed
	if harmless && t.Replayable && t.Tries < maxTries && spend() {
		return Elsewhere
	}
	switch {
	case t.Refusal:
		return PassOn
	case t.Safe:
		return Unavailable
	default:
		return Unknown
	}
}
