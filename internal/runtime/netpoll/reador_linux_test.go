package netpoll

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// await is a call of ReadOr that finds nothing; what it gives has a word for each call of f.
func (r *rig) await(c *Conn) chan struct{} {
	r.t.Helper()
	called := make(chan struct{}, 2)
	f := func() { called <- struct{}{} }
	if n, err := c.ReadOr(make([]byte, 16), &f); n != 0 || err != nil {
		r.t.Fatalf("%d octets, %v: nothing was there", n, err)
	}
	return called
}

// TestWhoReadsLater is called when there is something to read, also an end; once, however often there is more.
func TestWhoReadsLater(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(r *rig, ours *Conn, theirs *net.TCPConn)
		want func(n int, err error) bool
	}{
		{"a word", func(r *rig, _ *Conn, theirs *net.TCPConn) { r.write(theirs, "word") }, func(n int, err error) bool { return n == 4 && err == nil }},
		{"the peer's end", func(_ *rig, _ *Conn, theirs *net.TCPConn) { _ = theirs.CloseWrite() }, func(n int, err error) bool { return n == 0 && errors.Is(err, io.EOF) }},
		{"a reset", func(_ *rig, _ *Conn, theirs *net.TCPConn) {
			_ = theirs.SetLinger(0)
			_ = theirs.Close()
		}, func(n int, err error) bool { return n == 0 && err != nil && !errors.Is(err, io.EOF) }},
		{"a deadline", func(_ *rig, ours *Conn, _ *net.TCPConn) { _ = ours.SetReadDeadline(time.Unix(1, 0)) }, func(n int, err error) bool { return n == 0 && isTimeout(err) }},
		{"our own end", func(_ *rig, ours *Conn, _ *net.TCPConn) { _ = ours.Close() }, func(n int, err error) bool { return n == 0 && errors.Is(err, net.ErrClosed) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			ours, theirs := r.pair()
			r.write(theirs, "before")
			r.read(ours, "before") // so that it is known that nothing is there
			called := r.await(ours)
			c.do(r, ours, theirs)
			<-called
			again := func() { called <- struct{}{} }
			b := make([]byte, 16)
			n, err := ours.ReadOr(b, &again)
			for n == 0 && err == nil { // it was called for another reason: that is allowed
				<-called
				n, err = ours.ReadOr(b, &again)
			}
			if !c.want(n, err) {
				t.Errorf("%d, %v", n, err)
			}
			ours.in.tell() // as if there were more: nobody asked
			if len(called) != 0 {
				t.Error("called again, unasked")
			}
		})
	}
}

// TestWhatIsThereIsReadAtOnce: f is not for that.
func TestWhatIsThereIsReadAtOnce(t *testing.T) {
	r := newRig(t)
	ours, theirs := r.pair()
	r.write(theirs, "words")
	r.read(ours, "w") // the poller has seen it
	f := func() { t.Error("called") }
	b := make([]byte, 16)
	if n, err := ours.ReadOr(b, &f); err != nil || string(b[:n]) != "ords" {
		t.Errorf("%q, %v", b[:n], err)
	}
}

// TestNoWordIsMissed: each comes while somebody is about to wait for it, and no other comes behind it.
func TestNoWordIsMissed(t *testing.T) {
	var peer sync.WaitGroup
	t.Cleanup(peer.Wait) // when its connection is closed
	r := newRig(t)
	ours, theirs := r.pair()
	const words = 5_000
	peer.Go(func() {
		b := make([]byte, 1)
		for i := range words {
			_, err := theirs.Write([]byte{byte(i)})
			if err == nil {
				_, err = theirs.Read(b)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	called := make(chan struct{}, 1)
	f := func() { called <- struct{}{} }
	lost := time.After(time.Minute)
	b := make([]byte, 4)
	for got := 0; got < words; {
		switch n, err := ours.ReadOr(b, &f); {
		case err != nil || n == 1 && b[0] != byte(got) || n > 1:
			t.Fatalf("word %d: %d, %v", got, b[:n], err)
		case n == 1:
			got++
			r.write(ours, "x")
		default:
			select {
			case <-called:
			case <-lost:
				t.Fatalf("nobody was called after %d words", got)
			}
		}
	}
	peer.Wait()
}
