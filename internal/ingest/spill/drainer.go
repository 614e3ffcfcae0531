package spill

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/esh3artech/esh3ar"
)

// DrainOptions configure a Drainer. A field's zero value selects its default.
type DrainOptions struct {
	// OnStored is called with the messages that the store has just taken, with their seqs, while Backlog still counts them. It must be
	// quick. Default: does nothing.
	OnStored func([]*esh3ar.Message)
	// OnResult is called after each pass or append: with nil when entries have left the spill, else with the error that ended the pass. It
	// must be quick. Default: does nothing.
	OnResult      func(error)
	AppendTimeout time.Duration // longest duration of one append; default 10 s
	MinPause      time.Duration // pause after a failed pass; it doubles with each further one; default 100 ms
	MaxPause      time.Duration // longest pause; default 5 s
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
	o.MinPause = cmp.Or(o.MinPause, 100*time.Millisecond)
	o.MaxPause = cmp.Or(o.MaxPause, 5*time.Second)
	return o
}

// Drainer moves the calls of a spill to the store.
type Drainer struct {
	spill        *Spill
	store        esh3ar.Appender
	opts         DrainOptions
	wake         chan struct{} // capacity 1: the store answers again
	failedPasses int           // passes in a row that ended with an error and moved nothing
	lastStored   storedCall
}

// NewDrainer returns a drainer. Run and Drain do the work; only one of them may run at a time.
func NewDrainer(s *Spill, store esh3ar.Appender, opts DrainOptions) *Drainer {
	return &Drainer{spill: s, store: store, opts: opts.withDefaults(), wake: make(chan struct{}, 1)}
}

// Wake ends a pause of Run; it is called when the store answers other callers again.
func (d *Drainer) Wake() {
	select {
	case d.wake <- struct{}{}:
	default: // it is signalled already
	}
}

// Run drains whenever the spill has calls, until ctx ends. An error of the store ends a pass, not Run.
func (d *Drainer) Run(ctx context.Context) error {
	pause := d.opts.MinPause
	for ctx.Err() == nil {
		err := d.Drain(ctx)
		if err == nil {
			pause = d.opts.MinPause
			d.waitForCalls(ctx)
			continue
		}
		if ctx.Err() == nil && d.failedPasses == 1 {
			d.opts.Log.Log(ctx, levelOf(err), "the spill cannot be drained; it will be tried again", "calls", d.spill.Calls(), "error", err)
		}
		d.pause(ctx, pause)
		pause = min(2*pause, d.opts.MaxPause)
	}
	return nil
}

// levelOf returns the log level of an error. It is low for a store that is away: the owner of the store reports that, once.
func levelOf(err error) slog.Level {
	if code := esh3ar.CodeOf(err); code == esh3ar.StoreUnavailable || code == esh3ar.OutcomeUnknown {
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

// waitForCalls waits for new entries, for Wake or for the end of ctx.
func (d *Drainer) waitForCalls(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-d.spill.grown:
	case <-d.wake:
	}
}

// pause waits before the next pass. New entries do not end it; Wake does.
func (d *Drainer) pause(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-d.wake:
	}
}

// Drain sends all calls to the store and returns when the queue is empty; calls may be in quarantine then. An error means that calls are
// left in the queue, and why.
func (d *Drainer) Drain(ctx context.Context) error {
	for {
		p := &pass{Drainer: d, ctx: ctx, blocked: map[esh3ar.Recipient]bool{}}
		err := p.run()
		if p.moved {
			d.failedPasses = 0
		}
		if err != nil {
			d.failedPasses++
			d.spill.stats.failedPasses.Add(1)
			d.opts.OnResult(err)
			return err
		}
		if d.failedPasses > 0 {
			d.opts.Log.Debug("the spill can be drained again")
		}
		d.failedPasses = 0
		if !p.skipped {
			return nil
		}
	}
}

// storedCall is the call that the store took last. Appending it again changes nothing and shows whether the store works.
type storedCall struct {
	call *esh3ar.Call // nil if there is none yet
	at   time.Time
}

// storedCallAge is the age up to which a stored call may be appended again. It is far below any retention: a call that the store has
// deleted meanwhile would be stored again.
const storedCallAge = 10 * time.Minute

func (s *storedCall) set(c *esh3ar.Call) {
	s.call = c
	s.at = time.Now()
}

// usable reports whether there is a call that may be appended again.
func (s *storedCall) usable() bool { return s.call != nil && time.Since(s.at) < storedCallAge }
