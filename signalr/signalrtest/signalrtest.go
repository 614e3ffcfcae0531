// Package signalrtest tests the handlers of a hub without a socket: a client in the process connects to a server, invokes methods, and
// receives what the hub sends. Requests go straight to [signalr.Server.ServeHTTP], over long polling and in JSON, so everything
// between a request and a handler is that of a deployed server: authentication, limits, filters, order.
//
// It does not test transports. All methods may be called from any goroutine, except for those that fail a test, which belong to the
// goroutine of the test.
package signalrtest

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/signalr"
)

// Patience bounds every wait, so that a failing test ends. It is never expected to pass.
const Patience = 10 * time.Second

// Run makes a server of a hub and runs it until the end of the test. All of its goroutines have ended then.
func Run(t testing.TB, hub *signalr.Hub, opts signalr.Options) *signalr.Server {
	t.Helper()
	server := signalr.NewServer(hub, opts)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("signalrtest: run of the server: %v", err)
		}
	})
	return server
}

// Invocation is a call of the hub that the client received.
type Invocation struct {
	Target    string
	Arguments []json.RawMessage
}

// Client is one connection. It ends with the test.
type Client struct {
	t      testing.TB
	server *signalr.Server
	header http.Header
	query  string
	polls  sync.WaitGroup
	stop   context.CancelFunc

	mu sync.Mutex
	state
}

// state is guarded by the client's mutex.
type state struct {
	last     int
	calls    map[string]*call
	handlers map[string]func(args []json.RawMessage) (any, error)
	received *queue[Invocation]
	ended    error // nil while the connection is open
}

// Connect opens a connection with the headers of a request, such as Authorization, and shakes hands. A refused one fails the test.
func Connect(t testing.TB, server *signalr.Server, header http.Header) *Client {
	t.Helper()
	c, err := Dial(t, server, header)
	if err != nil {
		t.Fatalf("signalrtest: connect: %v", err)
	}
	return c
}

// Dial is Connect for a connection that the server may refuse: then it returns a [*RefusedError].
func Dial(t testing.TB, server *signalr.Server, header http.Header) (*Client, error) {
	c := &Client{t: t, server: server, header: header, query: "negotiateVersion=1"}
	c.calls, c.handlers = map[string]*call{}, map[string]func([]json.RawMessage) (any, error){}
	c.received = newQueue[Invocation]()
	text, err := c.request(t.Context(), http.MethodPost, "/negotiate", "")
	if err != nil {
		return nil, err
	}
	var negotiated struct{ ConnectionToken, Error string }
	if err := json.Unmarshal([]byte(text), &negotiated); err != nil || negotiated.Error != "" {
		return nil, fmt.Errorf("signalrtest: negotiate: %q, %w", negotiated.Error, err)
	}
	c.query = "id=" + negotiated.ConnectionToken
	if _, err := c.request(t.Context(), http.MethodGet, "/", ""); err != nil {
		return nil, err
	}
	if _, err := c.request(t.Context(), http.MethodPost, "/", `{"protocol":"json","version":1}`+separator); err != nil {
		return nil, err
	}
	opened := make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.polls.Go(func() { c.poll(ctx, opened) })
	t.Cleanup(c.Close)
	return c, <-opened
}

// RefusedError is a request that was answered with another status than 200.
type RefusedError struct {
	Status int
	Body   string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the server answered %d %s %s", e.Status, http.StatusText(e.Status), strings.TrimSpace(e.Body))
}

// request sends one request of the connection and returns the body of its answer.
func (c *Client) request(ctx context.Context, method, path, body string) (string, error) {
	r := httptest.NewRequestWithContext(ctx, method, path+"?"+c.query, strings.NewReader(body))
	for name, values := range c.header {
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	c.server.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return "", &RefusedError{w.Code, w.Body.String()}
	}
	return w.Body.String(), nil
}

// Close ends the connection as its client and waits until that is done. The hub's OnDisconnected runs a moment later.
func (c *Client) Close() {
	c.stop()
	_, _ = c.request(context.Background(), http.MethodDelete, "/", "") // 202, or the server was first
	c.polls.Wait()
}

// Handle sets what answers the hub's invocations of a method, before the hub invokes it. Without one [Client.Next] returns them; a
// hub that waits for a result gets an error.
func (c *Client) Handle(target string, f func(args []json.RawMessage) (any, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handlers[target] = f
}

// Next returns the next call of the hub. It fails the test where none comes.
func (c *Client) Next() Invocation {
	c.t.Helper()
	got, err := c.received.next()
	if err != nil {
		c.t.Fatalf("signalrtest: wait for a call of the hub: %v", err)
	}
	return got
}

// Ended waits for the end of the connection and returns the reason, a [*ClosedError] where the server gave one.
func (c *Client) Ended() error {
	c.t.Helper()
	done := make(chan struct{})
	go func() { c.polls.Wait(); close(done) }() // ends with the last poll of the connection
	select {
	case <-done:
	case <-time.After(Patience):
		c.t.Fatal("signalrtest: the connection does not end")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// Send invokes a method without waiting for its completion.
func (c *Client) Send(method string, args ...any) {
	c.t.Helper()
	if err := c.write(message{Type: 1, Target: method}, args); err != nil {
		c.t.Fatalf("signalrtest: send %s: %v", method, err)
	}
}

// Invoke invokes a method and returns its result. An error that the hub answered is a [*signalr.HubError].
func Invoke[T any](c *Client, method string, args ...any) (result T, err error) {
	one, err := c.begin(1, method, args)
	if err != nil {
		return result, err
	}
	m, err := one.items.next()
	switch {
	case err != nil:
		return result, err
	case m.Error != nil:
		return result, &signalr.HubError{Message: *m.Error}
	case m.Result == nil:
		return result, nil
	}
	return result, json.Unmarshal(m.Result, &result)
}

// Stream invokes a method that streams. The sequence ends with the stream; where its loop is left early the stream is canceled.
func Stream[T any](c *Client, method string, args ...any) iter.Seq2[T, error] {
	one, err := c.begin(4, method, args)
	return func(yield func(T, error) bool) {
		for err == nil {
			var m message
			var item T
			m, err = one.items.next()
			switch {
			case err != nil:
			case m.Type == 3 && m.Error == nil:
				return
			case m.Type == 3:
				err = &signalr.HubError{Message: *m.Error}
			default:
				err = json.Unmarshal(m.Item, &item)
			}
			if err == nil && !yield(item, nil) {
				_ = c.write(message{Type: 5, InvocationID: one.id}, nil) // the connection may have ended
				return
			}
		}
		var none T
		yield(none, err)
	}
}

// call is an invocation that is not completed.
type call struct {
	id    string
	items *queue[message]
}

func (c *Client) begin(kind int, method string, args []any) (*call, error) {
	c.mu.Lock()
	c.last++
	one := &call{strconv.Itoa(c.last), newQueue[message]()}
	c.calls[one.id] = one
	ended := c.ended
	c.mu.Unlock()
	if ended != nil {
		return nil, ended
	}
	return one, c.write(message{Type: kind, InvocationID: one.id, Target: method}, args)
}
