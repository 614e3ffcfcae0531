package signalr

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrUnauthorized is returned by a handler if the client's user may not call the method. The client gets an error that says so.
var ErrUnauthorized = errors.New("signalr: user is unauthorized")

var errNoMethod = &HubError{Message: "Method does not exist."}

// refusal is an error whose text is what the client gets.
type refusal struct{ text string }

func (e *refusal) Error() string { return e.text }

func refusef(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// Call is one invocation by a client.
type Call struct {
	conn    *Conn
	id      string // invocation id; "" if the client wants no completion
	target  string
	method  *method // nil if no method has this name
	args    Arguments
	stream  bool // sent as a StreamInvocation
	uploads []*upload
	refused error // reason not to call the method; nil if none
	streams bool  // has streams in either direction
	size    int   // bytes of ids and arguments counted against Limits.Arguments

	// The list of open calls, guarded by dispatcher.mu.
	listed         bool
	next, previous *Call

	mu       sync.Mutex
	canceled bool // the client has canceled the call
	state    callState
	noSlot   bool            // the call holds no invocation slot
	released bool            // the call released its slot while it waits for a client's result
	returned bool            // the handler has returned
	outlives bool            // the call is deferred: its bytes are released on completion
	ctx      context.Context //nolint:containedctx // created by the first call of Context
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

// Args returns the arguments. They stay valid after the handler returns.
func (c *Call) Args() Arguments { return c.args }

// WantsResult reports whether the client waits for a completion.
func (c *Call) WantsResult() bool { return c.id != "" }

// callKey is the key of the call in its context.
type callKey struct{}

// Invoke calls a method of the client that made this call and waits for the result, which it returns in encoded form. The
// function [Invoke] decodes it; a call is an [Invoker]. Invoke releases the invocation slot of the call, because otherwise
// the result could not be read if another invocation comes before it. The call does not get the slot back: after Invoke, the
// handler may run concurrently with later calls of the connection.
func (c *Call) Invoke(ctx context.Context, target string, args ...any) (Raw, error) {
	c.releaseSlot()
	return c.conn.Invoke(ctx, target, args...)
}

var _ Invoker = (*Call)(nil)

// Context returns a context that ends when the call ends, when the client cancels it, or with the connection.
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

// Defer keeps the call open after its handler has returned. The return of the handler releases the invocation slot and
// sends no completion; [Deferred.Return] or [Deferred.Error] completes the call later, from any goroutine. The handler must
// call Defer before it returns. Every deferred call must be completed: it counts against Limits.Deferred until then, even
// if the client wants no result.
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

// Deferred is a call that [Call.Defer] has kept open. It completes the call.
type Deferred struct{ call *Call }

// Return completes the call with a result; nil means no result. Only the first call of Return or Error has an effect. It
// never blocks. On a closed connection it does nothing.
func (d *Deferred) Return(v any) { d.call.finish(v, nil) }

// Error completes the call with an error. The client sees its text if it is a [*HubError].
func (d *Deferred) Error(err error) { d.call.finish(nil, err) }

// cancelByClient cancels the context of the call, even if it is created later.
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
		// The handler deferred the call and then failed. The error completes the call, which otherwise would stay open.
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
	// The ids are released before the completion is sent: the client may reuse them in its next message.
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
		// Microsoft's server closes the connection here. Only this call is at fault, so only this call fails.
		if encErr != errPanicked { //nolint:errorlint // our own, never wrapped; the panic was logged
			c.conn.server.opts.Logger.Error("signalr: result cannot be encoded", "method", c.target, "error", encErr)
		}
		text := errorText("An unexpected error occurred invoking '"+c.target+"' on the server.", encErr, c.conn.server.opts.DetailedErrors)
		b, _ = p.appendCompletion(buf.b, c.id, nil, text, true) // encoding a string cannot fail
	}
	buf.b = b
	_ = c.conn.out.put(b) // fails only if the connection is closing; then no completion is needed
}

// appendAnswer appends the completion. It may run code of the application: Error methods and encoders of results.
func (c *Call) appendAnswer(dst []byte, v any, err error) (b []byte, encErr error) {
	b, encErr = dst, errPanicked // the result after a panic
	defer c.conn.protected(c.target)
	text := c.failure(err)
	return c.conn.proto.appendCompletion(dst, c.id, v, text, text != "")
}

// failure returns the error text for the client, "" for success.
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

// admit decides whether the method can be called, and opens the client's streams. It runs before the next message of the
// client is handled, because that message may already cancel the call or carry an item of its streams.
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
	if c.refused == nil { // a refused call takes a slot: a flood of refusals must not start a flood of goroutines
		c.noSlot, c.streams = len(streams) > 0, c.stream || len(streams) > 0
	}
}

// leaveSlot releases the slot of the call after its handler has returned a sequence.
func (c *Call) leaveSlot() {
	c.mu.Lock()
	held, released := !c.noSlot, c.released
	c.noSlot, c.released, c.returned = true, false, true
	c.mu.Unlock()
	if held || released {
		c.conn.in.leaveSlot(released)
	}
}

// releaseSlot releases the slot of the call while it waits for a client's result.
func (c *Call) releaseSlot() {
	c.mu.Lock()
	release := !c.noSlot && !c.returned
	size := c.size
	if c.outlives || c.streams { // the bytes are released on completion
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
