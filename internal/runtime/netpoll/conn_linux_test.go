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

// rig is a poller that runs, with a listener.
type rig struct {
	t        *testing.T
	poller   *Poller
	listener net.Listener
}

// newListener is one with its poller, which nothing runs yet.
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

func newRig(t *testing.T) *rig {
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
	return &rig{t, p, l}
}

// pair is a connection from both ends: ours, and the standard library's.
func (r *rig) pair() (ours *Conn, theirs *net.TCPConn) {
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
	ours, theirs = accepted.(*Conn), (<-dialed).(*net.TCPConn)
	r.t.Cleanup(func() {
		_ = ours.Close() // some tests have closed one or the other
		_ = theirs.Close()
	})
	return ours, theirs
}

func (r *rig) read(c net.Conn, want string) {
	r.t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		r.t.Fatalf("read %q, %v; want %q", b, err, want)
	}
}

func (r *rig) write(c net.Conn, text string) {
	r.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		r.t.Fatal(err)
	}
}

func TestBothEndsAreNamed(t *testing.T) {
	r := newRig(t)
	ours, theirs := r.pair()
	if a, b := ours.LocalAddr().String(), theirs.RemoteAddr().String(); a != b || a != r.listener.Addr().String() {
		t.Errorf("local %s, the peer says %s", a, b)
	}
	if a, b := ours.RemoteAddr().String(), theirs.LocalAddr().String(); a != b {
		t.Errorf("remote %s, the peer says %s", a, b)
	}
}

// TestWordsGoToAndFro: more than once, so that a read follows one that took all there was.
func TestWordsGoToAndFro(t *testing.T) {
	r := newRig(t)
	ours, theirs := r.pair()
	for range 200 {
		r.write(theirs, "question")
		r.read(ours, "question")
		r.write(ours, "answer")
		r.read(theirs, "answer")
	}
}

// TestMuchGoesBothWays: far more than the system buffers, to readers that are slower than the writers.
func TestMuchGoesBothWays(t *testing.T) {
	r := newRig(t)
	ours, theirs := r.pair()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	var all sync.WaitGroup
	for _, way := range [][2]net.Conn{{ours, theirs}, {theirs, ours}} {
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

// TestTheEndIsSeen: however it falls together with the last words.
func TestTheEndIsSeen(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		name string
		end  func(ours *Conn, theirs *net.TCPConn)
	}{
		{"with the words", func(_ *Conn, theirs *net.TCPConn) {
			r.write(theirs, "words")
			_ = theirs.Close()
		}},
		{"after they were read", func(ours *Conn, theirs *net.TCPConn) {
			r.write(theirs, "wor")
			r.read(ours, "wor")
			r.write(theirs, "ds")
			_ = theirs.CloseWrite()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 50 {
				ours, theirs := r.pair()
				c.end(ours, theirs)
				got, err := io.ReadAll(ours)
				if want := "words"[5-len(got):]; err != nil || len(got) == 0 || string(got) != want {
					t.Fatalf("%q, %v", got, err)
				}
			}
		})
	}
}

func TestHalfOfAConnectionCanEnd(t *testing.T) {
	r := newRig(t)
	ours, theirs := r.pair()
	r.write(ours, "last words")
	if err := ours.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(theirs); err != nil || string(got) != "last words" {
		t.Fatalf("%q, %v", got, err)
	}
	r.write(theirs, "still heard")
	r.read(ours, "still heard")
}

func TestAResetIsAnError(t *testing.T) {
	r := newRig(t)
	ours, theirs := r.pair()
	if err := theirs.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	if _, err := ours.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	if _, err := ours.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Error(err)
	}
}

