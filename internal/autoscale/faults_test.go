package autoscale_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar/internal/autoscale"
)

// slowTarget is a target whose Resize takes longer than the lease is valid.
type slowTarget struct {
	*fakeCluster
	takes time.Duration
}

func (s *slowTarget) Resize(ctx context.Context, o autoscale.Order) error {
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return s.fakeCluster.Resize(ctx, o)
}

// TestScaler_SlowTarget_RenewsTheLease: no other scaler takes over during a step and repeats it.
func TestScaler_SlowTarget_RenewsTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{}, &fakeCluster{own: 2, load: 1.7, blind: true}
		for _, name := range []string{"a", "b"} {
			_, stop := start(o, s, name, func(o *autoscale.Options) { o.Target = &slowTarget{s, 28 * time.Second} })
			defer stop()
		}
		pass(5 * time.Minute)
		if o.token != 1 || len(s.orders) != 1 || s.count() != 3 {
			t.Errorf("%d terms, %d orders, %d nodes\n%s", o.token, len(s.orders), s.count(), o.historyText())
		}
	})
}

func TestScaler_LeaseLostDuringStep_CancelsTheTarget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{}, &fakeCluster{own: 2, load: 1.7}
		a, stop := start(o, s, "a", func(o *autoscale.Options) { o.Target = &slowTarget{s, time.Hour} })
		defer stop()
		pass(time.Minute)
		o.mu.Lock()
		o.holder = "b"
		o.until = time.Now().Add(time.Hour)
		o.token = 2
		o.mu.Unlock()
		pass(time.Minute)
		if status := a.Status(); status.Mine || status.Holder != "b" || len(s.orders) > 0 {
			t.Errorf("%+v, %d orders", status, len(s.orders))
		}
	})
}

// TestScaler_HistoryEntries_ArePrintable: databases reject other text, whatever a target returns.
func TestScaler_HistoryEntries_ArePrintable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{}, &fakeCluster{own: 2, load: 1.7, broken: errors.New("no\x00 mo\xffre\x1b[31m\nmachines")}
		_, stop := start(o, s, "a", nil)
		defer stop()
		pass(time.Minute)
		if historyText := o.historyText(); !strings.Contains(historyText, "no mo\uFFFDre[31m machines\n") {
			t.Errorf("%q", historyText)
		}
	})
}

// TestScaler_HistoryUnavailable_WritesLater covers executed steps and persistent conditions.
func TestScaler_HistoryUnavailable_WritesLater(t *testing.T) {
	t.Parallel()
	for want, load := range map[string]float64{"2 → 3": 1.7, "at_max": 9} {
		synctest.Test(t, func(t *testing.T) {
			o, s := &memoryStore{}, &fakeCluster{own: 2, load: 1}
			_, stop := start(o, s, "a", func(o *autoscale.Options) {
				if want == "at_max" {
					o.Policy.Max = 2
				}
			})
			defer stop()
			pass(time.Minute)
			full := func(err error) { o.mu.Lock(); defer o.mu.Unlock(); o.full = err }
			full(errors.New("the disk is full"))
			s.set(func() { s.load = load })
			pass(time.Minute)
			full(nil)
			pass(time.Minute)
			if strings.Count(o.historyText(), want) != 1 || len(s.orders) > 1 {
				t.Errorf("want %q once:\n%s", want, o.historyText())
			}
		})
	}
}

// TestScaler_ObservationGap_RestartsTheWindow: after four minutes without observations, suspended or without an answer of the
// target, a window of five quiet minutes has not passed.
func TestScaler_ObservationGap_RestartsTheWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{}, &fakeCluster{own: 2, load: 0.2}
		_, stop := start(o, s, "a", nil)
		defer stop()
		pass(2 * time.Minute)
		o.mu.Lock()
		o.fault = errors.New("PostgreSQL does not answer")
		o.mu.Unlock()
		pass(2 * time.Minute)
		o.mu.Lock()
		o.fault = nil
		o.mu.Unlock()
		pass(4 * time.Minute)
		if s.count() != 2 {
			t.Errorf("taken away after four minutes of quiet\n%s", o.historyText())
		}
		pass(2 * time.Minute)
		if s.count() != 1 {
			t.Errorf("%d nodes\n%s", s.count(), o.historyText())
		}
	})
}

