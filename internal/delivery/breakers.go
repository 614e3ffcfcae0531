package delivery

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
)

// Device names a phone: one recipient can have several.
type Device struct {
	Recipient esh3ar.Recipient
	ID        string
}

// BreakerInfo is what can be said of one device's breaker.
type BreakerInfo struct {
	Device
	State    BreakerState
	Failures int       // connections in a row
	OpensAt  time.Time // when an open one becomes half open
}

// breakerLimit bounds the devices that are remembered, about 10 MiB. When there are more, those whose breaker is closed
// are forgotten, which costs them the failures they had; when all are open, the new device is not judged.
const breakerLimit = 1 << 16

// breakers remembers the devices that are not well. Most are, and take no room.
type breakers struct {
	rules    *BreakerRules
	random   func(int64) int64
	onChange func(BreakerInfo)
	known    atomic.Int64 // devices in the map: mostly none, and then nobody takes the lock
	mu       struct {
		sync.Mutex
		of map[Device]*breaker
	}
}

// terms returns what a connection of the device has to heed.
func (b *breakers) terms(d Device, now time.Time) terms {
	if b.known.Load() == 0 {
		return terms{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if one := b.mu.of[d]; one != nil {
		return one.terms(now)
	}
	return terms{}
}

// record takes a connection's verdict on its device, and the message that was alone on it.
func (b *breakers) record(d Device, v verdict, culprit suspect, now time.Time) {
	if v != failing && b.known.Load() == 0 {
		return
	}
	b.mu.Lock()
	one := b.mu.of[d]
	if one == nil && v == failing {
		one = b.addLocked(d)
	}
	if one == nil {
		b.mu.Unlock()
		return
	}
	changed, closed := one.apply(b.rules, v, culprit, now, b.random)
	info := one.info(d, now)
	if closed {
		delete(b.mu.of, d)
		info = BreakerInfo{Device: d}
	}
	b.known.Store(int64(len(b.mu.of)))
	b.mu.Unlock()
	if changed {
		b.onChange(info)
	}
}

func (b *breakers) addLocked(d Device) *breaker {
	one := &breaker{}
	if len(b.mu.of) >= breakerLimit {
		for other, known := range b.mu.of {
			if known.opensAt.IsZero() {
				delete(b.mu.of, other)
			}
		}
		if len(b.mu.of) >= breakerLimit {
			return one
		}
	}
	if b.mu.of == nil {
		b.mu.of = map[Device]*breaker{}
	}
	b.mu.of[d] = one
	return one
}

func (b *breaker) info(d Device, now time.Time) BreakerInfo {
	return BreakerInfo{Device: d, State: b.state(now), Failures: b.failures, OpensAt: b.opensAt}
}

// Breakers lists the devices whose breakers are not closed, at most limit of them, those first that wait longest, and
// counts them all.
func (e *Engine) Breakers(limit int) (list []BreakerInfo, open, halfOpen int) {
	now := time.Now()
	e.breakers.mu.Lock()
	for d, one := range e.breakers.mu.of {
		switch info := one.info(d, now); info.State {
		case Open:
			open++
			list = append(list, info)
		case HalfOpen:
			halfOpen++
			list = append(list, info)
		case Closed:
		}
	}
	e.breakers.mu.Unlock()
	slices.SortFunc(list, func(a, b BreakerInfo) int { return a.OpensAt.Compare(b.OpensAt) })
	return list[:min(limit, len(list))], open, halfOpen
}
