package httpapi

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/esh3artech/esh3ar"
)

// day is the unit of a plan's retention.
const day = 24 * time.Hour

// planView is the JSON form of a plan.
type planView struct {
	Name          string       `json:"name"`
	Level         esh3ar.Level `json:"level"`
	Rate          float64      `json:"rate"`
	Burst         int          `json:"burst"`
	DailyQuota    int64        `json:"dailyQuota,omitempty"`
	Concurrent    int          `json:"concurrentCalls,omitempty"`
	RetentionDays int64        `json:"retentionDays,omitempty"`
	Inbox         int          `json:"inboxLimit,omitempty"`
	RecipientRate float64      `json:"recipientRate,omitempty"`
	RecipientHold int          `json:"recipientBurst,omitempty"`
	BuiltIn       bool         `json:"builtIn"`
	UpdatedAt     esh3ar.Time  `json:"updatedAt,omitzero"`
}

func viewOf(p *esh3ar.Plan) planView {
	return planView{
		Name: p.Name, Level: p.Level, Rate: p.Rate, Burst: p.Burst, DailyQuota: p.DailyQuota, Concurrent: p.Concurrent,
		Inbox: p.InboxLimit, RecipientRate: p.RecipientRate, RecipientHold: p.RecipientBurst,
		RetentionDays: int64(p.Retention / day), BuiltIn: p.UpdatedAt.IsZero(), UpdatedAt: p.UpdatedAt,
	}
}

// listPlans implements GET /admin/v1/plans.
func (a *API) listPlans(x *exchange) error {
	if err := a.Plans.Load(x.r.Context()); err != nil {
		return err
	}
	all := a.Plans.All()
	slices.SortFunc(all, func(p, q esh3ar.Plan) int { return cmp.Compare(p.Name, q.Name) })
	items := make([]planView, len(all))
	for i := range all {
		items[i] = viewOf(&all[i])
	}
	return x.answerJSON(http.StatusOK, struct {
		Items []planView `json:"items"`
	}{items})
}

// getPlan implements GET /admin/v1/plans/{name}.
func (a *API) getPlan(x *exchange) error {
	if err := a.Plans.Load(x.r.Context()); err != nil {
		return err
	}
	plan := a.Plans.Named(x.params[0])
	if plan == nil {
		return planNotFound(x)
	}
	return x.answerJSON(http.StatusOK, viewOf(plan))
}

func planNotFound(x *exchange) error { return notFound.problem("no plan " + x.params[0]) }

// putPlan implements PUT /admin/v1/plans/{name}: it creates a plan or replaces it. The plan is in force on this node before
// the answer, and on all nodes within a second.
func (a *API) putPlan(x *exchange) error {
	name := x.params[0]
	if !validPlanName(name) {
		var f faults
		f.addParameter("name", validationFailed, "must be 1 to "+strconv.Itoa(esh3ar.MaxPlanName)+" ASCII letters, digits, '-', '_' and '.'")
		return f.problem()
	}
	plan, err := x.readPlan()
	if err != nil {
		return err
	}
	plan.Name, plan.UpdatedAt = name, esh3ar.TimeOf(a.Now())
	if err := a.Store.PutPlan(x.r.Context(), plan); err != nil {
		return err
	}
	a.reloadPlans(x)
	return x.answerJSON(http.StatusOK, viewOf(&plan))
}

// reloadPlans applies a change of the plans on this node. If it fails, the next periodic reload does.
func (a *API) reloadPlans(x *exchange) {
	if err := a.Plans.Load(x.r.Context()); err != nil {
		a.Log.Warn("reload plans after a change", "error", err)
	}
}

// deletePlan implements DELETE /admin/v1/plans/{name}. Deleting a changed built-in plan restores its default.
func (a *API) deletePlan(x *exchange) error {
	err := a.Store.DeletePlan(x.r.Context(), x.params[0])
	if err != nil && esh3ar.CodeOf(err) == esh3ar.NotFound && builtIn(x.params[0]) {
		return notFound.problem("the plan " + x.params[0] + " is built in and unchanged; there is nothing to delete")
	}
	if err != nil && esh3ar.CodeOf(err) == esh3ar.NotFound {
		return planNotFound(x)
	}
	if err != nil {
		return err
	}
	a.reloadPlans(x)
	x.send(http.StatusNoContent, nil)
	return nil
}

