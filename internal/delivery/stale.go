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
	// staleBatch is the number of queued messages that one step of the stale walk reads, and staleEvery the time between
	// steps. A walk corrects at most 500 statuses a second, which is a negligible load for the store.
	staleBatch = 500
	staleEvery = time.Second
	// deadNodeWalkInterval is the shortest time between walks for the messages of dead nodes. The longest is twice that.
	deadNodeWalkInterval = time.Minute
)

// missedStatuses records when messages of offline recipients were last left Queued. All of these messages were created before that time.
type missedStatuses struct{ at atomic.Int64 } // Unix nanoseconds; zero: never

func (m *missedStatuses) markDirty() { m.at.Store(time.Now().UnixNano()) }

func (m *missedStatuses) lastMissed() time.Time { return time.Unix(0, m.at.Load()) }

// staleWalk schedules the walks over all inboxes. A walk reads only messages that are older than a minimum age, because
// younger ones may still be in delivery. So it begins when the missed messages have that age, and it covers what was missed
// up to that age before its beginning.
type staleWalk struct {
	after   time.Duration // minimum age of the messages
	covered time.Time     // messages missed until then are covered by an earlier walk or by the current one
	noticed time.Time     // when a message missed after covered was first noticed; zero: none
	walking bool          // a walk is in progress
	next    string        // cursor of the next step; empty: the beginning
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

// markOfflinePending changes queued messages of offline recipients to pending if that was missed at their commit: after a
// crash, because the settler was full, because the phone disconnected at that moment, or because presence did not answer.
// It changes nothing but statuses. It walks all inboxes once after a start, and again only when messages were missed.
//
// In a cluster every node walks independently. A dead node may leave queued messages behind and never return, so each node
// also walks once in one or two minutes. The nodes do not divide the work: that needs a lease or a membership view, and
// both fail in the situations that the walk exists for. A walk that finds nothing reads only an index. If two nodes find the
// same message, the second change has no effect, because a status never goes back.
func (e *Engine) markOfflinePending(ctx context.Context) {
	ticker := time.NewTicker(staleEvery)
	defer ticker.Stop()
	strangers := e.nextDeadNodeWalk(time.Now())
	w := staleWalk{after: e.opts.StaleAfter, noticed: time.Now().Add(-e.opts.StaleAfter)} // messages of the previous run are old enough for a walk now
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

// markOfflineBatch runs one step of the walk. If the store, presence or the settler fails, the cursor stays and the next
// tick repeats the step.
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
