package signalr

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestKeepAlive(t *testing.T) {
	hub, gone := echoHub()
	h := start(t, hub, quiet())

	t.Run("item137 ping after 15 s of silence", func(t *testing.T) {
		c := h.dial()
		conn := h.only()
		h.pass(14 * time.Second)
		if err := conn.TrySend("mark"); err != nil {
			t.Fatal(err)
		}
		h.pass(14 * time.Second)
		if err := conn.TrySend("mark"); err != nil {
			t.Fatal(err)
		}
		c.msg(`{"type":6}`)
		h.until("the client's ping", func() bool { return h.Stats().MessagesIn == 1 })
		h.pass(15 * time.Second)
		mark := `{"type":1,"target":"mark","arguments":[]}` + "\x1e"
		for _, want := range []string{mark, mark, `{"type":6}` + "\x1e"} {
			if _, payload, err := c.readFrame(); err != nil || string(payload) != want {
				t.Errorf("%q %v", payload, err)
			}
		}
		c.nc.Close()
		await(t, gone, "end")
		h.gone()
	})
	t.Run("item138 a client that never pinged is timed out too", func(t *testing.T) {
		c := h.dial()
		ask, answer := echo(1)
		h.pass(29 * time.Second)
		c.msg(ask) // whatever it sends is a sign of life
		c.expect(answer)
		h.pass(29 * time.Second)
		if n := h.Stats().Active; n != 1 {
			t.Errorf("%d connections are left, want 1", n)
		}
		h.pass(2 * time.Second)
		c.expect(`{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`)
		c.expectClose(1000)
		await(t, gone, "end")
		h.gone()
	})
	t.Run("item138 item139 timeout after a ping", func(t *testing.T) {
		c := h.dial()
		ask, answer := echo(1)
		c.msg(`{"type":6}`, ask)
		c.expect(answer)
		h.pass(29 * time.Second)
		c.msg(ask)
		c.expect(answer)
		h.pass(29 * time.Second)
		h.ahead.Add(int64(3 * time.Hour)) // the process was paused: whose silence was it?
		h.beat(h.time())
		h.pass(29 * time.Second)
		c.msg(ask)
		c.expect(answer)
		h.pass(30 * time.Second)
		c.expect(`{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`)
		c.expectClose(1000)
		if err := await(t, gone, "end"); !errors.Is(err, errClientTimeout) {
			t.Error(err)
		}
		h.gone()
	})
	t.Run("item140 pings are not answered", func(t *testing.T) {
		h := start(t, hub, quiet())
		c := h.dial()
		ask, answer := echo(1)
		c.msg(`{"type":6}`, `{"type":6}`, ask)
		if _, payload, err := c.readFrame(); err != nil || string(payload) != answer+"\x1e" {
			t.Errorf("%q %v", payload, err)
		}
		c.nc.Close()
		await(t, gone, "end")
	})
	t.Run("item139 detailed text", func(t *testing.T) {
		opts := quiet()
		opts.DetailedErrors = true
		h := start(t, hub, opts)
		c := h.dial()
		ask, answer := echo(1)
		c.msg(`{"type":6}`, ask)
		c.expect(answer)
		h.pass(30 * time.Second)
		c.expect(`{"type":7,"error":"Connection closed with an error. OperationCanceledException: ` +
			`Client hasn't sent a message/ping within the configured ClientTimeoutInterval.","allowReconnect":true}`)
		await(t, gone, "end")
	})
	if s := h.Stats(); s.EndedTimeout != 2 || s.EndedNormal != 1 || s.Started != 3 {
		t.Errorf("%+v", s)
	}
}

// only returns the only connection.
func (h *harness) only() *Conn {
	h.t.Helper()
	all := h.registry.appendAll(nil)
	if len(all) != 1 {
		h.t.Fatalf("%d connections", len(all))
	}
	return all[0]
}

