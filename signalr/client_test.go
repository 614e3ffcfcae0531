package signalr

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if arg := os.Getenv(swarmEnv); arg != "" {
		swarm(arg)
	}
	goleak.VerifyTestMain(m)
}

// testTimeout bounds waits for things that happen, so that a failing test ends. It is never expected to pass.
const testTimeout = 20 * time.Second

// harness is a server under test, on a real socket.
type harness struct {
	*Server
	t     *testing.T
	web   *httptest.Server
	ahead atomic.Int64 // of the server's clock
}

// start runs a server with a hub until the test's end.
func start(t *testing.T, hub *Hub, opts Options) *harness {
	t.Helper()
	s := NewServer(hub, opts)
	h := startWith(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := await(t, done, "end of Run"); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return h
}

// startWith serves HTTP for a server that the caller runs.
func startWith(t *testing.T, s *Server) *harness {
	t.Helper()
	mux := http.NewServeMux()
	s.Mount(mux, "/hub")
	h := &harness{Server: s, t: t, web: httptest.NewServer(mux)}
	s.time = func() int64 { return Now() + h.ahead.Load() }
	if s.opts.OnPanic == nil {
		s.opts.OnPanic = func(p Panic) {
			if p.Value != "secret" { // what handlers of tests panic with
				t.Errorf("recovered panic in %s: %v\n%s", p.Where, p.Value, p.Stack)
			}
		}
	}
	t.Cleanup(func() {
		h.web.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return h
}

func await[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(testTimeout):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

// quiet is a server whose heartbeat only the test moves.
func quiet() Options { return Options{Timeouts: Timeouts{Heartbeat: time.Hour}} }

// until waits for a condition that others bring about.
func (h *harness) until(what string, done func() bool) {
	h.t.Helper()
	deadline := time.Now().Add(testTimeout)
	for !done() {
		if time.Now().After(deadline) {
			h.t.Fatalf("waited in vain for %s", what)
		}
		runtime.Gosched()
	}
}

// pass lets time pass for a quiet server, in heartbeats of a second, once all that was sent has been written.
func (h *harness) pass(d time.Duration) {
	h.t.Helper()
	for ; d > 0; d -= time.Second {
		for _, c := range h.registry.appendAll(nil) {
			h.until("writes", func() bool { return c.Pending() == 0 })
		}
		h.passStuck(time.Second)
	}
}

// passStuck is pass where writes do not end.
func (h *harness) passStuck(d time.Duration) {
	for ; d > 0; d -= time.Second {
		h.ahead.Add(int64(time.Second))
		h.beat(h.time())
	}
}

// gone waits until no connection is left.
func (h *harness) gone() {
	h.t.Helper()
	h.until("the end of all connections", func() bool { return h.Stats().Active == 0 })
}

// do sends a request and returns the answer with its body.
func (h *harness) do(method, path string, header ...string) (*http.Response, string) {
	h.t.Helper()
	req, err := http.NewRequest(method, h.web.URL+path, http.NoBody)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp, string(body)
}

func (h *harness) negotiate(query string) map[string]any {
	h.t.Helper()
	resp, body := h.do("POST", "/hub/negotiate"+query)
	if resp.StatusCode != 200 {
		h.t.Fatalf("negotiate: %d %s", resp.StatusCode, body)
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		h.t.Fatal(err)
	}
	return m
}

// client is a WebSocket client that sends and shows single frames.
type client struct {
	t    *testing.T
	nc   net.Conn
	r    *bufio.Reader
	rest []byte // of the last frame, behind the hub messages already returned
}

// raw opens a socket and asks for the upgrade; the status tells what came of it.
func (h *harness) raw(query string, header ...string) (*client, *http.Response) {
	h.t.Helper()
	addr := strings.TrimPrefix(h.web.URL, "http://")
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(testTimeout))
	var b strings.Builder
	b.WriteString("GET /hub" + query + " HTTP/1.1\r\nHost: " + addr + "\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
	for i := 0; i < len(header); i += 2 {
		b.WriteString(header[i] + ": " + header[i+1] + "\r\n")
	}
	b.WriteString("\r\n")
	if _, err = io.WriteString(nc, b.String()); err != nil {
		h.t.Fatal(err)
	}
	r := bufio.NewReader(nc)
	resp, err := http.ReadResponse(r, &http.Request{Method: "GET"})
	if err != nil {
		h.t.Fatal(err)
	}
	return &client{t: h.t, nc: nc, r: r}, resp
}

// open upgrades without negotiation and does not shake hands.
func (h *harness) open() *client {
	h.t.Helper()
	c, resp := h.raw("")
	if resp.StatusCode != http.StatusSwitchingProtocols {
		h.t.Fatalf("upgrade: %d", resp.StatusCode)
	}
	return c
}

const hello = `{"protocol":"json","version":1}` + "\x1e"

// dial opens a connection and shakes hands.
func (h *harness) dial() *client {
	h.t.Helper()
	c := h.open()
	c.send(hello)
	c.expect("{}")
	return c
}

// frame sends one frame as it is told, masked.
func (c *client) frame(first byte, payload []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(maskedFrame(first, payload)); err != nil {
		c.t.Fatal(err)
	}
}

func maskedFrame(first byte, payload []byte) []byte {
	b := appendFrameHeader(nil, 0, len(payload))
	b[0] = first
	b[1] |= maskBit
	mask := [4]byte{1, 2, 3, 4}
	b = append(b, mask[:]...)
	for i, p := range payload {
		b = append(b, p^mask[i&3])
	}
	return b
}

// send sends text in one frame.
func (c *client) send(text string) {
	c.t.Helper()
	c.frame(finBit|opText, []byte(text))
}

// msg sends hub messages in one frame.
func (c *client) msg(messages ...string) {
	c.t.Helper()
	c.send(strings.Join(messages, "\x1e") + "\x1e")
}

// readFrame returns the next frame.
func (c *client) readFrame() (first byte, payload []byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(c.r, head[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1])
	switch n {
	case 126:
		var b [2]byte
		_, err = io.ReadFull(c.r, b[:])
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		_, err = io.ReadFull(c.r, b[:])
		n = binary.BigEndian.Uint64(b[:])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(c.r, payload)
	return head[0], payload, err
}

// next returns the next hub message that is no ping. It fails the test on anything that is no whole text message.
func (c *client) next() string {
	c.t.Helper()
	for {
		for len(c.rest) == 0 {
			first, payload, err := c.readFrame()
			if err != nil {
				c.t.Fatalf("read: %v", err)
			}
			if first != finBit|opText || len(payload) == 0 || payload[len(payload)-1] != recordSeparator {
				c.t.Fatalf("frame %x %q is no text message of whole hub messages", first, payload)
			}
			c.rest = payload
		}
		i := bytes.IndexByte(c.rest, recordSeparator)
		m := string(c.rest[:i])
		c.rest = c.rest[i+1:]
		if m != `{"type":6}` {
			return m
		}
	}
}

// expect compares the next hub messages.
func (c *client) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got := c.next(); got != w {
			c.t.Fatalf("got  %s\nwant %s", got, w)
		}
	}
}

// expectClose reads a close frame with a code, answers it and reads the socket's end.
func (c *client) expectClose(code int) {
	c.t.Helper()
	first, payload, err := c.readFrame()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	if first != finBit|opClose || len(payload) < 2 || int(binary.BigEndian.Uint16(payload)) != code {
		c.t.Fatalf("got frame %x %q, want close %d", first, payload, code)
	}
	_, _ = c.nc.Write(maskedFrame(finBit|opClose, payload[:2])) // the server may be gone
	c.expectEOF()
}

// expectEnd reads whatever comes until the socket ends.
func (c *client) expectEnd() { c.expectEOF() }

func (c *client) expectEOF() {
	c.t.Helper()
	for {
		if _, err := c.r.ReadByte(); err != nil {
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				c.t.Fatal("socket stays open")
			}
			return
		}
	}
}

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReader(r) }

func closedWhenEmpty(s *Server) <-chan struct{} {
	s.registry.close()
	return s.registry.empty
}
