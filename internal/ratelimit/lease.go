package ratelimit

import (
	"context"
	"time"

	"github.com/esh3artech/esh3ar/internal/flow"
)

// lease is this node's part of a shared bucket. The account's lock guards it.
type lease struct {
	tokens        int
	expiresAt     int64 // when they are forgotten
	sharedLeft    int   // what the bucket had besides, when it was last asked
	sharedFullAt  int64 // when it will be full, as it said then
	used          int   // since it was last asked, as was
	askedAt       int64 // when that was
	chunk         int   // the newest
	fallbackUntil int64 // until when the bucket is not asked: it did not answer; zero: it did
	fallbackUsed  int   // given since then, of which the bucket has not heard

	denied      int           // so many were refused
	deniedUntil int64         // and will be until then
	refilling   chan struct{} // not nil: somebody asks; closed when he has heard
}

const (
	leaseTTL         = 2 * time.Second        // unused tokens are forgotten then
	fallbackRetry    = time.Second            // the bucket is tried again then
	negativeCacheTTL = 50 * time.Millisecond  // a "no" stands so long at least, or until half a burst has come back
	chunkTime        = 250 * time.Millisecond // a chunk is what was used in such a time
	chunkFraction    = 256                    // or this part of the burst
	maxChunkFraction = 4                      // but never more than this part of the burst, shared by the nodes
	minPrefetchChunk = 8                      // a chunk of so many is worth the asking ahead
)

func (l *lease) forget() { l.tokens, l.sharedLeft, l.denied, l.deniedUntil = 0, 0, 0, 0 }

// available are the tokens that are not forgotten yet.
func (l *lease) available(at int64) int {
	if at >= l.expiresAt {
		return 0
	}
	return l.tokens
}

// takeLeaseLocked gives out of the lease, or says who has to be asked.
func (a *Limiter) takeLeaseLocked(t *compiledPlan, g *Grant, at int64, n int) (said decision, wait time.Duration) {
	l := &a.mu.lease
	l.tokens = l.available(at)
	said = askBucket
	switch {
	case n == 0:
		said = granted
	case l.tokens >= n:
		l.tokens -= n
		l.used += n
		said = granted
		a.prefetchLocked(at)
	case at < l.deniedUntil && n >= l.denied:
		said, wait = refused, time.Duration(l.deniedUntil-at)+time.Duration(n-l.denied)*t.quota.Interval
	}
	g.Remaining = min(l.tokens+l.sharedLeft, t.plan.Burst)
	if at >= l.sharedFullAt { // it has filled up since
		g.Remaining = t.plan.Burst
	}
	g.Reset = max(0, time.Duration(l.sharedFullAt-at))
	return said, wait
}

// prefetchLocked has the next chunk fetched before this one ends.
func (a *Limiter) prefetchLocked(at int64) {
	l := &a.mu.lease
	if l.chunk < minPrefetchChunk || l.tokens >= l.chunk/4 || at < l.deniedUntil || l.refilling != nil {
		return
	}
	heard := make(chan struct{})
	if a.limiters.prefetches.TryGo(func() error { a.refill(context.Background(), 0, heard); return nil }) {
		l.refilling = heard
	}
}

// refillOrWait asks the shared bucket for n at least, or waits for who is asking.
func (a *Limiter) refillOrWait(ctx context.Context, n int) {
	a.mu.Lock()
	heard := a.mu.lease.refilling
	if heard == nil {
		heard = make(chan struct{})
		a.mu.lease.refilling = heard
		a.mu.Unlock()
		a.refill(context.WithoutCancel(ctx), n, heard) // others wait for the answer too
		return
	}
	a.mu.Unlock()
	select {
	case <-heard:
	case <-time.After(5 * a.limiters.opts.Timeout): // never: a question ends
	}
}

