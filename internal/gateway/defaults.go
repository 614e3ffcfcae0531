package gateway

import (
	"cmp"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

func (o *Options) setDefaults() {
	setDefault(&o.CheckEvery, time.Second)
	setDefault(&o.CheckWithin, time.Second)
	setDefault(&o.ResponseTimeout, 30*time.Second) // longer than any commit a node waits for
	setDefault(&o.StreamWithin, 3*time.Minute)     // a poll is answered after 90 s at the latest
	setDefault(&o.TakeWithin, 30*time.Second)      // as nodes wait for who reads a stream
	setDefault(&o.Waiting, 10_000)                 // as many as callers that a gateway has sockets for
	setDefault(&o.QueueTimeout, time.Second)
	setDefault(&o.Memory, 256<<20)
	setDefault(&o.Large, max(leastLarge, cmp.Or(o.Rules.Slots, balance.DefaultSlots)/4))
	setDefault(&o.Notice, 2*time.Second) // two checks of a balancer before us
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
}

// leastLarge lets one owner have two large calls even where a node has few slots.
const leastLarge = 4

func setDefault[T comparable](value *T, usual T) {
	var zero T
	if *value == zero {
		*value = usual
	}
}
