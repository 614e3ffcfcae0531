package httpapi

import (
	"net/http"
	"strconv"

	"github.com/esh3artech/esh3ar"
)

// defaultUsageDays is the number of days that GET /v1/usage returns if the caller sets none.
const defaultUsageDays = 31

// dayView is the JSON form of one day's usage.
type dayView struct {
	Date     string `json:"date"` // in UTC
	Messages int64  `json:"messages"`
	Refused  int64  `json:"refused"`
}

// usage implements GET /v1/usage: the plan, the quota that is left, and the usage per day.
func (a *API) usage(x *exchange) error {
	count, err := usageDays(x.r.URL.RawQuery)
	if err != nil {
		return err
	}
	account := x.limits.account
	today := esh3ar.DayOf(esh3ar.TimeOf(x.start))
	days, err := a.Quotas.Usage(x.r.Context(), account, x.start, today-esh3ar.Day(count)+1)
	if err != nil {
		return err
	}
	grant := account.Peek(x.start)
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

// usageDays parses the query parameters of usage.
func usageDays(raw string) (int, error) {
	count := defaultUsageDays
	err := parseParameters(raw, func(name, value string) (why string) {
		if name != "days" {
			return unknownParameter
		}
		n, err := strconv.Atoi(value)
		count = n
		if err != nil || n < 1 || n > esh3ar.UsageDays {
			return "must be a whole number from 1 to " + strconv.Itoa(esh3ar.UsageDays)
		}
		return ""
	})
	return count, err
}
