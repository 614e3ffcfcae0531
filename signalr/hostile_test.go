package signalr

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
)

// heap returns the bytes in use once the garbage has gone: twice, as pools hand over what they hold at the first.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// costs fails when the process holds more than limit bytes more than before.
func costs(t *testing.T, before int64, limit int64) {
	t.Helper()
	if grown := heap() - before; grown > limit {
		t.Errorf("costs %d KiB, at most %d expected", grown>>10, limit>>10)
	}
}

// unharmed checks that the server still serves a well-behaved client.
func unharmed(h *harness) {
	h.t.Helper()
	c := h.dial()
	ask, answer := echo(7)
	c.msg(ask)
	c.expect(answer)
	c.nc.Close()
}

// TestHostile sends malformed and abusive input. It checks that the memory stays bounded and that other clients are served.
func TestHostile(t *testing.T) {
	hub, _ := echoHub()

	t.Run("item16 endless negotiate", func(t *testing.T) {
		opts := quiet()
		opts.Limits.Negotiated = 1000
		h := start(t, hub, opts)
		refused := 0
		before := heap()
		for range 5000 {
			if resp, _ := h.do("POST", "/hub/negotiate?negotiateVersion=1"); resp.StatusCode == 503 {
				refused++
			}
		}
		// What is older than a second makes way, so how many are refused depends on how fast they come.
		if n := h.Stats().Negotiated; n != 1000 {
			t.Errorf("%d refused, %d wait", refused, n)
		}
		costs(t, before, 1<<20) // 250 bytes each, and the HTTP client's own
		unharmed(h)             // who negotiated before, or does not negotiate, is served
		h.pass(16 * time.Second)
		if n := h.Stats().Negotiated; n != 0 {
			t.Errorf("%d are left", n)
		}
	})

	t.Run("item71 item74 half handshakes", func(t *testing.T) {
		h := start(t, hub, quiet())
		before := heap()
		var clients []*client
		for i := range 300 {
			c := h.open()
			c.send(hello[:i%len(hello)])
			clients = append(clients, c)
		}
		h.until("all halves", func() bool { return h.Stats().BytesIn >= halves(300) })
		costs(t, before, 300*24<<10) // with the test's own end of each socket
		unharmed(h)
		h.pass(16 * time.Second)
		for _, c := range clients {
			c.expect(`{"error":"Handshake was canceled."}`)
			c.expectClose(1000)
		}
		h.gone()
	})

	t.Run("item71 item90 one byte a second", func(t *testing.T) {
		opts := quiet()
		opts.Timeouts.Message = -1 // see TestUnfinished
		h := start(t, hub, opts)
		drip, idle := h.open(), h.dial()
		ask, answer := echo(1)
		wire := maskedFrame(finBit|opText, []byte(hello))
		for _, b := range wire[:14] {
			if _, err := drip.nc.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
			h.pass(time.Second)
		}
		h.pass(2 * time.Second)
		drip.expect(`{"error":"Handshake was canceled."}`)
		// Behind the handshake slowness is no fault, and costs what has come.
		for _, b := range maskedFrame(finBit|opText, []byte(ask+"\x1e")) {
			before := h.Stats().BytesIn
			if _, err := idle.nc.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
			h.until("the byte", func() bool { return h.Stats().BytesIn > before })
			h.pass(time.Second)
		}
		idle.expect(answer)
		unharmed(h)
	})

	t.Run("item39 item142 giant lengths", func(t *testing.T) {
		h := start(t, hub, quiet())
		before := heap()
		var clients []*client
		for range 50 {
			c := h.dial()
			giant := binary.BigEndian.AppendUint64([]byte{finBit | opBinary, maskBit | 127}, 1<<62)
			giant = append(giant, 0, 0, 0, 0)
			if _, err := c.nc.Write(append(giant, make([]byte, 30000)...)); err != nil {
				t.Fatal(err)
			}
			clients = append(clients, c)
		}
		costs(t, before, 50*128<<10) // what has come, not what was announced
		unharmed(h)
		for _, c := range clients {
			if _, err := c.nc.Write(make([]byte, 3000)); err != nil {
				t.Fatal(err)
			}
			c.expect(`{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`)
		}
		h.pass(6 * time.Second) // none of them can say goodbye inside its frame
		h.gone()
	})

	t.Run("item89 depth bombs", func(t *testing.T) {
		h := start(t, hub, Options{})
		for _, bomb := range []string{
			strings.Repeat("[", 30000), strings.Repeat(`{"a":`, 6000), strings.Repeat("[", 15000) + strings.Repeat("]", 15000),
		} {
			for _, message := range []string{
				`{"type":1,"target":"Echo","arguments":[` + bomb + `]}`, `{"type":1,"headers":` + bomb + `}`, bomb, `{"type":6,"x":` + bomb + `}`,
			} {
				c := h.dial()
				c.msg(message)
				c.expect(`{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`)
				c.expectClose(1000)
			}
			c := h.open()
			c.msg(`{"protocol":` + bomb + `}`)
			c.expect(`{"error":"An unexpected error occurred during connection handshake."}`)
		}
		unharmed(h)
	})

	t.Run("item43 item143 never reading", func(t *testing.T) { neverReading(t) })

	t.Run("item39 item116 floods of what costs no slot", func(t *testing.T) {
		h := start(t, hub, quiet())
		before := heap()
		c := h.dial()
		flood := maskedFrame(finBit|opPing, bytes.Repeat([]byte("p"), controlLimit))
		flood = append(flood, maskedFrame(finBit|opText, []byte(`{"type":5,"invocationId":"nobody"}`+"\x1e"+`{"type":6}`+"\x1e"+`{"type":2,"invocationId":"nobody","item":[]}`+"\x1e"))...)
		flood = append(flood, maskedFrame(opText, nil)...)
		flood = append(flood, maskedFrame(finBit|opContinuation, nil)...)
		flood = bytes.Repeat(flood, 500)
		const floods = 100 // the pongs are more than the socket takes
		for range floods {
			if _, err := c.nc.Write(flood); err != nil {
				t.Fatal(err)
			}
		}
		c.frame(finBit|opPing, []byte("last"))
		h.until("the flood has come", func() bool { return h.Stats().BytesIn > int64(floods*len(flood)) })
		costs(t, before, 512<<10) // the test's own flood is a third of it
		unharmed(h)
		for { // whoever reads at last has the pong to the newest ping: RFC 6455, 5.5.3
			first, payload, err := c.readFrame()
			if err != nil || first != finBit|opPong {
				t.Fatalf("%x %q: %v", first, payload, err)
			}
			if string(payload) == "last" {
				break
			}
		}
	})
}

