package ingest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
)

// spill keeps accepted calls on the node's disk until the store can take them. Package spill implements it. It is safe for concurrent use.
type spill interface {
	// Append returns when the calls are durable in the spill: Stored, or Replayed and Mismatched if a call there has the same key.
	Append(ctx context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error)
	// KnownKey answers a call if a call in the spill has its idempotency key.
	KnownKey(call *esh3ar.Call) (answer esh3ar.Answer, known bool, err error)
	// Backlog returns zero if the spill holds nothing of the call's recipients, else the number of all calls in the spill. A call counts
	// until it is in the store and its messages were published.
	Backlog(call *esh3ar.Call) int
	// Calls returns the number of calls in the spill. While there are any, the drain notices when the store is back.
	Calls() int
}

// spillState is the part of an Intake that is used only with a spill.
type spillState struct {
	wake        chan struct{} // capacity 1: the spill queue has calls
	storeAway   atomic.Bool   // the store did not answer its last call
	commitBegan atomic.Int64  // start of the running commit in Unix nanoseconds; zero if none runs
	publishing  sync.Mutex    // held during Publish: the batcher and the drain take turns
	changed     *broadcaster  // the spill shrank, the store went away or came back, or the intake stops
}

func newSpillState() spillState {
	return spillState{wake: make(chan struct{}, 1), changed: newBroadcaster()}
}

// OnDrained publishes messages that the drain has stored. The drain calls it in commit order.
func (in *Intake) OnDrained(stored []*esh3ar.Message) { in.publish(stored) }

// OnDrainResult takes the result of one append of the drain: nil if entries have left the spill.
func (in *Intake) OnDrainResult(err error) {
	in.observeStore(err)
	in.spill.changed.broadcast()
}

// observeStore records whether the store is away, from the result of its last call.
func (in *Intake) observeStore(err error) {
	away := err != nil && isStoreAway(err)
	if in.spill.storeAway.Swap(away) == away {
		return
	}
	in.opts.OnStoreAway(away)
	in.spill.changed.broadcast()
}

// isStoreAway reports whether the error means that the store can take nothing now. An unclassified error does not: the call may have
// caused it, so its caller must get it.
func isStoreAway(err error) bool {
	switch code := esh3ar.CodeOf(err); code {
	case esh3ar.Internal:
		return false
	case esh3ar.Abandoned: // by StoreTimeout
		return true
	default:
		return code.Reaction() == esh3ar.RetryLater
	}
}

// storeStalled reports whether the store answers no call. Then the load is not what is too high, and shedding calls helps no other call.
func (in *Intake) storeStalled() bool {
	began := in.spill.commitBegan.Load()
	return in.spill.storeAway.Load() || began != 0 && time.Since(time.Unix(0, began)) > in.opts.AdmissionTimeout/2
}
