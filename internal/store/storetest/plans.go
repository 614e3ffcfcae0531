package storetest

import (
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

// goldPlan returns a plan with all fields set.
func goldPlan(f *fixture) esh3ar.Plan {
	return esh3ar.Plan{
		Name: "gold", Rate: 12.5, Burst: 100, DailyQuota: 1_000_000, Concurrent: 7, Level: esh3ar.Enterprise, Retention: 48 * time.Hour, UpdatedAt: f.now(),
	}
}

var planTests = map[string]func(*fixture){
	"plans: are listed by name": func(f *fixture) {
		none, err := f.Store.Plans(f.ctx)
		f.ok(err, "plans")
		want(f, len(none), 0, "plans of a new store")
		first := goldPlan(f)
		small := esh3ar.Plan{Name: "Bronze-1.0_x", Rate: 0.001, Burst: 1}
		f.ok(f.Store.PutPlan(f.ctx, first), "put")
		f.ok(f.Store.PutPlan(f.ctx, small), "put")
		f.ok(f.Store.PutPlan(f.ctx, esh3ar.Plan{Name: "golden", Rate: 1, Burst: 1}), "put a name that starts with another")
		second := first
		second.Rate = 1
		second.Level = esh3ar.Basic
		second.Retention = 0
		f.ok(f.Store.PutPlan(f.ctx, second), "put again")
		got, err := f.Store.Plans(f.ctx)
		f.ok(err, "plans")
		want(f, len(got), 3, "plans")
		want(f, got[0], small, "the first by name")
		want(f, got[1], second, "the changed one")
		want(f, got[2].Name, "golden", "the last")
	},
	"plan in use: cannot be dropped": func(f *fixture) {
		createAccount(f)
		f.wantCode(f.Store.DeletePlan(f.ctx, "gold"), esh3ar.NotFound, "drop before")
		f.ok(f.Store.PutPlan(f.ctx, goldPlan(f)), "put")
		f.ok(f.Store.AssignPlan(f.ctx, f.business, "gold"), "assign")
		holders, err := f.Store.BusinessesWithPlan(f.ctx, "gold")
		f.ok(err, "holders")
		want(f, len(holders) == 1 && holders[0] == f.business, true, "the business has the plan")
		f.wantCode(f.Store.DeletePlan(f.ctx, "gold"), esh3ar.InUse, "drop while it is used")
		b, err := f.Store.Business(f.ctx, f.business)
		f.ok(err, "business")
		want(f, b.Plan+" "+b.Name, "gold n", "the business with its plan")
		f.wantCode(f.Store.AssignPlan(f.ctx, esh3ar.NewBusinessID(), "gold"), esh3ar.NotFound, "assign to an unknown business")
		f.ok(f.Store.AssignPlan(f.ctx, f.business, ""), "assign the default")
		f.ok(f.Store.DeletePlan(f.ctx, "gold"), "drop")
		f.wantCode(f.Store.DeletePlan(f.ctx, "gold"), esh3ar.NotFound, "drop again")
		left, err := f.Store.Plans(f.ctx)
		f.ok(err, "plans")
		want(f, len(left), 0, "plans at the end")
	},
	"usage: adds up": func(f *fixture) {
		other, day := esh3ar.NewBusinessID(), esh3ar.DayOf(f.now())
		sums, err := f.Store.AddUsage(f.ctx, []esh3ar.Usage{usageOf(other, day, 1, 0), usageOf(f.business, day, 10, 2), usageOf(f.business, day-1, 3, 0)})
		f.ok(err, "add usage")
		want(f, sums[1], esh3ar.Usage{Business: f.business, Day: day, Messages: 10, Refused: 2}, "first sum")
		sums, err = f.Store.AddUsage(f.ctx, []esh3ar.Usage{usageOf(f.business, day, 5, 1), usageOf(other, day, 0, 4)})
		f.ok(err, "add usage again")
		want(f, sums[0], esh3ar.Usage{Business: f.business, Day: day, Messages: 15, Refused: 3}, "second sum")
		want(f, sums[1], esh3ar.Usage{Business: other, Day: day, Messages: 1, Refused: 4}, "sum of another business")
		days, err := f.Store.Usage(f.ctx, f.business, day-1, day)
		f.ok(err, "usage")
		want(f, len(days), 2, "days")
		want(f, days[0], esh3ar.Usage{Business: f.business, Day: day - 1, Messages: 3}, "yesterday")
		want(f, days[1], sums[0], "today")
		days, err = f.Store.Usage(f.ctx, f.business, day+1, day+9)
		f.ok(err, "usage")
		want(f, len(days), 0, "days in the future")
		none, err := f.Store.AddUsage(f.ctx, nil)
		f.ok(err, "add nothing")
		want(f, len(none), 0, "sums of nothing")
	},
	"concurrent usage: nothing is lost": func(f *fixture) {
		other, day := esh3ar.NewBusinessID(), esh3ar.DayOf(f.now())
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				entries := []esh3ar.Usage{usageOf(f.business, day, 1, 0), usageOf(other, day, 2, 1)}
				if i%2 == 0 {
					entries[0], entries[1] = entries[1], entries[0]
				}
				for range 10 {
					if _, err := f.Store.AddUsage(f.ctx, entries); err != nil {
						f.Errorf("add usage: %v", err)
					}
				}
			})
		}
		group.Wait()
		days, err := f.Store.Usage(f.ctx, other, day, day)
		f.ok(err, "usage")
		want(f, days[0], esh3ar.Usage{Business: other, Day: day, Messages: 160, Refused: 80}, "sum")
	},
	"old usage: is deleted": func(f *fixture) {
		day := esh3ar.DayOf(f.now())
		for _, d := range []esh3ar.Day{day - esh3ar.UsageDays, day - esh3ar.UsageDays + 1, day} {
			_, err := f.Store.AddUsage(f.ctx, []esh3ar.Usage{usageOf(f.business, d, 1, 0)})
			f.ok(err, "add usage")
		}
		days, err := f.Store.Usage(f.ctx, f.business, 0, day)
		f.ok(err, "usage")
		want(f, len(days), 2, "days kept")
		want(f, days[0].Day, day-esh3ar.UsageDays+1, "oldest day")
	},
}

func usageOf(business esh3ar.BusinessID, day esh3ar.Day, messages, refused int64) esh3ar.Usage {
	return esh3ar.Usage{Business: business, Day: day, Messages: messages, Refused: refused}
}
