package signalr

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// SendError reports that a send did not reach all clients of a target. It reached all others.
type SendError struct {
	Full []*Conn // connections whose outbox had no room, or none before the context ended
	Err  error   // any other error: of encoding for a protocol, of the backplane or of the context; nil if none
}

func (e *SendError) Error() string {
	switch {
	case len(e.Full) == 0:
		return e.Err.Error()
	case e.Err == nil:
		return fmt.Sprintf("signalr: %d connections have no room", len(e.Full))
	default:
		return fmt.Sprintf("signalr: %d connections have no room: %v", len(e.Full), e.Err)
	}
}

// Unwrap returns [ErrFull] if Full is not empty, and Err if it is not nil.
func (e *SendError) Unwrap() []error {
	var all []error
	if len(e.Full) > 0 {
		all = append(all, ErrFull)
	}
	if e.Err != nil {
		all = append(all, e.Err)
	}
	return all
}

// multicast is a message to many connections: frames, or an invocation that is encoded for each protocol when the first
// connection of that protocol needs it.
type multicast struct {
	frames []Frame
	invoke bool // encode method and args into frames on demand
	method string
	args   []any
	tried  [protocolCount]bool
	failed [protocolCount]error
}

// in returns the frames, encoded for protocol p.
func (e *multicast) in(p protocol) ([]Frame, error) {
	i := p.index()
	if !e.invoke || e.tried[i] {
		return e.frames, e.failed[i]
	}
	e.tried[i] = true
	if e.frames == nil {
		e.frames = make([]Frame, 1)
	}
	e.frames[0].encoded[i], e.failed[i] = p.appendInvocation(nil, e.method, e.args)
	return e.frames, e.failed[i]
}

// list is a pooled list of connections, used for one send.
type list struct{ conns []*Conn }

// listKeep is the capacity, in connections, above which a list is not returned to the pool.
const listKeep = 1 << 16

var lists = sync.Pool{New: func() any { return new(list) }}

func (l *list) free() {
	if cap(l.conns) > listKeep {
		return
	}
	clear(l.conns)
	l.conns = l.conns[:0]
	lists.Put(l)
}

// send sends to this server's connections and to the other nodes.
func (t Target) send(ctx context.Context, wait bool, e *multicast) error {
	local := t.sendHere(ctx, wait, e)
	if t.server.opts.Backplane == nil || t.isHere() {
		return local
	}
	if err := t.publish(ctx, e); err != nil {
		return joinSend(local, err)
	}
	return local
}

func joinSend(local, err error) error {
	var se *SendError
	if errors.As(local, &se) {
		return &SendError{Full: se.Full, Err: errors.Join(se.Err, err)}
	}
	return &SendError{Err: err}
}

// isHere reports whether the target is a single connection of this node.
func (t Target) isHere() bool {
	return t.Kind == ToClients && len(t.Names) == 1 && t.server.registry.byID(t.Names[0]) != nil
}

// sendHere sends to the connections of this node. If wait is set, it waits for slow clients until ctx ends.
func (t Target) sendHere(ctx context.Context, wait bool, e *multicast) error {
	l := lists.Get().(*list) //nolint:forcetypeassert // the pool holds nothing else
	defer l.free()
	l.conns = t.appendConns(l.conns)
	var result SendError
	for _, c := range l.conns {
		frames, err := e.in(c.proto)
		switch {
		case err != nil:
		case wait:
			err = c.out.write(frames)
		default:
			err = c.TryWrite(frames...) // by Options.Slow
		}
		switch {
		case err == nil, errors.Is(err, ErrClosed):
		case errors.Is(err, ErrFull):
			result.Full = append(result.Full, c)
		case result.Err == nil: // an encoding error, the same for all connections of a protocol
			result.Err = err
		}
	}
	if wait && len(result.Full) > 0 {
		result.wait(ctx, e)
	}
	if len(result.Full) == 0 && result.Err == nil {
		return nil
	}
	return &result
}

// wait writes to the slow clients one after the other. A client gains time to read while wait blocks on an earlier one.
func (r *SendError) wait(ctx context.Context, e *multicast) {
	full := r.Full[:0]
	for _, c := range r.Full {
		frames, _ := e.in(c.proto) // has not failed before
		err := c.Write(ctx, frames...)
		if err != nil && !errors.Is(err, ErrClosed) {
			full = append(full, c)
			r.Err = err // the context's
		}
	}
	clear(r.Full[len(full):])
	r.Full = full
}
