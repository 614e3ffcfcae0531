package delivery

import (
	"context"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/planted"
)

const (
	// staleBatch is how many queued messages one step of the stale walk takes, and staleEvery its pace: a status for
	// up to 500 messages a second is repaired without anybody noticing.
	staleBatch = 500
	staleEvery = time.Second
	// strangersEvery, and up to twice that, is the time between walks for the sake of nodes that are gone.
	strangersEvery = time.Minute
)

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
	next, strangers := "", e.strangersAt(time.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if now := time.Now(); e.far != nil && now.After(strangers) {
			e.stale.Store(true)
			strangers = e.strangersAt(now)
		}
		if next == "" && !e.stale.Swap(false) {
			continue
		}
		next = e.healSome(ctx, next)
	}
}

// strangersAt spreads the nodes' walks.
func (e *Engine) strangersAt(now time.Time) time.Time {
	return now.Add(strangersEvery + time.Duration(e.opts.Random(int64(strangersEvery))))
}

// healSome walks on from next; it gives where to go on, empty at the end. What is too young now is for the next walk; what
// could not be read, or looked up, is tried again.
func (e *Engine) healSome(ctx context.Context, next string) string {
	now := time.Now()
	refs, following, err := e.store.Queued(ctx, esh3ar.TimeOf(now), next, staleBatch)
	if err == nil {
		refs, err = e.absent(ctx, e.old(refs, now))
	}
	if err != nil {
		e.stale.Store(true)
		return next
	}
	changes := make([]esh3ar.Change, len(refs))
	for i, ref := range refs {
		changes[i] = pendingChange(ref.ID, ref.Recipient, ref.Life, now)
	}
	if len(changes) > 0 && !e.settler.offer(changes) {
		e.stale.Store(true)
	}
	return following
}

// old gives those of recipients who have no session here, without the ones that may be on their way yet.
func (e *Engine) old(refs []esh3ar.MessageRef, now time.Time) []esh3ar.MessageRef {
	before := esh3ar.TimeOf(now.Add(-e.opts.StaleAfter))
	old := refs[:0]
	for _, ref := range refs {
		switch {
		case e.sessions.Holds(ref.Recipient):
		case ref.ID.CreatedAt() >= before:
			e.stale.Store(true)
		default:
			old = append(old, ref)
		}
	}
	return old
}

// absent gives those of recipients who are not known to be connected on another node. An error means that nobody knows.
func (e *Engine) absent(ctx context.Context, refs []esh3ar.MessageRef) ([]esh3ar.MessageRef, error) {
	if e.far == nil || len(refs) == 0 || planted.Is(planted.WalkAlone) {
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
