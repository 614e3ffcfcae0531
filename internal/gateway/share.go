package gateway

import (
	"math"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// shares counts each owner's use of the resources that every call needs: slots, stream slots, places in the queue, and
// retries. It is guarded by dispatch.mu. Less frequent resources use pools of package fairshare with locks of their own.
//
// The limit of one owner depends on what is free (dynamic thresholds, Choudhury and Hahne 1998). A proven owner may use nine
// times the free amount, so nine tenths if it is alone. An address may use twice the free amount, so two thirds. All addresses
// together may use three quarters. So a new owner always finds room, and a valid credential finds room regardless of callers
// without one. Every owner may use one unit of 512, and at least one, while it is free.
type shares struct {
	usages map[owner]*usage
	spare  []*usage // unused ones, for reuse
	// strangers is the use of all addresses together.
	strangers [resources]int
}

// resource is a resource with shares.
type resource uint8

// Resources that are counted per owner.
const (
	slots resource = iota
	streams
	queuePlaces // places in the queue

	resources // number of resources
)

// usage is the use of one owner.
type usage struct {
	has       [resources]int
	repeats   float64 // recent retries, with exponential decay
	repeatsAt time.Time
	waits     waiterList // its calls in the queue

	turnNext, turnBefore *usage // neighbours in the ownerRing
}

const (
	provenFactor   = 9
	strangerFactor = 2
	minPart        = 512 // one unit of so many is granted whenever it is free
	// retryDecay is the time constant with which retries decay, as in flow.Budget.
	retryDecay = 10 * time.Second
	// maxSpareUsages bounds the unused usages kept for reuse.
	maxSpareUsages = 1024
)

// amount is the total and the used amount of a resource.
type amount struct{ total, used int }

// mayTake reports whether an owner may take one more unit of a resource.
func (s *shares) mayTake(who owner, r resource, a amount) bool {
	free := a.total - a.used
	if free <= 0 {
		return false
	}
	has := 0
	if u := s.usages[who]; u != nil {
		has = u.has[r]
	}
	factor := provenFactor
	if !who.proven {
		if s.strangers[r] >= a.total-a.total/4 {
			return false
		}
		factor = strangerFactor
	}
	return has < max(1, a.total/minPart) || has+1 <= factor*free
}

// take adds one unit to an owner's use.
func (s *shares) take(who owner, r resource) {
	s.usage(who).has[r]++
	if !who.proven {
		s.strangers[r]++
	}
}

// release removes one unit from an owner's use.
func (s *shares) release(who owner, r resource) {
	u := s.usages[who]
	if u == nil || u.has[r] == 0 {
		panic("gateway: more was released than was taken")
	}
	u.has[r]--
	if !who.proven {
		s.strangers[r]--
	}
	s.forget(who, u)
}

// takeSlot adds a slot for a kind to an owner's use.
func (s *shares) takeSlot(who owner, k balance.Kind) {
	s.take(who, slots)
	if k.Long() {
		s.take(who, streams)
	}
}

// releaseSlot removes a slot for a kind from an owner's use.
func (s *shares) releaseSlot(who owner, k balance.Kind) {
	if k.Long() {
		s.release(who, streams)
	}
	s.release(who, slots)
}

func (s *shares) usage(who owner) *usage {
	u := s.usages[who]
	if u != nil {
		return u
	}
	if last := len(s.spare) - 1; last >= 0 {
		u, s.spare = s.spare[last], s.spare[:last]
	} else {
		u = new(usage)
	}
	s.usages[who] = u
	return u
}

// forget drops an owner that uses nothing and whose retries have decayed.
func (s *shares) forget(who owner, u *usage) {
	if u.has != [resources]int{} || u.repeats >= 1 {
		return
	}
	delete(s.usages, who)
	*u = usage{}
	if len(s.spare) < maxSpareUsages {
		s.spare = append(s.spare, u)
	}
}

// mayRepeat reports whether an owner may use one of the retries that are left, and if so counts it.
func (s *shares) mayRepeat(who owner, left float64, now time.Time) bool {
	u := s.usage(who)
	u.repeats *= math.Exp(-float64(max(0, now.Sub(u.repeatsAt))) / float64(retryDecay))
	u.repeatsAt = now
	factor := float64(provenFactor)
	if !who.proven {
		factor = strangerFactor
	}
	if u.repeats+1 > factor*left {
		return false
	}
	u.repeats++
	return true
}

// sweep drops the owners that use nothing and whose retries have decayed.
func (s *shares) sweep(now time.Time) {
	for who, u := range s.usages {
		if now.Sub(u.repeatsAt) > 10*retryDecay {
			u.repeats = 0
		}
		s.forget(who, u)
	}
}
