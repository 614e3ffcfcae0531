package hub

import (
	"fmt"
	"sync"

	"github.com/esh3artech/esh3ar/signalr"
)

// invocations gathers calls of a client's methods in the protocol of its connection. Arguments are written as the JSON
// of the outward contract; MessagePack is made of that, so that both protocols have the same keys, texts and numbers.
type invocations struct {
	pack     bool
	out      []byte // whole invocations
	argument []byte // JSON, the next one's
	err      error
}

// pool keeps buffers; what leaves is copied by the connection's outbox.
var pool = sync.Pool{New: func() any { return new(invocations) }}

func newInvocations(protocol string) *invocations {
	w := pool.Get().(*invocations) //nolint:forcetypeassert // the pool holds nothing else
	*w = invocations{pack: protocol == "messagepack", out: w.out[:0], argument: w.argument[:0]}
	return w
}

func (w *invocations) free() { pool.Put(w) }

// invoke appends a call with the argument that was written, and forgets that.
func (w *invocations) invoke(target string) {
	if !w.pack {
		w.out = signalr.AppendInvocation(w.out, target, w.argument)
	} else if out, err := signalr.AppendMessagePackInvocation(w.out, target, w.argument); err == nil {
		w.out = out
	} else {
		w.err = fmt.Errorf("encode %s: %w", target, err) // what we write is JSON, so there is none
	}
	w.argument = w.argument[:0]
}

func (w *invocations) frame() signalr.Frame {
	if w.pack {
		return signalr.MessagePackFrame(w.out)
	}
	return signalr.JSONFrame(w.out)
}
