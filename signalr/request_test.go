package signalr

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// askingHub has methods that ask their own client.
func askingHub() (hub *Hub, met chan *Conn, gone chan error) {
	hub, met, gone = meetingHub()
	Handle1(hub, "Ask", func(c *Call, method string) (int, error) {
		n, err := Invoke[int](c.Context(), c.Conn(), method, "a", 1)
		return n + 1, err
	})
	return hub, met, gone
}

// asked takes the server's invocation off the connection and returns its id.
func (c *client) asked(target string) (id string) {
	c.t.Helper()
	got := c.next()
	head, tail, ok := strings.Cut(strings.TrimPrefix(got, `{"type":1,"invocationId":"`), `","target":"`+target+`","arguments":["a",1]}`)
	if !ok || tail != "" {
		c.t.Fatalf("got %s", got)
	}
	return head
}

func TestInvoke(t *testing.T) {
	hub, met, _ := askingHub()
	h := start(t, hub, quiet())
	c := h.dial()
	conn := await(t, met, "connection")
	ask, answer := echo(1)
	const failed = `{"type":3,"invocationId":"1","error":"An unexpected error occurred invoking 'Ask' on the server.`
	invoke := `{"type":1,"invocationId":"1","target":"Ask","arguments":["Guess"]}`

	t.Run("item131 the slot is free while the handler waits", func(t *testing.T) {
		c.msg(invoke)
		id := c.asked("Guess")
		c.msg(ask)
		c.expect(answer)
		c.msg(`{"type":3,"invocationId":"` + id + `","result":41}`)
		c.expect(`{"type":3,"invocationId":"1","result":42}`)
	})
	t.Run("item131 the answer behind another call", func(t *testing.T) {
		c.msg(invoke)
		id := c.asked("Guess")
		c.msg(ask, ask, `{"type":3,"invocationId":"`+id+`","result":41}`)
		seen := map[string]int{}
		for range 3 {
			seen[c.next()]++
		}
		if seen[answer] != 2 || seen[`{"type":3,"invocationId":"1","result":42}`] != 1 {
			t.Error(seen)
		}
	})
	t.Run("item129 ids are unlike those of streams", func(t *testing.T) {
		c.msg(invoke)
		id := c.asked("Guess")
		if !strings.HasPrefix(id, "s") {
			t.Errorf("id %s", id)
		}
		t.Run("item130 the client's error", func(t *testing.T) {
			c.msg(`{"type":3,"invocationId":"` + id + `","error":"Client didn't provide a result."}`)
			c.expect(failed + ` HubException: Client didn't provide a result."}`)
		})
		t.Run("a second answer is ignored", func(t *testing.T) {
			c.msg(`{"type":3,"invocationId":"`+id+`","result":1}`, ask)
			c.expect(answer)
		})
	})
	t.Run("item135 undecodable result", func(t *testing.T) {
		c.msg(invoke)
		c.msg(`{"type":3,"invocationId":"` + c.asked("Guess") + `","result":"x"}`)
		c.expect(failed + `"}`)
		done := make(chan error, 1)
		go func() { _, err := Invoke[int](t.Context(), conn, "Guess", "a", 1); done <- err }()
		c.msg(`{"type":3,"invocationId":"` + c.asked("Guess") + `","result":"x"}`)
		if err := await(t, done, "error"); !strings.HasPrefix(err.Error(), "Error trying to deserialize result to int. ") {
			t.Error(err)
		}
		c.msg(ask)
		c.expect(answer)
	})
	t.Run("no result", func(t *testing.T) {
		done := make(chan error, 1)
		go func() {
			n, err := Invoke[*int](t.Context(), conn, "Guess", "a", 1)
			if n != nil {
				err = errors.New("there is one")
			}
			done <- err
		}()
		c.msg(`{"type":3,"invocationId":"` + c.asked("Guess") + `"}`)
		if err := await(t, done, "end"); err != nil {
			t.Error(err)
		}
	})
	t.Run("item133 the caller cancels, a late answer is ignored", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { _, err := conn.Invoke(ctx, "Guess", "a", 1); done <- err }()
		id := c.asked("Guess")
		cancel()
		if err := await(t, done, "end"); err.Error() != "Invocation canceled by the server." || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		c.msg(`{"type":3,"invocationId":"`+id+`","result":1}`, ask)
		c.expect(answer)
	})
	t.Run("item134 another connection's answer does not count", func(t *testing.T) {
		other := h.dial()
		await(t, met, "connection")
		done := make(chan Raw, 1)
		go func() { raw, _ := conn.Invoke(t.Context(), "Guess", "a", 1); done <- raw }()
		id := c.asked("Guess")
		other.msg(`{"type":3,"invocationId":"`+id+`","result":"theirs"}`, ask)
		other.expect(answer)
		if len(done) > 0 {
			t.Error("it counted")
		}
		c.msg(`{"type":3,"invocationId":"` + id + `","result":"ours"}`)
		if raw := await(t, done, "answer"); string(raw.Data) != `"ours"` || raw.Protocol != "json" {
			t.Errorf("%+v", raw)
		}
		other.nc.Close()
	})
	t.Run("item129 item95 MessagePack", func(t *testing.T) {
		p := h.dialPack()
		packConn := await(t, met, "connection")
		done := make(chan string, 1)
		go func() { s, _ := Invoke[string](t.Context(), packConn, "Guess", 7); done <- s }()
		p.expect(`[1,{},"s1","Guess",[7],[]]`)
		p.msg(`[3,{},"s1",3,"ok"]`)
		if got := await(t, done, "answer"); got != "ok" {
			t.Error(got)
		}
		p.nc.Close()
	})
	t.Run("what cannot be encoded", func(t *testing.T) {
		if _, err := conn.Invoke(t.Context(), "Guess", make(chan int)); err == nil {
			t.Error("no error")
		}
		if n := len(conn.extras().requests.waiting); n != 0 {
			t.Errorf("%d wait", n)
		}
	})
	t.Run("item133 disconnect", func(t *testing.T) {
		done := make(chan error, 1)
		go func() { _, err := conn.Invoke(context.Background(), "Guess", "a", 1); done <- err }()
		c.asked("Guess")
		c.nc.Close()
		want := "Connection '" + conn.ID() + "' disconnected."
		if err := await(t, done, "end"); err.Error() != want || !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if _, err := conn.Invoke(context.Background(), "Guess"); err.Error() != want {
			t.Error(err)
		}
	})
}

