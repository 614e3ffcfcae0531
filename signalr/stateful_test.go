package signalr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func keepingOptions() Options {
	o := quiet()
	o.StatefulReconnect = true
	return o
}

const hello2 = `{"protocol":"json","version":2}` + "\x1e"

// keeper is the client of a connection that outlives its sockets.
type keeper struct {
	*client
	h     *harness
	query string
}

// keep opens one and shakes hands.
func (h *harness) keep() *keeper {
	h.t.Helper()
	m := h.negotiate("?negotiateVersion=1&useStatefulReconnect=true")
	if m["useStatefulReconnect"] != true {
		h.t.Fatalf("%v", m)
	}
	k := &keeper{h: h, query: "?id=" + m["connectionToken"].(string)}
	k.attach()
	k.send(hello2)
	k.expect("{}")
	return k
}

// try opens another socket and returns the status.
func (k *keeper) try() (*client, int) {
	k.h.t.Helper()
	c, resp := k.h.raw(k.query)
	return c, resp.StatusCode
}

// attach opens another socket.
func (k *keeper) attach() {
	k.h.t.Helper()
	c, status := k.try()
	if status != http.StatusSwitchingProtocols {
		k.h.t.Fatalf("attach: %d", status)
	}
	k.client = c
}

// lose closes the socket and waits until the server knows.
func (k *keeper) lose() {
	k.h.t.Helper()
	k.nc.Close()
	conn := k.h.only()
	k.h.until("the loss of the socket", func() bool { since, _ := conn.detachedSince(); return since != 0 })
}

// finish ends the connection from the server's side.
func (k *keeper) finish(conn *Conn, gone chan error) {
	k.h.t.Helper()
	conn.Abort()
	await(k.h.t, gone, "OnDisconnected")
	k.nc.Close()
	k.h.gone()
}

func push(i int) (send func(*testing.T, *Conn), text string) {
	return func(t *testing.T, c *Conn) {
		t.Helper()
		if err := c.TrySend("n", i); err != nil {
			t.Fatal(err)
		}
	}, fmt.Sprintf(`{"type":1,"target":"n","arguments":[%d]}`, i)
}

func (h *harness) push(from, to int) {
	h.t.Helper()
	for i := from; i <= to; i++ {
		send, _ := push(i)
		send(h.t, h.only())
	}
}

func pushed(from, to int) (texts []string) {
	for i := from; i <= to; i++ {
		_, text := push(i)
		texts = append(texts, text)
	}
	return texts
}

func TestStatefulNegotiate(t *testing.T) {
	t.Attr("checklist", "item12")
	for _, tc := range []struct {
		on    bool
		kinds Transports
		query string
		want  bool
	}{
		{true, 0, "?negotiateVersion=1&useStatefulReconnect=true", true},
		{true, 0, "?negotiateVersion=1&UseStatefulReconnect=TRUE", true},
		{true, 0, "?negotiateVersion=1", false},
		{true, 0, "?negotiateVersion=1&useStatefulReconnect=false", false},
		{true, LongPolling, "?negotiateVersion=1&useStatefulReconnect=true", false},
		{false, 0, "?negotiateVersion=1&useStatefulReconnect=true", false},
	} {
		h := start(t, NewHub(), Options{StatefulReconnect: tc.on, Transports: tc.kinds})
		_, body := h.do("POST", "/hub/negotiate"+tc.query)
		if got := strings.Contains(body, `"useStatefulReconnect":true`); got != tc.want || strings.Contains(body, "useStatefulReconnect") != tc.want {
			t.Errorf("%+v: %s", tc, body)
		}
	}
}

