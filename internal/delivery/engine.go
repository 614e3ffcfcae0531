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

// store is the part of the store that delivery uses.
type store interface {
	esh3ar.InboxReader
	esh3ar.Settler
	esh3ar.TaskQueue
	Message(ctx context.Context, id esh3ar.MessageID) (esh3ar.Record, error)
}

// Options configure an Engine. A field's zero value selects its default.
type Options struct {
	Rules      Rules            // window 64 messages and 64 KiB, ack timeout 10 s, backoff 5 s to 300 s, 5 attempts; breaker: 3 connections within 10 s
	SweepEvery time.Duration    // interval in which all connected recipients are compared with the store; default 3 s
	StaleAfter time.Duration    // age at which a queued message of an absent recipient becomes pending; default 5 s
	Workers    workerpool.Rules // workers that run sessions; default 4, up to 2 per CPU
	Readers    workerpool.Rules // workers that read for sessions; default 4 to 12
	Random     func(n int64) int64
	OnPush     func(sincePublished time.Duration) // called after the write of a live message, with the time since its hint; must be quick
	OnRoute    func(sinceAccepted time.Duration)  // called once per Publish with the age of its oldest message that is not scheduled; must be quick
	OnBreaker  func(BreakerInfo)                  // called after a device's breaker opened or closed; must be quick
	Remote     Remote                             // the other nodes; nil if this is the only node
}

// Engine runs the sessions of all connections of this node.
type Engine struct {
	store          store
	opts           Options
	sessions       *presence.Table[*Session]
	ready          readyQueue // sessions with events
	reads          readQueue  // reads that sessions wait for
	settler        *settler
	ackRates       *ackRates
	syncs          *fairshare.Pool[esh3ar.Recipient] // running reads for Sync
	wheel          *wheel
	breakers       breakers
	missedStatuses missedStatuses
	workerPool     sync.Pool // *worker values for calls that run their session in their own goroutine
	cluster        *cluster  // nil if this is the only node
	stats          stats
}

// New returns an engine; Run does the work.
func New(st store, opts Options) *Engine {
	opts = opts.withDefaults()
	e := &Engine{store: st, opts: opts, sessions: presence.NewTable[*Session]()}
	e.ready = newPooled(opts.Workers, func() func(*Session) { return new(worker).run })
	e.reads = newPooled(opts.Readers, func() func(readJob) { return e.read })
	e.syncs = fairshare.New[esh3ar.Recipient](fairshare.Options{Name: "sync_reads", Total: maxSyncs})
	e.settler, e.ackRates = newSettler(st), newAckRates(time.Now())
	if opts.Remote != nil {
		e.cluster = newCluster(opts.Remote)
	}
	e.workerPool.New = func() any { return &worker{} }
	e.wheel = newWheel(time.Now())
	e.breakers = breakers{rules: &e.opts.Rules.Breaker, random: opts.Random, onChange: opts.OnBreaker}
	e.missedStatuses.markDirty() // the last run of the process may have left queued messages
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
		o.Workers = workerpool.Rules{Min: 4, Max: max(4, 2*runtime.GOMAXPROCS(0))} // workers rarely block, so more of them than CPUs gain nothing
	}
	if o.Readers == (workerpool.Rules{}) {
		o.Readers = workerpool.Rules{Min: 4, Max: 12} // leaves four of the store's 16 connections to commits
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

// Run runs the engine until ctx ends. Then it stops taking events, commits the waiting changes, and returns.
func (e *Engine) Run(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { e.ready.Run(); return nil })
	group.Go(func() error { e.reads.Run(); return nil })
	group.Go(func() error { e.tickAll(ctx); return nil })
	group.Go(func() error { e.sweepAll(ctx); return nil })
	group.Go(func() error { e.markOfflinePending(ctx); return nil })
	group.Go(func() error { e.runDue(ctx); return nil })
	if e.cluster != nil {
		group.Go(func() error { e.compareOnAssert(ctx); return nil })
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

// Publish hints messages that were just stored to the sessions. It must be called in commit order and by one goroutine at a time. It never
// waits for a phone.
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
		if len(found) == 0 && e.cluster == nil { // in a cluster, presence reports which recipients are offline
			absent = append(absent, pendingChange(m.ID, m.Recipient, firstLife, now))
		}
		for _, s := range found {
			s.enqueueHint(event{kind: hintEvent, seq: m.Seq, message: m, at: now})
		}
	}
	e.stats.published.Add(uint64(len(stored)))
	e.opts.OnRoute(now.Sub(oldest.Time()))
	e.makePending(absent)
	if e.cluster != nil {
		e.publishRemote(stored)
	}
}

