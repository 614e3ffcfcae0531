package signalr

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync"
)

// Invoker is what can be asked for a result: a [*Conn], the [*Call] of a handler, or a [Target] of one client, which may be connected to another
// node.
type Invoker interface {
	Invoke(ctx context.Context, target string, args ...any) (Raw, error)
}

// Invoke calls a method of one client and waits for its result, for as long as ctx allows. An error that the client
// answers is a [*HubError] with its text.
//
// A handler that invokes its own client does so through its [Call], or passes on the context of that: either gives its slot to
// the client's next invocation, see [Call.Invoke].
func Invoke[T any](ctx context.Context, to Invoker, target string, args ...any) (result T, err error) {
	raw, err := to.Invoke(ctx, target, args...)
	if err != nil || raw.Data == nil {
		return result, err
	}
	if err = raw.Decode(&result); err != nil {
		return result, &resultError{reflect.TypeFor[T](), err}
	}
	return result, nil
}

var errInvokeInOnConnected = dataErrorf("Client results inside OnConnectedAsync Hub methods are not allowed.")

// resultError is an answer that is not of the type that was asked for.
type resultError struct {
	wanted reflect.Type
	cause  error
}

func (e *resultError) Error() string {
	return fmt.Sprintf("Error trying to deserialize result to %s. %v", e.wanted, e.cause)
}

func (e *resultError) Unwrap() error { return e.cause }

// revokedError is the end of an Invoke by its context.
type revokedError struct{ cause error }

func (e *revokedError) Error() string { return "Invocation canceled by the server." }
func (e *revokedError) Unwrap() error { return e.cause }

// disconnectedError is the end of an Invoke by its connection.
type disconnectedError struct{ id string }

func (e *disconnectedError) Error() string { return "Connection '" + e.id + "' disconnected." }
func (e *disconnectedError) Unwrap() error { return ErrClosed }

// requests are the invocations that one client has not answered yet. There are as many as goroutines wait for it.
type requests struct {
	mu      sync.Mutex
	waiting map[string]chan outcome
	last    uint64
	closed  bool
}

type outcome struct {
	result []byte // nil: none
	err    error
}

// add makes an id, of a kind that clients do not use for their streams, and the channel for its answer.
func (r *requests) add() (id string, answers chan outcome, open bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return "", nil, false
	}
	if r.waiting == nil {
		r.waiting = make(map[string]chan outcome)
	}
	r.last++
	id = "s" + strconv.FormatUint(r.last, 10)
	answers = make(chan outcome, 1)
	r.waiting[id] = answers
	return id, answers, true
}

func (r *requests) remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, id)
}

// complete passes the client's result to the waiting Invoke. It returns false if none waits for this id.
func (r *requests) complete(m *message) bool {
	r.mu.Lock()
	answers := r.waiting[string(m.id)]
	delete(r.waiting, string(m.id))
	r.mu.Unlock()
	if answers == nil {
		return false
	}
	a := outcome{result: append([]byte(nil), m.payload...)}
	if m.hasError {
		a.err = &HubError{Message: m.errorText}
	}
	answers <- a // has room: the id was removed by this answer
	return true
}

// close fails all that wait.
func (r *requests) close(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for id, answers := range r.waiting {
		answers <- outcome{err: err} // as above
		delete(r.waiting, id)
	}
}

// Invoke calls a method of the client and waits for what it answers, still encoded. See the function [Invoke].
func (c *Conn) Invoke(ctx context.Context, target string, args ...any) (Raw, error) {
	if !c.isConnected() {
		return Raw{}, errInvokeInOnConnected
	}
	id, answers, open := c.extras().requests.add()
	if !open {
		return Raw{}, &disconnectedError{c.id}
	}
	defer c.extras().requests.remove(id)
	var f Frame
	var err error
	if f.encoded[c.proto.index()], err = c.proto.appendRequest(nil, id, target, args); err != nil {
		return Raw{}, err
	}
	if call, ok := ctx.Value(callKey{}).(*Call); ok {
		call.releaseSlot()
	}
	if err = c.Write(ctx, f); err != nil {
		return Raw{}, c.requestError(ctx, err)
	}
	select {
	case a := <-answers:
		return Raw{Protocol: c.proto.name(), Data: a.result}, a.err
	case <-ctx.Done():
		return Raw{}, c.requestError(ctx, context.Cause(ctx))
	}
}

// requestError says which of the two has ended an Invoke: a call's context ends with its connection.
func (c *Conn) requestError(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, ErrClosed):
		return &disconnectedError{c.id}
	case ctx.Err() != nil:
		return &revokedError{context.Cause(ctx)}
	default:
		return err
	}
}

func (c *Conn) isConnected() bool {
	c.life.mu.Lock()
	defer c.life.mu.Unlock()
	return c.life.connected
}
