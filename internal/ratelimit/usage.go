package ratelimit

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/esh3artech/esh3ar"
)

// day counts a business's messages of one day. The account's lock guards it.
type day struct {
	day      esh3ar.Day
	known    bool  // base holds what was counted before
	base     int64 // accepted by all nodes, as the store last said
	adding   int64 // accepted here and on the way to the store
	accepted int64 // accepted here since
	refused  int64 // here, not added yet
	reserved int64 // of calls under way
}

// dayLocked is what the day still gives, after turning to the day of now.
func (a *Limiter) dayLocked(t *compiledPlan, now time.Time) (g Grant) {
	at := esh3ar.TimeOf(now)
	d, today := &a.mu.day, esh3ar.DayOf(at)
	if d.day != today {
		if d.accepted > 0 || d.refused > 0 {
			a.limiters.addPending(esh3ar.Usage{Business: a.business, Day: d.day, Messages: d.accepted, Refused: d.refused})
		}
		*d = day{day: today, reserved: d.reserved}
	}
	if t.plan.DailyQuota > 0 {
		g.Daily, g.DayLeft = true, max(0, t.plan.DailyQuota-d.base-d.adding-d.accepted-d.reserved)
		g.DayReset = (today + 1).Begin().Sub(at)
	}
	return g
}

// readDay asks what was counted before this node knew the business. While nobody can say, it counts from nothing.
func (a *Limiter) readDay(ctx context.Context, today esh3ar.Day) {
	ctx = context.WithoutCancel(ctx) // whoever leaves would leave the day without a beginning, for all
	days, err := a.limiters.opts.Usage.Usage(ctx, a.business, today, today)
	if err != nil {
		a.limiters.opts.OnError("read usage", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if d := &a.mu.day; d.day == today && !d.known {
		if d.known = true; len(days) == 1 {
			d.base = days[0].Messages
		}
	}
}

// addPending keeps what a day that has ended still owes the store.
func (b *Limiters) addPending(u esh3ar.Usage) {
	b.pendingUsage.Lock()
	defer b.pendingUsage.Unlock()
	of := usageKey{u.Business, u.Day}
	sum := b.pendingUsage.entries[of]
	u.Messages, u.Refused = u.Messages+sum.Messages, u.Refused+sum.Refused
	b.pendingUsage.entries[of] = u
}

// takePending takes what was remembered.
func (b *Limiters) takePending() []esh3ar.Usage {
	b.pendingUsage.Lock()
	defer b.pendingUsage.Unlock()
	entries := slices.Collect(maps.Values(b.pendingUsage.entries))
	clear(b.pendingUsage.entries)
	return entries
}

// addBatchSize is how many businesses one addition counts: a few milliseconds of a store's work.
const addBatchSize = 1000

// idleTimeout is how long an account without calls is kept.
const idleTimeout = 10 * time.Minute

// flush brings to the store what was counted since the last time.
func (b *Limiters) flush(ctx context.Context) {
	for entries := range slices.Chunk(b.takePending(), addBatchSize) {
		if _, err := b.opts.Usage.AddUsage(ctx, entries); err != nil {
			b.additionFailed(err, func() {
				for _, u := range entries {
					b.addPending(u)
				}
			})
		}
	}
	var owing []*Limiter
	for i := range b.shards {
		owing = append(owing, b.shards[i].sweep(b.nanoseconds(time.Now()))...)
	}
	for accounts := range slices.Chunk(owing, addBatchSize) {
		b.addBatch(ctx, accounts)
	}
}

// additionFailed notes an addition that failed. Where it may have come through it is not tried again: better to forget some than to
// count them twice.
func (b *Limiters) additionFailed(err error, again func()) {
	b.opts.OnError("add usage", err)
	if esh3ar.CodeOf(err) != esh3ar.OutcomeUnknown {
		again()
	}
}

// sweep gives the accounts that owe the store something, and drops those that nobody needs: without calls for long, and
// with a bucket that is full again.
func (s *shard) sweep(now int64) (owing []*Limiter) {
	s.Lock()
	defer s.Unlock()
	for business, a := range s.limiters {
		a.mu.Lock()
		d := &a.mu.day
		switch {
		case d.accepted > 0 || d.refused > 0:
			owing = append(owing, a)
		case a.mu.calls == 0 && now-a.lastUsed.Load() > int64(idleTimeout) && a.mu.bucketFullAt <= now:
			delete(s.limiters, business)
		}
		a.mu.Unlock()
	}
	return owing
}

// addBatch makes one addition.
func (b *Limiters) addBatch(ctx context.Context, accounts []*Limiter) {
	entries := make([]esh3ar.Usage, len(accounts))
	for i, a := range accounts {
		entries[i] = a.beginAddition()
	}
	sums, err := b.opts.Usage.AddUsage(ctx, entries)
	defer func() {
		for _, a := range accounts {
			a.endAddition()
		}
	}()
	if err != nil {
		b.additionFailed(err, func() {
			for i, a := range accounts {
				a.additionResult(&entries[i], nil)
			}
		})
		return
	}
	for i, a := range accounts {
		a.additionResult(&entries[i], &sums[i])
	}
}

// beginAddition takes what is to be added.
func (a *Limiter) beginAddition() esh3ar.Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := &a.mu.day
	u := esh3ar.Usage{Business: a.business, Day: d.day, Messages: d.accepted, Refused: d.refused}
	d.adding, d.accepted, d.refused = d.accepted, 0, 0
	a.mu.adding = true
	a.mu.additions++
	return u
}

// endAddition ends an addition, however it went.
func (a *Limiter) endAddition() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.adding = false
	a.mu.additions++
}

// additionResult keeps the sum of all nodes, or, where there is none, what has to be tried again.
func (a *Limiter) additionResult(entry, sum *esh3ar.Usage) {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := &a.mu.day
	switch {
	case d.day != entry.Day: // it has ended meanwhile
		if sum == nil {
			a.limiters.addPending(*entry)
		}
		return
	case sum != nil:
		d.base, d.known = sum.Messages, true
	default:
		d.accepted, d.refused = d.accepted+entry.Messages, d.refused+entry.Refused
	}
	d.adding = 0
}

// maxUsageReads bounds how often the store is read for one answer: additions take milliseconds, and come seconds apart.
const maxUsageReads = 4

// Usage gives the days of a business from the first to today, oldest first, with what this node has not added yet. A day
// without anything is left out, today is not. The store is read again where an addition was on its way meanwhile: what it adds would
// be missing, or be there twice.
func (b *Limiters) Usage(ctx context.Context, a *Limiter, now time.Time, first esh3ar.Day) ([]esh3ar.Usage, error) {
	today := esh3ar.DayOf(esh3ar.TimeOf(now))
	for try := 1; ; try++ {
		before := a.additions()
		days, err := b.opts.Usage.Usage(ctx, a.business, first, today)
		if err != nil {
			return nil, err
		}
		if len(days) == 0 || days[len(days)-1].Day != today {
			days = append(days, esh3ar.Usage{Business: a.business, Day: today})
		}
		if a.includeUnadded(&days[len(days)-1], before) || try == maxUsageReads {
			return days, nil
		}
	}
}

func (a *Limiter) additions() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.mu.additions
}

// includeUnadded adds to what the store said of a day what is not there yet; false: it may be there, for an addition was under way.
func (a *Limiter) includeUnadded(u *esh3ar.Usage, before uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := &a.mu.day
	if d.day != u.Day {
		return true
	}
	u.Messages += d.accepted
	u.Refused += d.refused
	return a.mu.additions == before && !a.mu.adding
}
