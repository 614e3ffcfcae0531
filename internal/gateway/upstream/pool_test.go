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

// server takes connections and lets a test have them.
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

// answered makes a whole call, so that the connection is kept.
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

func TestConnectionsAreKept(t *testing.T) {
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
	p.Tidy(time.Now())
}

// TestWhatIsKept: a connection whose answer was read to its end, however it was read, and which the node does not close.
func TestWhatIsKept(t *testing.T) {
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
		if _, small, err := conn.Small(a); err != nil {
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

// TestACallIsNotTheOneBefore on its connection: nothing of it is sent yet, and who may cut that one off may not cut this one.
func TestACallIsNotTheOneBefore(t *testing.T) {
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

// ended waits for the end of a connection.
func ended(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("it is not closed: %v", err)
	}
	c.Close()
}

// TestDeadConnectionsAreNotUsed: an idle connection that the node has closed, or on which it says something unasked, costs
// no call.
func TestDeadConnectionsAreNotUsed(t *testing.T) {
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

// TestDeadConnectionsBelowTLS: the same is seen of a connection that is secured.
func TestDeadConnectionsBelowTLS(t *testing.T) {
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

// TestAbort: who is cut off is told, and the connection does not come back, however late the cut is.
func TestAbort(t *testing.T) {
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

// TestTidy closes what was idle for long, and leaves the rest.
func TestTidy(t *testing.T) {
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
	old.since = time.Now().Add(-2 * idleFor)
	p.Tidy(time.Now())
	if p.Idle() != 1 || take(t, p) != young {
		t.Error("the wrong one was closed")
	}
	ended(t, others[0])
	young.Close()
}

// TestClosedPool closes what comes back.
func TestClosedPool(t *testing.T) {
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

// TestTwoAnswersAreTheLast: what a node says beyond what it was asked must not become the answer to somebody else.
func TestTwoAnswersAreTheLast(t *testing.T) {
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
		if _, _, err := c.Small(a); err != nil {
			t.Fatal(err)
		}
		c.Done(a)
		if p.Idle() != 0 {
			t.Errorf("%q: the connection is kept", text)
		}
		other.Close()
	}
}

// TestHalfARequestIsTheLast: a node that answers before it has heard all may say that it keeps the connection. The next request
// on it would be read as the rest of this one.
func TestHalfARequestIsTheLast(t *testing.T) {
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
