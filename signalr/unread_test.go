package signalr

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestUnread_PerUser_IsBounded has one user with many connections that read nothing: together they hold no more than the limit and what
// one connection may, the account is empty when they have gone, and another user is served meanwhile.
func TestUnread_PerUser_IsBounded(t *testing.T) {
	engines(t, func(t *testing.T, opts Options) {
		const limit = 256 << 10
		hub, met, gone := meetingHub()
		opts.Timeouts = Timeouts{Heartbeat: time.Hour, Client: -1}
		opts.Authenticate, opts.Limits.UnreadPerUser = byHeader, limit
		h := start(t, hub, opts)
		big := strings.Repeat("x", 32<<10)
		most := int64(limit + h.opts.Limits.Outbox + len(big) + chargeStep)
		var clients []*client
		var conns []*Conn
		for range 12 {
			clients = append(clients, h.connect("greedy", ""))
			conns = append(conns, await(t, met, "connection"))
		}
		h.until("a dropped connection, once the buffers of the kernel are full", func() bool {
			for _, conn := range conns {
				_ = conn.TrySend("n", big) // full, or closed
				if held := h.unread.Load(); held > most {
					t.Fatalf("unread output of one user: got %d bytes, want at most %d", held, most)
				}
			}
			return h.counters.unreadEnded.Load() > 0
		})
		if err := await(t, gone, "end of a connection"); !errors.Is(err, errUnread) {
			t.Errorf("got end %v, want %v", err, errUnread)
		}
		if h.Stats().Active == 0 {
			t.Error("got every connection of the user dropped, want some left")
		}
		modest := h.connect("modest", "")
		if err := await(t, met, "connection").TrySend("n", 1); err != nil {
			t.Errorf("send to another user: %v", err)
		}
		modest.expect(`{"type":1,"target":"n","arguments":[1]}`)
		for _, m := range h.Metrics() {
			if m.Name == "signalr.server.unread_connections" && m.Value == 0 {
				t.Error("no dropped connection is counted")
			}
		}
		for _, c := range append(clients, modest) {
			c.nc.Close()
		}
		h.gone()
		if got := h.unread.Load(); got != 0 {
			t.Errorf("unread output without connections: got %d bytes, want 0", got)
		}
	})
}
