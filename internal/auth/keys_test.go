package auth_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
)

// counting is a store of one good key that counts the questions, and can be slow or away.
type counting struct {
	key   esh3ar.APIKey
	asked atomic.Int64
	plan  atomic.Pointer[string]
	takes time.Duration
	away  atomic.Bool
}

func (c *counting) KeyByHash(_ context.Context, hash esh3ar.KeyHash) (esh3ar.APIKey, error) {
	c.asked.Add(1)
	<-time.After(c.takes) // in a bubble of fake time
	switch {
	case c.away.Load():
		return esh3ar.APIKey{}, esh3ar.Errorf(esh3ar.StoreUnavailable, "no connection")
	case hash != c.key.Hash:
		return esh3ar.APIKey{}, esh3ar.Errorf(esh3ar.NotFound, "no key")
	}
	return c.key, nil
}

func (c *counting) Business(context.Context, esh3ar.BusinessID) (esh3ar.Business, error) {
	b := esh3ar.Business{ID: c.key.Business, Name: "Bank"}
	if plan := c.plan.Load(); plan != nil {
		b.Plan = *plan
	}
	return b, nil
}

func newCounting(takes time.Duration) *counting {
	return &counting{takes: takes, key: esh3ar.APIKey{ID: esh3ar.NewKeyID(), Business: esh3ar.NewBusinessID(), Hash: auth.HashOf("k")}}
}

func TestManyCallersAskTheStoreOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newCounting(10 * time.Millisecond)
		keys := auth.NewKeys(store, time.Now)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if caller, err := keys.Authenticate(t.Context(), "k"); err != nil || caller.Name != "Bank" {
					t.Errorf("%+v, %v", caller, err)
				}
			})
		}
		all.Wait()
		if n := store.asked.Load(); n != 1 {
			t.Errorf("the store was asked %d times", n)
		}
	})
}

// TestANewPlanIsSeenWithinASecond: also on a node that nobody can tell of it.
func TestANewPlanIsSeenWithinASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newCounting(0)
		keys := auth.NewKeys(store, time.Now)
		for i, plan := range []string{"", "gold", "silver", ""} {
			store.plan.Store(&plan)
			if i > 0 {
				<-time.After(time.Second + time.Millisecond)
			}
			if caller, err := keys.Authenticate(t.Context(), "k"); err != nil || caller.Plan != plan {
				t.Errorf("%+v, %v, want plan %q", caller, err, plan)
			}
		}
	})
}

func TestAKeyInUseIsRenewedBeforeItsTimeEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newCounting(0)
		keys := auth.NewKeys(store, time.Now)
		for range 100 { // ten seconds
			if _, err := keys.Authenticate(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			<-time.After(100 * time.Millisecond)
		}
		if n := store.asked.Load(); n < 15 || n > 25 {
			t.Errorf("the store was asked %d times in ten seconds", n)
		}
	})
}

// TestAnAbsenceOfTheStoreIsNotNoticed: a business whose key was good goes on for an hour, one that was not seen does not.
func TestAnAbsenceOfTheStoreIsNotNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newCounting(0)
		keys := auth.NewKeys(store, time.Now)
		if _, err := keys.Authenticate(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		store.away.Store(true)
		for range 59 {
			<-time.After(time.Minute)
			if _, err := keys.Authenticate(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := keys.Authenticate(t.Context(), "other"); esh3ar.CodeOf(err) != esh3ar.StoreUnavailable {
			t.Errorf("one that nobody knows: %v", err)
		}
		<-time.After(time.Minute)
		if _, err := keys.Authenticate(t.Context(), "k"); esh3ar.CodeOf(err) != esh3ar.StoreUnavailable {
			t.Errorf("after an hour: %v", err)
		}
	})
}

// TestARevocationOvertakesAnAnswerOnItsWay: what the store said before the revocation must not count after it, neither for
// who asks while the answer is still on its way nor for who asks later.
func TestARevocationOvertakesAnAnswerOnItsWay(t *testing.T) {
	t.Parallel()
	for name, early := range map[string]bool{"asked meanwhile": true, "asked later": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { revoke(t, early) })
		})
	}
}

func revoke(t *testing.T, early bool) {
	t.Helper()
	store := newCounting(100 * time.Millisecond)
	keys := auth.NewKeys(store, time.Now)
	first := make(chan struct{})
	go func() {
		defer close(first)
		_, _ = keys.Authenticate(t.Context(), "k")
	}()
	<-time.After(50 * time.Millisecond)
	keys.ForgetID(store.key.ID)
	if !early {
		<-first
	}
	for range 2 { // the second time it is remembered
		if _, err := keys.Authenticate(t.Context(), "k"); err != nil {
			t.Error(err)
		}
		<-first
		if n := store.asked.Load(); n != 2 {
			t.Errorf("the store was asked %d times, want 2", n)
		}
	}
}

// TestACallerWhoLeavesDoesNotSpoilItForTheOthers: they share his question.
func TestACallerWhoLeavesDoesNotSpoilItForTheOthers(t *testing.T) {
	t.Parallel()
	keys := auth.NewKeys(obedient{newCounting(0)}, time.Now)
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := keys.Authenticate(gone, "k"); err != nil {
		t.Error(err)
	}
}

// obedient is a store that heeds contexts.
type obedient struct{ *counting }

func (o obedient) KeyByHash(ctx context.Context, hash esh3ar.KeyHash) (esh3ar.APIKey, error) {
	if err := ctx.Err(); err != nil {
		return esh3ar.APIKey{}, err
	}
	return o.counting.KeyByHash(ctx, hash)
}

func BenchmarkAuthenticate(b *testing.B) {
	store := newCounting(0)
	key := auth.NewKeys(nil, time.Now).NewKey()
	store.key.Hash = auth.HashOf(key)
	keys := auth.NewKeys(store, time.Now)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := keys.Authenticate(b.Context(), key); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAnswersDoNotMix: two keys that are asked for at the same time get an answer each.
func TestAnswersDoNotMix(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keys := auth.NewKeys(newCounting(10*time.Millisecond), time.Now)
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if _, err := keys.Authenticate(t.Context(), "k"); err != nil {
					t.Error(err)
				}
			})
			all.Go(func() {
				if _, err := keys.Authenticate(t.Context(), "other"); err == nil || esh3ar.CodeOf(err) != esh3ar.Unauthenticated {
					t.Errorf("another key: %v", err)
				}
			})
		}
		all.Wait()
	})
}
