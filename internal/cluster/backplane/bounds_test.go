package backplane_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/internal/cluster/backplane"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/redis"
	"github.com/esh3artech/esh3ar/signalr"
)

// idle returns a plane whose Run is not called.
func idle() *backplane.Plane {
	nodes := func() []membership.NodeID { return []membership.NodeID{"one", "two", "three"} }
	return backplane.New(backplane.Options{Self: "one", Nodes: nodes, Transport: new(redis.Client).BatchTransport("hub")})
}

func TestOutbox_Full_RefusesFrames(t *testing.T) {
	t.Parallel()
	for what, message := range map[string]string{"letters": "x", "bytes": strings.Repeat("x", 1<<20)} {
		p := idle()
		taken := uint64(0)
		for ; taken < 5000 && p.Publish(t.Context(), signalr.Target{}, []byte(message)) == nil; taken++ {
		}
		if most := map[string]uint64{"letters": 2048, "bytes": 7}[what]; taken != most {
			t.Errorf("%s: %d were taken, want %d", what, taken, most)
		}
		if _, err := p.Request(t.Context(), "c", []byte(message)); !errors.Is(err, backplane.ErrFull) {
			t.Errorf("%s: %v", what, err)
		}
		if st := p.Stats(); st.Dropped != 4 { // the last send and the request, for two nodes each
			t.Errorf("%s: %+v", what, st)
		}
	}
}

func TestPlane_Request_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := idle().Request(ctx, "c", nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestPlane_SlowClient_DoesNotDelayOthers: sends of other nodes reach the clients that have room.
func TestPlane_SlowClient_DoesNotDelayOthers(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, s servers) {
		_, nodes := together(ctx, t, s.url, "one", "two")
		one, two := nodes[0], nodes[1]
		two.dial(ctx, "json", "slow") // never polls again
		b := two.dial(ctx, "json", "badr")
		for _, method := range []string{"a", "b", "c"} {
			if err := one.All().Send(ctx, method, strings.Repeat("x", 50_000)); err != nil { // of 65,536 that may wait
				t.Fatal(err)
			}
			if got := b.methods(method); got[0] != method {
				t.Error(got)
			}
		}
		if st := two.plane.Stats(); st.NoRoom != 2 {
			t.Errorf("%+v", st)
		}
	})
}

func TestPlane_MalformedBatch_IsIgnored(t *testing.T) {
	onBoth(t, func(ctx context.Context, t *testing.T, s servers) {
		_, nodes := together(ctx, t, s.url, "one", "two")
		one, two := nodes[0], nodes[1]
		b := two.dial(ctx, "json", "badr")
		bad := []string{"", "\x02of a later version", "\x01\xff", "\x01\x03one\x01\x00\x00\x05abc", "\x01\x03one\x01\x00\x00\x01?"}
		if err := one.redis.BatchTransport("hub").Send(ctx, "two", bad); err != nil {
			t.Fatal(err)
		}
		if err := one.All().Send(ctx, "end"); err != nil {
			t.Fatal(err)
		}
		want(t, b.methods("end"), "end")
		if st := two.plane.Stats(); st.Dropped != uint64(len(bad)) {
			t.Errorf("%+v", st)
		}
	})
}
