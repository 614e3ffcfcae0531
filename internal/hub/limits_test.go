package hub_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/esh3artech/esh3ar/internal/hub"
	"github.com/esh3artech/esh3ar/internal/signalrclient"
	"github.com/esh3artech/esh3ar/signalr"
)

// TestLimitPhones_ConnectionBeyondTheLimit_ReplacesTheOldest opens one connection of a device more than it may have: the oldest is closed,
// and must not reconnect; the other connections stay open.
func TestLimitPhones_ConnectionBeyondTheLimit_ReplacesTheOldest(t *testing.T) {
	t.Parallel()
	o := signalr.Options{Authenticate: func(r *http.Request) (signalr.Identity, error) {
		return signalr.Identity{UserID: "+967771234567", Device: signalr.BearerToken(r)}, nil
	}}
	hub.LimitPhones(&o)
	server := signalr.NewServer(signalr.NewHub(), o)
	web := httptest.NewServer(server)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = server.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait(); web.Close() })
	dial := func(device string) *signalrclient.Conn {
		t.Helper()
		conn, err := signalrclient.Dial(t.Context(), signalrclient.Config{URL: web.URL, Token: device})
		if err != nil {
			t.Fatalf("connection of device %s: got %v, want it open", device, err)
		}
		t.Cleanup(func() { _ = conn.Vanish() }) // it may have ended
		return conn
	}
	oldest, other := dial("a"), dial("b")
	var conns []*signalrclient.Conn
	for range o.Limits.ConnectionsPerDevice { // with the oldest one more than the limit
		conns = append(conns, dial("a"))
	}
	var closed *signalrclient.ErrClosed
	if _, err := oldest.Next(nil, true); !errors.As(err, &closed) || closed.Reconnect {
		t.Errorf("oldest connection: got %v, want a close without allowReconnect", err)
	}
	for i, conn := range append(conns, other) {
		id, err := conn.Invoke("None", "[]")
		if err != nil {
			t.Fatalf("call on connection %d: %v", i, err)
		}
		events, err := conn.Next(nil, true)
		if err != nil || len(events) != 1 || events[0].Completion != id {
			t.Errorf("connection %d: got %v, %v, want the answer to its call", i, events, err)
		}
	}
}