// halves is how many bytes of half handshakes n clients send, frames not counted.
func halves(n int) (sum int64) {
	for i := range n {
		sum += int64(i % len(hello))
	}
	return sum
}

// neverReading has clients that ask without end and read nothing.
func neverReading(t *testing.T) {
	hub, gone := echoHub()
	Handle0(hub, "Much", func(*Call) (string, error) { return strings.Repeat("m", 10<<10), nil })
	h := start(t, hub, quiet())
	before := heap()
	const greedy = 20
	ask := maskedFrame(finBit|opText, []byte(strings.Repeat(`{"type":1,"invocationId":"1","target":"Much","arguments":[]}`+"\x1e", 50)))
	for range greedy {
		c := h.dial()
		go func() {
			for range 40 { // twice what fills the server's inbox; it takes no more until the socket ends
				if _, err := c.nc.Write(ask); err != nil {
					return
				}
			}
		}()
	}
	h.until("all to be stuck", func() bool {
		stuck := 0
		for _, c := range h.registry.appendAll(nil) {
			if c.Pending() > h.opts.Limits.Outbox && c.in.paused() {
				stuck++
			}
		}
		return stuck == greedy
	})
	// Outbox and inbox, each with one message or one read beyond its bound, in arrays that grew by doubling.
	costs(t, before, greedy*512<<10)
	unharmed(h)
	await(t, gone, "the end of the polite one")
	h.passStuck(11 * time.Second)
	for range greedy {
		if err := await(t, gone, "end of a connection that reads nothing"); !errors.Is(err, errSendTimeout) {
			t.Errorf("ended by %v", err)
		}
	}
	h.gone()
	costs(t, before, 2<<20)
}

// TestHostile_OneConnection_CostsOnlyItself shows that what one connection does costs its own place only.
func TestHostile_OneConnection_CostsOnlyItself(t *testing.T) {
	hub, gone := echoHub()
	h := start(t, hub, quiet())
	var polite []*client
	for range 20 {
		polite = append(polite, h.dial())
	}
	for i := range 20 {
		bad := h.dial()
		bad.msg([]string{`{"type":"x"}`, `no json`, `[]`, strings.Repeat("z", 40000)}[i%4])
		await(t, gone, "end of the bad one")
		for j, c := range polite {
			ask, answer := echo(i*100 + j)
			c.msg(ask)
			c.expect(answer)
		}
	}
	if n := h.Stats().Active; n < 20 {
		t.Errorf("%d are left", n)
	}
}
