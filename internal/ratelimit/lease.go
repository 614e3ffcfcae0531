package ratelimit

import (
	"context"
	"time"

	"github.com/esh3artech/esh3ar/internal/flow"
)

// lease is this node's part of a shared bucket. The account's lock guards it.
type lease struct {
	tokens int
	until  int64 // when they are forgotten
	left   int   // what the bucket had besides, when it was last asked
	reset  int64 // when it will be full, as it said then
	used   int   // since it was last asked, as was
	asked  int64 // when that was
	chunk  int   // the newest
	alone  int64 // until when the bucket is not asked: it did not answer; zero: it did
	lone   int   // given since then, of which the bucket has not heard

	denied      int           // so many were refused
	deniedUntil int64         // and will be until then
	asking      chan struct{} // not nil: somebody asks; closed when he has heard
}

const (
	leaseTime = 2 * time.Second        // unused tokens are forgotten then
	aloneTime = time.Second            // the bucket is tried again then
	longestNo = 50 * time.Millisecond  // a "no" stands so long at least, or until half a burst has come back
	chunkTime = 250 * time.Millisecond // a chunk is what was used in such a time
	chunkPart = 256                    // or this part of the burst
	largest   = 4                      // but never more than this part of the burst, shared by the nodes
	prefetch  = 8                      // a chunk of so many is worth the asking ahead
)

func (l *lease) forget() { l.tokens, l.left, l.denied, l.deniedUntil = 0, 0, 0, 0 }

// held are the tokens that are not forgotten yet.
func (l *lease) held(at int64) int {
	if at >= l.until {
		return 0
	}
	return l.tokens
}

// leaseLocked gives out of the lease, or says who has to be asked.
func (a *Account) leaseLocked(t *terms, g *Grant, at int64, n int) (said word, wait time.Duration) {
	l := &a.mu.lease
	l.tokens = l.held(at)
	said = askBucket
	switch {
	case n == 0:
		said = granted
	case l.tokens >= n:
		l.tokens -= n
		l.used += n
		said = granted
		a.aheadLocked(at)
	case at < l.deniedUntil && n >= l.denied:
		said, wait = refused, time.Duration(l.deniedUntil-at)+time.Duration(n-l.denied)*t.quota.Interval
	}
	g.Remaining = min(l.tokens+l.left, t.plan.Burst)
	if at >= l.reset { // it has filled up since
		g.Remaining = t.plan.Burst
	}
	g.Reset = max(0, time.Duration(l.reset-at))
	return said, wait
}

// aheadLocked has the next chunk fetched before this one ends.
func (a *Account) aheadLocked(at int64) {
	l := &a.mu.lease
	if l.chunk < prefetch || l.tokens >= l.chunk/4 || at < l.deniedUntil || l.asking != nil {
		return
	}
	heard := make(chan struct{})
	if a.book.asks.TryGo(func() error { a.question(context.Background(), 0, heard); return nil }) {
		l.asking = heard
	}
}

// ask asks the shared bucket for n at least, or waits for who is asking.
func (a *Account) ask(ctx context.Context, n int) {
	a.mu.Lock()
	heard := a.mu.lease.asking
	if heard == nil {
		heard = make(chan struct{})
		a.mu.lease.asking = heard
		a.mu.Unlock()
		a.question(context.WithoutCancel(ctx), n, heard) // others wait for the answer too
		return
	}
	a.mu.Unlock()
	select {
	case <-heard:
	case <-time.After(5 * a.book.opts.Timeout): // never: a question ends
	}
}

