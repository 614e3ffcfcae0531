package netpoll

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// fixture is a running poller with a listener.
type fixture struct {
	t        *testing.T
	poller   *Poller
	listener net.Listener
}

// newListener returns a listener and its poller, which does not run yet.
func newListener(t *testing.T) (*Poller, net.Listener) {
	t.Helper()
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := p.Listen(inner)
	if err != nil {
		t.Fatal(err)
	}
	return p, l
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	p, l := newListener(t)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &fixture{t, p, l}
}

// pair is a connection from both ends: server, and the standard library's.
func (r *fixture) pair() (server *Conn, client *net.TCPConn) {
	r.t.Helper()
	dialed := make(chan net.Conn, 1)
	go func() {
		c, err := net.Dial("tcp", r.listener.Addr().String())
		if err != nil {
			r.t.Error(err)
		}
		dialed <- c
	}()
	accepted, err := r.listener.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	server, client = accepted.(*Conn), (<-dialed).(*net.TCPConn)
	r.t.Cleanup(func() {
		_ = server.Close() // some tests have closed one or the other
		_ = client.Close()
	})
	return server, client
}

func (r *fixture) read(c net.Conn, want string) {
	r.t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		r.t.Fatalf("read %q, %v; want %q", b, err, want)
	}
}

func (r *fixture) write(c net.Conn, text string) {
	r.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		r.t.Fatal(err)
	}
}

func TestConn_Addresses_MatchThePeers(t *testing.T) {
	r := newFixture(t)
	server, client := r.pair()
	if a, b := server.LocalAddr().String(), client.RemoteAddr().String(); a != b || a != r.listener.Addr().String() {
		t.Errorf("local %s, the peer says %s", a, b)
	}
	if a, b := server.RemoteAddr().String(), client.LocalAddr().String(); a != b {
		t.Errorf("remote %s, the peer says %s", a, b)
	}
}

// TestConn_RequestAndAnswer_Alternate repeats the exchange, so that reads follow a read that emptied the socket.
func TestConn_RequestAndAnswer_Alternate(t *testing.T) {
	r := newFixture(t)
	server, client := r.pair()
	for range 200 {
		r.write(client, "question")
		r.read(server, "question")
		r.write(server, "answer")
		r.read(client, "answer")
	}
}

// TestConn_LargeWrites_ArriveBothWays writes much more than the socket buffers hold.
func TestConn_LargeWrites_ArriveBothWays(t *testing.T) {
	r := newFixture(t)
	server, client := r.pair()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	var all sync.WaitGroup
	for _, way := range [][2]net.Conn{{server, client}, {client, server}} {
		all.Go(func() {
			if n, err := way[0].Write(sent); err != nil || n != len(sent) {
				t.Errorf("wrote %d: %v", n, err)
			}
		})
		all.Go(func() {
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(way[1], got); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("not what was sent: %v", err)
			}
		})
	}
	all.Wait()
}

// TestConn_PeerCloses_ReadsRestThenEOF closes together with the last data and after it was partly read.
func TestConn_PeerCloses_ReadsRestThenEOF(t *testing.T) {
	r := newFixture(t)
	for _, c := range []struct {
		name string
		end  func(server *Conn, client *net.TCPConn)
	}{
		{"with the words", func(_ *Conn, client *net.TCPConn) {
			r.write(client, "words")
			_ = client.Close()
		}},
		{"after they were read", func(server *Conn, client *net.TCPConn) {
			r.write(client, "wor")
			r.read(server, "wor")
			r.write(client, "ds")
			_ = client.CloseWrite()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 50 {
				server, client := r.pair()
				c.end(server, client)
				got, err := io.ReadAll(server)
				if want := "words"[5-len(got):]; err != nil || len(got) == 0 || string(got) != want {
					t.Fatalf("%q, %v", got, err)
				}
			}
		})
	}
}

func TestConn_CloseWrite_StillReads(t *testing.T) {
	r := newFixture(t)
	server, client := r.pair()
	r.write(server, "last words")
	if err := server.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(client); err != nil || string(got) != "last words" {
		t.Fatalf("%q, %v", got, err)
	}
	r.write(client, "still heard")
	r.read(server, "still heard")
}

