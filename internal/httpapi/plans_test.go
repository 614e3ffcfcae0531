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
	return n.do(t, request{method: method, path: path, token: n.admin, body: body})
}

func TestPlan_CreateReplaceDelete_IsListed(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	const gold = "/admin/v1/plans/gold"
	wantProblem(t, n.adminDo(t, "GET", gold, ""), 404, "not_found")
	wantProblem(t, n.adminDo(t, "DELETE", gold, ""), 404, "not_found")
	made := n.adminDo(t, "PUT", gold, `{"level":"enterprise","rate":12.5,"burst":40,"dailyQuota":1000,"concurrentCalls":3,"retentionDays":7}`)
	if made.status != http.StatusOK {
		t.Fatalf("got %d %s, want %d", made.status, made.body, http.StatusOK)
	}
	if got := n.adminDo(t, "GET", gold, ""); string(got.body) != string(made.body) {
		t.Errorf("got %s, want %s", got.body, made.body)
	}
	stored, err := n.store.Plans(t.Context())
	want := esh3ar.Plan{Name: "gold", Level: esh3ar.Enterprise, Rate: 12.5, Burst: 40, DailyQuota: 1000, Concurrent: 3, Retention: 7 * 24 * time.Hour}
	if err != nil || len(stored) != 1 || stored[0].UpdatedAt.IsZero() {
		t.Fatalf("got %+v, %v; want one plan", stored, err)
	}
	want.UpdatedAt = stored[0].UpdatedAt
	if stored[0] != want {
		t.Errorf("got %+v, want %+v", stored[0], want)
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
		t.Errorf("got %+v, want three built-in plans and the replaced gold", list)
	}
	if got := n.adminDo(t, "DELETE", gold, ""); got.status != http.StatusNoContent {
		t.Errorf("got %d %s, want %d", got.status, got.body, http.StatusNoContent)
	}
	wantProblem(t, n.adminDo(t, "GET", gold, ""), 404, "not_found")
}

func TestBusiness_AssignPlan_IsInForce(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.adminDo(t, "PUT", "/admin/v1/plans/gold", `{"level":"premium","rate":1,"burst":1}`)
	type shown struct{ ID, Name, Plan string }
	made := decode[shown](t, n.adminPost(t, "/admin/v1/businesses", `{"name":"Bank","plan":"gold"}`).body)
	path := "/admin/v1/businesses/" + made.ID
	if got := decode[shown](t, n.adminDo(t, "GET", path, "").body); got != made || got.Plan != "gold" {
		t.Errorf("got %+v, want %+v with the plan gold", got, made)
	}
	wantProblem(t, n.adminDo(t, "DELETE", "/admin/v1/plans/gold", ""), 409, "plan_in_use")
	if got := decode[shown](t, n.adminDo(t, "PUT", path+"/plan", `{"plan":"default"}`).body); got.Plan != "default" || got.Name != "Bank" {
		t.Errorf("got %+v, want Bank with the plan default", got)
	}
	if got := n.adminDo(t, "DELETE", "/admin/v1/plans/gold", ""); got.status != http.StatusNoContent {
		t.Errorf("got %d %s, want %d", got.status, got.body, http.StatusNoContent)
	}
	if got := decode[shown](t, n.adminPost(t, "/admin/v1/businesses", `{"name":"Shop"}`).body); got.Plan != "default" {
		t.Errorf("got %+v, want the plan default", got)
	}
	wantProblem(t, n.adminDo(t, "PUT", path+"/plan", `{"plan":"gold"}`), 422, "validation_failed", "/plan")
	wantProblem(t, n.adminDo(t, "PUT", path+"/plan", `{}`), 422, "validation_failed", "/plan")
	for _, unknown := range []string{"x", esh3ar.NewBusinessID().String()} {
		wantProblem(t, n.adminDo(t, "GET", "/admin/v1/businesses/"+unknown, ""), 404, "not_found")
		wantProblem(t, n.adminDo(t, "PUT", "/admin/v1/businesses/"+unknown+"/plan", `{"plan":"default"}`), 404, "not_found")
	}
}

// TestPlan_CreatedOnAnotherNode_CanBeAssigned uses a plan of another node before the next periodic reload.
func TestPlan_CreatedOnAnotherNode_CanBeAssigned(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	other := n.with(func(c *httpapi.Config) { c.Plans = auth.NewPlans(n.store) })
	other.adminDo(t, "PUT", "/admin/v1/plans/gold", `{"level":"premium","rate":1,"burst":1}`)
	if got := n.adminPost(t, "/admin/v1/businesses", `{"name":"Bank","plan":"gold"}`); got.status != http.StatusCreated {
		t.Errorf("got %d %s, want %d", got.status, got.body, http.StatusCreated)
	}
}

func TestPlan_InvalidBodies_NameEachField(t *testing.T) {
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
	wantProblem(t, n.do(t, request{method: "PUT", path: "/admin/v1/plans/gold", token: n.key, body: `{}`}), 403, "forbidden")
}

// TestPlan_DeleteBuiltIn_IsRefused checks the detail: the plan is listed, so "no such plan" would be wrong.
func TestPlan_DeleteBuiltIn_IsRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	got := n.adminDo(t, "DELETE", "/admin/v1/plans/premium", "")
	if wantProblem(t, got, 404, "not_found"); !strings.Contains(string(got.body), "the plan premium is built in and unchanged") {
		t.Errorf("got %s, want a detail that names the built-in plan", got.body)
	}
}
