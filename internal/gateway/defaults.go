package gateway

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"
)

func (o *Options) setDefaults() {
	setDefault(&o.CheckEvery, time.Second)
	setDefault(&o.CheckWithin, time.Second)
	setDefault(&o.AnswerWithin, 30*time.Second) // longer than any commit a node waits for
	setDefault(&o.TakeWithin, 30*time.Second)   // as nodes wait for who reads a stream
	setDefault(&o.Waiting, 10_000)              // as many as callers that a gateway has sockets for
	setDefault(&o.WaitWithin, time.Second)
	setDefault(&o.Memory, 256<<20)
	setDefault(&o.Notice, 2*time.Second) // two checks of a balancer before us
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

func setDefault[T comparable](value *T, usual T) {
	var zero T
	if *value == zero {
		*value = usual
	}
}
