package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// round is the time from one quiescent state to the next.
type round struct {
	*run
	n       int
	since   int64             // ledger time of its beginning
	floors  map[uint64]uint64 // highest seq of each recipient at the beginning
	quiet   bool              // whether some consumers are not connected yet
	pending atomic.Int64      // invocations of phones without a completion
	ending  context.Context   //nolint:containedctx // a signal: done when phones acknowledge everything at once
	end     context.CancelFunc
	client  *http.Client // for reads at rest
}

func (r *run) begin(n int, carry checker.Carry) (*round, error) {
	ms := int64(time.Millisecond)
	now := r.clock.now()
	return &round{run: r, n: n, since: now - now%ms, floors: carry.Counters, client: newClient()}, r.ledger.begin(carry)
}

func (r *round) note(e checker.Entry) { r.ledger.note(e) }

func (r *round) isEnding() bool { return r.ending.Err() != nil }

// stream returns the random source of one actor in this round.
func (r *round) stream(actor int) *rand.Rand { return r.run.stream(r.n<<20 + actor) }

// play runs senders, phones, the operator and faults, waits for quiescence and judges the round.
func (r *round) play(ctx context.Context, faults *faultScheduler, consumers []*consumer) (v checker.Verdict, c checker.Carry, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer r.client.CloseIdleConnections()
	r.ending, r.end = context.WithCancel(ctx)
	if err := r.awaitConsumers(ctx, consumers); err != nil {
		return v, c, err
	}
	busyCtx, leave := context.WithCancel(ctx)
	var busy, phones sync.WaitGroup
	defer phones.Wait()
	defer cancel()
	defer busy.Wait()
	defer leave()
	phoneCtx, hangUp := context.WithCancel(ctx)
	defer hangUp()
	r.startPhones(phoneCtx, &phones)
	for i := range r.Senders {
		busy.Go(func() { r.send(busyCtx, r.stream(i)) })
	}
	busy.Go(func() { r.operate(busyCtx, r.stream(900)) })
	if err := errors.Join(faults.round(ctx, r), r.fleet.alive()); err != nil {
		return v, c, err
	}
	leave()
	busy.Wait()
	r.end()
	if err := r.awaitQuiescence(ctx); err != nil {
		return v, c, err
	}
	hangUp()
	phones.Wait()
	if err := r.collectFinalStates(ctx); err != nil {
		return v, c, err
	}
	return r.judge(ctx)
}

// awaitConsumers sends messages until every consumer has a resume position. Whether a consumer sees these messages
// depends on when it connected, so they are excluded from the checks.
func (r *round) awaitConsumers(ctx context.Context, consumers []*consumer) error {
	r.quiet = true
	defer func() { r.quiet = false }()
	s := &sender{round: r, random: r.run.stream(8), client: r.client}
	for _, c := range consumers {
		for began := time.Now(); c.resumeFrom() == ""; {
			if time.Since(began) > callPatience {
				return fmt.Errorf("consumer %s received no event", c.name)
			}
			s.sendUntilAnswered(s.newCall(keyed, false, message{to: recipientOf(0), lane: "normal"}))
			if err := sleep(ctx, 50*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// judge closes the book and samples messages for the final check of the run.
func (r *round) judge(ctx context.Context) (v checker.Verdict, c checker.Carry, err error) {
	r.ledger.ask(func(b *checker.Book) { r.spotChecks.add(b.Sample(spotChecksPerRound), r.run.stream(r.n<<20)) })
	v, c, err = r.ledger.judge()
	if err == nil {
		err = errors.Join(r.discard(ctx, &v), r.quarantine(ctx, &v))
	}
	fmt.Fprintf(r.out, "round %d at rest after %s: %d accepted, %d received, %d broken\n",
		r.n, time.Duration(r.clock.now()-r.since).Round(time.Second), v.Accepted, v.Received, v.Breaches)
	return v, c, err
}

// quarantine checks that no call is quarantined: every call of the run is valid.
func (r *round) quarantine(ctx context.Context, v *checker.Verdict) error {
	_, aside, err := r.spilled(ctx)
	if aside > 0 {
		v.Break(fmt.Sprintf("quarantined calls: got %d, want 0", aside))
	}
	return err
}

func (r *round) accepted() (n int) {
	r.ledger.ask(func(b *checker.Book) { n = b.Verdict().Accepted })
	return n
}

// report prints the progress of the run.
func (r *round) report(t *faultScheduler) {
	r.ledger.ask(func(b *checker.Book) {
		v := b.Verdict()
		fmt.Fprintf(r.out, "%d kills: in round %d %d accepted, %d received, %d repeats, %d without an answer, %d broken\n",
			t.kills, r.n, v.Accepted, v.Received, v.Repeats, v.Unknown, v.Breaches)
	})
}