func TestConn_Reset_FailsReadAndWrite(t *testing.T) {
	r := newFixture(t)
	server, client := r.pair()
	if err := client.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	if _, err := server.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Error(err)
	}
}

// inBackground runs a blocking call in a goroutine and returns a channel with its result.
func inBackground(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

func TestConn_Close_EndsBlockedCalls(t *testing.T) {
	r := newFixture(t)
	server, _ := r.pair()
	reads := inBackground(func() error { _, err := server.Read(make([]byte, 1)); return err })
	writes := inBackground(func() error {
		for {
			if _, err := server.Write(make([]byte, 1<<20)); err != nil {
				return err
			}
		}
	})
	waitFor(t, func() bool { return server.out.waiting.Load() && server.in.waiting.Load() })
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	for _, done := range []<-chan error{reads, writes} {
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
	if err := server.Close(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if err := server.CloseWrite(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) && errors.As(err, &network) && network.Timeout()
}

// TestConn_DeadlinePassed_EndsCalls checks that a passed deadline ends blocked and new calls, and that it can be removed.
func TestConn_DeadlinePassed_EndsCalls(t *testing.T) {
	r := newFixture(t)
	server, client := r.pair()
	b := make([]byte, 16)
	reads := inBackground(func() error { _, err := server.Read(b); return err })
	waitFor(t, func() bool { return server.in.waiting.Load() })
	if err := server.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := <-reads; !isTimeout(err) {
		t.Error(err)
	}
	r.write(client, "words")
	if n, err := server.Read(b); n != 0 || !isTimeout(err) {
		t.Errorf("after the deadline: %d, %v", n, err)
	}
	if n, err := server.Write(b); err != nil {
		t.Errorf("a read's deadline is not a write's: %d, %v", n, err)
	}
	if err := server.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	r.read(server, "words")
	if err := server.SetDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(b); !isTimeout(err) {
		t.Error(err)
	}
	if _, err := server.Write(b); !isTimeout(err) {
		t.Error(err)
	}
}

// TestConn_DistantDeadline_IsSwept checks that the sweep enforces distant deadlines, which have no timer.
func TestConn_DistantDeadline_IsSwept(t *testing.T) {
	r := newFixture(t)
	server, _ := r.pair()
	far := time.Now().Add(time.Hour)
	if err := server.SetDeadline(far); err != nil {
		t.Fatal(err)
	}
	reads := inBackground(func() error { _, err := server.Read(make([]byte, 1)); return err })
	waitFor(t, func() bool { return server.in.waiting.Load() })
	r.poller.expire(far.Add(-time.Nanosecond))
	if len(server.in.ready) != 0 || !server.in.waiting.Load() {
		t.Error("the read was woken before its deadline")
	}
	server.in.deadline.Store(1) // as if the hour were over
	r.poller.expire(time.Now())
	if err := <-reads; !isTimeout(err) {
		t.Error(err)
	}
}

// TestConn_DuplicatedDescriptor_SurvivesClose duplicates the descriptor, closes the Conn and uses the duplicate.
func TestConn_DuplicatedDescriptor_SurvivesClose(t *testing.T) {
	r := newFixture(t)
	server, client := r.pair()
	raw, err := server.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd := -1
	if err := raw.Control(func(old uintptr) { fd, err = syscall.Dup(int(old)) }); err != nil || fd < 0 {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(uintptr) { t.Error("Control of a closed connection was called") }); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	file := os.NewFile(uintptr(fd), "taken over")
	defer file.Close()
	if _, err := file.WriteString("from the new owner"); err != nil {
		t.Error(err)
	}
	r.read(client, "from the new owner")
	r.write(client, "to it") // would notify the old slot if the socket were still registered
	b := make([]byte, 5)
	if _, err := io.ReadFull(file, b); err != nil || string(b) != "to it" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestPoller_ClosedConnections_ReuseSlots(t *testing.T) {
	r := newFixture(t)
	for range 100 {
		server, client := r.pair()
		r.write(client, "x")
		r.read(server, "x")
		if err := errors.Join(server.Close(), client.Close()); err != nil {
			t.Fatal(err)
		}
	}
	r.poller.mu.Lock()
	defer r.poller.mu.Unlock()
	if n := len(r.poller.conns); n != 1 {
		t.Errorf("got %d slots, want 1: one connection is open at a time", n)
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatal("the condition did not hold within 10 s")
		case <-tick.C:
		}
	}
}

// TestConn_HalfClosed_IsNotTheEnd closes the peer's sending side. Reads return io.EOF, but OnEnd is not called.
func TestConn_HalfClosed_IsNotTheEnd(t *testing.T) {
	r := newFixture(t)
	server, client := r.pair()
	var ended atomic.Bool
	server.OnEnd(func() { ended.Store(true) })
	if _, err := client.Write([]byte("call")); err != nil {
		t.Fatal(err)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(server); string(got) != "call" || err != nil {
		t.Errorf("read %q, %v; want call, nil", got, err)
	}
	waitFor(t, server.inputEnded.Load)
	if ended.Load() {
		t.Error("OnEnd was called for a half-closed connection")
	}
	if _, err := server.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(client); string(got) != "answer" || err != nil {
		t.Errorf("the peer read %q, %v; want answer, nil", got, err)
	}
	if !ended.Load() {
		t.Error("OnEnd was not called after Close")
	}
}

// TestConn_PeerDoesNotRead_WriteEnds blocks a Write without deadline and runs the sweep by hand.
func TestConn_PeerDoesNotRead_WriteEnds(t *testing.T) {
	r := newFixture(t)
	server, _ := r.pair()
	failed := make(chan error, 1)
	go func() {
		_, err := server.Write(make([]byte, 64<<20))
		failed <- err
	}()
	waitFor(t, func() bool { return server.out.limit.Load() != 0 })
	server.out.limit.Store(1) // long ago
	r.poller.expire(time.Now())
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the write failed with %v, want %v", err, os.ErrDeadlineExceeded)
	}
	if server.out.limit.Load() != 0 {
		t.Error("the limit of a Write is still set after it returned")
	}
}

// TestPoller_PanicOfCallback_EndsThatConnection also checks that other connections still work.
func TestPoller_PanicOfCallback_EndsThatConnection(t *testing.T) {
	r := newFixture(t)
	causes := make(chan any, 1)
	r.poller.OnPanic = func(cause any) { causes <- cause }
	server, client := r.pair()
	fault := func() { panic("a fault") }
	if n, err := server.ReadOrNotify(make([]byte, 1), &fault); n != 0 || err != nil {
		t.Fatalf("read %d, %v", n, err)
	}
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if cause := <-causes; cause != "a fault" {
		t.Errorf("got the cause %v, want a fault", cause)
	}
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the connection of the panic was not closed")
	}
	next, other := r.pair()
	if _, err := other.Write([]byte("y")); err != nil {
		t.Fatal(err)
	}
	if n, err := next.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("another connection read %d, %v", n, err)
	}
}

// TestConn_OnEnd_CalledAtEnd checks that the callback runs without a read, immediately if the connection has ended already,
// and not after it was removed.
func TestConn_OnEnd_CalledAtEnd(t *testing.T) {
	r := newFixture(t)
	server, client := r.pair()
	ended := make(chan struct{}, 8)
	server.OnEnd(func() { ended <- struct{}{} })
	if err := server.CloseWrite(); err != nil { // the other direction: now it is over in both
		t.Fatal(err)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	<-ended
	again := 0
	server.OnEnd(func() { again++ })
	if again != 1 {
		t.Errorf("registered after the end: got %d calls, want 1", again)
	}
	server.OnEnd(nil)
	if err := client.SetLinger(0); err != nil { // a reset, which is another event
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, server); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	if again != 1 {
		t.Errorf("after OnEnd(nil): got %d calls, want 1", again)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
}
