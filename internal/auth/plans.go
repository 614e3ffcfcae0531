package auth

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
)

// planSource is the part of the store that plans are read from.
type planSource interface {
	Plans(ctx context.Context) ([]esh3ar.Plan, error)
}

// planInterval is the polling interval of the plans: twice per second, because a change must be in force everywhere within a
// second. There are only a few plans, so every node reads all of them and needs no invalidation.
const planInterval = 500 * time.Millisecond

// Plans holds the plans in force on this node. Run keeps them up to date with the store; while the store is unavailable they
// stay unchanged. Plans is safe for concurrent use.
type Plans struct {
	source  planSource
	byName  atomic.Pointer[map[string]*esh3ar.Plan]
	loading sync.Mutex // serialises loads, so that an older result never replaces a newer one; held during the read from the store
}

// NewPlans returns a view of the stored plans. Before the first Load it contains the built-in plans only.
func NewPlans(source planSource) *Plans {
	p := &Plans{source: source}
	p.publish(nil)
	return p
}

// Lookup returns the plan of this name, or the default plan if there is none. The pointer changes only if the plan does. Callers
// must not modify the plan.
func (p *Plans) Lookup(name string) *esh3ar.Plan {
	all := *p.byName.Load()
	if plan := all[name]; plan != nil {
		return plan
	}
	return all[esh3ar.DefaultPlan]
}

// Named returns the plan of this name, or nil if there is none.
func (p *Plans) Named(name string) *esh3ar.Plan { return (*p.byName.Load())[name] }

// All returns all plans in no particular order.
func (p *Plans) All() (plans []esh3ar.Plan) {
	for _, plan := range *p.byName.Load() {
		plans = append(plans, *plan)
	}
	return plans
}

// Load reads the plans at once, for example after a change.
func (p *Plans) Load(ctx context.Context) error {
	p.loading.Lock()
	defer p.loading.Unlock()
	stored, err := p.source.Plans(ctx)
	if err != nil {
		return err
	}
	p.publish(stored)
	return nil
}

// publish publishes the built-in plans, overridden by the stored ones.
func (p *Plans) publish(stored []esh3ar.Plan) {
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

// Run polls the plans until ctx ends.
func (p *Plans) Run(ctx context.Context) error {
	tick := time.NewTicker(planInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		_ = p.Load(ctx) // other parts report that the store is unavailable
	}
}
