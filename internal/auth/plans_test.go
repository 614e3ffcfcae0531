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

// shelf is where plans are stored.
type shelf struct {
	sync.Mutex
	plans []esh3ar.Plan
	away  bool
}

func (s *shelf) Plans(context.Context) ([]esh3ar.Plan, error) {
	s.Lock()
	defer s.Unlock()
	if s.away {
		return nil, errors.New("away")
	}
	return append([]esh3ar.Plan(nil), s.plans...), nil
}

func (s *shelf) set(away bool, plans ...esh3ar.Plan) {
	s.Lock()
	defer s.Unlock()
	s.away, s.plans = away, plans
}

func TestAPlanIsInForceWithinASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		p := auth.NewPlans(s)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = p.Run(ctx) })
		built := p.Of("gold")
		if built.Name != esh3ar.DefaultPlan || p.Of("") != built || p.Named("gold") != nil || p.Of(esh3ar.EnterprisePlan).Level != esh3ar.Enterprise || len(p.All()) != 3 {
			t.Errorf("before anything is stored: %+v", built)
		}
		gold := esh3ar.Plan{Name: "gold", Rate: 5, Burst: 7, Level: esh3ar.Premium}
		s.set(false, gold)
		time.Sleep(time.Second)
		synctest.Wait()
		first := p.Of("gold")
		if *first != gold || p.Of("") != built {
			t.Errorf("a second later: %+v", first)
		}
		s.set(true)
		time.Sleep(time.Minute)
		if p.Of("gold") != first {
			t.Error("forgotten while the store was away")
		}
		changed, own := gold, esh3ar.Plan{Name: esh3ar.DefaultPlan, Rate: 1, Burst: 1}
		changed.Rate = 6
		s.set(false, changed, own)
		if err := p.Load(ctx); err != nil || p.Of("gold").Rate != 6 || p.Of("unknown").Rate != 1 {
			t.Errorf("read at once: %+v, %v", p.Of("gold"), err)
		}
		s.set(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if p.Of("gold").Rate != esh3ar.MaxRate || p.Of("gold") != p.Of("") {
			t.Errorf("dropped: %+v", p.Of("gold"))
		}
		stop()
		running.Wait()
	})
}
