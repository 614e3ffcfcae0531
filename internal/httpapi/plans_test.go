package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/httpapi"
)

func (n *node) adminDo(t *testing.T, method, path, body string) reply {
	t.Helper()
	return n.do(t, ask{method: method, path: path, token: n.admin, body: body})
}

func TestPlansComeChangeAndGo(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	const gold = "/admin/v1/plans/gold"
	wantProblem(t, n.adminDo(t, "GET", gold, ""), 404, "not_found")
	wantProblem(t, n.adminDo(t, "DELETE", gold, ""), 404, "not_found")
	made := n.adminDo(t, "PUT", gold, `{"level":"enterprise","rate":12.5,"burst":40,"dailyQuota":1000,"concurrentCalls":3,"retentionDays":7}`)
	if made.status != http.StatusOK {
		t.Fatalf("%d %s", made.status, made.body)
	}
	if got := n.adminDo(t, "GET", gold, ""); string(got.body) != string(made.body) {
		t.Errorf("read %s, made %s", got.body, made.body)
	}
	stored, err := n.store.Plans(t.Context())
	want := esh3ar.Plan{Name: "gold", Level: esh3ar.Enterprise, Rate: 12.5, Burst: 40, DailyQuota: 1000, Concurrent: 3, Retention: 7 * 24 * time.Hour}
	if err != nil || len(stored) != 1 || stored[0].UpdatedAt.IsZero() {
		t.Fatalf("%+v, %v", stored, err)
	}
	if want.UpdatedAt = stored[0].UpdatedAt; stored[0] != want {
		t.Errorf("stored %+v", stored[0])
	}
	n.adminDo(t, "PUT", gold, `{"level":"basic","rate":1e0,"burst":1}`)
	list := decode[struct {
		Items []struct {
			Name, Level string
			Rate        float64
			DailyQuota  int64
			BuiltIn     bool
		}
	}](t, n.adminDo(t, "GET", "/admin/v1/plans", "").body)
	if len(list.Items) != 4 || list.Items[0].Name != "default" || !list.Items[0].BuiltIn || list.Items[2].Name != "gold" || list.Items[2].Rate != 1 || list.Items[2].DailyQuota != 0 {
		t.Errorf("%+v", list)
	}
	if got := n.adminDo(t, "DELETE", gold, ""); got.status != http.StatusNoContent {
		t.Errorf("%d %s", got.status, got.body)
	}
	wantProblem(t, n.adminDo(t, "GET", gold, ""), 404, "not_found")
}

func TestABusinessAndItsPlan(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.adminDo(t, "PUT", "/admin/v1/plans/gold", `{"level":"premium","rate":1,"burst":1}`)
	type shown struct{ ID, Name, Plan string }
	made := decode[shown](t, n.adminPost(t, "/admin/v1/businesses", `{"name":"Bank","plan":"gold"}`).body)
	path := "/admin/v1/businesses/" + made.ID
	if got := decode[shown](t, n.adminDo(t, "GET", path, "").body); got != made || got.Plan != "gold" {
		t.Errorf("%+v, made %+v", got, made)
	}
	wantProblem(t, n.adminDo(t, "DELETE", "/admin/v1/plans/gold", ""), 409, "plan_in_use")
	if got := decode[shown](t, n.adminDo(t, "PUT", path+"/plan", `{"plan":"default"}`).body); got.Plan != "default" || got.Name != "Bank" {
		t.Errorf("%+v", got)
	}
	if got := n.adminDo(t, "DELETE", "/admin/v1/plans/gold", ""); got.status != http.StatusNoContent {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := decode[shown](t, n.adminPost(t, "/admin/v1/businesses", `{"name":"Shop"}`).body); got.Plan != "default" {
		t.Errorf("%+v", got)
	}
	wantProblem(t, n.adminDo(t, "PUT", path+"/plan", `{"plan":"gold"}`), 422, "validation_failed", "/plan")
	wantProblem(t, n.adminDo(t, "PUT", path+"/plan", `{}`), 422, "validation_failed", "/plan")
	for _, unknown := range []string{"x", esh3ar.NewBusinessID().String()} {
		wantProblem(t, n.adminDo(t, "GET", "/admin/v1/businesses/"+unknown, ""), 404, "not_found")
		wantProblem(t, n.adminDo(t, "PUT", "/admin/v1/businesses/"+unknown+"/plan", `{"plan":"default"}`), 404, "not_found")
	}
}

// TestAPlanOfAnotherNode: what another node stored can be named here before the next regular reading.
func TestAPlanOfAnotherNode(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	other := n.with(func(c *httpapi.Config) { c.Plans = auth.NewPlans(n.store) })
	other.adminDo(t, "PUT", "/admin/v1/plans/gold", `{"level":"premium","rate":1,"burst":1}`)
	if got := n.adminPost(t, "/admin/v1/businesses", `{"name":"Bank","plan":"gold"}`); got.status != http.StatusCreated {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestBadPlans(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for body, pointers := range map[string][]string{
		`{}`:                                  {"/level", "/rate", "/burst"},
		`{"level":"gold","rate":0,"burst":0}`: {"/level", "/rate", "/burst"},
		`{"level":1,"rate":"1","burst":1.5}`:  {"/level", "/rate", "/burst"},
		`{"level":"basic","rate":100000.1,"burst":1000001}`:                                    {"/rate", "/burst"},
		`{"level":"basic","rate":1e400,"burst":1}`:                                             {"/rate"},
		`{"level":"basic","rate":1,"burst":1,"dailyQuota":0,"concurrentCalls":-1,"x":1}`:       {"/dailyQuota", "/concurrentCalls", "/x"},
		`{"level":"basic","rate":1,"burst":1,"retentionDays":3651}`:                            {"/retentionDays"},
		`{"level":"basic","rate":0.001,"burst":87}`:                                            {"/burst"},
		`{"level":"basic","rate":1,"burst":1,"dailyQuota":1e13,"concurrentCalls":{"a":[1,2]}}`: {"/dailyQuota", "/concurrentCalls"},
	} {
		wantProblem(t, n.adminDo(t, "PUT", "/admin/v1/plans/gold", body), 422, "validation_failed", pointers...)
	}
	wantProblem(t, n.adminDo(t, "PUT", "/admin/v1/plans/g%20old", `{"level":"basic","rate":1,"burst":1}`), 422, "validation_failed")
	wantProblem(t, n.do(t, ask{method: "PUT", path: "/admin/v1/plans/gold", token: n.key, body: `{}`}), 403, "forbidden")
}

// TestABuiltInPlanStays: it is listed, so nobody is told that there is none.
func TestABuiltInPlanStays(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	got := n.adminDo(t, "DELETE", "/admin/v1/plans/premium", "")
	if wantProblem(t, got, 404, "not_found"); !strings.Contains(string(got.body), "the plan premium is as it was built") {
		t.Errorf("%s", got.body)
	}
}
