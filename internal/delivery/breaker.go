package delivery

import (
	"slices"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// A circuit breaker per device stops pushes to a phone that cannot handle them.
//
// If the connections of a device repeatedly end right after a push, further pushes do not help: a message may crash the
// app, or the network may drop every packet that is larger than a keep-alive. The states are:
//
//	closed     Messages are pushed as usual. BreakerRules.Failures failed connections in a row open the breaker.
//	open       Nothing is pushed; unacknowledged messages stay in the inbox. After a pause the breaker is half open.
//	half open  One message is pushed at a time. When the phone has acknowledged a whole window of messages, or all that
//	           wait, the breaker closes. A connection that fails opens it again.
//
// While the breaker is half open, the message that fails is known. If the phone closes before it acknowledges that message,
// the attempt counts, and the business of the message becomes a suspect. From then on the messages of suspects wait, and
// the messages of other businesses are pushed as usual, on the next connection and without a pause. So a message that
// crashes the app becomes a dead letter, and it delays the messages of other businesses only by the failures that open the
// breaker, the first pause, and one failed connection. A message that the phone does not acknowledge within
// BreakerRules.Patience makes its business a suspect in the same way.
//
// The pause of a suspect ends with a trial: a connection that also pushes the messages of suspects, one at a time and in
// order. First deliveries must have rising sequence numbers in each lane, so a connection that has already pushed later
// messages of the lane cannot run the trial: the server closes it, and the phone connects again. If connections fail while
// the suspects wait, the other messages are pushed one at a time too, until one more business is a suspect. If there would
// be more than suspectLimit suspects, the device or its network is at fault, and all messages wait.
//
// The pause grows each time the breaker opens, so that a network that drops everything does not use up the attempts of all
// messages. Repeated failures of the same message are no evidence against the network: only its first failure lets the pause grow.
//
// The breaker belongs to the device and outlives its connections. It is held in memory: after a restart,
// BreakerRules.Failures connections have to fail before it opens again.

// BreakerState is the state of a device's breaker.
type BreakerState uint8

// The states of a circuit breaker.
const (
	Closed   BreakerState = iota // messages are pushed as usual
	HalfOpen                     // one message is pushed at a time
	Open                         // nothing is pushed; if there are suspects, only their messages wait
)

var breakerNames = [...]string{"closed", "half_open", "open"}

// String returns the name of the state, as the admin API and the metrics use it.
func (s BreakerState) String() string { return breakerNames[s] }

// BreakerRules are the settings of the breakers.
type BreakerRules struct {
	Failures int           // consecutive failed connections that open the breaker
	Within   time.Duration // longest time from a push to the phone's close that counts as a failure
	Pause    flow.Backoff  // time that the breaker stays open, by the number of times it has opened since it was closed
	Patience time.Duration // longest wait for the acknowledgement of a message on trial before other businesses' messages are pushed
}

// suspectLimit is the largest number of suspects of a device. One more clears the list, and all messages wait.
const suspectLimit = 4

// breaker is the circuit breaker of one device. The zero value is closed. It is not safe for concurrent use: breakers.mu
// guards it.
type breaker struct {
	failures int                 // consecutive failed connections
	trips    int                 // number of times it opened since it was last closed; sets the length of the pause
	opensAt  time.Time           // when the open breaker becomes half open; zero while it is closed
	culprit  messageLife         // only unacknowledged message of the last failed connection; zero if there were more
	suspects []esh3ar.BusinessID // businesses whose messages wait; sessions share the slice, so it is replaced and never modified
	detours  int                 // consecutive connections that failed while the suspects' messages waited
	search   bool                // detours reached BreakerRules.Failures: the other messages are pushed one at a time
}

// terms are the restrictions that a device's breaker imposes on a connection. The zero value imposes none.
type terms struct {
	gate     BreakerState        // HalfOpen: one message is pushed at a time; Open: nothing is pushed
	opensAt  time.Time           // when the breaker becomes half open; zero if it is closed
	suspects []esh3ar.BusinessID // suspects of the breaker; must not be modified
	avoid    bool                // the messages of the suspects wait
}

// state returns the state at the given time. The change from Open to HalfOpen happens by time alone.
func (b *breaker) state(now time.Time) BreakerState {
	switch {
	case b.opensAt.IsZero():
		return Closed
	case now.Before(b.opensAt) || faultinject.Is(faultinject.BreakerStuck):
		return Open
	default:
		return HalfOpen
	}
}

// terms returns the restrictions for a connection of the device at the given time. An open breaker with suspects is open
// for their messages only: to a connection it looks closed, or half open during a search for a further suspect.
func (b *breaker) terms(now time.Time) terms {
	t := terms{gate: b.state(now), opensAt: b.opensAt, suspects: b.suspects}
	if t.gate == Open && len(t.suspects) > 0 {
		t.gate, t.avoid = Closed, true
		if b.search {
			t.gate = HalfOpen
		}
	}
	return t
}

// fail records a failed connection and reports whether the breaker opened. culprit is the only unacknowledged message of
// the connection, zero if there were more. While the breaker is open for all messages, the call has no effect: only
// connections from before it opened can fail then, and they are no new evidence.
func (b *breaker) fail(rules *BreakerRules, culprit suspect, now time.Time, random func(int64) int64) (opened bool) {
	state := b.state(now)
	if state == Open && len(b.suspects) == 0 {
		return false
	}
	b.failures++
	switch {
	case !culprit.id.IsZero():
		b.accuse(rules, culprit, now, random)
		return true
	case len(b.suspects) > 0:
		b.detours++
		b.search = b.search || b.detours >= rules.Failures
		return false
	case state == Closed && b.failures < rules.Failures:
		return false
	default:
		b.trips++
		b.culprit = messageLife{}
		b.opensAt = now.Add(rules.Pause.Delay(b.trips, random))
		return true
	}
}

// accuse makes the business of the culprit a suspect and opens the breaker. The pause grows only if the culprit is another
// message than the last one.
func (b *breaker) accuse(rules *BreakerRules, culprit suspect, now time.Time, random func(int64) int64) {
	if culprit.messageLife != b.culprit {
		b.trips++
	}
	b.culprit = culprit.messageLife
	b.detours, b.search = 0, false
	if !slices.Contains(b.suspects, culprit.business) {
		b.suspects = append(slices.Clone(b.suspects), culprit.business)
	}
	if len(b.suspects) > suspectLimit {
		b.suspects = nil
	}
	b.opensAt = now.Add(rules.Pause.Delay(b.trips, random))
}

// acquit removes a business from the suspects, because the phone acknowledged one of its messages. It reports whether no
// suspect is left.
func (b *breaker) acquit(business esh3ar.BusinessID) bool {
	b.suspects = slices.DeleteFunc(slices.Clone(b.suspects), func(s esh3ar.BusinessID) bool { return s == business })
	return len(b.suspects) == 0
}

// healthy records the acknowledgement of a message that was not on trial. It reports whether the breaker closes.
func (b *breaker) healthy() bool {
	b.detours, b.search = 0, false
	return len(b.suspects) == 0
}

// apply records the verdict of a connection. changed reports whether the state is a different one now. closed reports
// whether the breaker is closed and can be removed from the map.
func (b *breaker) apply(rules *BreakerRules, v verdict, culprit suspect, now time.Time, random func(int64) int64) (changed, closed bool) {
	was := b.state(now)
	switch v {
	case none:
	case failing:
		return b.fail(rules, culprit, now, random), false
	case stalling:
		if was == HalfOpen || b.search {
			b.accuse(rules, culprit, now, random)
			return true, false
		}
	case cleared:
		closed = b.acquit(culprit.business) && was == Open // half open: the trial continues
	case healthy:
		closed = b.healthy()
	case recovered:
		closed = true
	}
	return closed && was != Closed, closed
}
