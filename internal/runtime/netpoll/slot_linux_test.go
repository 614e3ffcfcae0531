package netpoll

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestPoller_LateEventOfReusedSlot_IsIgnored dispatches an event of a closed connection after its slot was reused. Only the
// test runs the poller.
func TestPoller_LateEventOfReusedSlot_IsIgnored(t *testing.T) {
	p, l := newListener(t)
	t.Cleanup(func() { _, _ = l.Close(), p.file.Close() })
	r := &fixture{t, p, l}
	before, peer := r.pair()
	if err := errors.Join(peer.SetLinger(0), peer.Close()); err != nil { // a reset
		t.Fatal(err)
	}
	reported := 0
	waitFor(t, func() bool {
		var err error
		if reported, err = p.poll(); err != nil {
			t.Fatal(err)
		}
		return reported > 0 && p.events[0].Events&ended != 0
	})
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	next, _ := r.pair()
	if next.slot != before.slot {
		t.Fatalf("got slot %d, want the reused slot %d", next.slot, before.slot)
	}
	var told atomic.Bool
	next.OnEnd(func() { told.Store(true) })
	p.dispatch(reported)
	if told.Load() || next.ended.Load() {
		t.Error("the new connection ended with the event of the old one")
	}
}

// TestListener_CannotWatch_ReturnsTemporaryError makes epoll fail for one connection, which must be closed. Nothing runs the
// poller.
func TestListener_CannotWatch_ReturnsTemporaryError(t *testing.T) {
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
		t.Errorf("the peer reads %v, want io.EOF", err)
	}
	if next, _ := (&fixture{t, p, l}).pair(); len(p.conns) != 1 || next.slot != 0 {
		t.Error("the failed connection still has its slot")
	}
}
