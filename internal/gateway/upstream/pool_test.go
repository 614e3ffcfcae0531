package upstream

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server accepts connections and passes them to a test.
func server(t *testing.T) (*Pool, <-chan net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan net.Conn, 10)
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			conns <- c
		}
	})
	p := NewPool(&url.URL{Scheme: "http", Host: listener.Addr().String()})
	t.Cleanup(func() {
		listener.Close()
		accepting.Wait()
		p.Close()
		for range len(conns) {
			(<-conns).Close()
		}
	})
	return p, conns
}

// answered makes a complete call, after which the connection is kept.
func answered(t *testing.T, c *Conn, other net.Conn) {
	t.Helper()
	c.Begin(t.Context(), time.Now().Add(time.Minute), true)
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := http.ReadRequest(bufio.NewReader(other)); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Write([]byte("HTTP/1.1 204 No Content\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	a, err := c.ReadHead("GET", http.Header{})
	if err != nil {
		t.Fatal(err)
	}
	c.Done(a)
}

func take(t *testing.T, p *Pool) *Conn {
	t.Helper()
	c, err := p.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPool_AnsweredCall_KeepsConnection(t *testing.T) {
	t.Parallel()
	p, conns := server(t)
	first := take(t, p)
	answered(t, first, <-conns)
	if p.Idle() != 1 {
		t.Errorf("%d idle", p.Idle())
	}
	if again := take(t, p); again != first {
		t.Error("another connection was made")
	} else {
		again.Close()
	}
	p.CloseIdle(time.Now())
}

// TestDone_CompleteResponse_KeepsConnection checks all ways to read a response, and Connection: close.
func TestDone_CompleteResponse_KeepsConnection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		idle int
	}{
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhe", 1},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n\r\n", 1},
		{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhe", 0},
	} {
		p, conns := server(t)
		conn := take(t, p)
		other := <-conns
		conn.Begin(t.Context(), time.Now().Add(time.Minute), true)
		if _, err := other.Write([]byte(c.text)); err != nil {
			t.Fatal(err)
		}
		a, err := conn.ReadHead("GET", http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		if _, small, err := conn.PeekBody(a); err != nil {
			t.Fatal(err)
		} else if !small {
			err = conn.Copy(io.Discard, a)
			if err != nil {
				t.Fatal(err)
			}
		}
		conn.Done(a)
		if p.Idle() != c.idle {
			t.Errorf("%q: %d are kept", c.text, p.Idle())
		}
		other.Close()
	}
}

// TestBegin_ReusedConnection_IsReset checks that a new call has sent nothing, and that the previous call's context does not abort
// it.
func TestBegin_ReusedConnection_IsReset(t *testing.T) {
	t.Parallel()
	p, conns := server(t)
	c := take(t, p)
	other := <-conns
	answered(t, c, other)
	c = take(t, p)
	c.Begin(t.Context(), time.Now().Add(time.Minute), false)
	p.AbortAll()
	if c.Sent() || c.Aborted() {
		t.Errorf("sent: %t, aborted: %t", c.Sent(), c.Aborted())
	}
	c.Close()
	other.Close()
}

// ended waits until a connection is closed.
func ended(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("it is not closed: %v", err)
	}
	c.Close()
}

// TestTake_DeadConnections_AreDiscarded checks idle connections that the node has closed or sent data on.
func TestTake_DeadConnections_AreDiscarded(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(net.Conn){
		"closed": func(c net.Conn) { c.Close() },
		"reset": func(c net.Conn) {
			_ = c.(*net.TCPConn).SetLinger(0) //nolint:forcetypeassert // as Accept gives it
			c.Close()
		},
		"speaks": func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 408 Request Timeout\r\n\r\n")) },
	} {
		p, conns := server(t)
		first := take(t, p)
		other := <-conns
		answered(t, first, other)
		spoil(other)
		eventually(t, name, func() bool { return !first.alive() })
		if c := take(t, p); c == first {
			t.Errorf("%s: the dead connection is used", name)
		} else {
			c.Close()
		}
		other.Close()
	}
}

// TestTake_DeadTLSConnections_AreDiscarded checks the same with TLS.
func TestTake_DeadTLSConnections_AreDiscarded(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPool(u)
	defer p.Close()
	p.tls.RootCAs = x509.NewCertPool()
	p.tls.RootCAs.AddCert(s.Certificate())
	first := take(t, p)
	first.Begin(t.Context(), time.Now().Add(time.Minute), true)
	if _, err := first.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	a, err := first.ReadHead("GET", http.Header{})
	if err != nil || a.Status != http.StatusNotFound {
		t.Fatalf("%+v %v", a, err)
	}
	if err := first.Copy(io.Discard, a); err != nil {
		t.Fatal(err)
	}
	first.Done(a)
	again := take(t, p)
	if again != first {
		t.Error("another connection was made")
	}
	again.Keep()
	s.CloseClientConnections()
	eventually(t, "closed", func() bool { return !first.alive() })
	if c := take(t, p); c == first {
		t.Error("the dead connection is used")
	} else {
		c.Close()
	}
}

// TestAbort_CallInProgress_EndsConnection checks that an aborted call fails and its connection is not reused, even if the abort
// comes late.
func TestAbort_CallInProgress_EndsConnection(t *testing.T) {
	t.Parallel()
	p, conns := server(t)
	for name, abort := range map[string]func(c *Conn, leave func()){
		"the caller leaves":    func(_ *Conn, leave func()) { leave() },
		"the node is given up": func(*Conn, func()) { p.AbortAll() },
	} {
		c := take(t, p)
		other := <-conns
		ctx, leave := context.WithCancel(t.Context())
		c.Begin(ctx, time.Time{}, true)
		abort(c, leave)
		if _, err := c.ReadHead("GET", http.Header{}); err == nil || !c.Aborted() {
			t.Errorf("%s: %v", name, err)
		}
		c.Extend(time.Now().Add(time.Hour))
		if _, err := c.net.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: a deadline brings it back to life", name)
		}
		c.Keep()
		if p.Idle() != 0 {
			t.Errorf("%s: it is kept", name)
		}
		leave()
		other.Close()
	}
}

