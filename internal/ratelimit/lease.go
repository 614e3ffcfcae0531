package ratelimit

import (
	"context"
	"time"

	"github.com/esh3artech/esh3ar/internal/flow"
)

// lease is the part of a shared bucket that this node has taken in advance. Times are on the clock of Limiters. The Limiter's lock
// guards it.
type lease struct {
	tokens        int
	expiresAt     int64 // when the tokens are discarded
	sharedLeft    int   // tokens left in the shared bucket at the last refill
	sharedFullAt  int64 // when the shared bucket will be full, as of the last refill
	used          int   // tokens used since the last refill; at the time of the last refill below
	askedAt       int64 // time of the last refill
	chunk         int   // size of the last chunk
	fallbackUntil int64 // the shared bucket is not asked until then, because it did not answer; zero if it answered
	fallbackUsed  int   // tokens granted in fallback that the shared bucket has not been told of

	denied      int           // the smallest request that the shared bucket refused
	deniedUntil int64         // requests of at least denied tokens are refused locally until then
	refilling   chan struct{} // closed when the refill in progress ends; nil if there is none
}

const (
	leaseTTL         = 2 * time.Second        // unused tokens are discarded after this time
	fallbackRetry    = time.Second            // time between attempts to reach the shared bucket in fallback
	negativeCacheTTL = 50 * time.Millisecond  // minimum time for which a refusal is cached, unless half a burst is back sooner
	chunkTime        = 250 * time.Millisecond // a chunk holds the tokens used in this time,
	chunkFraction    = 256                    // or this fraction of the burst if that is more,
	maxChunkFraction = 4                      // but at most this fraction of the burst, divided by the number of nodes
	minPrefetchChunk = 8                      // chunks smaller than this are not prefetched
)

func (l *lease) forget() {
	l.tokens = 0
	l.sharedLeft = 0
	l.denied = 0
	l.deniedUntil = 0
}

// available returns the tokens that have not expired.
func (l *lease) available(at int64) int {
	if at >= l.expiresAt {
		return 0
	}
	return l.tokens
}

// takeLeaseLocked takes n tokens locally, or returns askBucket if the shared bucket must be asked first.
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
	if at >= l.sharedFullAt { // the shared bucket has filled up since the last refill
		g.Remaining = t.plan.Burst
	}
	g.Reset = max(0, time.Duration(l.sharedFullAt-at))
	return said, wait
}

// prefetchLocked starts a refill in the background when the current chunk runs low.
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

// refillOrWait refills the lease for a request of n tokens. If another caller is refilling, it waits for that instead.
func (a *Limiter) refillOrWait(ctx context.Context, n int) {
	a.mu.Lock()
	heard := a.mu.lease.refilling
	if heard == nil {
		heard = make(chan struct{})
		a.mu.lease.refilling = heard
		a.mu.Unlock()
		a.refill(context.WithoutCancel(ctx), n, heard) // not canceled with ctx, because other callers wait for the result
		return
	}
	a.mu.Unlock()
	select {
	case <-heard:
	case <-time.After(5 * a.limiters.opts.Timeout): // not reached: a refill is bounded by its timeouts
	}
}

