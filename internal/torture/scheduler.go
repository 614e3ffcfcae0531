package torture

import (
	"context"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
)

// A round ends at the latest after this time or this many messages. The memory of the ledger is bounded by the largest
// round.
const (
	roundTime     = 45 * time.Second
	roundMessages = 60_000
)

// aftermath is how long the traffic continues after the last fault of a round, so that events which need time, such as
// the third delivery attempt, occur between kills.
const aftermath = 1500 * time.Millisecond

// faultScheduler chooses the faults of a run.
type faultScheduler struct {
	options *Options
	random  *rand.Rand
	began   time.Time
	faults  []*fault
	left    []*fault // faults not yet injected in this pass
	kills   int
}

// over reports whether the run has had all its faults.
func (t *faultScheduler) over() bool {
	return t.options.Kills > 0 && t.kills >= t.options.Kills || t.options.Time > 0 && time.Since(t.began) >= t.options.Time
}

// round injects faults until the round or the run is over. It returns when all of them are cleared.
func (t *faultScheduler) round(ctx context.Context, r *round) error {
	strikes, striking := errgroup.WithContext(ctx)
	strikes.SetLimit(r.fleet.atOnce())
	for began := time.Now(); !t.over() && time.Since(began) < roundTime && r.accepted() < roundMessages; {
		if err := sleep(striking, between(t.random, 200*time.Millisecond, 1500*time.Millisecond)); err != nil {
			break
		}
		f := t.next()
		s := &faultOccurrence{f, r, rand.New(rand.NewPCG(t.random.Uint64(), 0))}
		strikes.Go(func() error { return s.run(striking) })
		if f.kills && t.kills%10 == 0 {
			r.report(t)
		}
	}
	if err := strikes.Wait(); err != nil {
		return err
	}
	return sleep(ctx, aftermath)
}

// next returns the next fault of the pass; it starts a new pass when none is left.
func (t *faultScheduler) next() *fault {
	if len(t.left) == 0 {
		t.left = append(t.left, t.faults...)
		t.random.Shuffle(len(t.left), func(i, j int) { t.left[i], t.left[j] = t.left[j], t.left[i] })
	}
	f := t.left[0]
	t.left = t.left[1:]
	if f.kills {
		t.kills++
	}
	return f
}