// waiting runs a call that waits, and tells whether it still does.
func waiting(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

func TestCloseEndsWhoWaits(t *testing.T) {
	r := newRig(t)
	ours, _ := r.pair()
	reads := waiting(func() error { _, err := ours.Read(make([]byte, 1)); return err })
	writes := waiting(func() error {
		for {
			if _, err := ours.Write(make([]byte, 1<<20)); err != nil {
				return err
			}
		}
	})
	eventually(t, func() bool { return ours.out.waits.Load() && ours.in.waits.Load() })
	if err := ours.Close(); err != nil {
		t.Error(err)
	}
	for _, done := range []<-chan error{reads, writes} {
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
	if err := ours.Close(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if err := ours.CloseWrite(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) && errors.As(err, &network) && network.Timeout()
}

// TestDeadlines: one that has passed ends who waits and who comes, and one that is lifted does not hold any more.
func TestDeadlines(t *testing.T) {
	r := newRig(t)
	ours, theirs := r.pair()
	b := make([]byte, 16)
	reads := waiting(func() error { _, err := ours.Read(b); return err })
	eventually(t, func() bool { return ours.in.waits.Load() })
	if err := ours.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := <-reads; !isTimeout(err) {
		t.Error(err)
	}
	r.write(theirs, "words")
	if n, err := ours.Read(b); n != 0 || !isTimeout(err) {
		t.Errorf("after the deadline: %d, %v", n, err)
	}
	if n, err := ours.Write(b); err != nil {
		t.Errorf("a read's deadline is not a write's: %d, %v", n, err)
	}
	if err := ours.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	r.read(ours, "words")
	if err := ours.SetDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := ours.Read(b); !isTimeout(err) {
		t.Error(err)
	}
	if _, err := ours.Write(b); !isTimeout(err) {
		t.Error(err)
	}
}

// TestFarDeadlinesAreSwept: without a timer of their own.
func TestFarDeadlinesAreSwept(t *testing.T) {
	r := newRig(t)
	ours, _ := r.pair()
	far := time.Now().Add(time.Hour)
	if err := ours.SetDeadline(far); err != nil {
		t.Fatal(err)
	}
	reads := waiting(func() error { _, err := ours.Read(make([]byte, 1)); return err })
	eventually(t, func() bool { return ours.in.waits.Load() })
	r.poller.expire(far.Add(-time.Nanosecond))
	if len(ours.in.ready) != 0 || !ours.in.waits.Load() {
		t.Error("woken before its time")
	}
	ours.in.deadline.Store(1) // as if the hour were over
	r.poller.expire(time.Now())
	if err := <-reads; !isTimeout(err) {
		t.Error(err)
	}
}

// TestTheDescriptorCanBeTakenOver: as the hubs do with a WebSocket. Ours goes out of the poller and does not close the other.
func TestTheDescriptorCanBeTakenOver(t *testing.T) {
	r := newRig(t)
	ours, theirs := r.pair()
	raw, err := ours.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	fd := -1
	if err := raw.Control(func(old uintptr) { fd, err = syscall.Dup(int(old)) }); err != nil || fd < 0 {
		t.Fatal(err)
	}
	if err := ours.Close(); err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(uintptr) { t.Error("the descriptor of a closed connection may be another's") }); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	file := os.NewFile(uintptr(fd), "taken over")
	defer file.Close()
	if _, err := file.WriteString("from the new owner"); err != nil {
		t.Error(err)
	}
	r.read(theirs, "from the new owner")
	r.write(theirs, "to it") // would wake the old one's slot, were it still watched
	b := make([]byte, 5)
	if _, err := io.ReadFull(file, b); err != nil || string(b) != "to it" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestSlotsAreUsedAgain(t *testing.T) {
	r := newRig(t)
	for range 100 {
		ours, theirs := r.pair()
		r.write(theirs, "x")
		r.read(ours, "x")
		if err := errors.Join(ours.Close(), theirs.Close()); err != nil {
			t.Fatal(err)
		}
	}
	r.poller.mu.Lock()
	defer r.poller.mu.Unlock()
	if n := len(r.poller.conns); n != 1 {
		t.Errorf("%d slots for one connection at a time", n)
	}
}

func eventually(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatal("it does not come")
		case <-tick.C:
		}
	}
}

// TestConn_HalfClosed_IsNoEnd: a peer that sends no more may wait for an answer. Reads see the end of what it sent.
func TestConn_HalfClosed_IsNoEnd(t *testing.T) {
	r := newRig(t)
	ours, theirs := r.pair()
	var ended atomic.Bool
	ours.OnEnd(func() { ended.Store(true) })
	if _, err := theirs.Write([]byte("call")); err != nil {
		t.Fatal(err)
	}
	if err := theirs.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(ours); string(got) != "call" || err != nil {
		t.Errorf("read %q, %v; want call, nil", got, err)
	}
	eventually(t, ours.inputEnded.Load)
	if ended.Load() {
		t.Error("a half-closed connection is taken for an ended one")
	}
	if _, err := ours.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	if err := ours.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(theirs); string(got) != "answer" || err != nil {
		t.Errorf("the peer read %q, %v; want answer, nil", got, err)
	}
	if !ended.Load() {
		t.Error("a closed connection has not ended")
	}
}

// TestConn_PeerDoesNotRead_WriteEnds: also without a deadline. The poller's sweep is told a time by hand.
func TestConn_PeerDoesNotRead_WriteEnds(t *testing.T) {
	r := newRig(t)
	ours, _ := r.pair()
	failed := make(chan error, 1)
	go func() {
		_, err := ours.Write(make([]byte, 64<<20))
		failed <- err
	}()
	eventually(t, func() bool { return ours.out.limit.Load() != 0 })
	ours.out.limit.Store(1) // long ago
	r.poller.expire(time.Now())
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the write failed with %v, want %v", err, os.ErrDeadlineExceeded)
	}
	if ours.out.limit.Load() != 0 {
		t.Error("the limit of a write is left to the next")
	}
}

// TestPoller_PanicOfCallback_EndsThatConnection: others are served on.
func TestPoller_PanicOfCallback_EndsThatConnection(t *testing.T) {
	r := newRig(t)
	causes := make(chan any, 1)
	r.poller.Panics = func(cause any) { causes <- cause }
	ours, theirs := r.pair()
	fault := func() { panic("a fault") }
	if n, err := ours.ReadOr(make([]byte, 1), &fault); n != 0 || err != nil {
		t.Fatalf("read %d, %v", n, err)
	}
	if _, err := theirs.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if cause := <-causes; cause != "a fault" {
		t.Errorf("recovered %v", cause)
	}
	if _, err := theirs.Read(make([]byte, 1)); err == nil {
		t.Error("its connection was not closed")
	}
	next, other := r.pair()
	if _, err := other.Write([]byte("y")); err != nil {
		t.Fatal(err)
	}
	if n, err := next.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("another connection read %d, %v", n, err)
	}
}

// TestOnEnd: whoever works for the peer and does not read hears that it has gone; at once, if it went before.
func TestOnEnd(t *testing.T) {
	r := newRig(t)
	ours, theirs := r.pair()
	ended := make(chan struct{}, 8)
	ours.OnEnd(func() { ended <- struct{}{} })
	if err := ours.CloseWrite(); err != nil { // the other direction: now it is over in both
		t.Fatal(err)
	}
	if err := theirs.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	<-ended
	again := 0
	ours.OnEnd(func() { again++ })
	if again != 1 {
		t.Errorf("behind the end: called %d times", again)
	}
	ours.OnEnd(nil)
	if err := theirs.SetLinger(0); err != nil { // a reset, which is another event
		t.Fatal(err)
	}
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, ours); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	if again != 1 {
		t.Errorf("called %d times, though nobody wants to hear it", again)
	}
	if err := ours.Close(); err != nil {
		t.Error(err)
	}
}
