package gateway_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway"
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

const wantsTunnel = "GET /hub HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"

// tunneling is a node that accepts WebSockets, sends hello immediately, and passes the connection to the test.
func tunneling(t *testing.T) (*node, <-chan net.Conn, chan<- struct{}) {
	t.Helper()
	open, end := make(chan net.Conn, 1), make(chan struct{})
	return raw(t, func(c net.Conn, r *http.Request) {
		if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			t.Errorf("%v", r.Header)
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
		open <- c
		<-end
	}), open, end
}

// TestTunnel_WebSocket_CopiesBothWays checks both directions from the first byte, and that the tunnel ends with either side and
// with the gateway.
func TestTunnel_WebSocket_CopiesBothWays(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(f *front, up, down net.Conn){
		"the caller leaves": func(_ *front, _, down net.Conn) { down.Close() },
		"the node leaves":   func(_ *front, up, _ net.Conn) { up.Close() },
		"the gateway stops": func(f *front, _, _ net.Conn) { f.Drain(f.t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, conns, ended := tunneling(t)
			defer close(ended)
			f := newFront(t, func(o *gateway.Options) { o.Tunnels, o.Rules = true, balance.Rules{Failures: 1} }, n)
			f.awaitUp(1)
			c := dialRaw(t, f.Listener.Addr().String())
			fmt.Fprint(c.conn, wantsTunnel, "ping") // what follows at once is not lost
			resp, err := http.ReadResponse(c.in, nil)
			if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "websocket" {
				t.Fatalf("%v %v", resp, err)
			}
			up := <-conns
			for from, want := range map[io.Reader]string{c.in: "hello", up: "ping"} {
				got := make([]byte, len(want))
				if _, err := io.ReadFull(from, got); err != nil || string(got) != want {
					t.Errorf("%q %v", got, err)
				}
			}
			if s := f.Stats().Nodes[0]; s.Streams != 1 {
				t.Errorf("%+v", s)
			}
			end(f, up, c.conn)
			for _, side := range []net.Conn{up, c.conn} {
				if _, err := side.Read(make([]byte, 1)); err == nil {
					t.Error("one side goes on")
				}
			}
			eventually(t, func() bool { return f.Stats().Nodes[0].Streams == 0 }, func() string { return "its slot is still taken" })
			if s := f.Stats().Nodes[0]; s.State != balance.Up || s.Idle != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestTunnel_FlagNotSet_IsRefused checks that no WebSocket reaches a node without the option.
func TestTunnel_FlagNotSet_IsRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t, "n", says("n"))
	f := newFront(t, func(o *gateway.Options) { o.NodeOf = func(*http.Request) string { return "n" } }, n)
	f.awaitUp(1)
	for _, query := range []string{"", "?id=n.x"} {
		got := f.shout(strings.NewReplacer("/hub", "/hub"+query, "keep-alive", "close").Replace(wantsTunnel))
		if !strings.HasPrefix(got, "HTTP/1.1 422") || n.calls.Load() != 0 {
			t.Errorf("%s: %.100q, %d calls came", query, got, n.calls.Load())
		}
	}
}

// TestTunnel_PeerDoesNotRead_Ends checks that the tunnel ends if one side does not read; the end of the other side could not be
// forwarded behind the unread data.
func TestTunnel_PeerDoesNotRead_Ends(t *testing.T) {
	t.Parallel()
	text := make([]byte, 64<<10)
	n := raw(t, func(c net.Conn, _ *http.Request) {
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		for {
			if _, err := c.Write(text); err != nil {
				return
			}
		}
	})
	f := newFront(t, func(o *gateway.Options) {
		o.Tunnels = true
		o.WriteTimeout = time.Second
	}, n)
	f.awaitUp(1)
	c := dialRaw(t, f.Listener.Addr().String())
	fmt.Fprint(c.conn, wantsTunnel)
	if line, err := c.in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 101") {
		t.Fatalf("%q %v", line, err)
	}
	eventually(t, func() bool { return f.Stats().Nodes[0].Streams == 0 }, func() string { return "its slot is still taken" })
}
