package ingest

import (
	"github.com/esh3artech/esh3ar"
)

// lane is the way of one priority: calls that are admitted, and callers that wait for room. The intake's lock guards it.
type lane struct {
	line
	// parked is for callers that find the lane, or their quarter of it, full. It has the lane's own bounds; who finds it
	// full too is refused at once.
	parked line
}

func newLane() *lane { return &lane{line: newLine(), parked: newLine()} }

// add admits or parks a call; false: there is no room for either. Nobody overtakes a parked call of his own business.
func (l *lane) add(t *ticket, o *Options) bool {
	switch {
	case l.parked.business[t.call.Business] == 0 && l.fits(t, o):
		l.push(t)
	case l.parked.fits(t, o):
		l.parked.push(t)
	default:
		return false
	}
	return true
}

// admit moves parked calls into the room that a batch has left. A business at its bound does not hold up those behind it.
// The callers do not notice: moving them costs no wake-up, however many wait.
func (l *lane) admit(o *Options) {
	if l.parked.messages == 0 {
		return
	}
	all := l.parked.queue[l.parked.head:]
	kept := l.parked.queue[:0]
	for _, t := range all {
		switch {
		case t.left():
			l.parked.leave(t)
		case l.fits(t, o):
			l.parked.leave(t)
			l.push(t)
		default:
			kept = append(kept, t)
		}
	}
	clear(l.parked.queue[len(kept):])
	l.parked.queue, l.parked.head = kept, 0
}

// line is a bounded queue.
type line struct {
	queue    []*ticket // oldest first; head counts those already gone
	head     int
	messages int
	bytes    int
	keyless  int                       // calls without an idempotency key
	business map[esh3ar.BusinessID]int // messages, of those that have any
}

func newLine() line { return line{business: map[esh3ar.BusinessID]int{}} }

// fits tells whether the call may wait here. A line that is empty for a caller takes any call whole, however large,
// or a batch call could never get in.
func (l *line) fits(t *ticket, o *Options) bool {
	n, own := t.messages(), l.business[t.call.Business]
	if own > 0 && own+n > o.LaneMessages/businessShare {
		return false
	}
	return l.messages == 0 || l.messages+n <= o.LaneMessages && l.bytes+t.size <= o.LaneBytes
}

func (l *line) push(t *ticket) {
	l.queue = append(l.queue, t)
	l.messages += t.messages()
	l.bytes += t.size
	l.business[t.call.Business] += t.messages()
	if t.call.Key == nil {
		l.keyless++
	}
}

// first is the oldest ticket, or nil.
func (l *line) first() *ticket {
	if l.head == len(l.queue) {
		return nil
	}
	return l.queue[l.head]
}

// pop removes the oldest ticket.
func (l *line) pop() {
	t := l.queue[l.head]
	l.queue[l.head] = nil
	if l.head++; l.head == len(l.queue) {
		l.queue, l.head = l.queue[:0], 0
	}
	l.leave(t)
}

// leave takes a ticket out of the counts.
func (l *line) leave(t *ticket) {
	l.messages -= t.messages()
	l.bytes -= t.size
	if l.business[t.call.Business] -= t.messages(); l.business[t.call.Business] == 0 {
		delete(l.business, t.call.Business)
	}
	if t.call.Key == nil {
		l.keyless--
	}
}
