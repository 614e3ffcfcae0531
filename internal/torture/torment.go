package torture

import (
	"context"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
)

// A round is judged at the latest after this time or this many messages: the ledger's memory is that of its largest round.
const (
	roundTime     = 45 * time.Second
	roundMessages = 60_000
)

// aftermath is how long the traffic goes on after the last fault of a round: what only time brings about, such as the
// third attempt, must not be cut off by every kill.
const aftermath = 1500 * time.Millisecond

// torment chooses the faults of a run.
type torment struct {
	options *Options
	random  *rand.Rand
	began   time.Time
	faults  []*fault
	left    []*fault // of this pass
	kills   int
}

// over tells whether the run has had all its faults.
func (t *torment) over() bool {
	return t.options.Kills > 0 && t.kills >= t.options.Kills || t.options.Time > 0 && time.Since(t.began) >= t.options.Time
}

// round makes faults until the round or the run is over, and returns when all of them are undone.
func (t *torment) round(ctx context.Context, r *round) error {
	strikes, striking := errgroup.WithContext(ctx)
	strikes.SetLimit(r.fleet.atOnce())
	for began := time.Now(); !t.over() && time.Since(began) < roundTime && r.accepted() < roundMessages; {
		if err := sleep(striking, between(t.random, 200*time.Millisecond, 1500*time.Millisecond)); err != nil {
			break
		}
		f := t.deal()
		s := &strike{f, r, rand.New(rand.NewPCG(t.random.Uint64(), 0))}
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

// deal takes the next fault of this pass, or of a new one.
func (t *torment) deal() *fault {
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