// TestPool_CloseIdle_ClosesOldConnections also checks that recently used connections stay open.
func TestPool_CloseIdle_ClosesOldConnections(t *testing.T) {
	t.Parallel()
	p, conns := server(t)
	old, young := take(t, p), take(t, p)
	others := []net.Conn{<-conns, <-conns}
	slices.SortFunc(others, func(a, _ net.Conn) int {
		if a.RemoteAddr().String() == old.net.LocalAddr().String() {
			return -1
		}
		return 1
	})
	answered(t, old, others[0])
	answered(t, young, others[1])
	if c := take(t, p); c != young || p.Idle() != 1 {
		t.Errorf("not the one that was used last, and %d are left", p.Idle())
	} else {
		c.Keep()
	}
	old.since = time.Now().Add(-2 * idleTimeout)
	p.CloseIdle(time.Now())
	if p.Idle() != 1 || take(t, p) != young {
		t.Error("the wrong one was closed")
	}
	ended(t, others[0])
	young.Close()
}

// TestPool_Closed_ClosesReturnedConnections returns a connection to a closed pool.
func TestPool_Closed_ClosesReturnedConnections(t *testing.T) {
	t.Parallel()
	p, conns := server(t)
	c, idle := take(t, p), take(t, p)
	others := map[string]net.Conn{}
	for range 2 {
		other := <-conns
		others[other.RemoteAddr().String()] = other
	}
	idle.Keep()
	p.Close()
	ended(t, others[idle.net.LocalAddr().String()])
	other := others[c.net.LocalAddr().String()]
	answered(t, c, other)
	if p.Idle() != 0 {
		t.Error("a closed pool keeps connections")
	}
	ended(t, other)
}

// TestDone_ExtraResponse_ClosesConnection checks that unrequested data cannot become the response to another call.
func TestDone_ExtraResponse_ClosesConnection(t *testing.T) {
	t.Parallel()
	p, conns := server(t)
	for _, text := range []string{
		"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello",
	} {
		c := take(t, p)
		other := <-conns
		c.Begin(t.Context(), time.Now().Add(time.Minute), true)
		if _, err := other.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		a, err := c.ReadHead("GET", http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.PeekBody(a); err != nil {
			t.Fatal(err)
		}
		c.Done(a)
		if p.Idle() != 0 {
			t.Errorf("%q: the connection is kept", text)
		}
		other.Close()
	}
}

// TestDone_TruncatedRequest_ClosesConnection checks a node that answers early and keeps the connection: it would read the next
// request as the rest of this one.
func TestDone_TruncatedRequest_ClosesConnection(t *testing.T) {
	t.Parallel()
	p, conns := server(t)
	for name, write := range map[string]func(*Conn) error{
		"in one":   func(c *Conn) error { _, err := c.Write([]byte("POST / HTTP/1.1\r\n")); return err },
		"in parts": func(c *Conn) error { return c.Writev(&net.Buffers{[]byte("POST / "), []byte("HTTP/1.1\r\n")}) },
	} {
		c := take(t, p)
		other := <-conns
		c.Begin(t.Context(), time.Now().Add(-time.Second), true)
		if err := write(c); err == nil {
			t.Fatalf("%s: written after its deadline", name)
		}
		c.Extend(time.Now().Add(time.Minute))
		if _, err := other.Write([]byte("HTTP/1.1 204 No Content\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		a, err := c.ReadHead("POST", http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		c.Done(a)
		if p.Idle() != 0 {
			t.Errorf("%s: the connection is kept", name)
		}
		other.Close()
	}
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-deadline:
			t.Fatal(what)
		case <-tick.C:
		}
	}
}
