package netpoll

import (
	"sync/atomic"
	"testing"
)

// TestTheNextOwnerOfASlotLives: what was reported of the connection before it, and is told late, is not its end. Nothing runs the poller
// but the test.
func TestTheNextOwnerOfASlotLives(t *testing.T) {
	p, l := newListener(t)
	t.Cleanup(func() { _, _ = l.Close(), p.file.Close() })
	r := &rig{t, p, l}
	before, peer := r.pair()
	if err := peer.Close(); err != nil {
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
