package ingest

// lane holds the admitted calls of one priority that wait for the batcher. Guarded by Intake.mu.
type lane struct {
	boundedQueue
	// overflow holds calls that found the lane, or their business's quarter of it, full. It has the bounds of the lane. A call that
	// finds it full too is refused.
	overflow boundedQueue
}

func newLane() *lane { return &lane{boundedQueue: newBoundedQueue(), overflow: newBoundedQueue()} }

// add queues a call in the lane or in its overflow, and reports whether there was room in one of them. A call never overtakes one of its
// own business in the overflow.
func (l *lane) add(p *pendingCall, o *Options) bool {
	if l.overflow.business[p.call.Business] == 0 && l.fits(p, o) {
		l.push(p)
		return true
	}
	if l.overflow.fits(p, o) {
		l.overflow.push(p)
		return true
	}
	return false
}

// refill moves calls from the overflow into the lane, oldest first, as far as they fit. A business at its bound does not hold up the
// calls of others behind it. The callers are not woken.
func (l *lane) refill(o *Options) {
	if l.overflow.messages == 0 {
		return
	}
	l.overflow.filter(func(p *pendingCall) (keep bool) {
		if p.isAbandoned() {
			return false
		}
		if !l.fits(p, o) {
			return true
		}
		l.push(p)
		return false
	})
}
