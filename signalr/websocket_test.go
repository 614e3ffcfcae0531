package signalr

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// echoHub returns a hub whose Echo gives its argument back, and a channel of OnDisconnected's errors.
func echoHub() (*Hub, chan error) {
	hub := NewHub()
	Handle1(hub, "Echo", func(_ *Call, s string) (string, error) { return s, nil })
	gone := make(chan error, 1000)
	hub.OnDisconnected = func(_ *Conn, err error) { gone <- err }
	return hub, gone
}

func echo(id int) (ask, answer string) {
	return fmt.Sprintf(`{"type":1,"invocationId":"%d","target":"Echo","arguments":["%d"]}`, id, id),
		fmt.Sprintf(`{"type":3,"invocationId":"%d","result":"%d"}`, id, id)
}

// engines runs a test over each engine.
func engines(t *testing.T, f func(t *testing.T, opts Options)) {
	t.Run("poller", func(t *testing.T) { f(t, Options{}) })
	t.Run("goroutines", func(t *testing.T) { f(t, Options{Pollers: -1}) })
}

func TestWebSocket(t *testing.T) { engines(t, testWebSocket) }

func testWebSocket(t *testing.T, opts Options) {
	hub, _ := echoHub()
	h := start(t, hub, opts)
	ask, answer := echo(1)

	t.Run("item30 without id: skipped negotiation", func(t *testing.T) {
		c := h.dial()
		c.msg(ask)
		c.expect(answer)
	})
	t.Run("item31 unknown id", func(t *testing.T) {
		c, resp := h.raw("?id=nobody")
		body, _ := io.ReadAll(io.LimitReader(c.r, int64(len(noConnection))))
		if resp.StatusCode != 404 || string(body) != noConnection {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	})
	t.Run("item32 second socket on an active connection", func(t *testing.T) {
		token := h.negotiate("?negotiateVersion=1")["connectionToken"].(string)
		first, _ := h.raw("?id=" + token)
		if _, resp := h.raw("?id=" + token); resp.StatusCode != 409 {
			t.Errorf("second: %d", resp.StatusCode)
		}
		first.send(hello)
		first.expect("{}")
	})
	t.Run("item35 binary frames are input like text", func(t *testing.T) {
		c := h.open()
		c.frame(finBit|opBinary, []byte(hello))
		c.expect("{}")
		c.frame(finBit|opBinary, []byte(ask+"\x1e"))
		c.expect(answer)
	})
	t.Run("item36 item72 input is a stream of bytes", func(t *testing.T) {
		ask2, answer2 := echo(2)
		stream := []byte(hello + ask + "\x1e" + ask2 + "\x1e")
		for cut := 1; cut < len(stream); cut += 7 {
			c := h.open()
			c.frame(finBit|opText, stream[:cut])
			c.frame(finBit|opText, stream[cut:])
			c.expect("{}", answer, answer2)
			// Fragments of one message, with a ping between them.
			stream := stream[len(hello):]
			cut := cut % len(ask) // so that no answer comes before the pong
			c.frame(opText, stream[:cut])
			c.frame(finBit|opPing, []byte("hi"))
			c.frame(opContinuation, nil)
			c.frame(finBit|opContinuation, stream[cut:])
			first, payload, err := c.readFrame()
			if err != nil || first != finBit|opPong || string(payload) != "hi" {
				t.Fatalf("pong: %x %q %v", first, payload, err)
			}
			c.expect(answer, answer2)
			c.nc.Close()
		}
	})
	t.Run("item36 bytes one at a time", func(t *testing.T) {
		c := h.open()
		var wire []byte
		wire = append(wire, maskedFrame(finBit|opText, []byte(hello))...)
		wire = append(wire, maskedFrame(finBit|opPing, []byte("x"))...)
		wire = append(wire, maskedFrame(finBit|opText, []byte(ask+"\x1e"))...)
		for i := range wire {
			if _, err := c.nc.Write(wire[i : i+1]); err != nil {
				t.Fatal(err)
			}
		}
		c.expect("{}")
		if first, _, err := c.readFrame(); first != finBit|opPong || err != nil {
			t.Fatalf("%x %v", first, err)
		}
		c.expect(answer)
	})
	t.Run("item39 rules of frames", func(t *testing.T) {
		for name, broken := range brokenFrames() {
			for _, behind := range []int{0, 1, 200_000} {
				c := h.dial()
				if _, err := c.nc.Write(append(broken.frame, make([]byte, behind)...)); err != nil {
					t.Fatal(err)
				}
				first, payload, err := c.readFrame()
				if err != nil || first != finBit|opClose || !bytes.Equal(payload, []byte{byte(broken.code >> 8), byte(broken.code)}) {
					t.Errorf("%s, %d bytes behind it: got %x %x %v, want close %d", name, behind, first, payload, err, broken.code)
				}
				c.expectEOF()
				c.nc.Close()
			}
		}
	})
	t.Run("item40 no subprotocol, no extension", func(t *testing.T) {
		_, resp := h.raw("", "Sec-WebSocket-Extensions", "permessage-deflate", "Sec-WebSocket-Protocol", "x")
		if resp.StatusCode != 101 || resp.Header.Get("Sec-Websocket-Extensions") != "" || resp.Header.Get("Sec-Websocket-Protocol") != "" {
			t.Errorf("%d %v", resp.StatusCode, resp.Header)
		}
		if got := resp.Header.Get("Sec-Websocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
			t.Errorf("accept %s", got)
		}
	})
	t.Run("upgrade requests that are none", func(t *testing.T) {
		for want, header := range map[int][]string{
			426: {"Connection", "upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "8"},
			400: {"Connection", "upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "x"},
		} {
			if resp, _ := h.do("GET", "/hub", header...); resp.StatusCode != want {
				t.Errorf("%d instead of %d", resp.StatusCode, want)
			}
		}
	})
	t.Run("thousands of bytes behind the request", func(t *testing.T) {
		for _, junk := range [][]byte{
			append([]byte{finBit | opText, 5}, make([]byte, 4000)...), bytes.Repeat([]byte{0xff}, 4000), make([]byte, 4000),
			maskedFrame(finBit|opText, bytes.Repeat([]byte("x"), 4000)), bytes.Repeat(maskedFrame(finBit|opPing, nil), 600),
		} {
			nc, err := net.Dial("tcp", strings.TrimPrefix(h.web.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			_ = nc.SetDeadline(time.Now().Add(testTimeout))
			req := "GET /hub HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
				"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
			if _, err = nc.Write(append([]byte(req), junk...)); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 12)
			if _, err = io.ReadFull(nc, got); err != nil || string(got) != "HTTP/1.1 101" {
				t.Errorf("got %q %v", got, err)
			}
			nc.Close()
		}
		unharmed(h)
	})
	t.Run("early bytes behind the request", func(t *testing.T) {
		nc, err := net.Dial("tcp", strings.TrimPrefix(h.web.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(testTimeout))
		req := "GET /hub HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
		if _, err = nc.Write(append([]byte(req), maskedFrame(finBit|opText, []byte(hello))...)); err != nil {
			t.Fatal(err)
		}
		want := "\r\n\r\n\x81\x03{}\x1e"
		got := make([]byte, len(upgradeReply("dGhlIHNhbXBsZSBub25jZQ=="))-4+len(want))
		if _, err = io.ReadFull(nc, got); err != nil || !bytes.HasSuffix(got, []byte(want)) {
			t.Errorf("%q %v", got, err)
		}
	})
}

func TestWebSocketEnds(t *testing.T) { engines(t, testWebSocketEnds) }

func testWebSocketEnds(t *testing.T, opts Options) {
	hub, gone := echoHub()
	var ran atomic.Int64
	On0(hub, "Count", func(*Call) error { ran.Add(1); return nil })
	opts.Timeouts.Heartbeat = time.Hour
	h := start(t, hub, opts)

	t.Run("item42 close frame of the client", func(t *testing.T) {
		c := h.dial()
		c.frame(finBit|opClose, []byte{1000 >> 8, 1000 & 0xff})
		c.expectClose(1000)
		if err := await(t, gone, "end"); err != nil {
			t.Error(err)
		}
	})
	t.Run("item42 dead socket", func(t *testing.T) {
		c := h.dial()
		c.nc.Close()
		if err := await(t, gone, "end"); err != nil {
			t.Error(err)
		}
	})
	t.Run("item42 what came before the end is dispatched", func(t *testing.T) {
		for _, last := range [][]byte{
			maskedFrame(finBit|opClose, []byte{1000 >> 8, 1000 & 0xff}),
			maskedFrame(finBit|opText, []byte(`{"type":7}`+"\x1e")),
			nil,
		} {
			ran.Store(0)
			c := h.dial()
			wire := maskedFrame(finBit|opText, bytes.Repeat([]byte(`{"type":1,"target":"Count","arguments":[]}`+"\x1e"), 100))
			if _, err := c.nc.Write(append(wire, last...)); err != nil {
				t.Fatal(err)
			}
			if last == nil {
				_ = c.nc.(*net.TCPConn).CloseWrite()
			}
			if err := await(t, gone, "end"); err != nil {
				t.Error(err)
			}
			if n := ran.Load(); n != 100 {
				t.Errorf("%d of 100 were dispatched", n)
			}
		}
	})
	t.Run("item149 end in the middle of a message", func(t *testing.T) {
		c := h.dial()
		c.send(`{"type":1`)
		c.frame(finBit|opClose, nil)
		if err := await(t, gone, "end"); err == nil || err.Error() != "Connection terminated while reading a message." {
			t.Error(err)
		}
	})
	t.Run("item41 the peer that does not close is dropped", func(t *testing.T) {
		c := h.dial()
		c.msg(`{"type":7}`)
		c.expect(`{"type":7}`)
		first, _, err := c.readFrame()
		if first != finBit|opClose || err != nil {
			t.Fatalf("%x %v", first, err)
		}
		await(t, gone, "OnDisconnected, before the peer's close")
		if h.Stats().Active == 0 {
			t.Error("did not wait for the peer")
		}
		h.pass(5 * time.Second)
		c.expectEOF()
	})
}

func TestWrappedConnection(t *testing.T) {
	// Not a socket that can be watched, so it gets goroutines, on a server that has pollers.
	hub, gone := echoHub()
	s := NewServer(hub, Options{})
	h := &harness{Server: s, t: t}
	a, b := net.Pipe()
	conn := s.newConn("id", "token", Identity{}, &http.Request{}, WebSockets)
	s.registry.add(conn, "", &s.opts)
	if err := s.engine.adopt(b, nil, conn.link.(*webSocket)); err != nil {
		t.Fatal(err)
	}
	_ = a.SetDeadline(time.Now().Add(testTimeout))
	c := &client{t: h.t, nc: a, r: newReader(a)}
	c.send(hello)
	c.expect("{}")
	a.Close()
	await(t, gone, "end")
	<-closedWhenEmpty(s)
	s.spawned.Wait()
}
