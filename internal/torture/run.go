package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// Options configures a run.
type Options struct {
	Binary    string
	Nodes     int           // number of nodes; more than one: a cluster on PostgreSQL and Redis
	Kills     int           // number of kills; 0: until Time has passed
	Time      time.Duration // upper bound; 0: until Kills is reached
	Seed      uint64        // seed of all random choices; the interleaving is not deterministic
	PowerCuts bool          // kill -9 also discards what was not fsynced
	Senders   int
	Phones    int      // recipients, at least MinPhones; every third has two devices
	Flags     []string // additional flags of serve
	Keep      string   // directory for data and ledger; empty: a temporary one, kept only after a breach
}

// run is the state of one run.
type run struct {
	Options
	out        io.Writer
	clock      clock
	fleet      *fleet
	ledger     *recorder
	streams    *http.Client    // for event streams: no timeout
	numbers    atomic.Int64    // number of the newest message
	conns      atomic.Int64    // number of the newest connection, unique in the ledger
	whole      context.Context //nolint:containedctx // of the whole run: a call in progress completes although its sender stops
	total      checker.Verdict
	spotChecks spotChecks
}

// Run executes a run. An error means that the run could not be completed; broken promises are in the verdict.
func Run(ctx context.Context, o Options, out io.Writer) (v checker.Verdict, err error) {
	dir := o.Keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "esh3ar-torture-*"); err != nil {
			return v, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	clock := clock{time.Now()}
	r := &run{
		Options: o, out: out, clock: clock, whole: ctx, streams: &http.Client{Transport: &http.Transport{}},
		ledger: &recorder{dir: dir, clock: clock, keep: o.Keep != ""},
	}
	if r.fleet, err = newFleet(ctx, &o, dir); err == nil {
		err = r.torture(ctx, cancel)
	}
	err = errors.Join(err, r.fleet.end(), r.ledger.close())
	if o.Keep == "" && err == nil && r.total.Clean() {
		return r.total, os.RemoveAll(dir)
	}
	fmt.Fprintf(out, "data and ledger are kept in %s\n", dir)
	return r.total, err
}

// stream returns the random source of one actor.
func (r *run) stream(actor int) *rand.Rand { return rand.New(rand.NewPCG(r.Seed, uint64(actor))) }

// torture starts the fleet and the event consumers, executes the rounds and the final checks, and stops the fleet.
func (r *run) torture(ctx context.Context, cancel context.CancelFunc) error {
	if err := r.fleet.start(ctx); err != nil {
		return err
	}
	consumers := r.newConsumers()
	watching, ctx := errgroup.WithContext(ctx)
	watchCtx, stop := context.WithCancel(ctx)
	defer stop()
	for _, c := range consumers {
		watching.Go(func() error { return c.watch(watchCtx) })
	}
	err := r.rounds(ctx, consumers)
	if err == nil {
		err = r.spotChecks.recheck(ctx, r)
	}
	if err == nil {
		err = r.verify(ctx)
	}
	stop()
	if refused := watching.Wait(); refused != nil {
		err = refused // the cause of later errors
	}
	cancel()
	if err != nil {
		return err
	}
	return r.fleet.stop()
}

// rounds executes rounds until the faults are used up or a promise is broken: after a breach, further results prove
// nothing.
func (r *run) rounds(ctx context.Context, consumers []*consumer) error {
	carry := checker.Carry{Before: 1}
	for _, c := range consumers {
		carry.Consumers = append(carry.Consumers, c.name)
	}
	faults := &faultScheduler{options: &r.Options, random: r.stream(7), began: time.Now(), faults: r.fleet.faults()}
	for n := 1; !faults.over() && r.total.Clean(); n++ {
		round, err := r.begin(n, carry)
		if err != nil {
			return err
		}
		var v checker.Verdict
		v, carry, err = round.play(ctx, faults, consumers)
		if r.total.Add(&v); err != nil {
			return fmt.Errorf("round %d: %w", n, err)
		}
	}
	return nil
}
