package auth_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
)

// planStore is a store of plans that can be unavailable.
type planStore struct {
	sync.Mutex
	plans []esh3ar.Plan
	away  bool
}

func (s *planStore) Plans(context.Context) ([]esh3ar.Plan, error) {
	s.Lock()
	defer s.Unlock()
	if s.away {
		return nil, errors.New("away")
	}
	return append([]esh3ar.Plan(nil), s.plans...), nil
}

func (s *planStore) set(away bool, plans ...esh3ar.Plan) {
	s.Lock()
	defer s.Unlock()
	s.away, s.plans = away, plans
}

func TestPlans_Changed_IsInForceWithinASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &planStore{}
		p := auth.NewPlans(s)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = p.Run(ctx) })
		built := p.Lookup("gold")
		if built.Name != esh3ar.DefaultPlan || p.Lookup("") != built || p.Named("gold") != nil || p.Lookup(esh3ar.EnterprisePlan).Level != esh3ar.Enterprise || len(p.All()) != 3 {
			t.Errorf("before the first plan: got %+v, want the built-in plans", built)
		}
		gold := esh3ar.Plan{Name: "gold", Rate: 5, Burst: 7, Level: esh3ar.Premium}
		s.set(false, gold)
		time.Sleep(time.Second)
		synctest.Wait()
		first := p.Lookup("gold")
		if *first != gold || p.Lookup("") != built {
			t.Errorf("a second after the change: got %+v, want the stored plan", first)
		}
		s.set(true)
		time.Sleep(time.Minute)
		if p.Lookup("gold") != first {
			t.Error("plan changed while the store was unavailable")
		}
		changed, own := gold, esh3ar.Plan{Name: esh3ar.DefaultPlan, Rate: 1, Burst: 1}
		changed.Rate = 6
		s.set(false, changed, own)
		if err := p.Load(ctx); err != nil || p.Lookup("gold").Rate != 6 || p.Lookup("unknown").Rate != 1 {
			t.Errorf("after Load: got %+v, %v; want the changed plan", p.Lookup("gold"), err)
		}
		s.set(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if p.Lookup("gold").Rate != esh3ar.MaxRate || p.Lookup("gold") != p.Lookup("") {
			t.Errorf("after the plan was dropped: got %+v, want the default plan", p.Lookup("gold"))
		}
		stop()
		running.Wait()
	})
}
