package delivery

import (
	"cmp"
	"context"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
	"github.com/esh3artech/esh3ar/internal/fairshare"
	"github.com/esh3artech/esh3ar/internal/flow"
	"github.com/esh3artech/esh3ar/internal/runtime/workerpool"
)

// store is what delivery needs of the store.
type store interface {
	esh3ar.InboxReader
	esh3ar.Settler
	esh3ar.TaskQueue
	Message(ctx context.Context, id esh3ar.MessageID) (esh3ar.Record, error)
}

// Options tune an Engine; the zero value of a field means its default.
type Options struct {
	Rules      Rules            // window 64 messages and 64 KiB, ack timeout 10 s, backoff 5 s to 300 s, 5 attempts; breaker: 3 connections within 10 s
	SweepEvery time.Duration    // how often all connected recipients are compared with the store; default 3 s
	StaleAfter time.Duration    // age at which a queued message of an absent recipient becomes pending; default 5 s
	Workers    workerpool.Rules // that run sessions; default: 4, and up to 2 for each CPU
	Readers    workerpool.Rules // that read for sessions; default: 4 to 12
	Random     func(n int64) int64
	OnPush     func(sincePublished time.Duration) // of a live message, after its write, since this node heard of it; must be quick
	OnRoute    func(sinceAccepted time.Duration)  // once per Publish, of its oldest message that is not scheduled; must be quick
	OnBreaker  func(BreakerInfo)                  // after a device's breaker opened or closed; must be quick
	Remote     Remote                             // the rest of the cluster; nil: this is the only node
}

// Engine runs the sessions of all connections of this node.
type Engine struct {
	store    store
	opts     Options
	sessions *presence.Table[*Session]
	ready    readyQueue // sessions with events
	reads    readQueue  // sessions that wait for the store
	settler  *settler
	ackRates *ackRates
	syncs    *fairshare.Pool[esh3ar.Recipient] // reads for Sync, in calls
	wheel    *wheel
	breakers breakers
	missed   missed
	spare    sync.Pool // of *worker, for calls that step their session themselves
	far      *far      // nil: this is the only node
	stats    stats
}

// New makes an engine; Run makes it work.
func New(st store, opts Options) *Engine {
	opts = opts.withDefaults()
	e := &Engine{store: st, opts: opts, sessions: presence.NewTable[*Session]()}
	e.ready = newPooled(opts.Workers, func() func(*Session) { return new(worker).run })
	e.reads = newPooled(opts.Readers, func() func(readJob) { return e.read })
	e.syncs = fairshare.New[esh3ar.Recipient](fairshare.Options{Name: "sync_reads", Total: maxSyncs})
	e.settler, e.ackRates = newSettler(st), newAckRates(time.Now())
	if opts.Remote != nil {
		e.far = newFar(opts.Remote)
	}
	e.spare.New = func() any { return &worker{} }
	e.wheel = newWheel(time.Now())
	e.breakers = breakers{rules: &e.opts.Rules.Breaker, random: opts.Random, tell: opts.OnBreaker}
	e.missed.note() // what the last run of the process did not get to
	return e
}

func (o Options) withDefaults() Options {
	o.Rules.withDefaults()
	if o.SweepEvery == 0 {
		o.SweepEvery = 3 * time.Second
	}
	if o.StaleAfter == 0 {
		o.StaleAfter = 5 * time.Second
	}
	if o.Workers == (workerpool.Rules{}) {
		o.Workers = workerpool.Rules{Min: 4, Max: max(4, 2*runtime.GOMAXPROCS(0))} // they seldom wait: more than CPUs only take turns
	}
	if o.Readers == (workerpool.Rules{}) {
		o.Readers = workerpool.Rules{Min: 4, Max: 12} // of the store's 16 connections four are left to commits
	}
	if o.Random == nil {
		o.Random = randomInt64
	}
	if o.OnBreaker == nil {
		o.OnBreaker = func(BreakerInfo) {}
	}
	if o.OnRoute == nil {
		o.OnRoute = func(time.Duration) {}
	}
	if o.OnPush == nil {
		o.OnPush = func(time.Duration) {}
	}
	return o
}

func (r *Rules) withDefaults() {
	backoff := flow.Backoff{Base: 5 * time.Second, Cap: 300 * time.Second}
	*r = Rules{
		Window: cmp.Or(r.Window, 64), WindowBytes: cmp.Or(r.WindowBytes, 64<<10), AckTimeout: cmp.Or(r.AckTimeout, 10*time.Second),
		Attempts: cmp.Or(r.Attempts, 5), Backoff: cmp.Or(r.Backoff, backoff),
		Breaker: BreakerRules{
			Failures: cmp.Or(r.Breaker.Failures, 3), Within: cmp.Or(r.Breaker.Within, 10*time.Second), Pause: cmp.Or(r.Breaker.Pause, backoff),
			Patience: cmp.Or(r.Breaker.Patience, 2*time.Second),
		},
	}
}

