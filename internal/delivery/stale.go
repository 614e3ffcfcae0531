package delivery

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

const (
	// staleBatch is how many queued messages one step of the stale walk takes, and staleEvery its pace: a status for
	// up to 500 messages a second is repaired without anybody noticing.
	staleBatch = 500
	staleEvery = time.Second
	// deadNodeWalkInterval, and up to twice that, is the time between walks for the sake of nodes that are gone.
	deadNodeWalkInterval = time.Minute
)

// missedStatuses records when messages of offline recipients were last left Queued. All of these messages were created before that time.
type missedStatuses struct{ at atomic.Int64 } // Unix nanoseconds; zero: never

func (m *missedStatuses) markDirty() { m.at.Store(time.Now().UnixNano()) }

func (m *missedStatuses) lastMissed() time.Time { return time.Unix(0, m.at.Load()) }

// staleWalk decides when to walk. A walk looks at messages of a certain age only, for younger ones may be on their way: so it
// begins when what was missed has that age, and ends what was missed so long before its beginning.
type staleWalk struct {
	after   time.Duration // the age
	covered time.Time     // what was missed until then is done with
	noticed time.Time     // when something later was noticed first; zero: it was not
	walking bool
	next    string // where to go on
}

// due reports whether a step of a walk is due now.
func (w *staleWalk) due(missed, now time.Time) bool {
	if w.walking || !missed.After(w.covered) {
		return w.walking
	}
	if w.noticed.IsZero() {
		w.noticed = now
	}
	w.walking = now.Sub(w.noticed) >= w.after
	if w.walking {
		w.covered, w.noticed = now.Add(-w.after), time.Time{}
	}
	return w.walking
}

// markOfflinePending turns queued messages of absent recipients into pending ones, where the moment of their commit was missed:
// a crash, a full settler, a phone that left in that moment, presence that did not answer. It changes statuses and nothing
// else. It walks all inboxes once after a start, and again only when something of that kind has happened.
//
// In a cluster every node walks, for itself. A node that died may have left something behind and may never come back, so
// each also walks once in a while for the sake of the others. Nobody shares the work out: that needs a lease or a view of
// who is there, and both fail in the very moments that the walk is for. A walk that finds nothing reads an index; of two
// that find the same, the second change does not apply, for a status only rises.
func (e *Engine) markOfflinePending(ctx context.Context) {
	ticker := time.NewTicker(staleEvery)
	defer ticker.Stop()
	strangers := e.nextDeadNodeWalk(time.Now())
	w := staleWalk{after: e.opts.StaleAfter, noticed: time.Now().Add(-e.opts.StaleAfter)} // what the last run left is old enough
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		if e.cluster != nil && now.After(strangers) {
			e.missedStatuses.markDirty()
			strangers = e.nextDeadNodeWalk(now)
		}
		if w.due(e.missedStatuses.lastMissed(), now) && !e.settler.busy() {
			e.markOfflineBatch(ctx, &w)
		}
	}
}

// nextDeadNodeWalk returns the time of the next walk for messages of dead nodes. A random part spreads the walks of the nodes.
func (e *Engine) nextDeadNodeWalk(now time.Time) time.Time {
	return now.Add(deadNodeWalkInterval + time.Duration(e.opts.Random(int64(deadNodeWalkInterval))))
}

// markOfflineBatch does one step of the walk. If it fails, the step is repeated.
func (e *Engine) markOfflineBatch(ctx context.Context, w *staleWalk) {
	now := time.Now()
	refs, following, err := e.store.Queued(ctx, esh3ar.TimeOf(now.Add(-w.after)), w.next, staleBatch)
	if err == nil {
		refs, err = e.absent(ctx, e.withoutLocalSession(refs))
	}
	if err != nil {
		return
	}
	changes := make([]esh3ar.Change, len(refs))
	for i, ref := range refs {
		changes[i] = pendingChange(ref.ID, ref.Recipient, ref.Life, now)
	}
	if len(changes) > 0 && !e.settler.offer(changes) {
		return
	}
	w.next, w.walking = following, following != ""
}

// withoutLocalSession returns the messages whose recipients have no session on this node.
func (e *Engine) withoutLocalSession(refs []esh3ar.MessageRef) []esh3ar.MessageRef {
	return slices.DeleteFunc(refs, func(ref esh3ar.MessageRef) bool { return e.sessions.Has(ref.Recipient) })
}

// absent returns the messages whose recipients are not known to be connected on another node. An error means that presence is unknown.
func (e *Engine) absent(ctx context.Context, refs []esh3ar.MessageRef) ([]esh3ar.MessageRef, error) {
	if e.cluster == nil || len(refs) == 0 || faultinject.Is(faultinject.WalkAlone) {
		return refs, nil
	}
	recipients := make([]esh3ar.Recipient, len(refs))
	for i, ref := range refs {
		recipients[i] = ref.Recipient
	}
	connected, err := e.cluster.remote.Connected(ctx, recipients)
	if err != nil {
		return nil, err
	}
	absent := refs[:0]
	for i, ref := range refs {
		if !connected[i] {
			absent = append(absent, ref)
		}
	}
	return absent, nil
}
