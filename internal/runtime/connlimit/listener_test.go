//go:build linux

package connlimit_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
	"github.com/esh3artech/esh3ar/internal/runtime/httpfast"
	"github.com/esh3artech/esh3ar/internal/runtime/netpoll"
	"github.com/esh3artech/esh3ar/signalr"
)

// patience bounds a hang and measures nothing.
const patience = time.Minute

func await(t *testing.T, what string, good func() bool) {
	t.Helper()
	for began := time.Now(); !good(); time.Sleep(time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("timed out waiting until %s", what)
		}
	}
}

// server is a server like that of a node: polled connections, the fast path, net/http, and a hub.
type server struct {
	t       *testing.T
	addr    string
	limiter *connlimit.Limiter
}

func serve(t *testing.T, o connlimit.Options) *server {
	t.Helper()
	s := &server{t: t, limiter: connlimit.New(o)}
	hub := signalr.NewServer(signalr.NewHub(), signalr.Options{})
	poller, err := netpoll.New()
	if err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = inner.Addr().String()
	listener, err := poller.Listen(inner)
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{ConnContext: connlimit.ConnContext, ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connlimit.Touch(r.Context())
		if name, ok := strings.CutPrefix(r.URL.Path, "/auth/"); ok {
			connlimit.Authenticated(r.Context(), connlimit.Owner{ID: name})
		} else if r.URL.Path == "/hub" {
			hub.ServeHTTP(w, r)
		}
	})}
	fast := httpfast.New(web, func(_, path string) bool { return strings.HasSuffix(path, "fast") })
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 3)
	go func() { done <- poller.Run(ctx) }()
	go func() { done <- hub.Run(ctx) }()
	go func() { done <- fast.Serve(s.limiter.Listen(listener)) }()
	t.Cleanup(func() {
		ending, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(hub.Shutdown(ending), fast.Shutdown(ending)); err != nil {
			t.Error(err)
		}
		stop()
		for range cap(done) {
			<-done
		}
		await(t, "all places are given back", func() bool { return s.limiter.Stats().Open == 0 })
	})
	return s
}

type client struct {
	net.Conn
	in *bufio.Reader
}

func (s *server) dial() *client {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = nc.Close() }) // a test may have closed it already
	return &client{nc, bufio.NewReader(nc)}
}

// get sends one request and reads its answer.
func (c *client) get(path, headers string) (int, error) {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, headers); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return resp.StatusCode, nil
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}

func (s *server) want(c *client, path, headers string, want int) {
	s.t.Helper()
	if got, err := c.get(path, headers); err != nil || got != want {
		s.t.Fatalf("GET %s: %d, %v; want %d", path, got, err, want)
	}
}

// gone reports whether the server has closed the connection.
func (c *client) gone() bool {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, err := c.in.ReadByte()
	return err != nil && !errors.Is(err, context.DeadlineExceeded)
}

// TestListener_IdleFlood_NewcomersAreServed checks connections on the fast path and in net/http: all are counted, and the
// longest idle one is closed first.
func TestListener_IdleFlood_NewcomersAreServed(t *testing.T) {
	t.Parallel()
	s := serve(t, connlimit.Options{Connections: 64, Unauthenticated: 16, PerAddress: 64})
	for _, path := range []string{"/fast", "/slow"} {
		customer := s.dial()
		s.want(customer, "/auth/"+path, "", 200)
		first := s.dial()
		s.want(first, path, "", 200)
		for range 100 {
			s.want(s.dial(), path, "", 200)
		}
		if !first.gone() {
			t.Errorf("%s: the longest idle connection is still open", path)
		}
		s.want(customer, "/auth/"+path, "", 200)
		if got := s.limiter.Stats(); got.Unauthenticated > 16 || got.Refused > 0 {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"

// TestListener_WebSocket_CountsUntilItsEnd checks that the hub takes over the connection's slot with its descriptor.
func TestListener_WebSocket_CountsUntilItsEnd(t *testing.T) {
	t.Parallel()
	s := serve(t, connlimit.Options{Connections: 64, Unauthenticated: 16, PerAddress: 64})
	c := s.dial()
	s.want(c, "/hub", upgrade, http.StatusSwitchingProtocols)
	if got := s.limiter.Stats().Open; got != 1 {
		t.Errorf("open %d, want 1", got)
	}
	_ = c.Close() // the server notices
	await(t, "the place is given back", func() bool { return s.limiter.Stats().Open == 0 })
}

// TestListener_WebSocketUnauthenticated_IsClosedForAnother closes a connection that net/http does not manage any more.
func TestListener_WebSocketUnauthenticated_IsClosedForAnother(t *testing.T) {
	t.Parallel()
	s := serve(t, connlimit.Options{Connections: 64, Unauthenticated: 16, PerAddress: 64})
	c := s.dial()
	s.want(c, "/hub", upgrade, http.StatusSwitchingProtocols)
	for range 16 {
		s.want(s.dial(), "/fast", "", 200)
	}
	if !c.gone() {
		t.Error("the connection is still open")
	}
}

// exhausting is a listener whose next accepts fail for lack of a descriptor.
type exhausting struct {
	net.Listener
	left atomic.Int32
}

func (e *exhausting) Accept() (net.Conn, error) {
	if e.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return e.Listener.Accept()
}

// TestListener_NoDescriptorLeft_ClosesIdleAndGoesOn checks that Accept closes an idle connection and tries again.
func TestListener_NoDescriptorLeft_ClosesIdleAndGoesOn(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	limiter := connlimit.New(connlimit.Options{Connections: 64})
	broken := &exhausting{Listener: inner}
	listener := limiter.Listen(broken)
	defer listener.Close()
	idle, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	first, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	broken.left.Store(3)
	next, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	second, err := listener.Accept()
	if err != nil {
		t.Fatalf("accept failed: %v", err)
	}
	if _, err := first.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the idle connection reads %v, want %v", err, net.ErrClosed)
	}
	if got := limiter.Stats(); got.Exhausted != 3 || got.Closed[connlimit.ReasonTotal] != 1 {
		t.Errorf("exhausted %d, closed %d; want 3, 1", got.Exhausted, got.Closed[connlimit.ReasonTotal])
	}
	_, _ = first.Close(), second.Close() // the first one is closed already
}