func TestStatefulNotAgreed(t *testing.T) {
	t.Attr("checklist", "item32 item151")
	hub, gone := echoHub()
	h := start(t, hub, keepingOptions())
	ask, answered := echo(1)
	for name, tc := range map[string][2]string{
		"the handshake is of version 1": {"&useStatefulReconnect=true", hello},
		"negotiate was not asked":       {"", hello2},
	} {
		t.Run(name, func(t *testing.T) {
			f := h.negotiated(tc[0])
			c, _ := h.raw(f.query)
			c.send(tc[1])
			c.expect("{}")
			c.msg(`{"type":8,"sequenceId":7}`, `{"type":9,"sequenceId":7}`, ask)
			c.expect(answered)
			h.pass(time.Second) // no Ack
			c.msg(ask)
			c.expect(answered)
			if _, resp := h.raw(f.query); resp.StatusCode != 409 {
				t.Errorf("second socket: %d", resp.StatusCode)
			}
			c.nc.Close()
			await(t, gone, "OnDisconnected, at once")
			h.gone()
		})
	}
	t.Run("before the handshake there is nothing to come back to", func(t *testing.T) {
		f := h.negotiated("&useStatefulReconnect=true")
		c, _ := h.raw(f.query)
		if _, resp := h.raw(f.query); resp.StatusCode != 409 {
			t.Errorf("second socket: %d", resp.StatusCode)
		}
		c.nc.Close()
		h.gone()
	})
}

