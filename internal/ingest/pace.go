package ingest

import (
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// pace finds how many messages to work on at once, and keeps to the capacity that was declared.
type pace struct {
	limit *flow.Concurrency // the batcher's
	since time.Time         // when the span began; the batcher's

	rate  flow.Quota // of messages; without an interval: none was declared
	epoch time.Time
	full  int64 // state of the rate's bucket; the intake's lock guards it
}

// rateBurst is the time whose messages may come at once, and rateTick how often is looked for whom there is room again.
const (
	rateBurst = 50 * time.Millisecond
	rateTick  = 5 * time.Millisecond
)

func newPace(o *Options) pace {
	p := pace{limit: flow.NewConcurrency(paceRules(o)), since: time.Now(), epoch: time.Now()}
	if o.Rate > 0 {
		p.rate = flow.QuotaOf(o.Rate, int(o.Rate*rateBurst.Seconds()))
	}
	return p
}

// takeLocked takes a call's messages from the declared capacity, or nothing where there is none left now.
func (p *pace) takeLocked(t *ticket) bool {
	if p.rate.Interval == 0 {
		return true
	}
	taken := p.rate.Take(p.full, int64(time.Since(p.epoch)), t.messages())
	p.full = taken.Full
	return taken.Allowed
}

// ticks come while a declared capacity may have room again that nobody else tells of.
func (p *pace) ticks() (tick <-chan time.Time, stop func()) {
	if p.rate.Interval == 0 {
		return nil, func() {}
	}
	ticker := time.NewTicker(rateTick)
	return ticker.C, ticker.Stop
}

// span is what was seen since then. The intake's lock guards it.
type span struct {
	sum   time.Duration
	count int
	peak  int // most at once
}

// How long is looked at before the limit moves, some tens of commits; and how long to see the store by itself.
const (
	paceSpan  = 100 * time.Millisecond
	probeSpan = 10 * time.Millisecond
)

// paceRules: in four milliseconds a message is through well within the twenty that a call of the highest level may take, the way to
// it and back included; twice the calm is a store's sign of being full.
func paceRules(o *Options) flow.ConcurrencyRules {
	return flow.ConcurrencyRules{Min: o.MinInFlight, Max: o.MaxInFlight, Target: o.Target, Tolerance: 2}
}

// through notes a call whose caller runs again: until then it waits for CPU, if not for the store.
func (s *span) through(t *ticket, now time.Time) {
	s.sum += now.Sub(t.since) * time.Duration(t.messages())
	s.count += t.messages()
}

// measure moves the limit at the end of a span; the batcher calls it after each commit.
func (in *Intake) measure(now time.Time) {
	p := &in.pace
	if took := now.Sub(p.since); took < probeSpan || took < paceSpan && !p.limit.Probing() {
		return
	}
	p.since = now
	memory := in.opts.MemoryUsed()
	in.mu.Lock()
	s := flow.Span{Messages: in.mu.span.count, Memory: memory, Peak: in.mu.span.peak}
	if s.Messages > 0 {
		s.Took = in.mu.span.sum / time.Duration(s.Messages)
	}
	in.mu.span = span{peak: in.mu.inFlight}
	in.mu.limit = p.limit.Step(s)
	refused := in.letInLocked()
	in.mu.Unlock()
	refuse(refused, errFull)
}

// AdmissionStats is how much is worked on, and how much waits at the door.
type AdmissionStats struct {
	Limit    int // messages that may be worked on at once
	InFlight int // messages that are
	Waiting  int // messages at the door
	Shed     [esh3ar.Levels]uint64
}

// Admission tells how things stand.
func (in *Intake) Admission() AdmissionStats {
	in.mu.Lock()
	defer in.mu.Unlock()
	return AdmissionStats{Limit: in.mu.limit, InFlight: in.mu.inFlight, Waiting: in.mu.door.messages, Shed: in.mu.door.shed}
}
