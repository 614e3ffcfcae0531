package intake

import (
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// pace finds how many messages to work on at once. It is the batcher's.
type pace struct {
	limit *flow.Concurrency
	since time.Time // when the span began
	sum   time.Duration
	count int
}

// paceSpan is how long is looked at before the limit moves: some tens of commits.
const paceSpan = 100 * time.Millisecond

// paceRules: a limit of 64 keeps batches that need no company; in ten milliseconds a message is through well within the
// hundred that a call may take, the way to it and back included; four times the calm is a store's sign of being full.
func paceRules(o *Options) flow.ConcurrencyRules {
	return flow.ConcurrencyRules{Min: o.MinAtOnce, Max: o.MaxAtOnce, Target: o.Target, Tolerance: 4}
}

// through notes a commit's calls when they have been answered.
func (p *pace) through(tickets []*ticket, now time.Time) {
	for _, t := range tickets {
		p.sum += now.Sub(t.since) * time.Duration(t.messages())
		p.count += t.messages()
	}
}

// measure moves the limit at the end of a span.
func (in *Intake) measure(now time.Time) {
	p := &in.pace
	if now.Sub(p.since) < paceSpan && !p.limit.Probing() {
		return
	}
	s := flow.Span{Messages: p.count, Memory: in.opts.MemoryUsed()}
	if p.count > 0 {
		s.Took = p.sum / time.Duration(p.count)
	}
	p.since, p.sum, p.count = now, 0, 0
	in.mu.Lock()
	s.Peak, in.mu.peak = in.mu.peak, 0
	in.mu.limit = p.limit.Step(s)
	in.mu.Unlock()
}

// Flow is how much is worked on, and how much waits at the door.
type Flow struct {
	Limit    int // messages that may be worked on at once
	InFlight int // messages that are
	Waiting  int // messages at the door
	Shed     [esh3ar.Levels]uint64
}

// Flow tells how things stand.
func (in *Intake) Flow() Flow {
	in.mu.Lock()
	defer in.mu.Unlock()
	return Flow{Limit: in.mu.limit, InFlight: in.inFlightLocked(), Waiting: in.mu.door.messages, Shed: in.mu.door.shed}
}
