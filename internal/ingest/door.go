package ingest

import (
	"math/rand/v2"
	"time"

	"github.com/esh3artech/esh3ar"
)

// door is where calls wait that come while as many are worked on as can be. There is a place for each level and priority; the
// highest level enters first, within it the highest priority, and within that the oldest, as long as waits are short. Where they
// are not, the newest enters: it still has its caller's patience before it, and the oldest of a place that never empties have
// used theirs up; else all would be served a second late. When there is no room, those of the
// lowest place leave for those of a higher one, the oldest first. The intake's lock guards it.
type door struct {
	places   [esh3ar.Levels * esh3ar.Priorities]place
	messages int
	bytes    int
	shed     [esh3ar.Levels]uint64 // calls that were turned away
}

// place is a list of tickets, oldest first, that any of them can leave at once.
type place struct{ oldest, newest *ticket }

func placeOf(t *ticket) int { return int(t.call.Level)*esh3ar.Priorities + int(priorityOf(t.call)) }

func (d *door) empty() bool { return d.messages == 0 }

// push takes a ticket in. Those that had to leave for it are given back to be refused; ok is false if there was no room.
func (d *door) push(t *ticket, o *Options) (gone []*ticket, ok bool) {
	at := placeOf(t)
	for d.messages > 0 && (d.messages+t.messages() > o.LaneMessages || d.bytes+t.size > o.LaneBytes) {
		below := d.lowest()
		if below >= at {
			d.shed[t.call.Level]++
			return gone, false
		}
		v := d.places[below].oldest
		d.remove(v)
		d.shed[v.call.Level]++
		gone = append(gone, v)
	}
	p := &d.places[at]
	if t.before = p.newest; t.before != nil {
		t.before.after = t
	} else {
		p.oldest = t
	}
	p.newest, t.place = t, p
	d.messages += t.messages()
	d.bytes += t.size
	return gone, true
}

// lowest is the lowest place where somebody waits; there must be one.
func (d *door) lowest() int {
	for i := range d.places {
		if d.places[i].oldest != nil {
			return i
		}
	}
	panic("intake: the door counts messages that are not there")
}

// next is who enters next; nil: nobody waits. A wait is short that began after a time.
func (d *door) next(short time.Time) *ticket {
	for i := len(d.places) - 1; i >= 0; i-- {
		switch p := &d.places[i]; {
		case p.oldest == nil:
		case p.oldest.since.After(short):
			return p.oldest
		default:
			return p.newest
		}
	}
	return nil
}

// remove takes a ticket out, wherever it stands.
func (d *door) remove(t *ticket) {
	if t.before != nil {
		t.before.after = t.after
	} else {
		t.place.oldest = t.after
	}
	if t.after != nil {
		t.after.before = t.before
	} else {
		t.place.newest = t.before
	}
	t.before, t.after, t.place = nil, nil, nil
	d.messages -= t.messages()
	d.bytes -= t.size
}

// errShed answers calls that the system has no room for.
var errShed = &esh3ar.Error{Code: esh3ar.Overloaded, Text: "the system is full, and calls of higher levels and priorities come first", RetryAfter: time.Second}

// admitLocked brings a call to its lane, or to the door while as much is worked on as can be. Who had to leave the door is
// refused after the lock is let go of.
func (in *Intake) admitLocked(t *ticket) (refused []*ticket, err error) {
	in.mu.reserve.saw(t.call.Level, t.since)
	full := in.mu.inFlight >= in.roomLocked(t.call.Level, t.since)
	if in.mu.door.empty() && !full && in.pace.takeLocked(t) {
		return nil, in.toLaneLocked(t)
	}
	refused, ok := in.mu.door.push(t, &in.opts)
	if !ok {
		return refused, errShed
	}
	if full && !in.mu.crowd.yes {
		in.mu.span.peak = max(in.mu.span.peak, in.mu.limit) // what is kept for others counts as taken, or the limit would never grow
	}
	t.timer.Reset(min(t.patience, in.doorWait()))
	return append(refused, in.letInLocked()...), nil
}

// doorWait is the longest time of a call at the door, or up to a quarter of it less: callers that came together would be refused
// together and come back together.
func (in *Intake) doorWait() time.Duration {
	return in.opts.AdmissionTimeout - rand.N(in.opts.AdmissionTimeout/4)
}

func (in *Intake) toLaneLocked(t *ticket) error {
	if !in.mu.lanes[priorityOf(t.call)].add(t, &in.opts) {
		return errFull
	}
	t.admitted = true
	in.mu.inFlight += t.messages()
	in.mu.span.peak = max(in.mu.span.peak, in.mu.inFlight)
	return nil
}

// letInLocked brings calls from the door to their lanes as far as the limit goes; a call may exceed it, so that a large one
// is not passed over for ever. It gives those whose lane is full.
func (in *Intake) letInLocked() (refused []*ticket) {
	if in.mu.door.empty() {
		return nil
	}
	now, some := time.Now(), false
	for {
		t := in.mu.door.next(now.Add(-in.opts.AdmissionTimeout / 2))
		if t == nil || in.mu.inFlight >= in.roomLocked(t.call.Level, now) || !in.pace.takeLocked(t) {
			break
		}
		in.mu.door.remove(t)
		t.since = now
		t.timer.Reset(t.patience)
		if some = in.toLaneLocked(t) == nil || some; !t.admitted {
			refused = append(refused, t)
		}
	}
	if some {
		in.signal()
	}
	return refused
}

// leave ends the flight of a call whose caller runs again.
func (in *Intake) leave(t *ticket) (refused []*ticket) {
	now := time.Now()
	in.mu.Lock()
	defer in.mu.Unlock()
	if !t.admitted {
		return nil
	}
	t.admitted = false
	in.mu.inFlight -= t.messages()
	if t.err == nil {
		in.mu.span.through(t, now)
	}
	return in.letInLocked()
}

// forsake takes away a ticket that its caller has abandoned, and tells what the caller hears.
func (in *Intake) forsake(t *ticket) error {
	refused, err := in.forsakeLocking(t)
	refuse(refused, errFull)
	return err
}

func (in *Intake) forsakeLocking(t *ticket) (refused []*ticket, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case t.place != nil:
		in.mu.door.remove(t)
		in.mu.door.shed[t.call.Level]++
		return nil, errShed
	case t.admitted:
		t.admitted = false
		in.mu.inFlight -= t.messages()
	}
	return in.letInLocked(), errFull
}

// refuse answers tickets that have no place any more.
func refuse(tickets []*ticket, err error) {
	for _, t := range tickets {
		if t.take() {
			t.resolve(esh3ar.Answer{}, err)
		}
	}
}
