package ingest

import (
	"context"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest/admission"
)

// publisher receives the messages that have just become durable, in commit order and from one goroutine at a time. It must be quick.
type publisher interface {
	Publish(stored []*esh3ar.Message)
}

// Intake brings calls to the store. New makes one, Run does the work.
type Intake struct {
	store     esh3ar.Appender
	publisher publisher
	opts      Options
	wake      chan struct{} // capacity 1: a lane has calls
	pending   sync.Pool     // released *pendingCall
	spill     spillState
	mu        struct {
		sync.Mutex
		admission  *admission.Controller
		lanes      [esh3ar.Priorities]*lane
		spillQueue boundedQueue // calls that go to the spill without the store being asked; as bounded as a lane
		closed     bool         // Run has ended: new calls are refused
	}
}

// New returns an intake; Run must be called for calls to be answered.
func New(store esh3ar.Appender, publisher publisher, opts Options) *Intake {
	in := &Intake{store: store, publisher: publisher, opts: opts.withDefaults(), wake: make(chan struct{}, 1), spill: newSpillState()}
	for i := range in.mu.lanes {
		in.mu.lanes[i] = newLane()
	}
	in.mu.spillQueue = newBoundedQueue()
	in.mu.admission = admission.New(in.opts.admission(), time.Now())
	return in
}

// The answers to refused calls.
var (
	errLaneFull   = &esh3ar.Error{Code: esh3ar.Overloaded, Text: "too many messages are waiting to be stored", RetryAfter: time.Second}
	errOverloaded = &esh3ar.Error{Code: esh3ar.Overloaded, Text: "the system is full, and calls of higher levels and priorities come first", RetryAfter: time.Second}
	errStopping   = &esh3ar.Error{Code: esh3ar.Overloaded, Text: "this node is stopping", RetryAfter: time.Second}
)

// callerGone returns the error for a call whose context has ended.
func callerGone(ctx context.Context) error {
	return esh3ar.Errorf(esh3ar.Abandoned, "the caller left: %w", context.Cause(ctx))
}

// Submit returns when the call is durable or refused. Overloaded and Abandoned mean that nothing was stored; any other error is the
// store's, with the store's meaning. Submit waits at most Options.AdmissionTimeout for admission and then at most Options.LaneTimeout for
// the batcher to take the call. Once the call is taken, Submit waits for the outcome even if ctx ends.
func (in *Intake) Submit(ctx context.Context, call *esh3ar.Call) (esh3ar.Answer, error) {
	if in.opts.Spill != nil {
		return in.submitOrSpill(ctx, call)
	}
	return in.submit(ctx, call, in.opts.LaneTimeout, in.enqueue)
}

// submit puts the call into a queue with enqueue and waits for its outcome, at most timeout for it to be taken.
func (in *Intake) submit(ctx context.Context, call *esh3ar.Call, timeout time.Duration, enqueue func(*pendingCall) error) (esh3ar.Answer, error) {
	p := in.newPending(call, timeout)
	if err := enqueue(p); err != nil {
		in.recycle(p)
		return esh3ar.Answer{}, err
	}
	select {
	case <-p.done:
		return in.finish(p)
	case <-ctx.Done():
		if p.abandon() {
			_ = in.removeAbandoned(p) // the caller is gone
			return esh3ar.Answer{}, callerGone(ctx)
		}
	case <-p.timer.C:
		if p.abandon() {
			return esh3ar.Answer{}, in.removeAbandoned(p)
		}
	}
	<-p.done // taken: the outcome follows
	return in.finish(p)
}

// enqueue brings the call to its lane or to the admission queue, or returns why it is refused.
func (in *Intake) enqueue(p *pendingCall) error {
	refused, err := in.tryEnqueue(p)
	refused.answer()
	return err
}

// tryEnqueue also returns the calls that were refused to make room; the caller answers them without the lock.
func (in *Intake) tryEnqueue(p *pendingCall) (refusals, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.mu.closed {
		return nil, errStopping
	}
	if in.opts.Spill != nil && !in.freeMemoryLocked(p) {
		return nil, errLaneFull
	}
	return in.admitLocked(p)
}

// stopping reports whether new calls are refused because Run has ended.
func (in *Intake) stopping() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.mu.closed
}

// signal makes a channel of capacity 1 readable.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is already
	}
}

// Lanes returns the fill of the lanes, lowest priority first.
func (in *Intake) Lanes() [esh3ar.Priorities]LaneStats {
	in.mu.Lock()
	defer in.mu.Unlock()
	var stats [esh3ar.Priorities]LaneStats
	for i, l := range in.mu.lanes {
		stats[i] = LaneStats{Priority: esh3ar.Priority(i), Messages: l.messages, Bytes: l.bytes, Overflow: l.overflow.messages}
	}
	return stats
}

// Admission returns the numbers of the admission controller.
func (in *Intake) Admission() admission.Stats {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.mu.admission.Stats()
}

// keyLookupTimeout bounds the lookup of an idempotency key in the store.
const keyLookupTimeout = time.Second

// KnownKey looks up an idempotency key, in the spill first and then in the store. While the store is away only the spill is asked: the
// call will be spilled or refused, and in both cases the keys of other nodes do not matter.
func (in *Intake) KnownKey(ctx context.Context, store esh3ar.KeyReader, business esh3ar.BusinessID, key *esh3ar.IdempotencyKey) (answer esh3ar.Answer, known bool, err error) {
	if in.opts.Spill != nil {
		answer, known, err = in.opts.Spill.KnownKey(&esh3ar.Call{Business: business, Key: key})
		if known || err != nil || in.spill.storeAway.Load() {
			return answer, known, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, keyLookupTimeout)
	defer cancel()
	answer, known, err = store.KnownKey(ctx, business, key)
	if err != nil && in.opts.Spill != nil && isStoreAway(err) {
		return answer, false, nil // Submit finds out itself, and can proceed without the store
	}
	return answer, known, err
}