func TestStatefulReplay(t *testing.T) {
	hub, met, gone := meetingHub()
	entered, release := make(chan struct{}), make(chan struct{})
	On0(hub, "Wait", func(*Call) error { entered <- struct{}{}; <-release; return nil })
	h := start(t, hub, keepingOptions())

	t.Run("item156 item157 what was not acknowledged comes again, then the rest", func(t *testing.T) {
		k := h.keep()
		conn := await(t, met, "connection")
		h.push(1, 3)
		k.expect(pushed(1, 3)...)
		ask, answered := echo(4)
		k.msg(`{"type":8,"sequenceId":1}`, ask)
		k.expect(answered)
		k.lose()
		h.push(5, 6) // while there is no socket
		k.attach()
		k.expect(`{"type":9,"sequenceId":2}`)
		k.expect(pushed(2, 3)...)
		k.expect(answered)
		k.expect(pushed(5, 6)...)
		h.push(7, 7)
		k.expect(pushed(7, 7)...)
		if h.Conn(conn.ID()) != conn || len(met) > 0 || len(gone) > 0 {
			t.Error("it is another connection")
		}
		conn.Abort()
		k.expect(`{"type":7}`)
		k.expectClose(1000)
		await(t, gone, "OnDisconnected")
		h.gone()
	})
	t.Run("item157 nothing to send again: the next number", func(t *testing.T) {
		k := h.keep()
		conn := await(t, met, "connection")
		h.push(1, 2)
		k.expect(pushed(1, 2)...)
		k.msg(`{"type":8,"sequenceId":99}`) // more than there is
		h.until("the acknowledgement", func() bool { conn.out.mu.Lock(); defer conn.out.mu.Unlock(); return conn.state.replay.size() == 0 })
		k.attach()
		k.expect(`{"type":9,"sequenceId":3}`)
		h.push(3, 3)
		k.expect(pushed(3, 3)...)
		k.attach()
		k.expect(`{"type":9,"sequenceId":3}`)
		k.expect(pushed(3, 3)...)
		k.finish(conn, gone)
	})
	t.Run("item161 one that was asked for before the present one replaces nothing", func(t *testing.T) {
		k := h.keep()
		conn := await(t, met, "connection")
		late := conn.state.arrived.Add(1) // a client that was answered may ask for another before the first has taken over
		k.attach()
		k.expect(`{"type":9,"sequenceId":1}`)
		if conn.handOver(&webSocket{conn: conn}, late) {
			t.Error("the client has given this one up")
		}
		h.push(1, 2)
		k.expect(pushed(1, 2)...)
		k.finish(conn, gone)
	})
	t.Run("item156 item161 a new socket replaces one that is still open", func(t *testing.T) {
		k := h.keep()
		conn := await(t, met, "connection")
		k.msg(`{"type":1,"invocationId":"w","target":"Wait","arguments":[]}`)
		await(t, entered, "the handler")
		for range 5 { // again and again, also before anything was said on the last one
			old := k.client
			k.attach()
			old.expectEOF()
		}
		k.msg(`{"type":9,"sequenceId":2}`)
		release <- struct{}{} // the handler has seen nothing of all that
		k.expect(`{"type":9,"sequenceId":1}`, `{"type":3,"invocationId":"w"}`)
		if len(gone) > 0 {
			t.Error("OnDisconnected ran")
		}
		k.finish(conn, gone)
	})
	t.Run("item156 item161 nothing of an old socket reaches the connection", func(t *testing.T) {
		k := h.keep()
		conn := await(t, met, "connection")
		old := conn.transport().(*webSocket)
		k.attach()
		k.msg(`{"type":9,"sequenceId":1}`)
		k.expect(`{"type":9,"sequenceId":1}`)
		h.awaitClosed(old) // the calls below are those that its wire may still have begun
		old.data([]byte(`{"type":`))
		old.control(opPing, nil)
		old.control(opClose, nil)
		if b := old.advance(0); b != nil {
			t.Errorf("%q would be written to it", b)
		}
		old.failed(errors.New("broken pipe"))
		old.gone()
		old.input([]byte{0xff, 0xff}) // no frame
		h.push(1, 1)
		ask, answered := echo(1)
		k.msg(ask)
		k.expect(pushed(1, 1)...)
		k.expect(answered)
		if since, cause := conn.detachedSince(); since != 0 || cause != nil {
			t.Errorf("detached: %v", cause)
		}
		k.finish(conn, gone)
	})
	t.Run("item152 pings, Close and acknowledgements are not counted", func(t *testing.T) {
		k := h.keep()
		conn := await(t, met, "connection")
		h.push(1, 1)
		h.pass(15 * time.Second) // a ping
		ask, answered := echo(2)
		k.msg(ask)
		k.expect(pushed(1, 1)...)
		k.expect(answered)
		h.pass(time.Second)
		k.expect(`{"type":8,"sequenceId":1}`)
		k.attach()
		k.expect(`{"type":9,"sequenceId":1}`)
		k.expect(pushed(1, 1)...)
		k.expect(answered)
		h.push(3, 3)
		k.expect(pushed(3, 3)...)
		k.finish(conn, gone)
	})
	t.Run("frames of several messages, and several frames", func(t *testing.T) {
		k := h.keep()
		conn := await(t, met, "connection")
		two := JSONFrame(append(AppendInvocation(nil, "a"), AppendInvocation(nil, "b")...))
		if err := conn.TryWrite(two, two); err != nil {
			t.Fatal(err)
		}
		const a, b = `{"type":1,"target":"a","arguments":[]}`, `{"type":1,"target":"b","arguments":[]}`
		k.expect(a, b, a, b)
		ask, answered := echo(1)
		k.msg(`{"type":8,"sequenceId":3}`, ask)
		k.expect(answered)
		k.attach()
		k.expect(`{"type":9,"sequenceId":4}`, b, answered)
		k.finish(conn, gone)
	})
}

