package balance

// Try describes a failed try of a call.
type Try struct {
	Refusal    bool // the node answered that it stored nothing
	Sent       bool // at least one byte of the request may have reached the node
	Safe       bool // the call changes nothing
	Keyed      bool // the call has an idempotency key, so a retry is harmless
	Replayable bool // the whole body can be sent again
	Tries      int  // tries of this call so far, except those that sent nothing
}

// Next is what to do after a failed try.
type Next uint8

// Values of Next.
const (
	Elsewhere   Next = iota // retry at another node
	PassOn                  // send the node's refusal to the client
	Unavailable             // answer overloaded: nothing was stored
	Unknown                 // answer outcome_unknown: the call may have been processed
)

// maxTries bounds the tries of one call. If several nodes fail, the call itself is probably the cause.
const maxTries = 3

// Next returns what to do. A try that sent nothing is always retried, at no cost. Other tries are retried only if that is
// harmless and spend takes a retry from the budget.
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
