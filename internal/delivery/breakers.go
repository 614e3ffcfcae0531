package delivery

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
)

// Device identifies a phone. One recipient can have several devices.
type Device struct {
	Recipient esh3ar.Recipient
	ID        string
}

// BreakerInfo describes the breaker of one device.
type BreakerInfo struct {
	Device
	State    BreakerState
	Failures int       // consecutive failed connections
	OpensAt  time.Time // when an open breaker becomes half open; zero if it is closed
}

// breakerLimit is the largest number of devices in the map, about 10 MiB. At the limit, the devices whose breakers are
// closed are removed and lose their count of failures. If all are open, a further device gets no breaker.
const breakerLimit = 1 << 16 // 65,536 devices

// breakers holds the breakers of the devices that had a failure. A healthy device has no entry. Its methods may be called
// from any goroutine.
type breakers struct {
	rules    *BreakerRules
	random   func(int64) int64
	onChange func(BreakerInfo)
	known    atomic.Int64 // size of the map; while it is zero, as usual, the lock is not taken
	mu       struct {
		sync.Mutex
		of map[Device]*breaker
	}
}

// terms returns the restrictions for a connection of the device.
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

// record applies a connection's verdict to the breaker of its device. culprit is the only unacknowledged message of the
// connection, zero if there were more. Only the verdict failing creates a breaker. onChange is called without the lock, so
// calls for concurrent changes of one device may arrive in either order.
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

// addLocked adds a closed breaker for the device. If the map is full of open breakers, the returned breaker is not in it.
// The caller holds b.mu.
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

// info describes the breaker at the given time.
func (b *breaker) info(d Device, now time.Time) BreakerInfo {
	return BreakerInfo{Device: d, State: b.state(now), Failures: b.failures, OpensAt: b.opensAt}
}

// Breakers lists the devices whose breakers are not closed, at most limit of them, ordered by OpensAt. open and halfOpen
// count all of them.
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
