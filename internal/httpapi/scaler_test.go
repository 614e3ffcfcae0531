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

// scaler is a fake Scaler with recorded decisions, oldest first.
type scaler struct {
	now     httpapi.ScalerStatus
	entries []httpapi.ScalerDecision
	err     error
}

func (s *scaler) Status(context.Context) (httpapi.ScalerStatus, error) { return s.now, s.err }

func (s *scaler) Decisions(_ context.Context, before int64, limit int) ([]httpapi.ScalerDecision, error) {
	var page []httpapi.ScalerDecision
	for _, e := range slices.Backward(s.entries) {
		if (before == 0 || e.Number < before) && len(page) < limit {
			page = append(page, e)
		}
	}
	return page, s.err
}

func (n *node) withScaler(s *scaler) *node { return n.with(func(c *httpapiConfig) { c.Scaler = s }) }

func (n *node) adminGet(t *testing.T, path string) reply {
	t.Helper()
	return n.do(t, request{method: "GET", path: path, token: n.admin})
}

// scalerAnswer is what GET /admin/v1/scaler answers.
type scalerAnswer struct {
	httpapi.ScalerStatus
	Current, Wanted int
	Items           []httpapi.ScalerDecision
	NextBefore      int64
}

func TestScaler_Status_ShowsLatestDecision(t *testing.T) {
	t.Parallel()
	newest := httpapi.ScalerDecision{At: 1_700_000_000_000, By: "a-1", From: 2, To: 3, Reason: "rising", Why: "2 nodes at load 0.91 (target 0.80) ask for 3", DryRun: true}
	n := newNode(t).withScaler(&scaler{now: httpapi.ScalerStatus{Holder: "a-1", Here: true, Fault: "target: away", Decision: &newest}})
	n = n.with(func(c *httpapiConfig) {
		c.Nodes = func() []httpapi.Node { return []httpapi.Node{{ID: "a"}, {ID: "b"}, {ID: "c", Draining: true}} }
	})
	got := n.adminGet(t, "/admin/v1/scaler")
	answer := decode[scalerAnswer](t, got.body)
	if got.status != http.StatusOK || answer.Holder != "a-1" || !answer.Here || answer.Fault != "target: away" || *answer.Decision != newest {
		t.Errorf("got %d %s, want %d", got.status, got.body, http.StatusOK)
	}
	if answer.Current != 2 || answer.Wanted != 3 || len(answer.Items) != 0 {
		t.Errorf("got %s, want 2 current nodes, 3 wanted, no items", got.body)
	}
}

func TestScaler_NoDecisionYet_IsEmpty(t *testing.T) {
	t.Parallel()
	if got := newNode(t).withScaler(&scaler{}).adminGet(t, "/admin/v1/scaler"); string(got.body) != `{"here":false,"current":0,"items":[]}` {
		t.Errorf("got %d %s, want an empty status", got.status, got.body)
	}
}

// TestScaler_Decisions_ArePaged reads all decisions page by page, newest first and each once. Their numbers have gaps.
func TestScaler_Decisions_ArePaged(t *testing.T) {
	t.Parallel()
	s := &scaler{}
	for i := range int64(7) {
		s.entries = append(s.entries, httpapi.ScalerDecision{Number: 3*i + 1, Reason: "rising", Why: fmt.Sprint("entry ", i)})
	}
	n := newNode(t).withScaler(s)
	var read []httpapi.ScalerDecision
	pages := 0
	for path := "/admin/v1/scaler?limit=3"; path != ""; pages++ {
		answer := decode[scalerAnswer](t, n.adminGet(t, path).body)
		read = append(read, answer.Items...)
		path = ""
		if answer.NextBefore > 0 {
			path = fmt.Sprint("/admin/v1/scaler?limit=3&before=", answer.NextBefore)
		}
	}
	slices.Reverse(read)
	if pages != 3 || !slices.Equal(read, s.entries) {
		t.Errorf("got %d pages with %+v, want 3 with %+v", pages, read, s.entries)
	}
	if answer := decode[scalerAnswer](t, n.adminGet(t, "/admin/v1/scaler?limit=7").body); len(answer.Items) != 7 || answer.NextBefore != 0 {
		t.Errorf("limit of 7: got %+v, want all 7 and no next page", answer)
	}
	if answer := decode[scalerAnswer](t, n.adminGet(t, "/admin/v1/scaler?before=1").body); len(answer.Items) != 0 {
		t.Errorf("before the first: got %+v, want no items", answer)
	}
}

func TestScaler_InvalidCalls_AreRefused(t *testing.T) {
	t.Parallel()
	alone := newNode(t)
	n := alone.withScaler(&scaler{})
	wantProblem(t, alone.adminGet(t, "/admin/v1/scaler"), 422, "not_supported")
	wantProblem(t, n.get(t, "/admin/v1/scaler"), 403, "forbidden")
	wantProblem(t, n.do(t, request{method: "GET", path: "/admin/v1/scaler"}), 401, "unauthenticated")
	wantProblem(t, n.adminPost(t, "/admin/v1/scaler", "{}"), 405, "method_not_allowed")
	for _, query := range []string{
		"limit=0", "limit=501", "limit=x", "limit=1&limit=2", "before=0", "before=-1", "before=x", "before=9223372036854775808", "before=", "cursor=1",
	} {
		wantProblem(t, n.adminGet(t, "/admin/v1/scaler?"+query), 422, "validation_failed")
	}
	away := alone.withScaler(&scaler{err: &esh3ar.Error{Code: esh3ar.StoreUnavailable, Text: "away"}})
	wantProblem(t, away.adminGet(t, "/admin/v1/scaler"), 503, "store_unavailable")
}