func TestInvokeInOnConnected(t *testing.T) {
	t.Attr("checklist", "item132")
	hub := NewHub()
	got := make(chan error, 1)
	hub.OnConnected = func(c *Conn) error {
		_, err := c.Invoke(c.Context(), "Guess")
		got <- err
		return nil
	}
	h := start(t, hub, Options{})
	h.dial()
	if err := await(t, got, "error"); err == nil || err.Error() != "Client results inside OnConnectedAsync Hub methods are not allowed." { // item132
		t.Error(err)
	}
}

// The handlers that wait count as running: OnDisconnected comes after them.
func TestInvokeAndDisconnect(t *testing.T) {
	hub, met, gone := askingHub()
	returned := make(chan error, 1)
	On0(hub, "Wait", func(c *Call) error {
		_, err := c.Conn().Invoke(c.Context(), "Guess", "a", 1)
		if len(gone) > 0 {
			err = errors.New("OnDisconnected was first")
		}
		returned <- err
		return err
	})
	h := start(t, hub, quiet())
	c := h.dial()
	await(t, met, "connection")
	c.msg(`{"type":1,"target":"Wait","arguments":[]}`)
	c.asked("Guess")
	c.nc.Close()
	if err := await(t, returned, "handler"); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	await(t, gone, "OnDisconnected")
}

// item131: what waits for clients is bounded, as each such handler costs a goroutine.
func TestInvoke_TooManyPending_Waits(t *testing.T) {
	hub, met, _ := askingHub()
	opts := quiet()
	opts.Limits.Deferred = 2
	h := start(t, hub, opts)
	c := h.dial()
	await(t, met, "connection")
	invoke := `{"type":1,"invocationId":"1","target":"Ask","arguments":["Guess"]}`
	ask, answer := echo(1)
	c.msg(invoke, invoke, ask)
	one := c.asked("Guess")
	c.asked("Guess")
	c.frame(finBit|opPing, nil) // all input so far is handled when this is answered
	if first, _, err := c.readFrame(); first != finBit|opPong || err != nil {
		t.Fatal("the third call was answered", first, err)
	}
	h.only().extras().requests.complete(&message{id: []byte(one), payload: []byte("1")}) // the client's own answer is behind the third call
	seen := map[string]bool{c.next(): true, c.next(): true}
	if !seen[answer] || !seen[`{"type":3,"invocationId":"1","result":2}`] {
		t.Error(seen)
	}
}
