package signalr

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrUnauthorized, returned by a handler, tells the client that its user may not call the method.
var ErrUnauthorized = errors.New("signalr: user is unauthorized")

var errNoMethod = &HubError{Message: "Method does not exist."}

// refusal is an error whose text is what the client gets.
type refusal struct{ text string }

func (e *refusal) Error() string { return e.text }

func refusef(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// Call is one invocation by a client.
type Call struct {
	conn    *Conn
	id      string // "": the client wants no answer
	target  string
	method  *method // nil: there is none of that name
	args    Arguments
	stream  bool // it came as a StreamInvocation
	uploads []*upload
	refused error // why it cannot be handed to its method
	streams bool  // it has streams, in either direction
	size    int   // bytes of its ids and arguments that the connection's account holds

	// The list of open calls, guarded by the dispatcher's mutex.
	listed         bool
	next, previous *Call

	mu       sync.Mutex
	canceled bool // the client has canceled it
	state    callState
	noSlot   bool            // it runs outside of the invocation slots
	released bool            // because it gave its own away
	returned bool            // its handler has
	outlives bool            // it was deferred: what it holds is given back when it is completed
	ctx      context.Context //nolint:containedctx // made at the first call of Context, which is what it is for
	cancel   context.CancelCauseFunc
}

type callState uint8

const (
	callRunning callState = iota
	callDeferred
	callDone
)

// Conn returns the connection the call came on.
func (c *Call) Conn() *Conn { return c.conn }

// Target returns the method's name as it was registered.
func (c *Call) Target() string { return c.target }

// Args returns the arguments. They may be kept.
func (c *Call) Args() Arguments { return c.args }

// WantsResult reports whether the client waits for a completion.
func (c *Call) WantsResult() bool { return c.id != "" }

// callKey is where a call's context holds the call.
type callKey struct{}

// Invoke calls a method of the client that made this call and waits for its answer, still encoded, with whatever context. It makes
// a call an [Invoker]: the function [Invoke] gives a typed result. The call gives its slot to the connection's next
// invocation, without which the answer behind that could not be read. The slot does not come back: from there on the handler may
// run beside others.
func (c *Call) Invoke(ctx context.Context, target string, args ...any) (Raw, error) {
	c.releaseSlot()
	return c.conn.Invoke(ctx, target, args...)
}

var _ Invoker = (*Call)(nil)

// Context returns a context that ends with the call, when the client cancels it, or with the connection.
func (c *Call) Context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		c.ctx, c.cancel = context.WithCancelCause(context.WithValue(c.conn.Context(), callKey{}, c))
		switch {
		case c.canceled:
			c.cancel(errCanceledByClient)
		case c.state == callDone:
			c.cancel(context.Canceled)
		case c.id != "" && c.stream:
			c.conn.extras().calls.add(c)
		}
	}
	return c.ctx
}

// Defer makes the call outlive its handler: the handler's return releases the connection's invocation slot and sends
// nothing, and the call is completed by [Deferred.Return] or [Deferred.Error], later and from any goroutine. It must be
// called by the handler before that returns. Every deferred call must be completed; Limits.Deferred counts them until
// then, also when the client wants no result.
func (c *Call) Defer() *Deferred {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == callRunning {
		c.state = callDeferred
		c.outlives = true
		c.conn.in.deferring()
	}
	return &Deferred{call: c}
}

// Deferred completes a call that [Call.Defer] has taken out of its handler.
type Deferred struct{ call *Call }

// Return completes the call with a result; nil is no result at all. Only the first of Return and Error counts. It never
// blocks. On a closed connection it does nothing.
func (d *Deferred) Return(v any) { d.call.finish(v, nil) }

// Error completes the call with an error, whose text the client sees if it is a [*HubError].
func (d *Deferred) Error(err error) { d.call.finish(nil, err) }

// cancelByClient ends the context of the call, now or when it is asked for.
func (c *Call) cancelByClient() {
	c.mu.Lock()
	cancel := c.cancel
	c.canceled = c.state != callDone
	c.mu.Unlock()
	if cancel != nil {
		cancel(errCanceledByClient)
	}
}

// run calls the handler and, unless that deferred the call, completes it.
func (c *Call) run() {
	defer c.conn.contain("invocation")
	if c.stream && c.refused == nil {
		c.runStream()
		return
	}
	v, err := c.handle()
	c.mu.Lock()
	c.returned = true
	deferred := c.state == callDeferred || c.state == callDone
	c.mu.Unlock()
	if deferred && err == nil {
		return
	}
	if deferred {
		// The handler took the call out and then failed: the failure completes it, or it would stay open.
		c.finish(nil, err)
		return
	}
	c.finish(v, err)
}

func (c *Call) handle() (v any, err error) {
	if c.refused != nil {
		return nil, c.refused
	}
	err = errPanicked
	c.conn.protect(c.target, func() { v, err = c.method.run(c) })
	return v, err
}

var errPanicked = errors.New("handler panicked")