func TestStatefulInput(t *testing.T) {
	ran := make(chan string, 100)
	hub, met, gone := meetingHub()
	On1(hub, "Note", func(_ *Call, s string) error { ran <- s; return nil })
	h := start(t, hub, keepingOptions())
	note := func(s string) string { return `{"type":1,"target":"Note","arguments":["` + s + `"]}` }
	noted := func(t *testing.T, want ...string) {
		t.Helper()
		for _, w := range want {
			if got := await(t, ran, w); got != w {
				t.Fatalf("got %s, want %s", got, w)
			}
		}
	}

	t.Run("item158 handled messages are dropped", func(t *testing.T) {
		k := h.keep()
		await(t, met, "connection")
		k.msg(note("a"), note("b"), note("c"))
		noted(t, "a", "b", "c")
		k.attach()
		k.msg(note("lost")) // before the Sequence: it will come again, if it was sent at all
		k.msg(`{"type":9,"sequenceId":2}`, note("b"), note("c"), note("d"))
		noted(t, "d")
		k.attach()
		k.msg(`{"type":9,"sequenceId":1}`, note("a"), note("b"), note("c"), note("d"), note("e"))
		noted(t, "e")
		h.pass(time.Second)
		k.expect(`{"type":9,"sequenceId":1}`, `{"type":8,"sequenceId":5}`)
		k.finish(h.only(), gone)
	})
	t.Run("item158 a number that leaves a gap is an error", func(t *testing.T) {
		for _, n := range []int{3, 0, -1} {
			k := h.keep()
			await(t, met, "connection")
			k.msg(note("a"))
			noted(t, "a")
			k.attach()
			k.expect(`{"type":9,"sequenceId":1}`)
			k.msg(fmt.Sprintf(`{"type":9,"sequenceId":%d}`, n), note("never"))
			k.expect(`{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`)
			k.expectClose(1000)
			if err := await(t, gone, "OnDisconnected"); err == nil {
				t.Error("no error")
			}
			h.gone()
		}
	})
	t.Run("item159 half a message of the old socket is forgotten", func(t *testing.T) {
		k := h.keep()
		conn := await(t, met, "connection")
		k.send(note("a") + "\x1e" + note("b")[:10])
		noted(t, "a")
		h.until("the half", func() bool { conn.in.mu.Lock(); defer conn.in.mu.Unlock(); return conn.in.in.left() == 10 })
		k.attach()
		k.msg(`{"type":9,"sequenceId":2}`, note("b"))
		noted(t, "b")
		k.finish(conn, gone)
	})
	t.Run("a new socket is read where the old one was not", func(t *testing.T) {
		leave := make(chan struct{})
		hub, gone := echoHub()
		On1(hub, "Wait", func(*Call, string) error { <-leave; return nil })
		h := start(t, hub, keepingOptions())
		k := h.keep()
		conn := h.only()
		h.push(1, 1)
		wait := `{"type":1,"target":"Wait","arguments":["` + strings.Repeat("x", 30000) + `"]}`
		k.msg(wait, wait, wait, wait, wait)
		h.until("pause", conn.in.paused)
		k.attach()
		k.msg(`{"type":9,"sequenceId":3}`, `{"type":8,"sequenceId":1}`)
		h.until("the acknowledgement", func() bool { conn.out.mu.Lock(); defer conn.out.mu.Unlock(); return conn.state.replay.size() == 0 })
		close(leave)
		k.finish(conn, gone)
	})
	t.Run("item154 an acknowledgement per second, when there is something new", func(t *testing.T) {
		k := h.keep()
		await(t, met, "connection")
		k.msg(note("a"), note("b"))
		noted(t, "a", "b")
		h.pass(time.Second)
		h.pass(3 * time.Second)
		k.msg(note("c"))
		noted(t, "c")
		h.pass(time.Second)
		k.expect(`{"type":8,"sequenceId":2}`, `{"type":8,"sequenceId":3}`)
		// Sent again, so the acknowledgement was not seen.
		k.attach()
		k.msg(`{"type":9,"sequenceId":3}`, note("c"), note("d"))
		noted(t, "d")
		k.expect(`{"type":9,"sequenceId":1}`)
		h.pass(time.Second)
		k.expect(`{"type":8,"sequenceId":4}`)
		// A socket may have taken the last one with it, and the client has nothing to send again that shows it.
		k.attach()
		k.msg(`{"type":9,"sequenceId":5}`)
		k.expect(`{"type":9,"sequenceId":1}`)
		h.pass(time.Second)
		k.expect(`{"type":8,"sequenceId":4}`)
		k.finish(h.only(), gone)
	})
}

