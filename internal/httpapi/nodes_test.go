package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/esh3artech/esh3ar/internal/flow"
	"github.com/esh3artech/esh3ar/internal/httpapi"
)

func TestNodes_List_ShowsEachNode(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	ask := request{method: "GET", path: "/admin/v1/nodes", token: n.admin}
	if got := n.do(t, ask); got.status != http.StatusOK || string(got.body) != `{"items":[]}` {
		t.Errorf("nobody: got %d %s, want %d", got.status, got.body, http.StatusOK)
	}
	want := httpapi.Node{
		ID: "a", URL: "http://10.0.0.1:8080", Version: "1", StartedAt: 1_700_000_000_000, SeenAt: 1_700_000_001_000, Draining: true,
		Connections: 3, Waiting: 2, Spilled: 1, Load: 0.75, Parts: flow.Load{CPU: 0.75, Queue: 0.5},
	}
	two := n.with(func(c *httpapiConfig) { c.Nodes = func() []httpapi.Node { return []httpapi.Node{want, {ID: "b"}} } })
	got := two.do(t, ask)
	list := decode[struct{ Items []httpapi.Node }](t, got.body)
	if len(list.Items) != 2 || list.Items[0] != want {
		t.Errorf("got %s, want two nodes, the first %+v", got.body, want)
	}
	wantProblem(t, two.get(t, "/admin/v1/nodes"), 403, "forbidden")
}
