package delivery

import (
	"slices"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// A device whose connections end again and again right after a push is not helped by more pushes: its app may crash over
// a message, or its network drop whatever is larger than a keep-alive. Its breaker opens, and what it has not acknowledged
// waits in the inbox. When the breaker is half open, the next connection gets one message at a time, until the phone has
// acknowledged a whole window of them or all that there was; then the breaker closes.
//
// A close by the phone before it acknowledged the one message spends an attempt of that message, and its business becomes
// a suspect. From then on the messages of the suspects wait, and those of all other businesses go as usual: on the next
// connection, without a pause. So a message that crashes the app ends in the dead letters, and it delays the messages of
// other businesses by: the failures that open the breaker, the first pause, and one connection that fails over it. The
// same holds for a message that the phone does not acknowledge on trial: its business becomes a suspect after
// BreakerRules.Patience.
//
// The pause of a suspect ends with a trial: a connection on which its messages go too, one at a time and in their order.
// Such a connection must not have pushed what comes behind them in their lane (first deliveries have rising seq), so one
// that did is closed by the server, and the phone connects again. If the connections fail although the suspects wait, the
// others are tried one at a time, and one more business becomes a suspect. Beyond suspectLimit businesses it is the device
// or its network that fails, and everything waits.
//
// Each time the breaker opens again its pause grows, because a network that drops everything is not to use up the attempts
// of all messages. One message that fails alone, again and again, says nothing of the network: the pause grows with its
// first failure and not with the others.
//
// The breaker belongs to the device and outlives the connections it judges, but not the process: a restart costs three
// connections.

// BreakerState is the state of a device's breaker.
type BreakerState uint8

// The states, under their usual names.
const (
	Closed   BreakerState = iota // all is well
	HalfOpen                     // one message at a time
	Open                         // nothing is pushed; with suspects: nothing of theirs
)

var breakerNames = [...]string{"closed", "half_open", "open"}

// String is the stable name.
func (s BreakerState) String() string { return breakerNames[s] }

// BreakerRules are what breakers go by.
type BreakerRules struct {
	Failures int           // connections in a row that open it
	Within   time.Duration // from a push to a close that counts
	Pause    flow.Backoff  // how long it stays open, by how often it has opened in a row
	Patience time.Duration // from the push of a message on trial until the messages of other businesses go too
}

// suspectLimit bounds the suspects of a device.
const suspectLimit = 4

// breaker is one device's. Its zero value is closed.
type breaker struct {
	failures int                 // connections in a row that failed
	trips    int                 // how often it opened since it was last closed
	opensAt  time.Time           // when it becomes half open; zero: it is closed
	culprit  messageLife         // message that was alone on the newest connection that failed; zero: there were more
	suspects []esh3ar.BusinessID // businesses whose messages wait while the others go; replaced, never changed
	detours  int                 // connections in a row that failed although the suspects waited
	search   bool                // too many did: the other messages go one at a time
}

// terms are what a connection has to heed of its device's breaker.
type terms struct {
	gate     BreakerState        // HalfOpen: one message at a time; Open: nothing goes
	opensAt  time.Time           // when the breaker becomes half open
	suspects []esh3ar.BusinessID // of the breaker
	avoid    bool                // their messages wait
}

// state is the state at a time.
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

// terms returns what a connection of the device has to heed at a time.
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

// fail counts a connection; true says that the breaker opened. While it is open for all, only connections from before
// fail, and they tell nothing new. culprit is the message that was alone on it, zero if there were more.
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

// accuse makes the business of a message that failed alone a suspect, and opens the breaker.
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

// acquit takes the acknowledgement of a suspect's message; true says that it was the last suspect.
func (b *breaker) acquit(business esh3ar.BusinessID) bool {
	b.suspects = slices.DeleteFunc(slices.Clone(b.suspects), func(s esh3ar.BusinessID) bool { return s == business })
	return len(b.suspects) == 0
}

// healthy takes the acknowledgement of a message that was not on trial; true says that the breaker closes.
func (b *breaker) healthy() bool {
	b.detours, b.search = 0, false
	return len(b.suspects) == 0
}

// apply takes a verdict. It reports whether the state is another one now, and whether nothing is left to be remembered.
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
		closed = b.acquit(culprit.business) && was == Open // half open: its trial goes on
	case healthy:
		closed = b.healthy()
	case recovered:
		closed = true
	}
	return closed && was != Closed, closed
}
