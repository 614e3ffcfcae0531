package main

import (
	"testing"

	"github.com/esh3artech/esh3ar/signalr"
	"github.com/esh3artech/esh3ar/signalr/signalrtest"
)

// TestPlane_GroupOfTwoServers_GetsWhatOneSends has a member of a group at each of two servers.
func TestPlane_GroupOfTwoServers_GetsWhatOneSends(t *testing.T) {
	t.Parallel()
	shared := &plane{}
	node := func() *signalr.Server {
		n := &nodePlane{shared: shared}
		n.self = signalrtest.Run(t, room(), signalr.Options{Backplane: n})
		shared.add(n.self)
		return n.self
	}
	ada, bob := signalrtest.Connect(t, node(), nil), signalrtest.Connect(t, node(), nil)
	for _, c := range []*signalrtest.Client{ada, bob} {
		if _, err := signalrtest.Invoke[any](c, "Enter", "kitchen"); err != nil {
			t.Fatal(err)
		}
	}
	ada.Send("Say", "kitchen", "hello")
	for _, c := range []*signalrtest.Client{ada, bob} {
		if got := c.Next(); got.Target != "Said" || string(got.Arguments[0]) != `"hello"` {
			t.Errorf("got %s %s, want Said hello", got.Target, got.Arguments)
		}
	}
}