// refill takes the missing part of n, or the next chunk if that is more, from the shared bucket. It first reports the tokens
// granted in fallback. It discards the answer if the plan has changed meanwhile. It closes heard when it is done.
func (a *Limiter) refill(ctx context.Context, n int, heard chan struct{}) {
	t := a.plan.Load()
	a.mu.Lock()
	at := a.limiters.nanoseconds(time.Now())
	chunk, owed := a.mu.lease.chunkSize(t, at, a.limiters.opts.Nodes()), a.unreportedLocked(t, at)
	need := max(1, n-a.mu.lease.available(at))
	a.mu.Unlock()
	want := min(max(need, chunk), t.plan.Burst)
	paid, err := a.takeUpTo(ctx, t, owed)
	var taken flow.Decision
	if err == nil {
		taken, err = a.takeShared(ctx, t, want)
	}
	if err == nil && !taken.Allowed && taken.Remaining >= need { // a smaller amount is sufficient
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
	if err != nil {
		a.fallBackLocked()
		return
	}
	if paid == owed {
		l.fallbackUsed = 0 // the rest has flowed back to this node's share meanwhile
	}
	if a.plan.Load() != t {
		return
	}
	if !taken.Allowed { // need is less than the refused want, so it is available sooner
		taken.RetryAfter -= time.Duration(want-need) * t.quota.Interval
	}
	no := min(negativeCacheTTL, t.quota.Interval*time.Duration(t.quota.Burst)/2)
	l.applyGrant(a.limiters.nanoseconds(time.Now()), want, max(n, 1), chunk, &taken, no)
}

// fallBackLocked switches to this node's share of the quota for a while. The node's own bucket starts at the last known level of
// the shared bucket; a full one would grant another burst after each failure.
func (a *Limiter) fallBackLocked() {
	l := &a.mu.lease
	if l.fallbackUntil == 0 {
		a.mu.bucketFullAt = max(a.mu.bucketFullAt, l.sharedFullAt)
	}
	l.fallbackUntil = a.limiters.nanoseconds(time.Now()) + int64(fallbackRetry)
}

// unreportedLocked returns the tokens that were granted in fallback and have not flowed back to this node's share yet. The shared
// bucket filled up meanwhile and must be charged with them.
func (a *Limiter) unreportedLocked(t *compiledPlan, at int64) int {
	interval := int64(t.quota.Share(a.limiters.opts.Nodes()).Interval)
	missing := (max(0, a.mu.bucketFullAt-at) + interval - 1) / interval
	return min(a.mu.lease.fallbackUsed, int(missing), t.plan.Burst)
}

// takeUpTo takes n tokens from the shared bucket, or as many as it has, and returns how many it took.
func (a *Limiter) takeUpTo(ctx context.Context, t *compiledPlan, n int) (int, error) {
	if n == 0 {
		return 0, nil
	}
	taken, err := a.takeShared(ctx, t, n)
	if err == nil && !taken.Allowed {
		n = taken.Remaining
		if n > 0 {
			taken, err = a.takeShared(ctx, t, n)
		}
	}
	if err != nil || !taken.Allowed {
		return 0, err
	}
	return n, nil
}

func (a *Limiter) takeShared(ctx context.Context, t *compiledPlan, n int) (flow.Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, a.limiters.opts.Timeout)
	defer cancel()
	return a.limiters.opts.Shared.Take(ctx, a.business.String(), t.plan.Rate, t.plan.Burst, n)
}

// chunkSize returns the size of the next chunk.
func (l *lease) chunkSize(t *compiledPlan, at int64, nodes int) int {
	size := t.plan.Burst / chunkFraction
	if since := at - l.askedAt; l.askedAt > 0 && since > 0 {
		size = max(size, int(float64(l.used)*float64(chunkTime)/float64(since)))
	}
	return max(1, min(size, t.plan.Burst/(maxChunkFraction*max(1, nodes))))
}

// applyGrant applies an answer of the shared bucket: it granted want tokens, or refused them although n would have been enough. no
// is the minimum time for which a refusal is cached.
func (l *lease) applyGrant(at int64, want, n, chunk int, taken *flow.Decision, no time.Duration) {
	if taken.Allowed {
		l.tokens = l.available(at) + want
		l.expiresAt = at + int64(leaseTTL)
		if want < chunk { // the bucket is nearly empty: without a pause, every message would ask it
			l.denied, l.deniedUntil = 1, at+int64(no)
		}
	} else {
		l.denied, l.deniedUntil = n, at+int64(max(taken.RetryAfter, no))
	}
	l.sharedLeft = taken.Remaining
	l.sharedFullAt = at + int64(taken.Reset)
	l.used = 0
	l.askedAt = at
	l.chunk = chunk
	l.fallbackUntil = 0
}
