package hub

import (
	"fmt"
	"sync"

	"github.com/esh3artech/esh3ar/signalr"
)

// invocations encodes invocations of a client's methods in the protocol of its connection. Arguments are encoded as JSON;
// MessagePack is converted from it, so that both protocols have the same keys, strings and numbers.
type invocations struct {
	pack     bool
	out      []byte // encoded invocations
	argument []byte // JSON of the next invocation's arguments
	err      error
}

// pool reuses invocations with their buffers. The connection's outbox copies a frame, so reuse is safe.
var pool = sync.Pool{New: func() any { return new(invocations) }}

func newInvocations(protocol string) *invocations {
	w := pool.Get().(*invocations) //nolint:forcetypeassert // the pool holds nothing else
	*w = invocations{pack: protocol == "messagepack", out: w.out[:0], argument: w.argument[:0]}
	return w
}

func (w *invocations) free() { pool.Put(w) }

// invoke appends an invocation with w.argument, and clears the argument.
func (w *invocations) invoke(target string) {
	if !w.pack {
		w.out = signalr.AppendInvocation(w.out, target, w.argument)
	} else if out, err := signalr.AppendMessagePackInvocation(w.out, target, w.argument); err == nil {
		w.out = out
	} else {
		w.err = fmt.Errorf("encode %s: %w", target, err) // not expected: the argument is valid JSON
	}
	w.argument = w.argument[:0]
}

func (w *invocations) frame() signalr.Frame {
	if w.pack {
		return signalr.MessagePackFrame(w.out)
	}
	return signalr.JSONFrame(w.out)
}
