package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/esh3artech/esh3ar/internal/torture/ledger"
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
	faults  int
	kills   int
}

// over tells whether the run has had all its faults.
func (t *torment) over() bool {
	return t.options.Kills > 0 && t.kills >= t.options.Kills || t.options.Time > 0 && time.Since(t.began) >= t.options.Time
}

// round makes faults until the round or the run is over.
func (t *torment) round(ctx context.Context, r *round) error {
	for began := time.Now(); !t.over() && time.Since(began) < roundTime && r.accepted() < roundMessages; {
		if err := sleep(ctx, between(t.random, 200*time.Millisecond, 1500*time.Millisecond)); err != nil {
			return err
		}
		if err := t.fault(ctx, r); err != nil {
			return err
		}
	}
	return sleep(ctx, aftermath)
}

// fault is two kills and a pause in turn. Some pauses end with a kill: the node never wakes up again.
func (t *torment) fault(ctx context.Context, r *round) error {
	t.faults++
	if t.faults%3 == 2 {
		length := between(t.random, 200*time.Millisecond, time.Second)
		if t.random.IntN(4) == 0 {
			length = between(t.random, time.Second, 3*time.Second)
		}
		if t.random.IntN(4) > 0 {
			r.note(ledger.Entry{Kind: ledger.Paused})
			return r.node.pause(ctx, length)
		}
		if err := r.node.freeze(ctx, length); err != nil {
			return err
		}
		r.note(ledger.Entry{Kind: ledger.Paused})
	}
	t.kills++
	err := r.node.kill(ctx, func() { r.note(ledger.Entry{Kind: ledger.Killed}) })
	if err != nil {
		return fmt.Errorf("after kill %d: %w", t.kills, err)
	}
	if t.kills%10 == 0 {
		r.report(t)
	}
	return nil
}
