package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/httpapi"
)

// scaler is scaling that is played: a diary, oldest first.
type scaler struct {
	now     httpapi.ScalerNow
	entries []httpapi.ScalerEntry
	err     error
}

func (s *scaler) Now(context.Context) (httpapi.ScalerNow, error) { return s.now, s.err }

func (s *scaler) Diary(_ context.Context, before int64, limit int) (page []httpapi.ScalerEntry, err error) {
	for _, e := range slices.Backward(s.entries) {
		if (before == 0 || e.Number < before) && len(page) < limit {
			page = append(page, e)
		}
	}
	return page, s.err
}

func (n *node) scaling(s *scaler) *node { return n.with(func(c *configured) { c.Scaler = s }) }

func (n *node) adminGet(t *testing.T, path string) reply {
	t.Helper()
	return n.do(t, ask{method: "GET", path: path, token: n.admin})
}

// scalerAnswer is what GET /admin/v1/scaler answers.
type scalerAnswer struct {
	httpapi.ScalerNow
	Current, Wanted int
	Items           []httpapi.ScalerEntry
	NextBefore      int64
}

func TestScalerTellsHowItStands(t *testing.T) {
	t.Parallel()
	newest := httpapi.ScalerEntry{At: 1_700_000_000_000, By: "a-1", From: 2, To: 3, Reason: "rising", Why: "2 nodes at load 0.91 (target 0.80) ask for 3", DryRun: true}
	n := newNode(t).scaling(&scaler{now: httpapi.ScalerNow{Holder: "a-1", Here: true, Fault: "target: away", Decision: &newest}})
	n = n.with(func(c *configured) {
		c.Nodes = func() []httpapi.Node { return []httpapi.Node{{ID: "a"}, {ID: "b"}, {ID: "c", Draining: true}} }
	})
	got := n.adminGet(t, "/admin/v1/scaler")
	answer := decode[scalerAnswer](t, got.body)
	if got.status != http.StatusOK || answer.Holder != "a-1" || !answer.Here || answer.Fault != "target: away" || *answer.Decision != newest {
		t.Errorf("%d %s", got.status, got.body)
	}
	if answer.Current != 2 || answer.Wanted != 3 || len(answer.Items) != 0 {
		t.Errorf("%s", got.body)
	}
}

func TestScalerBeforeAnythingWasDecided(t *testing.T) {
	t.Parallel()
	if got := newNode(t).scaling(&scaler{}).adminGet(t, "/admin/v1/scaler"); string(got.body) != `{"here":false,"current":0,"items":[]}` {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestScalerDiaryByPages reads all of it, newest first, and nothing twice; numbers have holes.
func TestScalerDiaryByPages(t *testing.T) {
	t.Parallel()
	s := &scaler{}
	for i := range int64(7) {
		s.entries = append(s.entries, httpapi.ScalerEntry{Number: 3*i + 1, Reason: "rising", Why: fmt.Sprint("entry ", i)})
	}
	n := newNode(t).scaling(s)
	var read []httpapi.ScalerEntry
	pages := 0
	for path := "/admin/v1/scaler?limit=3"; path != ""; pages++ {
		answer := decode[scalerAnswer](t, n.adminGet(t, path).body)
		read = append(read, answer.Items...)
		if path = ""; answer.NextBefore > 0 {
			path = fmt.Sprint("/admin/v1/scaler?limit=3&before=", answer.NextBefore)
		}
	}
	slices.Reverse(read)
	if pages != 3 || !slices.Equal(read, s.entries) {
		t.Errorf("%d pages: %+v", pages, read)
	}
	if answer := decode[scalerAnswer](t, n.adminGet(t, "/admin/v1/scaler?limit=7").body); len(answer.Items) != 7 || answer.NextBefore != 0 {
		t.Errorf("a page that holds all: %+v", answer)
	}
	if answer := decode[scalerAnswer](t, n.adminGet(t, "/admin/v1/scaler?before=1").body); len(answer.Items) != 0 {
		t.Errorf("before the first: %+v", answer)
	}
}

func TestScalerRefuses(t *testing.T) {
	t.Parallel()
	alone := newNode(t)
	n := alone.scaling(&scaler{})
	wantProblem(t, alone.adminGet(t, "/admin/v1/scaler"), 422, "not_supported")
	wantProblem(t, n.get(t, "/admin/v1/scaler"), 403, "forbidden")
	wantProblem(t, n.do(t, ask{method: "GET", path: "/admin/v1/scaler"}), 401, "unauthenticated")
	wantProblem(t, n.adminPost(t, "/admin/v1/scaler", "{}"), 405, "method_not_allowed")
	for _, query := range []string{
		"limit=0", "limit=501", "limit=x", "limit=1&limit=2", "before=0", "before=-1", "before=x", "before=9223372036854775808", "before=", "cursor=1",
	} {
		wantProblem(t, n.adminGet(t, "/admin/v1/scaler?"+query), 422, "validation_failed")
	}
	away := alone.scaling(&scaler{err: &esh3ar.Error{Code: esh3ar.StoreUnavailable, Text: "away"}})
	wantProblem(t, away.adminGet(t, "/admin/v1/scaler"), 503, "store_unavailable")
}
