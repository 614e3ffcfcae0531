package gateway

import (
	"cmp"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

func (o Options) withDefaults() Options {
	o.CheckInterval = cmp.Or(o.CheckInterval, time.Second)
	o.CheckTimeout = cmp.Or(o.CheckTimeout, time.Second)
	o.ResponseTimeout = cmp.Or(o.ResponseTimeout, 30*time.Second)            // longer than a node waits for any commit
	o.StreamResponseTimeout = cmp.Or(o.StreamResponseTimeout, 3*time.Minute) // a node answers a poll after 90 s at the latest
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 30*time.Second)                  // as long as nodes wait for readers of streams
	o.Waiting = cmp.Or(o.Waiting, 10_000)                                    // as many as the clients that a gateway has sockets for
	o.QueueTimeout = cmp.Or(o.QueueTimeout, time.Second)
	o.Memory = cmp.Or(o.Memory, 256<<20)
	o.Large = cmp.Or(o.Large, max(minLarge, cmp.Or(o.Rules.Slots, balance.DefaultSlots)/4))
	o.DrainNotice = cmp.Or(o.DrainNotice, 2*time.Second) // two checks of a load balancer in front
	if o.HubOf == nil {
		o.HubOf = func(string) (string, bool) { return "", false }
	}
	if o.NodeOf == nil {
		o.NodeOf = func(*http.Request) string { return "" }
	}
	if o.Observe == nil {
		o.Observe = func(string, int, time.Duration) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Random == nil {
		o.Random = rand.Int64N
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// minLarge is the minimum of Options.Large, so that one owner may have two large calls even if nodes have few slots.
const minLarge = 4
