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
	// strangersEvery, and up to twice that, is the time between walks for the sake of nodes that are gone.
	strangersEvery = time.Minute
)

// missed is when it last happened that messages may stay queued whose recipients are absent. All of them were created before.
type missed struct{ at atomic.Int64 } // Unix nanoseconds; zero: never

func (m *missed) note() { m.at.Store(time.Now().UnixNano()) }

func (m *missed) last() time.Time { return time.Unix(0, m.at.Load()) }

// staleWalk decides when to walk. A walk looks at messages of a certain age only, for younger ones may be on their way: so it
// begins when what was missed has that age, and ends what was missed so long before its beginning.
type staleWalk struct {
	after   time.Duration // the age
	covered time.Time     // what was missed until then is done with
	noticed time.Time     // when something later was noticed first; zero: it was not
	walking bool
	next    string // where to go on
}

// due tells whether there is a step to do now.
func (w *staleWalk) due(missed, now time.Time) bool {
	if w.walking || !missed.After(w.covered) {
		return w.walking
	}
	if w.noticed.IsZero() {
		w.noticed = now
	}
	if w.walking = now.Sub(w.noticed) >= w.after; w.walking {
		w.covered, w.noticed = now.Add(-w.after), time.Time{}
	}
	return w.walking
}

// healStale turns queued messages of absent recipients into pending ones, where the moment of their commit was missed:
// a crash, a full settler, a phone that left in that moment, presence that did not answer. It changes statuses and nothing
// else. It walks all inboxes once after a start, and again only when something of that kind has happened.
//
// In a cluster every node walks, for itself. A node that died may have left something behind and may never come back, so
// each also walks once in a while for the sake of the others. Nobody shares the work out: that needs a lease or a view of
// who is there, and both fail in the very moments that the walk is for. A walk that finds nothing reads an index; of two
// that find the same, the second change does not apply, for a status only rises.
func (e *Engine) healStale(ctx context.Context) {
	ticker := time.NewTicker(staleEvery)
	defer ticker.Stop()
	strangers := e.strangersAt(time.Now())
	w := staleWalk{after: e.opts.StaleAfter, noticed: time.Now().Add(-e.opts.StaleAfter)} // what the last run left is old enough
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		if e.far != nil && now.After(strangers) {
			e.missed.note()
			strangers = e.strangersAt(now)
		}
		if w.due(e.missed.last(), now) && !e.settler.busy() {
			e.healSome(ctx, &w)
		}
	}
}

// strangersAt spreads the nodes' walks.
func (e *Engine) strangersAt(now time.Time) time.Time {
	return now.Add(strangersEvery + time.Duration(e.opts.Random(int64(strangersEvery))))
}

// healSome walks on. What could not be read, or looked up, is tried again.
func (e *Engine) healSome(ctx context.Context, w *staleWalk) {
	now := time.Now()
	refs, following, err := e.store.Queued(ctx, esh3ar.TimeOf(now.Add(-w.after)), w.next, staleBatch)
	if err == nil {
		refs, err = e.absent(ctx, e.alone(refs))
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

// alone gives those of recipients who have no session here.
func (e *Engine) alone(refs []esh3ar.MessageRef) []esh3ar.MessageRef {
	return slices.DeleteFunc(refs, func(ref esh3ar.MessageRef) bool { return e.sessions.Has(ref.Recipient) })
}

// absent gives those of recipients who are not known to be connected on another node. An error means that nobody knows.
func (e *Engine) absent(ctx context.Context, refs []esh3ar.MessageRef) ([]esh3ar.MessageRef, error) {
	if e.far == nil || len(refs) == 0 || faultinject.Is(faultinject.WalkAlone) {
		return refs, nil
	}
	recipients := make([]esh3ar.Recipient, len(refs))
	for i, ref := range refs {
		recipients[i] = ref.Recipient
	}
	connected, err := e.far.remote.Connected(ctx, recipients)
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