func TestCloseRules(t *testing.T) {
	hub, gone := echoHub()
	On0(hub, "Abort", func(c *Call) error { c.Conn().Abort(); return nil })
	On2(hub, "Close", func(c *Call, text string, again bool) error { c.Conn().Close(text, again); return nil })
	On0(hub, "Chatter", func(c *Call) error {
		_ = c.Conn().TrySend("before")
		c.Conn().Abort()
		if err := c.Conn().TrySend("after"); !errors.Is(err, ErrClosed) {
			t.Errorf("send after close: %v", err)
		}
		c.Conn().Abort()
		c.Conn().Close("again", true)
		return nil
	})
	h := start(t, hub, quiet())
	const broken = `{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`

	for _, tc := range []struct{ name, message, want, err string }{
		{"item145 abort", `{"type":1,"target":"Abort","arguments":[]}`, `{"type":7}`, ""},
		{"close with text", `{"type":1,"target":"Close","arguments":["bye",false]}`, `{"type":7,"error":"bye"}`, "connection closed by the application: bye"},
		{"close with reconnect", `{"type":1,"target":"Close","arguments":["",true]}`, `{"type":7,"allowReconnect":true}`, "connection closed by the application: "},
		{"item147 client's close", `{"type":7}`, `{"type":7}`, ""},
		{"item147 client's close with text", `{"type":7,"error":"mine"}`, `{"type":7}`, "mine"},
		{"item79 no JSON", `nonsense`, broken, "invalid JSON"},
		{"item79 missing type", `{}`, broken, "Missing required property 'type'."},
		{"item79 type is no number", `{"type":"1"}`, broken, "expected an integer"},
		{"item142 oversize", `{"type":6,"x":"` + strings.Repeat("x", 32768) + `"}`, broken, "The maximum message size of 32768B was exceeded."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := h.dial()
			c.msg(tc.message)
			c.expect(tc.want)
			c.expectClose(1000)
			err := await(t, gone, "OnDisconnected")
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("OnDisconnected got %v", err)
			}
		})
	}
	t.Run("item148 nothing after Close, OnDisconnected once", func(t *testing.T) {
		c := h.dial()
		c.msg(`{"type":1,"invocationId":"1","target":"Chatter","arguments":[]}`)
		c.expect(`{"type":1,"target":"before","arguments":[]}`, `{"type":7}`)
		c.expectClose(1000)
		await(t, gone, "OnDisconnected")
		h.gone()
		if len(gone) > 0 {
			t.Error("OnDisconnected ran twice")
		}
		if len(h.registry.ids) != 0 || len(h.registry.users) != 0 || len(h.registry.tokens) != 0 {
			t.Error("registry keeps it")
		}
	})
}

func TestMessageLimit(t *testing.T) {
	hub, _ := echoHub()
	h := start(t, hub, quiet())
	ask, answer := echo(1)
	pad := func(size int) string { // a ping of exactly size bytes with its separator
		head, tail := `{"type":6,"x":"`, `"}`
		return head + strings.Repeat("x", size-1-len(head)-len(tail)) + tail
	}
	t.Run("item142 exactly the limit", func(t *testing.T) {
		c := h.dial()
		c.msg(pad(32768), ask)
		c.expect(answer)
	})
	t.Run("item142 one more", func(t *testing.T) {
		c := h.dial()
		c.msg(pad(32769), ask)
		c.expect(`{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`)
	})
	t.Run("item142 too long before its end has come", func(t *testing.T) {
		c := h.dial()
		c.send(pad(32769)[:32768])
		c.expect(`{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`)
	})
	t.Run("item142 a large frame of small messages", func(t *testing.T) {
		c := h.dial()
		var messages []string
		for range 100 {
			messages = append(messages, pad(650))
		}
		c.msg(append(messages, ask)...)
		c.expect(answer)
	})
	t.Run("unlimited", func(t *testing.T) {
		h := start(t, hub, Options{Limits: Limits{Message: -1}})
		c := h.dial()
		c.msg(pad(300000), ask)
		c.expect(answer)
	})
	t.Run("item142 point7 detailed text", func(t *testing.T) {
		h := start(t, hub, Options{DetailedErrors: true})
		c := h.dial()
		c.msg(pad(32769))
		c.expect(`{"type":7,"error":"Connection closed with an error. InvalidDataException: The maximum message size of 32768B was exceeded. ` +
			`The message size can be configured in AddHubOptions.","allowReconnect":true}`)
	})
}

func TestExpiry(t *testing.T) {
	t.Attr("checklist", "item28 item145 point6")
	hub, gone := echoHub()
	expires := time.Now().Add(time.Hour)
	opts := quiet()
	opts.Authenticate = fixedIdentity(&expires)
	h := start(t, hub, opts)
	c := h.dial()
	h.pass(time.Second)
	ask, answer := echo(1)
	c.msg(ask)
	c.expect(answer)

	expires = time.Now()
	late := h.dial()
	h.pass(time.Second)
	late.expect(`{"type":7,"allowReconnect":true}`) // item28 item145
	late.expectClose(1000)
	if err := await(t, gone, "end"); !errors.Is(err, errExpired) {
		t.Error(err)
	}
	c.msg(ask)
	c.expect(answer)
}