// Run works until ctx ends. Then it takes no more events, settles what it was told, and returns.
func (e *Engine) Run(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { e.ready.Run(); return nil })
	group.Go(func() error { e.reads.Run(); return nil })
	group.Go(func() error { e.tickAll(ctx); return nil })
	group.Go(func() error { e.sweepAll(ctx); return nil })
	group.Go(func() error { e.healStale(ctx); return nil })
	group.Go(func() error { e.runDue(ctx); return nil })
	if e.far != nil {
		group.Go(func() error { e.compareAsserted(ctx); return nil })
	}
	settled := make(chan struct{})
	go func() { // ends when the settler is closed, below
		defer close(settled)
		e.settler.run(context.WithoutCancel(ctx))
	}()
	<-ctx.Done()
	e.ready.close()
	e.reads.close()
	err := group.Wait()
	e.settler.close()
	<-settled
	return err
}

// Publish takes messages that were just stored, in commit order, from one goroutine at a time. It only leaves hints, and
// never waits for a phone.
func (e *Engine) Publish(stored []*esh3ar.Message) {
	now := time.Now()
	var found []*Session
	var absent []esh3ar.Change
	oldest := esh3ar.TimeOf(now)
	for _, m := range stored {
		if m.Seq == 0 { // not due yet
			continue
		}
		oldest = min(oldest, m.CreatedAt())
		found = e.sessions.AppendConnections(found[:0], m.Recipient)
		if len(found) == 0 && e.far == nil { // in a cluster presence tells who is absent
			absent = append(absent, pendingChange(m.ID, m.Recipient, firstLife, now))
		}
		for _, s := range found {
			s.hear(event{kind: hintEvent, seq: m.Seq, message: m, at: now})
		}
	}
	e.stats.published.Add(uint64(len(stored)))
	e.opts.OnRoute(now.Sub(oldest.Time()))
	e.makePending(absent)
	if e.far != nil {
		e.publishFar(stored)
	}
}

// makePending notes that nobody is there for messages.
func (e *Engine) makePending(absent []esh3ar.Change) {
	if len(absent) > 0 && !e.settler.offer(absent) {
		e.stats.dropped.Add(uint64(len(absent)))
		e.missed.note()
	}
}

func pendingChange(id esh3ar.MessageID, r esh3ar.Recipient, life esh3ar.Life, now time.Time) esh3ar.Change {
	return esh3ar.Change{Message: id, Recipient: r, Life: life, To: esh3ar.Pending, At: esh3ar.TimeOf(now)}
}

// Lapsed tells the connections of a recipient that a message ended its life without a receipt, as after a cancel.
func (e *Engine) Lapsed(r esh3ar.Recipient, id esh3ar.MessageID, life esh3ar.Life) {
	e.tellLapsed(r, nil, []lived{{id, life}})
}

// tellLapsed tells the recipient's connections other than from, here and elsewhere.
func (e *Engine) tellLapsed(r esh3ar.Recipient, from *Session, lapsed []lived) {
	e.tell(r, from, event{kind: lapsedEvent, lapsed: lapsed})
	if e.far != nil {
		e.tellFar(lapsedHints(r, lapsed))
	}
}

// tellEnded tells the recipient's connections other than from, here and elsewhere, what was acknowledged.
func (e *Engine) tellEnded(r esh3ar.Recipient, from *Session, ids []esh3ar.MessageID) {
	e.tell(r, from, event{kind: endedEvent, ids: ids})
	if e.far != nil {
		e.tellFar([]presence.Hint{endedHint(r, ids)})
	}
}

// tell hints the recipient's connections on this node other than from, and tells whether there was one.
func (e *Engine) tell(r esh3ar.Recipient, from *Session, ev event) bool {
	var room [4]*Session
	found := e.sessions.AppendConnections(room[:0], r)
	for _, s := range found {
		if s != from {
			s.hear(ev)
		}
	}
	return len(found) > 0
}

// maxSyncs bounds the reads for Sync that run at once: a quarter of the connections to a PostgreSQL database.
const maxSyncs = 4

// Sync reads a recipient's messages with a seq above after: see esh3ar.InboxReader. It waits until the recipient has its
// turn, and returns an error if too many of its calls wait.
func (e *Engine) Sync(ctx context.Context, r esh3ar.Recipient, after esh3ar.Seq, limit int) ([]esh3ar.Record, error) {
	for {
		records, err := e.syncRange(ctx, r, after, limit)
		if err != nil || len(records) > 0 {
			return records, err
		}
		after += syncStep // all of that range had expired or was canceled
		counters, err := e.store.Counters(ctx, []esh3ar.Recipient{r})
		if err != nil || after >= counters[0] || after < syncStep {
			return nil, err
		}
	}
}

// syncStep bounds the messages that one read for Sync looks at. Behind each read the recipients take turns.
const syncStep = 2000

// syncRange is one read.
func (e *Engine) syncRange(ctx context.Context, r esh3ar.Recipient, after esh3ar.Seq, limit int) ([]esh3ar.Record, error) {
	if err := e.syncs.Acquire(ctx, r, 1); err != nil {
		return nil, &esh3ar.Error{Code: esh3ar.Overloaded, Text: "too many reads are under way", Err: err}
	}
	defer e.syncs.Release(r, 1)
	until := after + syncStep
	if until < after {
		until = 0 // no bound: there is no seq as high
	}
	return e.store.Since(ctx, r, after, until, limit)
}
