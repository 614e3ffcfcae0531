// Package retention deletes what has served its time: finished messages, old status events, expired idempotency keys. It
// decides when, the store does it in bounded steps, and between the steps everybody else comes first.
//
// Concurrency: Run owns the one goroutine that works.
package retention

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
)

// Options tune a Janitor; the zero value of a field means its default.
type Options struct {
	KeepMessages time.Duration // from their final status; default 30 days
	KeepEvents   time.Duration // default 72 hours
	// Retention tells which businesses keep messages for another time than KeepMessages; nil: none. Nobody keeps messages for
	// less than KeepEvents: events would speak of messages that are gone.
	Retention func(ctx context.Context) (map[esh3ar.BusinessID]time.Duration, error)
	Every     time.Duration // between rounds; default 1 minute
	Pause     time.Duration // between steps of a round; default 50 ms
	Step      int           // messages purged in one commit; default 256
	Log       *slog.Logger
}

// Janitor keeps house.
type Janitor struct {
	store       esh3ar.Janitor
	opts        Options
	wall        time.Time // of the last round, without its monotonic part
	round       time.Time // the same with it
	pausedUntil time.Time // until when nothing is deleted; zero: not held
	stats       stats
}

// Stats count what was done since the start.
type Stats struct {
	Purged uint64 // messages
	Rounds uint64
	Failed uint64 // rounds that an error ended
	Paused uint64 // rounds that a step of the clock held up
}

type stats struct{ purged, rounds, failed, held atomic.Uint64 }

// New makes a janitor; Run makes it work.
func New(store esh3ar.Janitor, o Options) *Janitor {
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

// Stats reads the counts.
func (j *Janitor) Stats() Stats {
	return Stats{Purged: j.stats.purged.Load(), Rounds: j.stats.rounds.Load(), Failed: j.stats.failed.Load(), Paused: j.stats.held.Load()}
}

// Run works until ctx ends, and returns nil.
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

// runOnce is one round. An error ends it: the next one begins anew.
func (j *Janitor) runOnce(ctx context.Context, now time.Time) {
	if j.clockJumped(now) {
		j.stats.held.Add(1)
		return
	}
	j.stats.rounds.Add(1)
	if err := j.clean(ctx, now); err != nil && ctx.Err() == nil {
		j.stats.failed.Add(1)
		level := slog.LevelWarn
		if esh3ar.CodeOf(err) == esh3ar.StoreUnavailable { // its owner reports that, once
			level = slog.LevelDebug
		}
		j.opts.Log.Log(ctx, level, "housekeeping failed and will be tried again", "error", err)
	}
}

// clean does all three chores.
func (j *Janitor) clean(ctx context.Context, now time.Time) error {
	if err := j.store.ForgetKeys(ctx, esh3ar.TimeOf(now)); err != nil {
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

// cutoffs is what this round deletes.
func (j *Janitor) cutoffs(ctx context.Context, now time.Time) (s esh3ar.Served, err error) {
	s.Before = esh3ar.TimeOf(now.Add(-j.opts.KeepMessages))
	if j.opts.Retention == nil {
		return s, nil
	}
	others, err := j.opts.Retention(ctx)
	s.Of = make(map[esh3ar.BusinessID]esh3ar.Time, len(others))
	for business, keep := range others {
		s.Of[business] = esh3ar.TimeOf(now.Add(-max(keep, j.opts.KeepEvents)))
	}
	return s, err
}

// pause leaves the store to the others between two steps.
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
