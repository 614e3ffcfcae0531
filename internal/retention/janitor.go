// Package retention deletes data whose retention has ended: finished messages, status events, expired idempotency keys. It decides
// when to delete; the store deletes in bounded steps, with pauses in which other work goes first.
//
// Concurrency: Run owns the only goroutine.
package retention

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
)

// Options configure a Janitor; the zero value of a field selects its default.
type Options struct {
	KeepMessages time.Duration // time since the final status; default 30 days
	KeepEvents   time.Duration // default 72 hours
	// Retention returns the businesses whose messages are kept for a time other than KeepMessages; nil if there are none. Times
	// below KeepEvents count as KeepEvents: otherwise events would refer to deleted messages.
	Retention func(ctx context.Context) (map[esh3ar.BusinessID]time.Duration, error)
	Every     time.Duration // time between two rounds; default 1 minute
	Pause     time.Duration // pause between two steps of a round; default 50 ms
	Step      int           // messages deleted in one commit; default 256
	Log       *slog.Logger
}

// Janitor runs the deletions.
type Janitor struct {
	store       esh3ar.RetentionStore
	opts        Options
	wall        time.Time // wall clock at the last round, without the monotonic reading
	round       time.Time // the same time with the monotonic reading
	pausedUntil time.Time // nothing is deleted until then; zero if deletion is not paused
	stats       stats
}

// Stats holds counters since the start.
type Stats struct {
	Purged uint64 // deleted messages
	Rounds uint64
	Failed uint64 // rounds that ended with an error
	Paused uint64 // rounds skipped because the clock had jumped
}

type stats struct{ purged, rounds, failed, held atomic.Uint64 }

// New returns a Janitor. It works while Run runs.
func New(store esh3ar.RetentionStore, o Options) *Janitor {
	for _, d := range []struct {
		value  *time.Duration
		normal time.Duration
	}{{&o.KeepMessages, 30 * 24 * time.Hour}, {&o.KeepEvents, 72 * time.Hour}, {&o.Every, time.Minute}, {&o.Pause, 50 * time.Millisecond}} {
		if *d.value == 0 {
			*d.value = d.normal
		}
	}
	if o.Step == 0 {
		o.Step = 256
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Janitor{store: store, opts: o}
}

// Stats returns the counters.
func (j *Janitor) Stats() Stats {
	return Stats{Purged: j.stats.purged.Load(), Rounds: j.stats.rounds.Load(), Failed: j.stats.failed.Load(), Paused: j.stats.held.Load()}
}

// Run deletes expired data until ctx ends, and returns nil.
func (j *Janitor) Run(ctx context.Context) error {
	j.clockJumped(time.Now())
	ticker := time.NewTicker(j.opts.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		j.runOnce(ctx, time.Now())
	}
}

// runOnce performs one round. An error ends the round; the next one starts from scratch.
func (j *Janitor) runOnce(ctx context.Context, now time.Time) {
	if j.clockJumped(now) {
		j.stats.held.Add(1)
		return
	}
	j.stats.rounds.Add(1)
	if err := j.clean(ctx, now); err != nil && ctx.Err() == nil {
		j.stats.failed.Add(1)
		level := slog.LevelWarn
		if esh3ar.CodeOf(err) == esh3ar.StoreUnavailable { // the breaker of the store reports that
			level = slog.LevelDebug
		}
		j.opts.Log.Log(ctx, level, "housekeeping failed and will be tried again", "error", err)
	}
}

// clean deletes idempotency keys, then events, then messages.
func (j *Janitor) clean(ctx context.Context, now time.Time) error {
	if err := j.store.DeleteExpiredKeys(ctx, esh3ar.TimeOf(now)); err != nil {
		return err
	}
	for more := true; more; {
		var err error
		if more, err = j.store.TrimEvents(ctx, esh3ar.TimeOf(now.Add(-j.opts.KeepEvents))); err != nil {
			return err
		}
		if err := j.pause(ctx); err != nil {
			return err
		}
	}
	served, err := j.cutoffs(ctx, now)
	if err != nil {
		return err
	}
	for next, first := "", true; first || next != ""; first = false {
		purged, following, err := j.store.Purge(ctx, served, next, j.opts.Step)
		if err != nil {
			return err
		}
		j.stats.purged.Add(uint64(purged))
		next = following
		if err := j.pause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// cutoffs returns the times before which this round deletes messages.
func (j *Janitor) cutoffs(ctx context.Context, now time.Time) (esh3ar.RetentionCutoffs, error) {
	var s esh3ar.RetentionCutoffs
	s.Default = esh3ar.TimeOf(now.Add(-j.opts.KeepMessages))
	if j.opts.Retention == nil {
		return s, nil
	}
	others, err := j.opts.Retention(ctx)
	s.ByBusiness = make(map[esh3ar.BusinessID]esh3ar.Time, len(others))
	for business, keep := range others {
		s.ByBusiness[business] = esh3ar.TimeOf(now.Add(-max(keep, j.opts.KeepEvents)))
	}
	return s, err
}

// pause waits between two steps, so that other users of the store are not delayed.
func (j *Janitor) pause(ctx context.Context) error {
	timer := time.NewTimer(j.opts.Pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
