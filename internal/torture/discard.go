package torture

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// discard empties the queue of dead letters behind a round: each was judged, and none must be found again.
func (r *round) discard(ctx context.Context, v *checker.Verdict) error {
	letters := func() (ids []string, err error) {
		err = r.pages(ctx, r.client, "/v1/dead-letters", url.Values{}, func(items []record) error {
			for i := range items {
				ids = append(ids, items[i].ID)
			}
			return nil
		})
		return ids, err
	}
	ids, err := letters()
	if err != nil {
		return err
	}
	for _, id := range ids {
		a, err := r.do(ctx, r.client, request{method: http.MethodDelete, path: "/v1/dead-letters/" + id})
		if err != nil {
			return fmt.Errorf("discard %s: %w", id, err)
		}
		if a.status != http.StatusNoContent {
			v.Break(fmt.Sprintf("dead letter %s was listed, and to discard it was answered %d %s", id, a.status, a.body))
		}
	}
	left, err := letters()
	if err == nil && len(left) > 0 {
		v.Break(fmt.Sprintf("%d of %d dead letters are listed behind their discard, the first is %s", len(left), len(ids), left[0]))
	}
	return err
}
