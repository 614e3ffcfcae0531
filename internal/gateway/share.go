package gateway

import (
	"math"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// shares counts what each owner has of the resources that every call needs: slots, streams, places in line, repeats. It is guarded by
// dispatch.mu. Large and rare resources have pools of package fairshare; those take a lock of their own.
//
// What one owner may have depends on what is free (dynamic thresholds, Choudhury and Hahne 1998): a proven one nine times as much as
// nobody uses, so nine tenths where it is alone; an address twice as much, so two thirds. All addresses together get three quarters.
// So the next owner finds room at once, and a good credential finds room whatever strangers do. One unit of 512, and at least one, is
// granted whenever it is free.
type shares struct {
	usages map[owner]*usage
	spare  []*usage // ended ones, for their memory
	// strangers is what all addresses have together.
	strangers [resources]int
}

// resource is one of those.
type resource uint8

// The resources that are counted per owner under dispatch.mu.
const (
	slots resource = iota
	streams
	places // in line

	resources // how many there are
)

// usage is what one owner has.
type usage struct {
	has       [resources]int
	repeats   float64 // lately; fades
	repeatsAt time.Time
	waits     waiters // in line

	turnNext, turnBefore *usage // of line; nil: none
}

const (
	provenFactor   = 9
	strangerFactor = 2
	leastPart      = 512 // of a resource is granted whenever it is free
	// repeatsFade is how long a repeat counts against its owner, as long as in flow.Budget.
	repeatsFade = 10 * time.Second
	// mostSpare bounds what is kept of ended usages.
	mostSpare = 1024
)

// amount is how much of a resource there is, and how much of it is in use.
type amount struct{ total, used int }

// mayTake reports whether an owner may take one more of a resource.
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
	return has < max(1, a.total/leastPart) || has+1 <= factor*free
}

// take notes that an owner has one more.
func (s *shares) take(who owner, r resource) {
	s.usage(who).has[r]++
	if !who.proven {
		s.strangers[r]++
	}
}

// release notes that an owner has one less.
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

// takeSlot notes that an owner has one more slot for a kind.
func (s *shares) takeSlot(who owner, k balance.Kind) {
	s.take(who, slots)
	if k.Long() {
		s.take(who, streams)
	}
}

// releaseSlot notes that an owner has one less.
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

// forget drops an owner that has nothing. One whose repeats still count is looked at again when it has something else.
func (s *shares) forget(who owner, u *usage) {
	if u.has != [resources]int{} || u.repeats >= 1 {
		return
	}
	delete(s.usages, who)
	*u = usage{}
	if len(s.spare) < mostSpare {
		s.spare = append(s.spare, u)
	}
}

// mayRepeat reports whether an owner may spend a repeat of those that are left, and notes it.
func (s *shares) mayRepeat(who owner, left float64, now time.Time) bool {
	u := s.usage(who)
	u.repeats *= math.Exp(-float64(max(0, now.Sub(u.repeatsAt))) / float64(repeatsFade))
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

// sweep drops the owners that have nothing and whose repeats have faded.
func (s *shares) sweep(now time.Time) {
	for who, u := range s.usages {
		if now.Sub(u.repeatsAt) > 10*repeatsFade {
			u.repeats = 0
		}
		s.forget(who, u)
	}
}
