package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// A few messages of each round are remembered until the end of the run: however many rounds, kills and compactions later,
// and after one more kill at rest, the node must say of them what it said when they came to rest.
const (
	keptOfRound = 100
	keptOfRun   = 2000 // beyond it a random one makes way
)

type keepsakes struct{ list []checker.Keepsake }

func (k *keepsakes) add(list []checker.Keepsake, random *rand.Rand) {
	for _, one := range list {
		if len(k.list) < keptOfRun {
			k.list = append(k.list, one)
		} else {
			k.list[random.IntN(len(k.list))] = one
		}
	}
}

// recheck kills everything once more, in its rest, and asks again.
func (k *keepsakes) recheck(ctx context.Context, r *run) error {
	if err := r.fleet.fell(ctx, func() { r.total.Kills++ }); err != nil {
		return fmt.Errorf("after the kill at rest: %w", err)
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
			r.total.Break(fmt.Sprintf("message %s came to rest as %q with seq %d and history %v, and later it is %q with seq %d and history %v",
				was.ID, was.Status, was.Seq, was.Marks, now.Status, now.Seq, marks))
		}
	}
	return nil
}