func TestScaler_NodesAddedByHand_NotRemovedByStepUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{}, &fakeCluster{own: 2, load: 1.7, blind: true}
		_, stop := start(o, s, "a", nil)
		defer stop()
		pass(time.Minute)
		if s.count() != 3 {
			t.Fatalf("%d nodes", s.count())
		}
		s.set(func() { s.own = 6 })
		pass(time.Minute)
		s.set(func() { s.load = 3.4 })
		pass(time.Minute) // one step
		if s.count() != 6 || !strings.Contains(o.historyText(), "6 are there, and none of them is taken away") {
			t.Errorf("%d nodes\n%s", s.count(), o.historyText())
		}
		pass(10 * time.Minute)
		if s.count() != 5 {
			t.Errorf("%d nodes later, 5 are enough\n%s", s.count(), o.historyText())
		}
	})
}

// TestScaler_CannotDecide_RecordsWhy: operators read the history, not the log of one scaler.
func TestScaler_CannotDecide_RecordsWhy(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(s *fakeCluster, on bool){
		"target_failed  the target does not report its nodes, so the number stays: 403 Forbidden": func(s *fakeCluster, on bool) {
			s.silent = nil
			if on {
				s.silent = errors.New("403 Forbidden")
			}
		},
		"no_data        the nodes are not known yet: Redis does not answer": func(s *fakeCluster, on bool) { s.away = on },
	} {
		synctest.Test(t, func(t *testing.T) {
			o, s := &memoryStore{}, &fakeCluster{own: 2, load: 1}
			change(s, true)
			_, stop := start(o, s, "a", nil)
			defer stop()
			pass(10 * time.Minute)
			if historyText := o.historyText(); strings.Count(historyText, "\n") != 2 || !strings.Contains(historyText, want) {
				t.Errorf("want %q:\n%s", want, historyText)
			}
			s.set(func() { change(s, false) })
			pass(time.Minute)
			before := o.historyText()
			if !strings.Contains(before, "the number is right") {
				t.Errorf("it is not said that it is over:\n%s", before)
			}
			s.set(func() { s.silent = errors.New("a moment") })
			pass(7 * time.Second)
			s.set(func() { s.silent = nil })
			pass(time.Minute)
			if o.historyText() != before {
				t.Errorf("a short failure is in the history:\n%s", o.historyText())
			}
		})
	}
}

// TestScaler_ForeignNodeAndOpaqueTarget_CountsBoth: a node that runs the scaler is not one of the target's nodes. There is always
// one more than ordered, and added nodes are still removed.
func TestScaler_ForeignNodeAndOpaqueTarget_CountsBoth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{}, &fakeCluster{others: 1, load: 0.9, blind: true}
		_, stop := start(o, s, "a", nil)
		defer stop()
		pass(2 * time.Minute)
		s.set(func() { s.load = 3 })
		pass(5 * time.Minute)
		if n := s.count() + 1; n < 4 || n > 6 {
			t.Errorf("%d nodes for a load of 3\n%s", n, o.historyText())
		}
		s.set(func() { s.load = 0.3 })
		pass(time.Hour)
		if n := s.count() + 1; n > 2 {
			t.Errorf("%d nodes for a load of 0.3\n%s", n, o.historyText())
		}
	})
}

// TestScaler_ForeignNodeNotRegisteredYet_NotReplaced: a node that runs a scaler registers when the scaler starts observing.
func TestScaler_ForeignNodeNotRegisteredYet_NotReplaced(t *testing.T) {
	t.Parallel()
	for _, others := range []int{1, 0} {
		synctest.Test(t, func(t *testing.T) {
			o, s := &memoryStore{}, &fakeCluster{others: others, load: 0.5, unseen: true}
			_, stop := start(o, s, "a", nil)
			defer stop()
			pass(7 * time.Second)
			s.set(func() { s.unseen = false })
			pass(time.Minute)
			if s.count() != 1-others || strings.Contains(o.historyText(), "no_data") {
				t.Errorf("%d nodes beside %d\n%s", s.count(), others, o.historyText())
			}
		})
	}
}

