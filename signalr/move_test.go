package signalr

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestMove(t *testing.T) {
	t.Attr("checklist", "item145 point4")
	hub, met, gone := meetingHub()
	h := start(t, hub, Options{})
	var clients []*client
	for range 6 {
		clients = append(clients, h.dial())
		await(t, met, "connection")
	}
	h.open()                                                                 // still shaking hands: nobody to be told
	if n, err := h.Move(context.Background(), 4, 40); n != 4 || err != nil { // two per step
		t.Errorf("%d %v", n, err)
	}
	for range 4 {
		if err := await(t, gone, "OnDisconnected"); err != nil {
			t.Error(err)
		}
	}
	left := h.registry.ids
	if len(left) != 2 {
		t.Fatalf("%d are left", len(left))
	}
	for _, c := range left {
		if err := c.TrySend("stay"); err != nil {
			t.Error(err)
		}
	}
	stayed := 0
	for _, c := range clients {
		if got := c.next(); got == `{"type":1,"target":"stay","arguments":[]}` {
			stayed++
		} else if got != `{"type":7,"allowReconnect":true}` {
			t.Error(got)
		}
	}
	if stayed != 2 {
		t.Errorf("%d stayed", stayed)
	}
	c := h.dial() // the server goes on
	await(t, met, "connection")
	ask, answered := echo(1)
	c.msg(ask)
	c.expect(answered)

	t.Run("it can be broken off", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if n, err := h.Move(ctx, 3, 20); n != 1 || !errors.Is(err, context.Canceled) {
			t.Errorf("%d %v", n, err)
		}
		await(t, gone, "OnDisconnected")
	})
	t.Run("more than there are, at once", func(t *testing.T) {
		if n, err := h.Move(context.Background(), 100, -1); n != 2 || err != nil {
			t.Errorf("%d %v", n, err)
		}
		if n, err := h.Move(context.Background(), -1, 0); n != 0 || err != nil {
			t.Errorf("%d %v", n, err)
		}
	})
}

// TestMove_FractionalRate_KeepsPace, also where it is no whole number for each part: a drain that must end in time counts on it.
func TestMove_FractionalRate_KeepsPace(t *testing.T) {
	for _, rate := range []int{1, 19, 20, 39, 50, 59, 119, 500, 2000} {
		const seconds = 10
		if got := due(1_000_000, rate, seconds*int(time.Second/pacing)); got != seconds*rate {
			t.Errorf("%d in %d seconds at %d a second", got, seconds, rate)
		}
		if first := due(1_000_000, rate, 1); first < 1 {
			t.Errorf("nobody goes at once at %d a second", rate)
		}
	}
	if due(7, -1, 1) != 7 || due(7, 1000, 1) != 7 {
		t.Error("not all at once")
	}
}
