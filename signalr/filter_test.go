package signalr

import (
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"
)

// journal notes what filters see.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) filter(name string) Filter {
	return Filter{
		Invoke: func(c *Call, next HandlerFunc) (any, error) {
			j.note(name + " invoke " + c.Target())
			v, err := next(c)
			j.note(name + " invoked")
			return v, err
		},
		Connected: func(c *Conn, next func(*Conn) error) error {
			j.note(name + " connected")
			return next(c)
		},
		Disconnected: func(c *Conn, err error, next func(*Conn, error)) {
			next(c, err)
			j.note(name + " disconnected")
		},
	}
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, ", ")
}

func TestFilters(t *testing.T) {
	var j journal
	hub := NewHub()
	On0(hub, "Void", func(*Call) error { j.note("method"); return nil })
	Stream0(hub, "Items", func(*Call) (iter.Seq2[int, error], error) {
		return func(yield func(int, error) bool) { yield(7, nil) }, nil
	})
	hub.Use(j.filter("outer"), Filter{}, j.filter("inner"))
	hub.Use(Filter{Invoke: func(c *Call, next HandlerFunc) (any, error) {
		switch {
		case c.Args().Len() == 0:
			return next(c)
		case string(c.Args().Raw(0).Data) == "1":
			return nil, ErrUnauthorized
		default:
			panic("secret")
		}
	}})
	h := start(t, hub, Options{})
	c := h.dial()
	c.msg(`{"type":1,"invocationId":"1","target":"void","arguments":[]}`)
	c.expect(`{"type":3,"invocationId":"1"}`)
	c.msg(call4("s", "Items", ""))
	c.expect(item("s", 7), `{"type":3,"invocationId":"s"}`)
	c.msg(`{"type":1,"invocationId":"2","target":"Void","arguments":[1]}`, `{"type":1,"invocationId":"3","target":"Void","arguments":[2]}`)
	c.expect(`{"type":3,"invocationId":"2","error":"Failed to invoke 'Void' because user is unauthorized"}`,
		`{"type":3,"invocationId":"3","error":"An unexpected error occurred invoking 'Void' on the server."}`)
	c.nc.Close()
	h.gone()
	want := "outer connected, inner connected, " +
		"outer invoke Void, inner invoke Void, method, inner invoked, outer invoked, " +
		"outer invoke Items, inner invoke Items, inner invoked, outer invoked, " +
		"outer invoke Void, inner invoke Void, inner invoked, outer invoked, " +
		"outer invoke Void, inner invoke Void, " + // the panic goes through all
		"inner disconnected, outer disconnected"
	if got := j.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestFilterRefusesConnection(t *testing.T) {
	hub, gone := echoHub()
	hub.Use(Filter{Connected: func(*Conn, func(*Conn) error) error { return errors.New("secret") }})
	h := start(t, hub, Options{})
	c := h.dial()
	c.expect(`{"type":7,"error":"Connection closed with an error."}`)
	c.expectClose(1000)
	h.gone()
	if len(gone) > 0 {
		t.Error("OnDisconnected ran")
	}
}
