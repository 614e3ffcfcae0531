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

// fakeKeyStore is a store with one key. It counts lookups, and it can be slow or unavailable.
type fakeKeyStore struct {
	key   esh3ar.APIKey
	asked atomic.Int64
	plan  atomic.Pointer[string]
	takes time.Duration
	away  atomic.Bool
}

func (c *fakeKeyStore) KeyByHash(_ context.Context, hash esh3ar.KeyHash) (esh3ar.APIKey, error) {
	c.asked.Add(1)
	<-time.After(c.takes) // synctest's clock
	if c.away.Load() {
		return esh3ar.APIKey{}, esh3ar.Errorf(esh3ar.StoreUnavailable, "no connection")
	}
	if hash != c.key.Hash {
		return esh3ar.APIKey{}, esh3ar.Errorf(esh3ar.NotFound, "no key")
	}
	return c.key, nil
}

func (c *fakeKeyStore) Business(context.Context, esh3ar.BusinessID) (esh3ar.Business, error) {
	b := esh3ar.Business{ID: c.key.Business, Name: "Bank"}
	if plan := c.plan.Load(); plan != nil {
		b.Plan = *plan
	}
	return b, nil
}

func newFakeKeyStore(takes time.Duration) *fakeKeyStore {
	return &fakeKeyStore{takes: takes, key: esh3ar.APIKey{ID: esh3ar.NewKeyID(), Business: esh3ar.NewBusinessID(), Hash: auth.HashOf("k")}}
}

func TestKeys_ConcurrentCallers_ShareOneLookup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFakeKeyStore(10 * time.Millisecond)
		keys := auth.NewKeys(store, time.Now)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if caller, err := keys.Authenticate(t.Context(), "k"); err != nil || caller.Name != "Bank" {
					t.Errorf("got caller %+v, %v; want Bank", caller, err)
				}
			})
		}
		all.Wait()
		if n := store.asked.Load(); n != 1 {
			t.Errorf("got %d lookups, want 1", n)
		}
	})
}

// TestKeys_PlanChangedElsewhere_IsSeenWithinASecond covers a node that receives no invalidation.
func TestKeys_PlanChangedElsewhere_IsSeenWithinASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFakeKeyStore(0)
		keys := auth.NewKeys(store, time.Now)
		for i, plan := range []string{"", "gold", "silver", ""} {
			store.plan.Store(&plan)
			if i > 0 {
				<-time.After(time.Second + time.Millisecond)
			}
			if caller, err := keys.Authenticate(t.Context(), "k"); err != nil || caller.Plan != plan {
				t.Errorf("got caller %+v, %v; want plan %q", caller, err, plan)
			}
		}
	})
}

func TestKeys_InUse_IsRenewedBeforeExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFakeKeyStore(0)
		keys := auth.NewKeys(store, time.Now)
		for range 100 { // ten seconds
			if _, err := keys.Authenticate(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			<-time.After(100 * time.Millisecond)
		}
		if n := store.asked.Load(); n < 15 || n > 25 {
			t.Errorf("got %d lookups in ten seconds, want 15 to 25", n)
		}
	})
}

// TestKeys_StoreUnavailable_CachedKeysStayValid: a cached key stays valid for an hour; an unknown one is not accepted.
func TestKeys_StoreUnavailable_CachedKeysStayValid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFakeKeyStore(0)
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
			t.Errorf("unknown key: got %v, want StoreUnavailable", err)
		}
		<-time.After(time.Minute)
		if _, err := keys.Authenticate(t.Context(), "k"); esh3ar.CodeOf(err) != esh3ar.StoreUnavailable {
			t.Errorf("cached key after an hour: got %v, want StoreUnavailable", err)
		}
	})
}

// TestKeys_RevokedDuringLookup_ResultIsDiscarded: a result from before the revocation must not be used after it, neither by
// callers during that lookup nor by later ones.
func TestKeys_RevokedDuringLookup_ResultIsDiscarded(t *testing.T) {
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
	store := newFakeKeyStore(100 * time.Millisecond)
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
	for range 2 { // the second call uses the cache
		if _, err := keys.Authenticate(t.Context(), "k"); err != nil {
			t.Error(err)
		}
		<-first
		if n := store.asked.Load(); n != 2 {
			t.Errorf("got %d lookups, want 2", n)
		}
	}
}

// TestKeys_CallerCanceled_SharedLookupContinues: the context of one caller must not end the lookup of the others.
func TestKeys_CallerCanceled_SharedLookupContinues(t *testing.T) {
	t.Parallel()
	keys := auth.NewKeys(contextStore{newFakeKeyStore(0)}, time.Now)
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := keys.Authenticate(gone, "k"); err != nil {
		t.Error(err)
	}
}

// contextStore is a store that checks the context.
type contextStore struct{ *fakeKeyStore }

func (o contextStore) KeyByHash(ctx context.Context, hash esh3ar.KeyHash) (esh3ar.APIKey, error) {
	if err := ctx.Err(); err != nil {
		return esh3ar.APIKey{}, err
	}
	return o.fakeKeyStore.KeyByHash(ctx, hash)
}

func BenchmarkAuthenticate(b *testing.B) {
	store := newFakeKeyStore(0)
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

// TestKeys_ConcurrentKeys_GetTheirOwnResult looks two keys up at the same time.
func TestKeys_ConcurrentKeys_GetTheirOwnResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keys := auth.NewKeys(newFakeKeyStore(10*time.Millisecond), time.Now)
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if _, err := keys.Authenticate(t.Context(), "k"); err != nil {
					t.Error(err)
				}
			})
			all.Go(func() {
				if _, err := keys.Authenticate(t.Context(), "other"); err == nil || esh3ar.CodeOf(err) != esh3ar.Unauthenticated {
					t.Errorf("unknown key: got %v, want Unauthenticated", err)
				}
			})
		}
		all.Wait()
	})
}
