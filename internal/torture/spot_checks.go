package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// A sample of each round's messages is checked again at the end of the run, after all later rounds and one more kill at
// rest. The API must return the same state as at the end of their round.
const (
	spotChecksPerRound = 100
	maxSpotChecks      = 2000 // beyond it a new one replaces a random one
)

type spotChecks struct{ list []checker.SpotCheck }

func (k *spotChecks) add(list []checker.SpotCheck, random *rand.Rand) {
	for _, one := range list {
		if len(k.list) < maxSpotChecks {
			k.list = append(k.list, one)
		} else {
			k.list[random.IntN(len(k.list))] = one
		}
	}
}

// recheck kills and restarts the whole fleet at rest, and compares every sampled message with its earlier state.
func (k *spotChecks) recheck(ctx context.Context, r *run) error {
	if err := r.fleet.killAndRestartAll(ctx, func() { r.total.Kills++ }); err != nil {
		return fmt.Errorf("restart the fleet at rest: %w", err)
	}
	client := newClient()
	defer client.CloseIdleConnections()
	for _, was := range k.list {
		var now record
		found, err := r.get(ctx, client, "/v1/messages/"+was.ID, &now)
		if err != nil {
			return err
		}
		marks, err := r.history(ctx, client, was.ID)
		if err != nil {
			return err
		}
		if !found || now.Status != was.Status || now.Seq != was.Seq || !slices.Equal(marks, was.Marks) {
			r.total.Break(fmt.Sprintf("message %s at the end of its round: status %q, seq %d, history %v; at the end of the run: status %q, seq %d, history %v",
				was.ID, was.Status, was.Seq, was.Marks, now.Status, now.Seq, marks))
		}
	}
	return nil
}
