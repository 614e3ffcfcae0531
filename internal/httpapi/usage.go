package httpapi

import (
	"net/http"
	"strconv"

	"github.com/esh3artech/esh3ar"
)

// defaultUsageDays is how many days GET /v1/usage shows unless the caller says.
const defaultUsageDays = 31

// dayView is a day as the API shows it.
type dayView struct {
	Date     string `json:"date"` // in UTC
	Messages int64  `json:"messages"`
	Refused  int64  `json:"refused"`
}

// usage is GET /v1/usage: the plan, what it still gives now, and the days.
func (a *API) usage(x *exchange) error {
	count, err := usageDays(x.r.URL.Query())
	if err != nil {
		return err
	}
	account := x.limits.account
	today := esh3ar.DayOf(esh3ar.TimeOf(x.start))
	days, err := a.Quotas.Usage(x.r.Context(), account, x.start, today-esh3ar.Day(count)+1)
	if err != nil {
		return err
	}
	grant := account.Look(x.start)
	answer := struct {
		Plan      planView  `json:"plan"`
		Remaining int       `json:"remaining"`
		DayLeft   *int64    `json:"remainingToday,omitempty"`
		Days      []dayView `json:"days"`
	}{Plan: viewOf(account.Plan()), Remaining: grant.Remaining}
	if grant.Daily {
		answer.DayLeft = &grant.DayLeft
	}
	for i := range days {
		answer.Days = append(answer.Days, dayView{days[i].Day.String(), days[i].Messages, days[i].Refused})
	}
	return x.answerJSON(http.StatusOK, answer)
}

// usageDays reads the query of usage.
func usageDays(query map[string][]string) (int, error) {
	var f faults
	count := defaultUsageDays
	for name, values := range query {
		n, err := strconv.Atoi(values[0])
		switch {
		case name != "days":
			f.parameter(name, validationFailed, "unknown parameter")
		case err != nil || len(values) > 1 || n < 1 || n > esh3ar.UsageDays:
			f.parameter(name, validationFailed, "must be one whole number from 1 to "+strconv.Itoa(esh3ar.UsageDays))
		default:
			count = n
		}
	}
	return count, f.problem()
}
