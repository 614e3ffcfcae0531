package checker

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// An idempotency key is modelled as a register. The first call with a key fixes the body and the id for good. A call with the
// same body is answered with that id, a call with another body is answered idempotency_mismatch, and a refused call has no
// effect. Every try is an operation, including concurrent duplicates and tries without an answer. Only keys that were used
// more than once are checked: a single try cannot contradict anything.

// keyCall is one try of a call with a key.
type keyCall struct {
	kind  Kind
	call  int    // number of the first message; identifies the body
	id    string // first id of the answer
	began int64
	at    int64
}

// register is the state of a key. A call without an answer may have fixed the body; then id is empty until an answer has
// it.
type register struct {
	call int // zero: unused
	id   string
}

var keyModel = porcupine.Model{
	Init: func() any { return register{} },
	Step: func(state, input, _ any) (bool, any) {
		r, c := state.(register), input.(keyCall) //nolint:forcetypeassert // the history holds nothing else
		return r.step(c)
	},
	Hash: func(state any) uint64 { return uint64(state.(register).call) }, //nolint:forcetypeassert // likewise
}

func (r register) step(c keyCall) (bool, register) {
	switch c.kind {
	case Accepted:
		if r.call == 0 || r.call == c.call && r.id == "" {
			return true, register{c.call, c.id}
		}
		return r.call == c.call && r.id == c.id, r
	case Mismatched:
		return r.call != 0 && r.call != c.call, r
	case Unknown:
		// A pending call. An order in which it comes last covers the case that it never took effect.
		if r.call == 0 {
			return true, register{call: c.call}
		}
		return true, r
	default: // refused
		return true, r
	}
}

// checkKeys checks every key that was used more than once.
func (b *Book) checkKeys(deadline time.Time) {
	for _, key := range slices.Sorted(maps.Keys(b.calls)) {
		calls := b.uncontested(key)
		if len(calls) < 2 || !b.verdict.Keys.check(keyModel, keyHistory(calls), deadline) {
			continue
		}
		c := firstBroken(calls, deadline)
		b.reportBreach(b.stories[c.call], "key %s is not linearizable: no order of its %d calls explains that the call of message %d was %s with id %q",
			key, len(calls), c.call, c.kind, c.id)
	}
}

func keyHistory(calls []keyCall) []porcupine.Operation {
	history := make([]porcupine.Operation, len(calls))
	for i, c := range calls {
		history[i] = porcupine.Operation{Input: c, Call: c.began, Return: c.at}
		if c.kind == Unknown {
			history[i].Return = never
		}
	}
	return history
}

// firstBroken returns the call whose answer broke the history: the last one of the shortest broken prefix.
func firstBroken(calls []keyCall, deadline time.Time) keyCall {
	calls = slices.Clone(calls)
	slices.SortFunc(calls, func(a, b keyCall) int { return cmp.Compare(a.at, b.at) })
	for _, c := range calls {
		if linearizable(keyModel, keyHistory(until(calls, c.at)), deadline) == porcupine.Illegal {
			return c
		}
	}
	return calls[len(calls)-1]
}

// until returns a prefix of a history: the calls made by then; those answered later are pending.
func until(calls []keyCall, end int64) (beginning []keyCall) {
	for _, c := range calls {
		if c.began > end {
			continue
		}
		if c.at > end {
			c.kind = Unknown
		}
		beginning = append(beginning, c)
	}
	return beginning
}
