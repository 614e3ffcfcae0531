package delivery

import (
	"time"

	"github.com/esh3artech/esh3ar/internal/faultinject"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// A device whose connections end again and again right after a push is not helped by more pushes: its app may crash over
// a message, or its network drop whatever is larger than a keep-alive. Its breaker opens, and what it has not acknowledged
// waits in the inbox. When the breaker is half open, its next connection gets one message at a time; an acknowledgement
// closes the breaker and all that waits is delivered, and a close by the phone before it spends an attempt of that one
// message. So a message that crashes the app ends in the dead letters instead of keeping the device from all others.
//
// Each time the breaker opens again its pause grows, because a network that drops everything is not to use up the attempts
// of all messages. One message that fails alone, again and again, says nothing of the network: the pause grows with its
// first failure and not with the others, so that it keeps the messages of all businesses waiting for some pauses of the
// same length, and not for a doubling series.
//
// The breaker belongs to the device and outlives the connections it judges, but not the process: a restart costs three
// connections.

// BreakerState is the state of a device's breaker.
type BreakerState uint8

// The states, under their usual names.
const (
	Closed   BreakerState = iota // all is well
	HalfOpen                     // one message at a time
	Open                         // nothing is pushed
)

var breakerNames = [...]string{"closed", "half_open", "open"}

// String is the stable name.
func (s BreakerState) String() string { return breakerNames[s] }

// BreakerRules are what breakers go by.
type BreakerRules struct {
	Failures int           // connections in a row that open it
	Within   time.Duration // from a push to a close that counts
	Pause    flow.Backoff  // how long it stays open, by how often it has opened in a row
}

// breaker is one device's. Its zero value is closed.
type breaker struct {
	failures int       // connections in a row that failed
	trips    int       // how often it opened since it was last closed
	opensAt  time.Time // when it becomes half open; zero: it is closed
	culprit  lived     // message that was alone on the newest connection that failed; zero: there were more
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

// fail counts a connection; true says that the breaker opened. While it is open only connections from before fail,
// and they tell nothing new. culprit is the message that was alone on it, zero if there were more.
func (b *breaker) fail(rules *BreakerRules, culprit lived, now time.Time, random func(int64) int64) (opened bool) {
	state := b.state(now)
	if state == Open {
		return false
	}
	b.failures++
	if state == Closed && b.failures < rules.Failures {
		return false
	}
	if culprit.id.IsZero() || culprit != b.culprit {
		b.trips++
	}
	b.culprit = culprit
	b.opensAt = now.Add(rules.Pause.Delay(b.trips, random))
	return true
}

// heal says that the phone acknowledged something that was pushed on this connection: its device is well.
func (s *session) heal(fx *effects) {
	s.well, s.gate = true, Closed
	fx.verdict = healthy
}

// onTrial tells whether the session goes by the breaker: then it has to hear of it before each tick and before its end.
func (s *session) onTrial() bool { return s.gate != Closed }

// hearGate takes how the breaker stands: half open by now, open for longer because another connection of the device has
// failed, or closed by one that acknowledged.
func (s *session) hearGate(rules *Rules, gate BreakerState, opensAt time.Time, fx *effects) {
	s.gate, s.opensAt = gate, opensAt
	s.pump(rules, fx)
}

// close is the end of the connection; byPeer says that the phone ended it, or vanished.
func (s *session) close(rules *Rules, byPeer bool, now time.Time, fx *effects) {
	if !byPeer || s.well || s.pushedAt.IsZero() || now.Sub(s.pushedAt) > rules.Breaker.Within {
		return
	}
	fx.verdict = failing
	if s.gate != HalfOpen || s.window == nil {
		return
	}
	for i := range s.window.entries { // one at most
		if e := &s.window.entries[i]; e.state == unacked && !e.pushed.IsZero() && !e.counted {
			fx.culprit = e.lived()
			fx.settles = append(fx.settles, settlement{changes: s.spend(rules, e, now)})
		}
	}
}