func TestStatefulWindow(t *testing.T) {
	t.Attr("checklist", "item160")
	hub, met, gone := meetingHub()
	On0(hub, "Abort", func(c *Call) error { c.Conn().Abort(); return nil })
	h := start(t, hub, keepingOptions())

	t.Run("15 s after the loss", func(t *testing.T) {
		k := h.keep()
		conn := await(t, met, "connection")
		k.msg(`{"type":6}`) // its silence is judged, but not now
		k.lose()
		h.pass(14 * time.Second)
		k.attach()
		k.expect(`{"type":9,"sequenceId":1}`)
		k.lose()
		h.pass(15 * time.Second)
		if err := await(t, gone, "OnDisconnected"); err != nil || !conn.EndedByClient() {
			t.Error(err)
		}
		h.gone()
		if _, status := k.try(); status != 404 {
			t.Errorf("%d", status)
		}
	})
	for name, end := range map[string]func(t *testing.T, k *keeper){
		"close frame of the client": func(_ *testing.T, k *keeper) { k.frame(finBit|opClose, []byte{1000 >> 8, 1000 & 0xff}) },
		"Close message":             func(_ *testing.T, k *keeper) { k.msg(`{"type":7}`) },
		"Abort":                     func(_ *testing.T, k *keeper) { k.msg(`{"type":1,"target":"Abort","arguments":[]}`) },
		"protocol error":            func(_ *testing.T, k *keeper) { k.msg(`nonsense`) },
		"WebSocket error":           func(_ *testing.T, k *keeper) { k.frame(finBit|0x3, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			k := h.keep()
			await(t, met, "connection")
			end(t, k)
			await(t, gone, "OnDisconnected, at once")
			if _, status := k.try(); status != 404 {
				t.Errorf("%d", status)
			}
			k.nc.Close()
			h.gone()
		})
	}
	t.Run("close frame before all input is handled", func(t *testing.T) {
		leave := make(chan struct{})
		hub, gone := echoHub()
		On0(hub, "Wait", func(*Call) error { <-leave; return nil })
		h := start(t, hub, keepingOptions())
		k := h.keep()
		wait := `{"type":1,"target":"Wait","arguments":[]}`
		k.msg(wait, wait)
		k.frame(finBit|opClose, []byte{1000 >> 8, 1000 & 0xff})
		conn := h.only()
		h.until("the close frame", conn.ending)
		k.nc.Close()
		h.until("the socket's end", func() bool { conn.out.mu.Lock(); defer conn.out.mu.Unlock(); return conn.out.dead })
		if _, status := k.try(); status != 404 {
			t.Errorf("%d", status)
		}
		close(leave)
		await(t, gone, "OnDisconnected")
		h.gone()
	})
	t.Run("Abort while there is no socket", func(t *testing.T) {
		k := h.keep()
		conn := await(t, met, "connection")
		k.lose()
		k.finish(conn, gone)
		if err := conn.TrySend("x"); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if _, status := k.try(); status != 404 {
			t.Errorf("%d", status)
		}
	})
	t.Run("a write that fails is the loss of a socket too", func(t *testing.T) {
		k := h.keep()
		conn := await(t, met, "connection")
		conn.failed(conn.transport(), errors.New("broken pipe"))
		h.until("the loss", func() bool { since, _ := conn.detachedSince(); return since != 0 })
		h.push(1, 1)
		k.attach()
		k.expect(`{"type":9,"sequenceId":1}`)
		k.expect(pushed(1, 1)...)
		conn.failed(conn.transport(), errSendTimeout)
		h.until("the loss", func() bool { since, _ := conn.detachedSince(); return since != 0 })
		h.pass(15 * time.Second)
		if err := await(t, gone, "OnDisconnected"); !errors.Is(err, errSendTimeout) || conn.EndedByClient() {
			t.Error(err)
		}
		h.gone()
	})
}

func TestStateful_ClientDoesNotRead_ConnectionEnds(t *testing.T) {
	t.Attr("checklist", "item43 item160")
	opts := keepingOptions()
	opts.Limits.Replay = 64 << 20
	hub, met, gone := meetingHub()
	h := start(t, hub, opts)
	h.keep()
	conn := await(t, met, "connection")
	fill(t, conn, 0)
	h.until("the socket is given up, once the kernel's buffers are full too", func() bool {
		h.passStuck(time.Second)
		since, _ := conn.detachedSince()
		return since != 0
	})
	conn.Abort()
	await(t, gone, "OnDisconnected")
}

