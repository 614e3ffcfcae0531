package ingest

import (
	"context"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

// publisher learns of messages that have just become durable, in commit order, from one goroutine. It must be quick.
type publisher interface {
	Publish(stored []*esh3ar.Message)
}

// Intake is the way of accepted calls into the store.
type Intake struct {
	store   esh3ar.Appender
	publish publisher
	opts    Options
	wake    chan struct{} // capacity 1: something waits
	tickets sync.Pool
	pace    pace
	spilling
	mu struct {
		sync.Mutex
		door     door // before the lanes, and as bounded as one
		lanes    [esh3ar.Priorities]*lane
		beside   line // calls that go to the spill, past the store: as bounded as a lane
		limit    int  // messages that may be worked on at once
		inFlight int  // messages that are: admitted, and their callers do not run again yet
		span     span
		crowd    crowd
		reserve  reserve
		closed   bool
	}
}

// New makes an intake; Run makes it work.
func New(store esh3ar.Appender, publish publisher, opts Options) *Intake {
	in := &Intake{store: store, publish: publish, opts: opts.withDefaults(), wake: make(chan struct{}, 1)}
	for i := range in.mu.lanes {
		in.mu.lanes[i] = newLane()
	}
	in.mu.beside = newLine()
	in.pace = newPace(&in.opts)
	in.mu.crowd.runnable = in.opts.RunnablePerCPU
	in.mu.limit = in.pace.limit.Limit()
	in.spilling = newSpilling()
	return in
}

// errStopping answers calls that come while the node goes down.
func errStopping() error {
	return &esh3ar.Error{Code: esh3ar.Overloaded, Text: "this node is stopping", RetryAfter: time.Second}
}

var errFull = &esh3ar.Error{Code: esh3ar.Overloaded, Text: "too many messages are waiting to be stored", RetryAfter: time.Second}

// Submit returns when the call is durable, or was refused. Overloaded and Abandoned mean that nothing was stored; any
// other error is the store's, with the store's meaning. It waits at most Options.DoorWait to be admitted and then
// Options.MaxWait to be taken; once taken it waits for the outcome even if ctx ends.
func (in *Intake) Submit(ctx context.Context, call *esh3ar.Call) (esh3ar.Answer, error) {
	if in.opts.Spill != nil {
		return in.submitOrSpill(ctx, call)
	}
	return in.submit(ctx, call, in.opts.LaneTimeout, in.enqueue)
}

// submit puts the call into a queue and waits for its outcome.
func (in *Intake) submit(ctx context.Context, call *esh3ar.Call, patience time.Duration, enqueue func(*ticket) error) (esh3ar.Answer, error) {
	t := in.newTicket(call, patience)
	if err := enqueue(t); err != nil {
		in.discard(t)
		return esh3ar.Answer{}, err
	}
	select {
	case <-t.done:
		return in.release(t)
	case <-ctx.Done():
		if t.abandon() {
			_ = in.forsake(t)
			return esh3ar.Answer{}, left(ctx)
		}
	case <-t.timer.C:
		if t.abandon() {
			return esh3ar.Answer{}, in.forsake(t)
		}
	}
	<-t.done
	return in.release(t)
}

func left(ctx context.Context) error {
	return esh3ar.Errorf(esh3ar.Abandoned, "the caller left: %w", context.Cause(ctx))
}

// enqueue brings the ticket to its lane, or to the door.
func (in *Intake) enqueue(t *ticket) error {
	refused, err := in.enqueueOr(t)
	refuse(refused, errShed)
	return err
}

// enqueueOr gives besides those who had to make room.
func (in *Intake) enqueueOr(t *ticket) (refused []*ticket, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.mu.closed {
		return nil, errStopping()
	}
	if in.opts.Spill != nil && !in.shedLocked(t) {
		return nil, errFull
	}
	if refused, err = in.admitLocked(t); err == nil {
		in.signal()
	}
	return refused, err
}

// priorityOf is the lane of a call: a batch call goes whole, with its most urgent message.
func priorityOf(call *esh3ar.Call) esh3ar.Priority {
	var top esh3ar.Priority
	for _, m := range call.Messages {
		top = max(top, m.Priority)
	}
	return top
}

func (in *Intake) signal() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// Lanes tells how full the lanes are, lowest priority first.
func (in *Intake) Lanes() [esh3ar.Priorities]LaneStats {
	in.mu.Lock()
	defer in.mu.Unlock()
	var stats [esh3ar.Priorities]LaneStats
	for i, l := range in.mu.lanes {
		stats[i] = LaneStats{Priority: esh3ar.Priority(i), Messages: l.messages, Bytes: l.bytes, Overflow: l.parked.messages}
	}
	return stats
}
