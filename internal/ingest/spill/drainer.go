package spill

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/esh3artech/esh3ar"
)

// DrainOptions tune a Drainer; the zero value of a field means its default.
type DrainOptions struct {
	// OnStored is told of messages that the store has just taken, with their seqs, before anybody can see that they have left
	// the spill. It must be quick.
	OnStored func([]*esh3ar.Message)
	// OnResult is told after each answer of the store: nil when entries have left the spill, else why not. It must be quick.
	OnResult      func(error)
	AppendTimeout time.Duration // for one append; default 10 s
	MinPause      time.Duration // after a round that failed; it doubles with each up to MaxPause; default 100 ms
	MaxPause      time.Duration // default 5 s
	Log           *slog.Logger  // default: discards
}

func (o DrainOptions) withDefaults() DrainOptions {
	if o.OnStored == nil {
		o.OnStored = func([]*esh3ar.Message) {}
	}
	if o.OnResult == nil {
		o.OnResult = func(error) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.AppendTimeout = cmp.Or(o.AppendTimeout, 10*time.Second)
	o.MinPause, o.MaxPause = cmp.Or(o.MinPause, 100*time.Millisecond), cmp.Or(o.MaxPause, 5*time.Second)
	return o
}

// Drainer brings what a spill holds to the store.
type Drainer struct {
	spill  *Spill
	store  esh3ar.Appender
	opts   DrainOptions
	wake   chan struct{} // capacity 1: the store answers again
	failed int           // rounds in a row that an error ended and that brought nothing
	seen   witness       // that the store answers
}

// NewDrainer makes one; Run or Drain make it work, one at a time.
func NewDrainer(s *Spill, store esh3ar.Appender, opts DrainOptions) *Drainer {
	return &Drainer{spill: s, store: store, opts: opts.withDefaults(), wake: make(chan struct{}, 1)}
}

// Wake tells Run that the store answers, so that it need not wait for the end of its pause.
func (d *Drainer) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Run drains whenever there is something, until ctx ends. The store's errors end a round, and only that.
func (d *Drainer) Run(ctx context.Context) error {
	pause := d.opts.MinPause
	for ctx.Err() == nil {
		if err := d.Drain(ctx); err == nil {
			pause = d.opts.MinPause
			d.idle(ctx)
			continue
		} else if ctx.Err() == nil && d.failed == 1 {
			d.opts.Log.Log(ctx, levelOf(err), "the spill cannot be drained; it will be tried again", "calls", d.spill.Calls(), "error", err)
		}
		d.rest(ctx, pause)
		pause = min(2*pause, d.opts.MaxPause)
	}
	return nil
}

// levelOf is lower for a store that does not answer: the owner of the store reports that, once.
func levelOf(err error) slog.Level {
	if code := esh3ar.CodeOf(err); code == esh3ar.StoreUnavailable || code == esh3ar.OutcomeUnknown {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

// idle waits until there is something to do.
func (d *Drainer) idle(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-d.spill.grown:
	case <-d.wake:
	}
}

// rest waits until the store may be asked again. What comes in meanwhile is no reason to ask earlier.
func (d *Drainer) rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-d.wake:
	}
}

// Drain sends all that waits, and returns when nothing does any more: what is left then is in quarantine. An error means that
// something still waits, and why.
func (d *Drainer) Drain(ctx context.Context) error {
	for {
		r := &round{Drainer: d, ctx: ctx, held: map[esh3ar.Recipient]bool{}}
		err := r.run()
		if r.moved {
			d.failed = 0
		}
		if err != nil {
			d.failed++
			d.spill.stats.failed.Add(1)
			d.opts.OnResult(err)
			return err
		}
		if d.failed > 0 {
			d.opts.Log.Debug("the spill can be drained again")
		}
		if d.failed = 0; !r.skipped {
			return nil
		}
	}
}

// witness is a call that the store took lately. Sent again it does no harm, and shows that the store answers.
type witness struct {
	call  *esh3ar.Call
	since time.Time
}

// keepWitness is far below any retention: a call that the store has deleted would be stored again.
const keepWitness = 10 * time.Minute

func (w *witness) saw(c *esh3ar.Call) { w.call, w.since = c, time.Now() }

func (w *witness) speaks() bool { return w.call != nil && time.Since(w.since) < keepWitness }
