package admission

import (
	"time"

	"github.com/esh3artech/esh3ar"
)

// Options are the bounds of a Controller. All fields but Rate must be set.
type Options struct {
	QueueMessages int           // messages that may wait; a call alone in the queue may be larger
	QueueBytes    int           // bytes that may wait; as above
	MinInFlight   int           // lowest limit on messages in flight
	MaxInFlight   int           // highest limit on messages in flight
	Target        time.Duration // latency from admission to release that the limit aims at
	LongWait      time.Duration // wait from which on the newest call of a bucket is next instead of the oldest
	Rate          float64       // declared capacity in messages per second; zero for none

	RunnablePerCPU func() float64 // goroutines that wait for a processor, per processor; called at most every 200 µs
	MemoryUsed     func() float64 // share of the process's memory in use; called at most every 10 ms
}

// Controller decides which calls are in flight. New makes one.
type Controller struct {
	opts        Options
	queue       queue
	limiter     *Limiter
	limit       int // the limiter's current limit on messages in flight
	inFlight    int // messages of admitted calls
	rate        rateLimit
	cpu         cpuPressure
	reservation levelReservation
	interval    interval
	shed        [esh3ar.Levels]uint64 // calls that left without being admitted, by level
}

// New returns a controller without calls.
func New(opts Options, now time.Time) *Controller {
	c := &Controller{opts: opts, rate: newRateLimit(opts.Rate, now), cpu: cpuPressure{runnable: opts.RunnablePerCPU}}
	c.limiter = NewLimiter(LimiterRules{Min: opts.MinInFlight, Max: opts.MaxInFlight, Target: opts.Target, Tolerance: tolerance})
	c.limit = c.limiter.Limit()
	c.interval.began = now
	return c
}

// Admit decides about a new call and returns its state: Admitted, Waiting, or Released if it is shed. It also returns the calls that it
// evicted from the queue to make room; their owners must be refused. After Waiting, Next may return the call at once.
func (c *Controller) Admit(call *Call) (state State, evicted []*Call) {
	now := call.Since
	c.reservation.observe(call.Level, now)
	atLimit := c.inFlight >= c.room(call.Level, now)
	if c.queue.empty() && !atLimit && c.rate.take(call.Messages, now) {
		c.start(call)
		return Admitted, nil
	}
	evicted, ok := c.makeRoom(call)
	if !ok {
		c.shed[call.Level]++
		return Released, evicted
	}
	c.queue.push(call)
	call.state = Waiting
	if atLimit && !c.cpu.high {
		// The reserved part counts as used here. Otherwise a limit that only calls of one level reach would never grow.
		c.interval.observe(c.limit)
	}
	return Waiting, evicted
}

// makeRoom evicts calls from lower buckets until the call fits into the queue. It reports whether the call fits.
func (c *Controller) makeRoom(call *Call) (evicted []*Call, ok bool) {
	for !c.queue.fits(call, c.opts.QueueMessages, c.opts.QueueBytes) {
		victim, bucket := c.queue.lowest()
		if bucket >= bucketOf(call) {
			return evicted, false
		}
		c.leaveQueue(victim)
		c.shed[victim.Level]++
		evicted = append(evicted, victim)
	}
	return evicted, true
}

// Next admits the next waiting call and returns it, or returns nil if none may be admitted now. The owner calls it until it returns nil,
// after each Admit, Release and Tick and, if there is a declared rate, from time to time.
func (c *Controller) Next(now time.Time) *Call {
	call := c.queue.next(now.Add(-c.opts.LongWait))
	if call == nil || c.inFlight >= c.room(call.Level, now) || !c.rate.take(call.Messages, now) {
		return nil
	}
	c.leaveQueue(call)
	call.Since = now
	c.start(call)
	return call
}

// Release ends a call: an admitted one is no longer in flight, a waiting one leaves the queue and counts as shed. It has no effect on
// a released call. If stored is set, the call's latency is measured, from its admission to now.
func (c *Controller) Release(call *Call, now time.Time, stored bool) {
	switch call.state {
	case Waiting:
		c.leaveQueue(call)
		c.shed[call.Level]++
	case Admitted:
		call.state = Released
		c.inFlight -= call.Messages
		if stored {
			c.interval.add(call, now)
		}
	case Released:
	}
}

// RemoveAll empties the queue and returns the calls, in the order in which they would have been admitted.
func (c *Controller) RemoveAll() (calls []*Call) {
	for call := c.queue.next(time.Time{}); call != nil; call = c.queue.next(time.Time{}) {
		c.leaveQueue(call)
		calls = append(calls, call)
	}
	return calls
}

func (c *Controller) start(call *Call) {
	call.state = Admitted
	c.inFlight += call.Messages
	c.interval.observe(c.inFlight)
}

func (c *Controller) leaveQueue(call *Call) {
	c.queue.remove(call)
	call.state = Released
}

// room returns the number of messages in flight below which a call of the level may be admitted.
func (c *Controller) room(level esh3ar.Level, now time.Time) int {
	others, higher := c.reservation.competition(level, now)
	room := c.limit
	if others && c.cpu.check(now) {
		room = min(room, max(1, c.opts.MinInFlight/2)) // never zero: calls go on however busy the processors are
	}
	if higher {
		room = max(1, room/2)
	}
	return room
}

// Tick adapts the limit to what was measured. It reports whether it did: it has no effect before the interval has ended.
func (c *Controller) Tick(now time.Time) (adapted bool) {
	length := intervalLength
	if c.limiter.Probing() {
		length = probeLength
	}
	if now.Sub(c.interval.began) < length {
		return false
	}
	sample := c.interval.sample()
	sample.Memory = c.opts.MemoryUsed()
	c.interval = interval{began: now, peak: c.inFlight}
	c.limit = c.limiter.Step(sample)
	return true
}

// Stats describes the controller at one moment.
type Stats struct {
	Limit    int                   // messages that may be in flight
	InFlight int                   // messages in flight
	Waiting  int                   // messages in the admission queue
	Shed     [esh3ar.Levels]uint64 // calls that left without being admitted, by level, since the start
}

// Stats returns the current numbers.
func (c *Controller) Stats() Stats {
	return Stats{Limit: c.limit, InFlight: c.inFlight, Waiting: c.queue.messages, Shed: c.shed}
}
