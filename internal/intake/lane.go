package intake

import (
	"github.com/esh3artech/esh3ar"
)

// lane is a bounded queue of one priority. The intake's lock guards it.
type lane struct {
	queue    []*ticket // oldest first; head counts those already gone
	head     int
	messages int
	bytes    int
	business map[esh3ar.BusinessID]int // messages, of those that have any
}

func newLane() *lane { return &lane{business: map[esh3ar.BusinessID]int{}} }

// fits tells whether the call may wait here. A lane that is empty for a caller takes any call whole, however large,
// or a batch call could never get in.
func (l *lane) fits(call *esh3ar.Call, size int, o *Options) bool {
	n, own := len(call.Messages), l.business[call.Business]
	if own > 0 && own+n > o.LaneCalls/businessShare {
		return false
	}
	return l.messages == 0 || l.messages+n <= o.LaneCalls && l.bytes+size <= o.LaneBytes
}

func (l *lane) push(t *ticket) {
	l.queue = append(l.queue, t)
	l.messages += t.messages()
	l.bytes += t.size
	l.business[t.call.Business] += t.messages()
}

// first is the oldest ticket, or nil.
func (l *lane) first() *ticket {
	if l.head == len(l.queue) {
		return nil
	}
	return l.queue[l.head]
}

// pop removes the oldest ticket.
func (l *lane) pop() {
	t := l.queue[l.head]
	l.queue[l.head] = nil
	if l.head++; l.head == len(l.queue) {
		l.queue, l.head = l.queue[:0], 0
	}
	l.leave(t)
}

// leave takes a ticket out of the counts.
func (l *lane) leave(t *ticket) {
	l.messages -= t.messages()
	l.bytes -= t.size
	if l.business[t.call.Business] -= t.messages(); l.business[t.call.Business] == 0 {
		delete(l.business, t.call.Business)
	}
}
