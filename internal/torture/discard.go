package torture

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// discard deletes the dead letters at the end of a round. All of them were checked; none may be listed afterwards.
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
			v.Break(fmt.Sprintf("discard of the listed dead letter %s: got %d %s, want 204", id, a.status, a.body))
		}
	}
	left, err := letters()
	if err == nil && len(left) > 0 {
		v.Break(fmt.Sprintf("%d of %d dead letters are still listed after their discard; first: %s", len(left), len(ids), left[0]))
	}
	return err
}