// finish completes the call once.
func (c *Call) finish(v any, err error) {
	c.mu.Lock()
	was, cancel := c.state, c.cancel
	c.state = callDone
	c.mu.Unlock()
	if was == callDone {
		return
	}
	if err != nil {
		c.logFailure(err)
	}
	// Before the answer: its client may use the ids again with its next message.
	if c.id != "" {
		c.conn.in.completed(c)
	}
	poke := c.uploads != nil && c.conn.extras().uploads.release(c.uploads)
	if cancel != nil && c.stream {
		c.conn.extras().calls.remove(c)
	}
	if c.id != "" {
		c.answer(v, err)
	}
	if cancel != nil {
		cancel(context.Canceled)
	}
	if poke {
		c.conn.in.pump()
	}
	if was == callDeferred {
		c.conn.in.deferredDone(c.size)
	}
}

// answer sends the completion.
func (c *Call) answer(v any, err error) {
	p := c.conn.proto
	buf := newBuffer()
	defer buf.free()
	b, encErr := c.appendAnswer(buf.b, v, err)
	if encErr != nil {
		// .NET closes the connection here. Only this call is at fault, so only this call fails.
		if encErr != errPanicked { //nolint:errorlint // our own, never wrapped; the panic was logged
			c.conn.server.opts.Logger.Error("signalr: result cannot be encoded", "method", c.target, "error", encErr)
		}
		text := errorText("An unexpected error occurred invoking '"+c.target+"' on the server.", encErr, c.conn.server.opts.DetailedErrors)
		b, _ = p.appendCompletion(buf.b, c.id, nil, text, true) // text alone cannot fail
	}
	buf.b = b
	_ = c.conn.out.put(b) // the connection is closing: nobody waits for the completion
}

// appendAnswer appends the completion. The text of an error and the encoding of a result may be the application's code.
func (c *Call) appendAnswer(dst []byte, v any, err error) (b []byte, encErr error) {
	b, encErr = dst, errPanicked // what a panic leaves
	defer c.conn.protected(c.target)
	text := c.failure(err)
	return c.conn.proto.appendCompletion(dst, c.id, v, text, text != "")
}

// failure returns the text the client gets, "" for success.
func (c *Call) failure(err error) string {
	if err == nil {
		return ""
	}
	if refused, ok := errors.AsType[*refusal](err); ok {
		return refused.text
	}
	detailed := c.conn.server.opts.DetailedErrors
	if streaming, ok := errors.AsType[*streamError](err); ok {
		return errorText("An error occurred on the server while streaming results.", streaming.error, detailed)
	}
	_, bind := errors.AsType[*bindError](err)
	switch {
	case c.method == nil, bind:
		return errorText("Failed to invoke '"+c.target+"' due to an error on the server.", err, detailed)
	case errors.Is(err, ErrUnauthorized):
		return "Failed to invoke '" + c.target + "' because user is unauthorized"
	default:
		return errorText("An unexpected error occurred invoking '"+c.target+"' on the server.", err, detailed)
	}
}

// admit decides whether the call can be handed to its method, before anything of it runs: a client may cancel what it has
// begun, and send items into its streams, with its very next messages.
func (c *Call) admit(streams [][]byte) {
	m := c.method
	switch {
	case m == nil:
		c.refused = errNoMethod
	case c.stream && !m.stream:
		c.refused = refusef("The client attempted to invoke the non-streaming '%s' method with a streaming invocation.", c.target)
	case !c.stream && m.stream:
		c.refused = refusef("The client attempted to invoke the streaming '%s' method with a non-streaming invocation.", c.target)
	case len(streams) != m.uploads:
		c.refused = Errorf("Client sent %d stream(s), Hub method expects %d.", len(streams), m.uploads)
	case (c.stream || m.uploads > 0) && c.conn.in.streamsFull():
		c.refused = Errorf("Too many streams are open on this connection: %d, the limit (Limits.Streams).", c.conn.server.opts.Limits.Streams)
	case (c.stream || m.uploads > 0) && c.conn.in.streamsHold(c.size):
		c.refused = Errorf("The arguments of open streams take too much: %d bytes, the limit (Limits.Arguments).", c.conn.server.opts.Limits.Arguments)
	case m.uploads > 0:
		c.refused = c.conn.extras().uploads.open(c, streams)
	}
	if c.refused == nil && c.stream && !c.conn.extras().calls.reserve(c) {
		c.conn.extras().uploads.release(c.uploads)
		c.refused = refusef("Invocation ID '%s' is already in use.", c.id)
	}
	if c.refused == nil { // else it is answered in its turn: a flood of refusals must not become a flood of goroutines
		c.noSlot, c.streams = len(streams) > 0, c.stream || len(streams) > 0
	}
}

// leaveSlot lets the next invocation of the connection start when the handler of a stream has returned its sequence.
func (c *Call) leaveSlot() {
	c.mu.Lock()
	held, released := !c.noSlot, c.released
	c.noSlot, c.released, c.returned = true, false, true
	c.mu.Unlock()
	if held || released {
		c.conn.in.leaveSlot(released)
	}
}

// releaseSlot lets the next invocation of the connection start while this one waits for a client.
func (c *Call) releaseSlot() {
	c.mu.Lock()
	release := !c.noSlot && !c.returned
	size := c.size
	if c.outlives || c.streams { // it is given back when the call is completed
		size = 0
	}
	if release {
		c.noSlot, c.released = true, true
		c.size -= size
	}
	c.mu.Unlock()
	if release {
		c.conn.in.releaseSlot(size)
	}
}
