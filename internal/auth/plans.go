package auth

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
)

// planSource is where stored plans are.
type planSource interface {
	Plans(ctx context.Context) ([]esh3ar.Plan, error)
}

// plansEvery is how often the plans are read again: twice within the second in which a change is to be in force everywhere.
// They are a handful of rows, so every node reads them all, and needs nobody to tell it.
const plansEvery = 500 * time.Millisecond

// Plans are the plans in force on this node. Run keeps them as the store has them; while the store cannot be asked they stay
// as they were. Any goroutine may ask.
type Plans struct {
	source  planSource
	byName  atomic.Pointer[map[string]*esh3ar.Plan]
	loading sync.Mutex // so that an older answer never comes after a newer one; held over the question to the store
}

// NewPlans makes a view of the stored plans; before the first Load there are only the built-in ones.
func NewPlans(source planSource) *Plans {
	p := &Plans{source: source}
	p.keep(nil)
	return p
}

// Of gives the plan of this name, or the default plan. While a plan does not change, its pointer does not; it must not be
// written to.
func (p *Plans) Of(name string) *esh3ar.Plan {
	all := *p.byName.Load()
	if plan := all[name]; plan != nil {
		return plan
	}
	return all[esh3ar.DefaultPlan]
}

// Named gives the plan of this name; nil: there is none.
func (p *Plans) Named(name string) *esh3ar.Plan { return (*p.byName.Load())[name] }

// All gives all plans, in no order.
func (p *Plans) All() (plans []esh3ar.Plan) {
	for _, plan := range *p.byName.Load() {
		plans = append(plans, *plan)
	}
	return plans
}

// Load reads the plans now, as after a change of one.
func (p *Plans) Load(ctx context.Context) error {
	p.loading.Lock()
	defer p.loading.Unlock()
	stored, err := p.source.Plans(ctx)
	if err != nil {
		return err
	}
	p.keep(stored)
	return nil
}

// keep puts the stored plans over the built-in ones.
func (p *Plans) keep(stored []esh3ar.Plan) {
	var before map[string]*esh3ar.Plan
	if old := p.byName.Load(); old != nil {
		before = *old
	}
	now := map[string]*esh3ar.Plan{}
	for _, plan := range append(esh3ar.BuiltInPlans(), stored...) {
		if old := before[plan.Name]; old != nil && *old == plan {
			now[plan.Name] = old
		} else {
			now[plan.Name] = &plan
		}
	}
	p.byName.Store(&now)
}

// Run keeps the plans fresh until ctx ends.
func (p *Plans) Run(ctx context.Context) error {
	tick := time.NewTicker(plansEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		_ = p.Load(ctx) // a store that is away says so elsewhere
	}
}
