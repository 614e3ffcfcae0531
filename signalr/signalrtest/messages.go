package signalrtest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
)

// separator ends a hub message.
const separator = "\x1e"

// message is a hub message in the JSON protocol.
type message struct {
	Type           int               `json:"type"`
	InvocationID   string            `json:"invocationId,omitempty"`
	Target         string            `json:"target,omitempty"`
	Arguments      []json.RawMessage `json:"arguments,omitzero"`
	Item           json.RawMessage   `json:"item,omitempty"`
	Result         json.RawMessage   `json:"result,omitempty"`
	Error          *string           `json:"error,omitempty"`
	AllowReconnect bool              `json:"allowReconnect,omitempty"`
}

// ClosedError is the end of a connection by its server.
type ClosedError struct {
	Text           string // that the server gave; "" if none
	AllowReconnect bool
}

func (e *ClosedError) Error() string { return "the server closed the connection: " + e.Text }

// errEnded is the end of a connection without a word of the server.
var errEnded = errors.New("signalrtest: the connection has ended")

// write sends a message with arguments, if it has any.
func (c *Client) write(m message, args []any) error {
	if m.Target != "" {
		m.Arguments = []json.RawMessage{}
	}
	for _, a := range args {
		text, err := json.Marshal(a)
		if err != nil {
			return err
		}
		m.Arguments = append(m.Arguments, text)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = c.request(context.Background(), http.MethodPost, "/", string(text)+separator)
	return err
}

// poll fetches until the connection ends, and then ends what waits for it. opened gets the answer to the handshake.
func (c *Client) poll(ctx context.Context, opened chan<- error) {
	var rest string
	var shaken bool
	for {
		text, err := c.request(ctx, http.MethodGet, "/", "")
		if err != nil {
			break
		}
		rest += text
		for {
			one, after, whole := strings.Cut(rest, separator)
			if !whole {
				break
			}
			rest = after
			if shaken {
				c.take(one)
				continue
			}
			shaken = true
			opened <- handshakeError(one)
		}
	}
	if !shaken {
		opened <- errEnded
	}
	c.end(errEnded)
}

func handshakeError(text string) error {
	var reply struct{ Error string }
	if err := json.Unmarshal([]byte(text), &reply); err != nil {
		return err
	}
	if reply.Error != "" {
		return errors.New("signalrtest: handshake: " + reply.Error)
	}
	return nil
}

// take gives a message to what waits for it.
func (c *Client) take(text string) {
	var m message
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		c.end(err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m.Type {
	case 1:
		if f := c.handlers[m.Target]; f != nil || m.InvocationID != "" {
			c.polls.Go(func() { c.answer(f, m) })
			return
		}
		c.received.add(Invocation{m.Target, m.Arguments})
	case 2, 3:
		if one := c.calls[m.InvocationID]; one != nil {
			one.items.add(m)
		}
		if m.Type == 3 {
			delete(c.calls, m.InvocationID)
		}
	case 7:
		closed := &ClosedError{AllowReconnect: m.AllowReconnect}
		if m.Error != nil {
			closed.Text = *m.Error
		}
		c.ended = closed
	}
}

// answer runs a handler of the client and sends its result, if the hub waits for one.
func (c *Client) answer(f func([]json.RawMessage) (any, error), m message) {
	reply := message{Type: 3, InvocationID: m.InvocationID}
	//lint:ignore ST1005 this is the text of Microsoft's clients
	err := errors.New("Client didn't provide a result.")
	var result any
	if f != nil {
		result, err = f(m.Arguments)
	}
	if err == nil {
		reply.Result, err = json.Marshal(result)
	}
	if err != nil {
		text := err.Error()
		reply.Error = &text
	}
	if m.InvocationID != "" {
		_ = c.write(reply, nil) // the connection may have ended
	}
}

// end notes the end of the connection. The first reason counts.
func (c *Client) end(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		c.ended = reason
	}
	c.received.end(c.ended)
	for _, one := range c.calls {
		one.items.end(c.ended)
	}
}

// queue holds the received items that the test has not read. It is unbounded: tests read what they request.
type queue[T any] struct {
	mu    sync.Mutex
	items []T
	err   error         // the end; nil before
	more  chan struct{} // room for one: to look again
}

func newQueue[T any]() *queue[T] { return &queue[T]{more: make(chan struct{}, 1)} }

func (q *queue[T]) add(item T)    { q.change(func() { q.items = append(q.items, item) }) }
func (q *queue[T]) end(err error) { q.change(func() { q.err = err }) }

func (q *queue[T]) change(f func()) {
	q.mu.Lock()
	f()
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// next returns the next item, the end behind the last one, or an error where nothing comes.
func (q *queue[T]) next() (item T, err error) {
	patience := time.NewTimer(Patience)
	defer patience.Stop()
	for {
		q.mu.Lock()
		if len(q.items) > 0 {
			item, q.items = q.items[0], q.items[1:]
			q.mu.Unlock()
			return item, nil
		}
		err = q.err
		q.mu.Unlock()
		if err != nil {
			return item, err
		}
		select {
		case <-q.more:
		case <-patience.C:
			return item, context.DeadlineExceeded
		}
	}
}