func builtIn(name string) bool {
	return slices.ContainsFunc(esh3ar.BuiltInPlans(), func(p esh3ar.Plan) bool { return p.Name == name })
}

// assignPlan implements PUT /admin/v1/businesses/{id}/plan.
func (a *API) assignPlan(x *exchange) error {
	var plan string
	if err := x.readObject(a.planMember(x, true, &plan)); err != nil {
		return err
	}
	b, err := a.businessFromPath(x)
	if err != nil {
		return err
	}
	if err := a.Store.AssignPlan(x.r.Context(), b.ID, plan); err != nil {
		return err
	}
	a.Keys.ForgetBusiness(b.ID)
	b.Plan = plan
	return a.answerBusiness(x, http.StatusOK, b)
}

// planMember returns a member that holds the name of an existing plan.
func (a *API) planMember(x *exchange, required bool, into *string) member {
	return member{name: "plan", required: required, read: func(in *input, at jsonPath) error {
		name, err := in.stringValue(at, 1, esh3ar.MaxPlanName)
		if err != nil || name == "" {
			return err
		}
		if a.Plans.Named(name) == nil { // another node may have created it a moment ago
			if err := a.Plans.Load(x.r.Context()); err != nil {
				return err
			}
		}
		*into = name
		if a.Plans.Named(name) == nil {
			in.add(at, validationFailed, "is not the name of a plan")
		}
		return nil
	}}
}

func validPlanName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return name != "" && len(name) <= esh3ar.MaxPlanName
}

// readPlan decodes a body that is a plan without its name.
func (x *exchange) readPlan() (esh3ar.Plan, error) {
	var p esh3ar.Plan
	var err error
	whole := func(name string, required bool, least, most int64, set func(int64)) member {
		return member{name: name, required: required, read: func(in *input, at jsonPath) error {
			n, ok, err := in.integer(at, least, most)
			if ok {
				set(n)
			}
			return err
		}}
	}
	err = x.readObject(
		member{name: "level", required: true, read: func(in *input, at jsonPath) error {
			name, err := in.stringValue(at, 1, 16)
			if err != nil || name == "" {
				return err
			}
			p.Level, err = esh3ar.ParseLevel(name)
			if err != nil {
				in.add(at, validationFailed, "must be basic, premium or enterprise")
			}
			return nil
		}},
		member{name: "rate", required: true, read: func(in *input, at jsonPath) (err error) {
			p.Rate, _, err = in.float(at, esh3ar.MinRate, esh3ar.MaxRate)
			return err
		}},
		whole("burst", true, 1, esh3ar.MaxBurst, func(n int64) { p.Burst = int(n) }),
		whole("dailyQuota", false, 1, esh3ar.MaxDailyQuota, func(n int64) { p.DailyQuota = n }),
		whole("concurrentCalls", false, 1, esh3ar.MaxConcurrent, func(n int64) { p.Concurrent = int(n) }),
		whole("inboxLimit", false, 1, esh3ar.MaxInboxLimit, func(n int64) { p.InboxLimit = int(n) }),
		member{name: "recipientRate", read: func(in *input, at jsonPath) (err error) {
			p.RecipientRate, _, err = in.float(at, esh3ar.MinRate, esh3ar.MaxRate)
			return err
		}},
		whole("recipientBurst", false, 1, esh3ar.MaxBurst, func(n int64) { p.RecipientBurst = int(n) }),
		whole("retentionDays", false, 1, esh3ar.MaxRetentionDays, func(n int64) { p.Retention = time.Duration(n) * day }),
	)
	if err == nil && float64(p.Burst) > p.Rate*esh3ar.MaxBurstTime.Seconds() {
		x.in.add(jsonPath{name: "/burst"}, validationFailed, "must refill within a day at this rate")
		err = x.in.faults.problem()
	}
	return p, err
}

// answerJSON sends a value as JSON.
func (x *exchange) answerJSON(status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return x.answer(status, body)
}
