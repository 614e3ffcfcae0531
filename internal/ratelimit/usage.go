package ratelimit

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/esh3artech/esh3ar"
)

// day counts a business's messages of one UTC day. The Limiter's lock guards it.
type day struct {
	day      esh3ar.Day
	known    bool  // base is valid
	base     int64 // messages accepted by all nodes, as of the last answer of the store
	adding   int64 // messages accepted here, in the addition in progress
	accepted int64 // messages accepted here, not yet in an addition
	refused  int64 // messages refused here, not yet in an addition
	reserved int64 // messages taken by calls in progress
}

// dayLocked returns what is left of the daily quota, after rolling over to the day of now.
func (a *Limiter) dayLocked(t *compiledPlan, now time.Time) Grant {
	var g Grant
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
		g.DayReset = (today + 1).Start().Sub(at)
	}
	return g
}

// readDay reads from the store what was counted before this node knew the business. If the store does not answer, the day starts at
// zero.
func (a *Limiter) readDay(ctx context.Context, today esh3ar.Day) {
	ctx = context.WithoutCancel(ctx) // not canceled with one caller, because all callers of the business need the result
	days, err := a.limiters.opts.Usage.Usage(ctx, a.business, today, today)
	if err != nil {
		a.limiters.opts.OnError("read usage", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if d := &a.mu.day; d.day == today && !d.known {
		d.known = true
		if len(days) == 1 {
			d.base = days[0].Messages
		}
	}
}

// addPending keeps usage of a past day until it is stored.
func (b *Limiters) addPending(u esh3ar.Usage) {
	b.pendingUsage.Lock()
	defer b.pendingUsage.Unlock()
	of := usageKey{u.Business, u.Day}
	sum := b.pendingUsage.entries[of]
	u.Messages, u.Refused = u.Messages+sum.Messages, u.Refused+sum.Refused
	b.pendingUsage.entries[of] = u
}

// takePending removes and returns the pending usage of past days.
func (b *Limiters) takePending() []esh3ar.Usage {
	b.pendingUsage.Lock()
	defer b.pendingUsage.Unlock()
	entries := slices.Collect(maps.Values(b.pendingUsage.entries))
	clear(b.pendingUsage.entries)
	return entries
}

// addBatchSize bounds the businesses per addition: a few milliseconds of work for a store.
const addBatchSize = 1000

// idleTimeout is how long a limiter without calls is kept.
const idleTimeout = 10 * time.Minute

// flush adds the usage since the last flush to the store.
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

// additionFailed reports a failed addition and calls again for a later retry. If the addition may have been applied it is not
// retried: losing some usage is better than counting it twice.
func (b *Limiters) additionFailed(err error, again func()) {
	b.opts.OnError("add usage", err)
	if esh3ar.CodeOf(err) != esh3ar.OutcomeUnknown {
		again()
	}
}

// sweep returns the limiters with usage to store. It drops those that have been idle for long and whose bucket is full again.
func (s *shard) sweep(now int64) []*Limiter {
	var owing []*Limiter
	s.Lock()
	defer s.Unlock()
	for business, a := range s.limiters {
		a.mu.Lock()
		d := &a.mu.day
		if d.accepted > 0 || d.refused > 0 {
			owing = append(owing, a)
		} else if a.mu.calls == 0 && now-a.lastUsed.Load() > int64(idleTimeout) && a.mu.bucketFullAt <= now {
			delete(s.limiters, business)
		}
		a.mu.Unlock()
	}
	return owing
}

// addBatch performs one addition.
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

// beginAddition moves the counted usage into an addition and returns it.
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

// endAddition ends an addition, whatever its result.
func (a *Limiter) endAddition() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.adding = false
	a.mu.additions++
}

// additionResult applies the result of an addition: sum is the total over all nodes, or nil if the addition must be retried.
func (a *Limiter) additionResult(entry, sum *esh3ar.Usage) {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := &a.mu.day
	switch {
	case d.day != entry.Day: // the day has ended meanwhile
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

// maxUsageReads bounds how often Usage reads the store for one answer. Additions take milliseconds and are seconds apart, so one
// retry almost always suffices.
const maxUsageReads = 4

// Usage returns the daily usage of a business from first to today, oldest first, including what this node has not stored yet. Days
// without usage are omitted, except today. If an addition was in progress during the read, the store is read again, because its
// amount could be missing or counted twice.
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

// includeUnadded adds to u what is not stored yet. It returns false if an addition was in progress since before, so u may be wrong.
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
