package ingest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// spill keeps accepted calls on the node's disk until the store can take them: package spill. It is safe for concurrent use.
type spill interface {
	// Append returns when the calls are durable here: Stored, or Replayed and Mismatched by a call here with the same key.
	Append(ctx context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error)
	// KnownKey answers a call whose key a call here has.
	KnownKey(call *esh3ar.Call) (answer esh3ar.Answer, ok bool, err error)
	// Backlog is zero if nothing here is for a recipient of the call, else how many calls wait here in all. What Append took
	// counts until it is in the store and was published.
	Backlog(call *esh3ar.Call) int
	// Calls is how many calls wait here for the store: while there are any, the drain asks whether it is back.
	Calls() int
}

// spilling is the part of an intake that knows a spill.
type spilling struct {
	pour       chan struct{} // capacity 1: something goes past the store
	away       atomic.Bool   // the store did not answer when it was last asked
	began      atomic.Int64  // when the running commit began, in Unix nanoseconds; zero: none runs
	publishing sync.Mutex    // intake and drain publish in turn, as the publisher asks; it never blocks
	news       news
}

func newSpilling() spilling {
	return spilling{pour: make(chan struct{}, 1), news: news{ch: make(chan struct{})}}
}

// news tells all who wait that something has changed.
type news struct {
	mu sync.Mutex
	ch chan struct{} // closed by the next tell
}

func (n *news) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ch
}

func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.ch)
	n.ch = make(chan struct{})
}

// OnDrained takes messages that the drain has stored, in commit order.
func (in *Intake) OnDrained(stored []*esh3ar.Message) { in.published(stored) }

// OnDrainResult tells how the drain fares: nil when entries have left the spill.
func (in *Intake) OnDrainResult(err error) {
	in.heard(err)
	in.news.tell()
}

// heard keeps what the store's last word says of the store.
func (in *Intake) heard(err error) {
	gone := err != nil && isAway(err)
	if in.away.Swap(gone) == gone {
		return
	}
	in.opts.OnStoreAway(gone)
	in.news.tell()
}

// isAway tells whether an error speaks of a store that cannot take anything now. An error that nobody classified does not:
// it may be because of the call, and its caller shall hear of it.
func isAway(err error) bool {
	switch code := esh3ar.CodeOf(err); code {
	case esh3ar.Internal:
		return false
	case esh3ar.Abandoned: // before our own deadline
		return true
	default:
		return code.Reaction() == esh3ar.RetryLater
	}
}

// published hands messages on; with a spill two goroutines have some.
func (in *Intake) published(stored []*esh3ar.Message) {
	if in.opts.Spill != nil {
		in.publishing.Lock()
		defer in.publishing.Unlock()
	}
	in.publish.Publish(stored)
}

// few is how many calls may wait in the spill for a call to wait for them rather than join them: a moment's work for the
// drain. If all joined, a recipient that gets messages all the time would never leave the spill.
const few = 1000

// errBehind sends a call back to its caller's goroutine, to wait until its recipients' earlier messages are in the store.
var errBehind = errors.New("behind messages in the spill")

// divert answers or spills the calls that must not go to the store now, and gives the rest.
func (in *Intake) divert(ctx context.Context, tickets []*ticket) (direct []*ticket) {
	tickets = in.answerTwins(tickets)
	var later []*ticket
	away := in.away.Load()
	silent := away && in.opts.Spill.Calls() > 0 // each batch would wait for the store in vain; the drain hears when it is back
	direct = tickets[:0:len(tickets)]
	for _, t := range tickets {
		switch ahead := in.opts.Spill.Backlog(t.call); {
		case silent:
			later = append(later, t)
		case ahead == 0 || faultinject.Is(faultinject.SpillOvertaken):
			direct = append(direct, t)
		case away || t.call.Key == nil && ahead >= few:
			later = append(later, t)
		default:
			t.resolve(esh3ar.Answer{}, errBehind)
		}
	}
	if len(later) == 0 {
		return direct
	}
	in.keep(ctx, later, nil)
	return in.answerTwins(direct) // of those, too
}