func TestStatefulBuffer(t *testing.T) {
	t.Attr("checklist", "item155")
	opts := keepingOptions()
	opts.Limits.Replay = 1000
	opts.Timeouts.KeepAlive = 3 * time.Second
	hub, met, gone := meetingHub()
	h := start(t, hub, opts)
	big := strings.Repeat("x", 400)
	const broken = `{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`

	t.Run("beyond it senders wait for an acknowledgement, pings do not", func(t *testing.T) {
		k := h.keep()
		conn := await(t, met, "connection")
		for range 2 {
			if err := conn.TrySend("n", big); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.TrySend("n", big); !errors.Is(err, ErrFull) {
			t.Fatalf("third: %v", err)
		}
		waited := make(chan error, 1)
		go func() { waited <- conn.Send(context.Background(), "last", big) }()
		k.next()
		k.next()
		h.pass(4 * time.Second)
		if first, payload, err := k.readFrame(); first != finBit|opText || string(payload) != `{"type":6}`+"\x1e" || err != nil {
			t.Errorf("%x %q %v", first, payload, err)
		}
		if len(waited) > 0 {
			t.Error("did not wait")
		}
		k.msg(`{"type":8,"sequenceId":2}`)
		if err := await(t, waited, "Send"); err != nil {
			t.Error(err)
		}
		k.expect(`{"type":1,"target":"last","arguments":["` + big + `"]}`)
		h.pass(10 * time.Second) // that wait is over
		k.finish(conn, gone)
	})
	t.Run("5 s without one close the connection", func(t *testing.T) {
		k := h.keep()
		conn := await(t, met, "connection")
		_, _ = conn.TrySend("n", big), conn.TrySend("n", big)
		if err := conn.TrySend("n", big); !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		h.pass(4 * time.Second)
		if conn.ending() {
			t.Fatal("too early")
		}
		h.pass(time.Second)
		k.next()
		k.next()
		k.expect(broken)
		if err := await(t, gone, "OnDisconnected"); !errors.Is(err, errReplayFull) {
			t.Error(err)
		}
		k.nc.Close()
		h.gone()
	})
	t.Run("a message larger than the buffer is taken when it is empty", func(t *testing.T) {
		k := h.keep()
		conn := await(t, met, "connection")
		if err := conn.TrySend("n", strings.Repeat(big, 10)); err != nil {
			t.Fatal(err)
		}
		if err := conn.TrySend("n"); !errors.Is(err, ErrFull) {
			t.Error(err)
		}
		k.next()
		k.finish(conn, gone)
	})
	t.Run("an acknowledgement behind calls that wait is seen", func(t *testing.T) {
		hub, gone := echoHub()
		On0(hub, "Fill", func(c *Call) error {
			for range 5 {
				if err := c.Conn().Send(context.Background(), "n", big); err != nil {
					return err
				}
			}
			return nil
		})
		h := start(t, hub, opts)
		k := h.keep()
		ask, answered := echo(1)
		k.msg(`{"type":1,"invocationId":"f","target":"Fill","arguments":[]}`, ask, ask, `{"type":6}`)
		for i := 1; i <= 5; i++ {
			k.next()
			k.msg(fmt.Sprintf(`{"type":8,"sequenceId":%d}`, i))
		}
		k.expect(`{"type":3,"invocationId":"f"}`, answered, answered)
		k.finish(h.only(), gone)
	})
	t.Run("answers are bounded by it", func(t *testing.T) {
		k := h.keep()
		conn := await(t, met, "connection")
		ask := `{"type":1,"invocationId":"1","target":"Echo","arguments":["` + big + `"]}` + "\x1e"
		k.send(strings.Repeat(ask, 20))
		k.next()
		k.next()
		h.until("the third", func() bool { conn.out.mu.Lock(); defer conn.out.mu.Unlock(); return conn.state.replay.size() > 1000 })
		if n := conn.state.replay.size(); n > 1500 {
			t.Errorf("%d bytes are kept", n)
		}
		for i := 1; i <= 20; i++ {
			if i > 2 {
				k.next()
			}
			k.msg(fmt.Sprintf(`{"type":8,"sequenceId":%d}`, i))
		}
		k.finish(conn, gone)
	})
}

func TestStatefulShutdown(t *testing.T) {
	t.Attr("checklist", "item150 item160")
	t.Run("Shutdown ends both kinds, and lets those come back that have not been told yet", func(t *testing.T) {
		opts := keepingOptions()
		opts.Limits.DrainRate = 20 // one per step
		hub, met, gone := meetingHub()
		h := start(t, hub, opts)
		var all []*keeper
		for range 4 {
			all = append(all, h.keep())
			await(t, met, "connection")
		}
		lost := all[3]
		lost.nc.Close()
		h.until("the loss", func() bool {
			for _, c := range h.registry.appendAll(nil) {
				if since, _ := c.detachedSince(); since != 0 {
					return true
				}
			}
			return false
		})
		done := make(chan error, 1)
		go func() { done <- h.Shutdown(context.Background()) }()
		for _, k := range all[:3] {
			k.expect(`{"type":7,"allowReconnect":true}`)
			if _, status := k.try(); status != 404 {
				t.Errorf("after Close: %d", status)
			}
			k.expectClose(1000)
		}
		if err := await(t, done, "Shutdown"); err != nil {
			t.Error(err)
		}
		for range 4 {
			if err := await(t, gone, "OnDisconnected"); err != nil {
				t.Error(err)
			}
		}
		if s := h.Stats(); s.Active != 0 || s.EndedShutdown != 4 {
			t.Errorf("%+v", s)
		}
		if _, status := lost.try(); status != 404 {
			t.Errorf("after the end: %d", status)
		}
	})
	t.Run("a socket can be replaced while others are drained", func(t *testing.T) {
		hub, met, gone := meetingHub()
		h := start(t, hub, keepingOptions())
		k := h.keep()
		conn := await(t, met, "connection")
		h.registry.close() // as Shutdown does before its first wave
		h.push(1, 1)
		k.attach()
		k.expect(`{"type":9,"sequenceId":1}`)
		k.expect(pushed(1, 1)...)
		conn.end(shutdownEnding())
		k.expect(`{"type":7,"allowReconnect":true}`)
		k.expectClose(1000)
		await(t, gone, "OnDisconnected")
	})
	t.Run("the end of Run while there is no socket", func(t *testing.T) {
		hub, met, gone := meetingHub()
		s := NewServer(hub, keepingOptions())
		h := startWith(t, s)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		k := h.keep()
		await(t, met, "connection")
		k.lose()
		cancel()
		await(t, gone, "OnDisconnected")
		if err := await(t, done, "Run"); err != nil {
			t.Error(err)
		}
	})
}

func TestStatefulAnotherUser(t *testing.T) {
	t.Attr("checklist", "item27")
	opts := keepingOptions()
	opts.Authenticate = byToken
	hub, met, gone := meetingHub()
	h := start(t, hub, opts)
	token := h.negotiate("?negotiateVersion=1&useStatefulReconnect=true&access_token=amal")["connectionToken"].(string)
	c, _ := h.raw("?id=" + token + "&access_token=amal")
	c.send(hello2)
	c.expect("{}")
	conn := await(t, met, "connection")
	if _, resp := h.raw("?id=" + token + "&access_token=eve"); resp.StatusCode != 403 {
		t.Errorf("%d", resp.StatusCode)
	}
	ask, answered := echo(1)
	c.msg(ask) // the socket was left alone
	c.expect(answered)
	conn.Abort()
	await(t, gone, "OnDisconnected")
}
