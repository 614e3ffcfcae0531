package signalr

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestStream_HandlerRunsInOrder_SeesWhatIsPublishedBehindIt: a client opens a stream and publishes on the same connection.
func TestStream_HandlerRunsInOrder_SeesWhatIsPublishedBehindIt(t *testing.T) {
	var mu sync.Mutex
	var subscribers []chan any
	hub := NewHub()
	hub.HandleStream("Subscribe", func(c *Call) (iter.Seq2[any, error], error) {
		for range 100 {
			runtime.Gosched() // whatever would overtake it does
		}
		ch := make(chan any, 100)
		mu.Lock()
		defer mu.Unlock()
		subscribers = append(subscribers, ch)
		return FromChannel(c.Context(), ch), nil
	})
	On1(hub, "Publish", func(_ *Call, n int) error {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range subscribers {
			s <- n
		}
		return nil
	})
	h := start(t, hub, quiet())
	c := h.dial()
	for i := range 20 {
		id := fmt.Sprint("s", i)
		c.msg(call4(id, "Subscribe", ""), `{"type":1,"target":"Publish","arguments":[`+fmt.Sprint(i)+`]}`)
		c.expect(item(id, i))
		c.msg(`{"type":5,"invocationId":"` + id + `"}`)
		c.expect(`{"type":3,"invocationId":"` + id + `"}`)
		mu.Lock()
		subscribers = nil
		mu.Unlock()
	}
}

// TestStream_OpenStream_HoldsNoSlot: the sequence runs beside later invocations, also where the handler has waited for its client.
func TestStream_OpenStream_HoldsNoSlot(t *testing.T) {
	hub := NewHub()
	Stream0(hub, "Silent", func(c *Call) (iter.Seq2[int, error], error) {
		ctx := c.Context()
		return func(func(int, error) bool) { <-ctx.Done() }, nil
	})
	Handle0(hub, "Ask", func(*Call) (int, error) { return 7, nil })
	h := start(t, hub, Options{Limits: Limits{Streams: 3, Deferred: 1}, Timeouts: Timeouts{Heartbeat: time.Hour}})
	c := h.dial()
	for round := range 3 {
		c.msg(call4("a", "Silent", ""), call4("b", "Silent", ""), call4("c", "Silent", ""), call4("d", "Silent", ""))
		c.expect(`{"type":3,"invocationId":"d","error":"An unexpected error occurred invoking 'Silent' on the server. HubException: Too many streams are open on this connection: 3, the limit (Limits.Streams)."}`)
		c.msg(`{"type":1,"invocationId":"q","target":"Ask","arguments":[]}`)
		c.expect(`{"type":3,"invocationId":"q","result":7}`)
		for _, id := range []string{"a", "b", "c"} {
			c.msg(`{"type":5,"invocationId":"` + id + `"}`)
			c.expect(`{"type":3,"invocationId":"` + id + `"}`)
		}
		var conn *Conn
		for _, conn = range h.registry.appendAll(nil) {
		}
		h.until(fmt.Sprint("slots are free after round ", round), func() bool {
			conn.in.mu.Lock()
			defer conn.in.mu.Unlock()
			return conn.in.running == 0 && conn.in.streams == 0 && conn.in.waiters == 0 && conn.in.calls == nil
		})
	}
}

// TestCall_CancelBeforeContext_IsKept: a cancellation counts for a handler that asks for its context later.
func TestCall_CancelBeforeContext_IsKept(t *testing.T) {
	begun, proceed, got := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	hub := NewHub()
	On0(hub, "Wait", func(c *Call) error {
		close(begun)
		<-proceed
		<-c.Context().Done()
		got <- context.Cause(c.Context())
		return c.Context().Err()
	})
	h := start(t, hub, Options{Limits: Limits{ParallelInvocations: 2}, Timeouts: Timeouts{Heartbeat: time.Hour}})
	c := h.dial()
	c.msg(`{"type":1,"invocationId":"w","target":"Wait","arguments":[]}`)
	await(t, begun, "begin of the handler")
	c.msg(`{"type":5,"invocationId":"other"}`, `{"type":5,"invocationId":"w"}`, `{"type":1,"invocationId":"n","target":"None","arguments":[]}`)
	c.next() // the answer to what came behind the cancellation
	close(proceed)
	if err := await(t, got, "end of the context"); !errors.Is(err, errCanceledByClient) {
		t.Errorf("cause %v, want %v", err, errCanceledByClient)
	}
	c.next()
}

// TestCall_ManyOpenCalls_AreCanceledEach: the list of open calls stays right whichever ends first.
func TestCall_ManyOpenCalls_AreCanceledEach(t *testing.T) {
	hub := NewHub()
	hub.Handle("Hold", func(c *Call) (any, error) {
		d := c.Defer()
		context.AfterFunc(c.Context(), func() { d.Error(Errorf("canceled")) })
		return nil, nil
	})
	h := start(t, hub, quiet())
	c := h.dial()
	for i := range 9 {
		c.msg(fmt.Sprintf(`{"type":1,"invocationId":"%d","target":"Hold","arguments":[]}`, i))
	}
	for _, i := range []int{4, 0, 8, 1, 7, 2, 6, 5, 3} {
		c.msg(fmt.Sprintf(`{"type":5,"invocationId":"%d"}`, i))
		c.expect(fmt.Sprintf(`{"type":3,"invocationId":"%d","error":"An unexpected error occurred invoking 'Hold' on the server. HubException: canceled"}`, i))
	}
}