// question asks the bucket for what is missing of n, and keeps the answer, if the plan is still the one that was asked for.
func (a *Account) question(ctx context.Context, n int, heard chan struct{}) {
	t := a.terms.Load()
	a.mu.Lock()
	at := a.book.nanoseconds(time.Now())
	chunk, owed := a.mu.lease.next(t, at, a.book.opts.Nodes()), a.owedLocked(t, at)
	need := max(1, n-a.mu.lease.held(at))
	a.mu.Unlock()
	want := min(max(need, chunk), t.plan.Burst)
	paid, err := a.takeSome(ctx, t, owed)
	var taken flow.Taken
	if err == nil {
		taken, err = a.take(ctx, t, want)
	}
	if err == nil && !taken.Allowed && taken.Remaining >= need { // less will do
		want = taken.Remaining
		taken, err = a.take(ctx, t, want)
	}
	if err != nil {
		a.book.opts.OnError("take from the shared quota", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	defer close(heard)
	l := &a.mu.lease
	l.asking = nil
	l.lone -= paid
	switch {
	case err != nil:
		a.fallBackLocked()
		return
	case paid == owed:
		l.lone = 0 // what is not owed has come back since
	}
	if a.terms.Load() != t {
		return
	}
	if !taken.Allowed { // how long less than it was asked for takes
		taken.RetryAfter -= time.Duration(want-need) * t.quota.Interval
	}
	no := min(longestNo, t.quota.Interval*time.Duration(t.quota.Burst)/2)
	l.hear(a.book.nanoseconds(time.Now()), want, max(n, 1), chunk, &taken, no)
}

// fallBackLocked has the node give its share for a while. Its own bucket begins with what it last knew of the shared one: a full one
// would be another burst, each time.
func (a *Account) fallBackLocked() {
	l := &a.mu.lease
	if l.alone == 0 {
		a.mu.full = max(a.mu.full, l.reset)
	}
	l.alone = a.book.nanoseconds(time.Now()) + int64(aloneTime)
}

// owedLocked is what the node gave alone and its share has not got back yet: the shared bucket, which filled meanwhile, has to hear
// of it.
func (a *Account) owedLocked(t *terms, at int64) int {
	interval := int64(t.quota.Share(a.book.opts.Nodes()).Interval)
	missing := (max(0, a.mu.full-at) + interval - 1) / interval
	return min(a.mu.lease.lone, int(missing), t.plan.Burst)
}

// takeSome takes n, or what there is.
func (a *Account) takeSome(ctx context.Context, t *terms, n int) (int, error) {
	if n == 0 {
		return 0, nil
	}
	taken, err := a.take(ctx, t, n)
	if err == nil && !taken.Allowed {
		if n = taken.Remaining; n > 0 {
			taken, err = a.take(ctx, t, n)
		}
	}
	if err != nil || !taken.Allowed {
		return 0, err
	}
	return n, nil
}

func (a *Account) take(ctx context.Context, t *terms, n int) (flow.Taken, error) {
	ctx, cancel := context.WithTimeout(ctx, a.book.opts.Timeout)
	defer cancel()
	return a.book.opts.Shared.Take(ctx, a.business.String(), t.plan.Rate, t.plan.Burst, n)
}

// next is the size of the next chunk.
func (l *lease) next(t *terms, at int64, nodes int) int {
	size := t.plan.Burst / chunkPart
	if since := at - l.asked; l.asked > 0 && since > 0 {
		size = max(size, int(float64(l.used)*float64(chunkTime)/float64(since)))
	}
	return max(1, min(size, t.plan.Burst/(largest*max(1, nodes))))
}

// hear keeps what the bucket said: want was given, or refused where n would have done; no is how long that stands.
func (l *lease) hear(at int64, want, n, chunk int, taken *flow.Taken, no time.Duration) {
	if taken.Allowed {
		l.tokens = l.held(at) + want
		l.until = at + int64(leaseTime)
		if want < chunk { // it is nearly empty: to ask at once again would be to ask for every message
			l.denied, l.deniedUntil = 1, at+int64(no)
		}
	} else {
		l.denied, l.deniedUntil = n, at+int64(max(taken.RetryAfter, no))
	}
	l.left, l.reset, l.used, l.asked, l.chunk, l.alone = taken.Remaining, at+int64(taken.Reset), 0, at, chunk, 0
}