// TestScaler_RegistryNeverAnswers_TimesOut: the lease is renewed, and the status contains the error.
func TestScaler_RegistryNeverAnswers_TimesOut(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"the registry", "the target"} {
		synctest.Test(t, func(t *testing.T) {
			o, s := &memoryStore{}, &fakeCluster{own: 2, load: 1, hangs: who}
			scaler, stop := start(o, s, "a", nil)
			defer stop()
			pass(time.Minute)
			if status := scaler.Status(); !status.Mine || status.Fault == "" || o.token != 1 {
				t.Errorf("%s hangs: %+v, %d terms", who, status, o.token)
			}
		})
	}
}

// stoppingTarget is a target whose scaler is stopped in the middle of a step, which it completes.
type stoppingTarget struct {
	*fakeCluster
	stop func()
}

func (e *stoppingTarget) Resize(ctx context.Context, o autoscale.Order) error {
	e.stop()
	return e.fakeCluster.Resize(ctx, o)
}

func TestScaler_StopDuringStep_RecordsTheStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{}, &fakeCluster{own: 2, load: 1.7}
		e := &stoppingTarget{fakeCluster: s}
		ctx, stop := context.WithCancel(t.Context())
		e.stop = stop
		if err := autoscale.New(autoscale.Options{Policy: autoscale.Default(), Holder: "a", Registry: s, Target: e, Lease: o, History: o}).Run(ctx); err != nil {
			t.Error(err)
		}
		if s.count() != 3 || !strings.Contains(o.historyText(), "2 → 3") {
			t.Errorf("%d nodes\n%s", s.count(), o.historyText())
		}
	})
}

// TestScaler_NewTerm_LoadsStateFirst: nothing is decided before the state is loaded.
func TestScaler_NewTerm_LoadsStateFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{unread: errors.New("the disk is away")}, &fakeCluster{own: 2, load: 1.7}
		_, stop := start(o, s, "a", nil)
		defer stop()
		pass(time.Minute)
		if len(s.orders) > 0 {
			t.Errorf("%+v", s.orders)
		}
		o.mu.Lock()
		o.unread = nil
		o.mu.Unlock()
		pass(time.Minute)
		if s.count() != 3 || strings.Count(o.historyText(), "elected") != 1 {
			t.Errorf("%d nodes\n%s", s.count(), o.historyText())
		}
	})
}

// TestScaler_EmptyRegistryAndOpaqueTarget_Waits: an empty list does not prove that no node runs.
func TestScaler_EmptyRegistryAndOpaqueTarget_Waits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{}, &fakeCluster{own: 5, load: 1, blind: true, unseen: true}
		_, stop := start(o, s, "a", nil)
		defer stop()
		pass(time.Minute)
		if len(s.orders) > 0 || !strings.Contains(o.historyText(), "the registry lists no nodes") {
			t.Errorf("%+v\n%s", s.orders, o.historyText())
		}
	})
}

// TestScaler_LeaderAgain_LoadsTheNewState: a scaler that leads again uses the state of the leader in between.
func TestScaler_LeaderAgain_LoadsTheNewState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{}, &fakeCluster{own: 2, load: 1, blind: true}
		a, stop := start(o, s, "a", nil)
		defer stop()
		pass(time.Minute)
		o.mu.Lock()
		o.holder = "b"
		o.until = time.Now().Add(30 * time.Second)
		o.token = 2
		o.state = []byte(`{"ordered":5}`)
		o.mu.Unlock()
		s.set(func() { s.own = 5 })
		pass(time.Minute)
		if status := a.Status(); !status.Mine || status.Ordered != 5 || strings.Count(o.historyText(), "elected") != 2 {
			t.Errorf("%+v\n%s", status, o.historyText())
		}
	})
}