// refill asks the bucket for what is missing of n, and keeps the answer, if the plan is still the one that was asked for.
func (a *Limiter) refill(ctx context.Context, n int, heard chan struct{}) {
	t := a.plan.Load()
	a.mu.Lock()
	at := a.limiters.nanoseconds(time.Now())
	chunk, owed := a.mu.lease.chunkSize(t, at, a.limiters.opts.Nodes()), a.unreportedLocked(t, at)
	need := max(1, n-a.mu.lease.available(at))
	a.mu.Unlock()
	want := min(max(need, chunk), t.plan.Burst)
	paid, err := a.takeUpTo(ctx, t, owed)
	var taken flow.Taken
	if err == nil {
		taken, err = a.takeShared(ctx, t, want)
	}
	if err == nil && !taken.Allowed && taken.Remaining >= need { // less will do
		want = taken.Remaining
		taken, err = a.takeShared(ctx, t, want)
	}
	if err != nil {
		a.limiters.opts.OnError("take from the shared quota", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	defer close(heard)
	l := &a.mu.lease
	l.refilling = nil
	l.fallbackUsed -= paid
	switch {
	case err != nil:
		a.fallBackLocked()
		return
	case paid == owed:
		l.fallbackUsed = 0 // what is not owed has come back since
	}
	if a.plan.Load() != t {
		return
	}
	if !taken.Allowed { // how long less than it was asked for takes
		taken.RetryAfter -= time.Duration(want-need) * t.quota.Interval
	}
	no := min(negativeCacheTTL, t.quota.Interval*time.Duration(t.quota.Burst)/2)
	l.applyGrant(a.limiters.nanoseconds(time.Now()), want, max(n, 1), chunk, &taken, no)
}

// fallBackLocked has the node give its share for a while. Its own bucket begins with what it last knew of the shared one: a full one
// would be another burst, each time.
func (a *Limiter) fallBackLocked() {
	l := &a.mu.lease
	if l.fallbackUntil == 0 {
		a.mu.bucketFullAt = max(a.mu.bucketFullAt, l.sharedFullAt)
	}
	l.fallbackUntil = a.limiters.nanoseconds(time.Now()) + int64(fallbackRetry)
}

// unreportedLocked is what the node gave alone and its share has not got back yet: the shared bucket, which filled meanwhile, has to hear
// of it.
func (a *Limiter) unreportedLocked(t *compiledPlan, at int64) int {
	interval := int64(t.quota.Share(a.limiters.opts.Nodes()).Interval)
	missing := (max(0, a.mu.bucketFullAt-at) + interval - 1) / interval
	return min(a.mu.lease.fallbackUsed, int(missing), t.plan.Burst)
}

// takeUpTo takes n, or what there is.
func (a *Limiter) takeUpTo(ctx context.Context, t *compiledPlan, n int) (int, error) {
	if n == 0 {
		return 0, nil
	}
	taken, err := a.takeShared(ctx, t, n)
	if err == nil && !taken.Allowed {
		if n = taken.Remaining; n > 0 {
			taken, err = a.takeShared(ctx, t, n)
		}
	}
	if err != nil || !taken.Allowed {
		return 0, err
	}
	return n, nil
}

func (a *Limiter) takeShared(ctx context.Context, t *compiledPlan, n int) (flow.Taken, error) {
	ctx, cancel := context.WithTimeout(ctx, a.limiters.opts.Timeout)
	defer cancel()
	return a.limiters.opts.Shared.Take(ctx, a.business.String(), t.plan.Rate, t.plan.Burst, n)
}

// chunkSize is the size of the next chunk.
func (l *lease) chunkSize(t *compiledPlan, at int64, nodes int) int {
	size := t.plan.Burst / chunkFraction
	if since := at - l.askedAt; l.askedAt > 0 && since > 0 {
		size = max(size, int(float64(l.used)*float64(chunkTime)/float64(since)))
	}
	return max(1, min(size, t.plan.Burst/(maxChunkFraction*max(1, nodes))))
}

// applyGrant keeps what the bucket said: want was given, or refused where n would have done; no is how long that stands.
func (l *lease) applyGrant(at int64, want, n, chunk int, taken *flow.Taken, no time.Duration) {
	if taken.Allowed {
		l.tokens = l.available(at) + want
		l.expiresAt = at + int64(leaseTTL)
		if want < chunk { // it is nearly empty: to ask at once again would be to ask for every message
			l.denied, l.deniedUntil = 1, at+int64(no)
		}
	} else {
		l.denied, l.deniedUntil = n, at+int64(max(taken.RetryAfter, no))
	}
	l.sharedLeft, l.sharedFullAt, l.used, l.askedAt, l.chunk, l.fallbackUntil = taken.Remaining, at+int64(taken.Reset), 0, at, chunk, 0
}