// answerTwins answers the calls whose key a call in the spill has, and gives the rest.
func (in *Intake) answerTwins(tickets []*ticket) (rest []*ticket) {
	rest = tickets[:0:len(tickets)]
	for _, t := range tickets {
		if answer, twin, err := in.opts.Spill.KnownKey(t.call); twin || err != nil {
			t.resolve(answer, err)
		} else {
			rest = append(rest, t)
		}
	}
	return rest
}

// keep brings the calls to the spill and answers them. cause is why the store did not take them, if it was asked.
func (in *Intake) keep(ctx context.Context, tickets []*ticket, cause error) {
	start := time.Now()
	answers, err := in.opts.Spill.Append(ctx, callsOf(tickets))
	if err != nil && cause != nil && esh3ar.CodeOf(cause) == esh3ar.OutcomeUnknown {
		err = cause // it may be in the store, and "no" must mean no
	}
	info := CommitInfo{Took: time.Since(start), Waited: start.Sub(tickets[0].since), Err: err}
	for i, t := range tickets {
		if err != nil {
			t.resolve(esh3ar.Answer{}, err)
			continue
		}
		if answers[i].Outcome == esh3ar.Stored {
			info.Spilled += t.messages()
		}
		t.resolve(answers[i], nil)
	}
	in.opts.OnCommit(info)
}

// submitOrSpill submits a call until it is through: one that comes behind others of its recipients waits for them, one that
// found no room goes to the spill. A call with a key does not: while the store answers, only the store knows whether another
// node has its key.
func (in *Intake) submitOrSpill(ctx context.Context, call *esh3ar.Call) (esh3ar.Answer, error) {
	start := time.Now()
	for {
		answer, err := in.submit(ctx, call, in.opts.LaneTimeout-time.Since(start), in.enqueue)
		if errors.Is(err, errBehind) {
			if err = in.waitBehind(ctx, call, in.opts.LaneTimeout-time.Since(start)); err == nil {
				continue
			}
		}
		switch {
		case !errors.Is(err, errFull) && !(errors.Is(err, errShed) && in.stalled()):
			return answer, err
		case call.Key == nil:
			return in.submit(ctx, call, in.opts.LaneTimeout, in.enqueueBeside)
		case errors.Is(err, errFull) || time.Since(start) >= in.opts.LaneTimeout:
			return answer, err
		}
		// The store stands still, and a call with a key may only wait for it.
	}
}

// stalled tells whether the store keeps everybody waiting. Then it is not the load that is too high, and shedding helps nobody.
func (in *Intake) stalled() bool {
	began := in.began.Load()
	return in.away.Load() || began != 0 && time.Since(time.Unix(0, began)) > in.opts.AdmissionTimeout/2
}

// errHeldUp is for a call with a key that may neither overtake what its recipient has in the spill nor join it.
var errHeldUp = &esh3ar.Error{
	Code: esh3ar.Overloaded, Text: "earlier messages of this recipient are still on their way to the database", RetryAfter: time.Second,
}

// waitBehind waits until a call may be submitted again.
func (in *Intake) waitBehind(ctx context.Context, call *esh3ar.Call, patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		changed := in.news.next()
		if in.opts.Spill.Backlog(call) == 0 || in.away.Load() || in.stopping() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return left(ctx)
		case <-timer.C:
			if call.Key == nil {
				return errFull
			}
			return errHeldUp
		}
	}
}

func (in *Intake) stopping() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.mu.closed
}

// knownTime bounds the look-up of a key.
const knownTime = time.Second

// Known looks an idempotency key up, in the spill first and then in the store. While the store is away only the spill is
// asked: the call will wait there, or be refused, and neither says anything of other calls.
func (in *Intake) Known(ctx context.Context, store esh3ar.KeyReader, business esh3ar.BusinessID, key *esh3ar.IdempotencyKey) (answer esh3ar.Answer, known bool, err error) {
	if in.opts.Spill != nil {
		answer, known, err = in.opts.Spill.KnownKey(&esh3ar.Call{Business: business, Key: key})
		if known || err != nil || in.away.Load() {
			return answer, known, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, knownTime)
	defer cancel()
	answer, known, err = store.KnownKey(ctx, business, key)
	if err != nil && in.opts.Spill != nil && isAway(err) {
		return answer, false, nil // Submit asks again, and knows what to do without an answer
	}
	return answer, known, err
}