// makePending changes the status of messages of offline recipients to Pending. Changes that find no room are left to the stale walk.
func (e *Engine) makePending(absent []esh3ar.Change) {
	if len(absent) > 0 && !e.settler.offer(absent) {
		e.stats.dropped.Add(uint64(len(absent)))
		e.missedStatuses.markDirty()
	}
}

func pendingChange(id esh3ar.MessageID, r esh3ar.Recipient, life esh3ar.Life, now time.Time) esh3ar.Change {
	return esh3ar.Change{Message: id, Recipient: r, Life: life, To: esh3ar.Pending, At: esh3ar.TimeOf(now)}
}

// NotifyEndedUnacked notifies the connections of a recipient that a message ended its life without a receipt, as after a cancel.
func (e *Engine) NotifyEndedUnacked(r esh3ar.Recipient, id esh3ar.MessageID, life esh3ar.Life) {
	e.notifyEndedUnacked(r, nil, []messageLife{{id, life}})
}

// notifyEndedUnacked notifies the recipient's connections other than from, on all nodes, of messages that ended without an acknowledgement.
func (e *Engine) notifyEndedUnacked(r esh3ar.Recipient, from *Session, lapsed []messageLife) {
	e.notifySessions(r, from, event{kind: endedUnackedEvent, lapsed: lapsed})
	if e.cluster != nil {
		e.notifyRemote(endedUnackedHints(r, lapsed))
	}
}

// notifyAcknowledged notifies the recipient's connections other than from, on all nodes, of acknowledged messages.
func (e *Engine) notifyAcknowledged(r esh3ar.Recipient, from *Session, ids []esh3ar.MessageID) {
	e.notifySessions(r, from, event{kind: endedEvent, ids: ids})
	if e.cluster != nil {
		e.notifyRemote([]presence.Hint{endedHint(r, ids)})
	}
}

// notifySessions sends an event to the recipient's sessions on this node other than from, and reports whether there is any session.
func (e *Engine) notifySessions(r esh3ar.Recipient, from *Session, ev event) bool {
	var room [4]*Session
	found := e.sessions.AppendConnections(room[:0], r)
	for _, s := range found {
		if s != from {
			s.enqueueHint(ev)
		}
	}
	return len(found) > 0
}

// maxSyncs bounds the reads for Sync that run at once: a quarter of the connections to a PostgreSQL database.
const maxSyncs = 4

// Sync returns a recipient's messages with a seq above after; see esh3ar.InboxReader. It waits for its turn among the recipients, and
// returns an error if too many calls of the recipient wait.
func (e *Engine) Sync(ctx context.Context, r esh3ar.Recipient, after esh3ar.Seq, limit int) ([]esh3ar.Record, error) {
	for {
		records, err := e.syncRange(ctx, r, after, limit)
		if err != nil || len(records) > 0 {
			return records, err
		}
		after += syncStep // every message of the range was expired or canceled
		counters, err := e.store.Counters(ctx, []esh3ar.Recipient{r})
		if err != nil || after >= counters[0] || after < syncStep {
			return nil, err
		}
	}
}

// syncStep bounds the messages that one read for Sync visits. After each read the recipients take turns.
const syncStep = 2000

// syncRange is one read.
func (e *Engine) syncRange(ctx context.Context, r esh3ar.Recipient, after esh3ar.Seq, limit int) ([]esh3ar.Record, error) {
	if err := e.syncs.Acquire(ctx, r, 1); err != nil {
		return nil, &esh3ar.Error{Code: esh3ar.Overloaded, Text: "too many reads are running", Err: err}
	}
	defer e.syncs.Release(r, 1)
	until := after + syncStep
	if until < after {
		until = 0 // overflow: no bound is needed
	}
	return e.store.Since(ctx, r, after, until, limit)
}
