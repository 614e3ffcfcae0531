package faultproxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const patience = 30 * time.Second // for what takes milliseconds on an idle machine

// newEcho starts a server that echoes each connection and reports how many bytes it got when the connection has ended.
func newEcho(t *testing.T) (addr string, ended <-chan int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	counts := make(chan int64, 16)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				n, _ := io.Copy(conn, conn)
				conn.Close()
				counts <- n
			}()
		}
	}()
	return listener.Addr().String(), counts
}

func newLink(t *testing.T, server string) *Link {
	t.Helper()
	l, err := New("test", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { goleak.VerifyNone(t, goleak.IgnoreAnyFunction("internal/poll.runtime_pollWait")) })
	t.Cleanup(l.Close)
	return l
}

func dial(t *testing.T, l *Link) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("read: got %q, %v, want %q", got[:n], err, want)
	}
}

func expectReset(t *testing.T, conn net.Conn) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read: got %d bytes, %v, want a reset", n, err)
	}
}

func inject(t *testing.T, l *Link, h Fault) {
	t.Helper()
	if err := l.Inject(h); err != nil {
		t.Fatal(err)
	}
}

func clearFault(t *testing.T, l *Link, h Fault) {
	t.Helper()
	if err := l.Clear(t.Context(), h); err != nil {
		t.Fatal(err)
	}
}

func TestLink_NoFault_ForwardsAllBytesAndTheEnd(t *testing.T) {
	server, _ := newEcho(t)
	conn := dial(t, newLink(t, server))
	want := bytes.Repeat([]byte("0123456789abcde"), 1<<17)
	go func() {
		_, _ = conn.Write(want)
		_ = conn.CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes, %v, want the %d bytes that were sent", len(got), err, len(want))
	}
}

func TestLink_Delayed_HoldsBytesForTheDelayInEachDirection(t *testing.T) {
	server, _ := newEcho(t)
	l := newLink(t, server)
	conn := dial(t, l)
	h := Fault{Kind: Delayed, Delay: 40 * time.Millisecond, Jitter: 10 * time.Millisecond}
	inject(t, l, h)
	began := time.Now()
	send(t, conn, "one")
	send(t, conn, "two")
	expect(t, conn, "onetwo")
	if took, least := time.Since(began), 2*(h.Delay-h.Jitter); took < least {
		t.Errorf("round trip: got %v, want at least %v", took, least)
	}
	clearFault(t, l, h)
	send(t, conn, "three")
	expect(t, conn, "three")
}

func TestLink_Delayed_ClearForwardsAtOnce(t *testing.T) {
	server, _ := newEcho(t)
	l := newLink(t, server)
	conn := dial(t, l)
	send(t, conn, "first") // the connection is complete
	expect(t, conn, "first")
	h := Fault{Kind: Delayed, Delay: time.Hour}
	inject(t, l, h)
	send(t, conn, "late")
	clearFault(t, l, h)
	expect(t, conn, "late")
}

func TestLink_Swallowed_LosesBytesAndResetsAtClear(t *testing.T) {
	server, ended := newEcho(t)
	l := newLink(t, server)
	idle, conn, closed := dial(t, l), dial(t, l), dial(t, l)
	for _, c := range []net.Conn{idle, conn, closed} {
		send(t, c, "before")
		expect(t, c, "before")
	}
	inject(t, l, Fault{Kind: Swallowed})
	send(t, conn, "lost")
	closed.Close()
	lossy := func() (n int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for c := range l.mu.open {
			if c.lossy {
				n++
			}
		}
		return n
	}
	for deadline := time.Now().Add(patience); lossy() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("lossy connections: got %d, want 2", lossy())
		}
	}
	select {
	case n := <-ended:
		t.Fatalf("the server saw the end of a connection after %d bytes while the link was silent", n)
	default:
	}
	clearFault(t, l, Fault{Kind: Swallowed})
	expectReset(t, conn)
	for range 2 {
		if n := <-ended; n != int64(len("before")) {
			t.Errorf("bytes at the server: got %d, want %d", n, len("before"))
		}
	}
	send(t, idle, "after")
	expect(t, idle, "after")
}

func TestLink_Severed_ResetsAndRefusesUntilCleared(t *testing.T) {
	server, ended := newEcho(t)
	l := newLink(t, server)
	conn := dial(t, l)
	send(t, conn, "before")
	expect(t, conn, "before")
	addr := l.Addr()
	inject(t, l, Fault{Kind: Severed})
	expectReset(t, conn)
	<-ended
	if c, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dial: got %v, %v, want refused", c, err)
	}
	clearFault(t, l, Fault{Kind: Severed})
	if l.Addr() != addr {
		t.Errorf("address after Clear: got %s, want %s", l.Addr(), addr)
	}
	again := dial(t, l)
	send(t, again, "after")
	expect(t, again, "after")
}

func TestLink_ServerAway_ResetsClients(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	conn, err := net.Dial("tcp", newLink(t, listener.Addr().String()).Addr())
	if errors.Is(err, syscall.ECONNRESET) {
		return // the reset arrived before Dial returned
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	expectReset(t, conn)
}

func TestLink_Close_EndsConnectionsOfASilentLink(t *testing.T) {
	server, ended := newEcho(t)
	l := newLink(t, server)
	conn := dial(t, l)
	send(t, conn, "before")
	expect(t, conn, "before")
	inject(t, l, Fault{Kind: Swallowed})
	send(t, conn, "lost")
	l.Close()
	expectReset(t, conn)
	<-ended
}

func TestLink_WrongOrder_IsAnError(t *testing.T) {
	l := newLink(t, "127.0.0.1:1")
	for _, kind := range []Kind{"", "slow"} {
		if err := l.Inject(Fault{Kind: kind}); err == nil {
			t.Errorf("Inject(%q): got no error", kind)
		}
	}
	if err := l.Clear(t.Context(), Fault{Kind: Severed}); err == nil {
		t.Error("Clear without a fault: got no error")
	}
	inject(t, l, Fault{Kind: Swallowed})
	if err := l.Inject(Fault{Kind: Severed}); err == nil {
		t.Error("second Inject: got no error")
	}
}
