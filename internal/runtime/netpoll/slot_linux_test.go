package netpoll

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestTheNextOwnerOfASlotLives: what was reported of the connection before it, and is told late, is not its end. Nothing runs the poller
// but the test.
func TestTheNextOwnerOfASlotLives(t *testing.T) {
	p, l := newListener(t)
	t.Cleanup(func() { _, _ = l.Close(), p.file.Close() })
	r := &rig{t, p, l}
	before, peer := r.pair()
	if err := errors.Join(peer.SetLinger(0), peer.Close()); err != nil { // a reset
		t.Fatal(err)
	}
	reported := 0
	eventually(t, func() bool {
		var err error
		if reported, err = p.look(); err != nil {
			t.Fatal(err)
		}
		return reported > 0 && p.events[0].Events&ended != 0
	})
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	next, _ := r.pair()
	if next.slot != before.slot {
		t.Fatalf("slot %d; the one before had %d", next.slot, before.slot)
	}
	var told atomic.Bool
	next.OnEnd(func() { told.Store(true) })
	p.wake(reported)
	if told.Load() || next.ended.Load() {
		t.Error("a connection is at its end with the one before it")
	}
}

// TestAConnectionThatCannotBeWatched is closed, and is no reason to take no more. Nothing runs the poller.
func TestAConnectionThatCannotBeWatched(t *testing.T) {
	p, l := newListener(t)
	t.Cleanup(func() { _, _ = l.Close(), p.file.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	works := p.epoll
	p.epoll = -1
	_, err = l.Accept()
	p.epoll = works
	var passes interface{ Temporary() bool }
	if !errors.Is(err, syscall.EBADF) || !errors.As(err, &passes) || !passes.Temporary() {
		t.Errorf("%v", err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("its peer reads %v", err)
	}
	if next, _ := (&rig{t, p, l}).pair(); len(p.conns) != 1 || next.slot != 0 {
		t.Error("it still has its slot")
	}
}
