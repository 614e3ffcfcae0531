package auth_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
)

// from returns the context of calls from an address.
func from(t *testing.T, address string) context.Context {
	t.Helper()
	c := connlimit.New(connlimit.Options{}).Admit(&net.TCPAddr{IP: net.ParseIP(address), Port: 1}, func() {})
	return connlimit.WithConn(t.Context(), c)
}

// TestKeys_FloodOfUnknownKeys_LimitsLookups: 10,000 bad keys of one address cost at most its burst, and good keys are served: one
// that is known from the same address, and one that is not from another.
func TestKeys_FloodOfUnknownKeys_LimitsLookups(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	store := newFakeKeyStore(0)
	keys, others := auth.NewKeys(store, func() time.Time { return now }), auth.NewKeys(store, func() time.Time { return now })
	flooder := from(t, "2001:db8::1")
	if _, err := keys.Authenticate(flooder, "k"); err != nil {
		t.Fatal(err)
	}
	before := store.asked.Load()
	refused := map[esh3ar.Code]int{}
	for i := range 10_000 {
		for _, k := range []*auth.Keys{keys, others} {
			_, err := k.Authenticate(from(t, fmt.Sprintf("2001:db8::%x", i+1)), fmt.Sprint("bad", i)) // one /64
			refused[esh3ar.CodeOf(err)]++
		}
	}
	if asked := store.asked.Load() - before; asked > 400 {
		t.Errorf("the store was asked %d times, want at most 200 by each", asked)
	}
	if refused[esh3ar.RateLimited] < 19_000 || refused[esh3ar.Unauthenticated] == 0 {
		t.Errorf("answers are %v, want most of them rate_limited and the first ones unauthenticated", refused)
	}
	now = now.Add(10 * time.Millisecond) // nothing of the rate has come back
	keys.ForgetBusiness(store.key.Business)
	if _, err := keys.Authenticate(flooder, "k"); err != nil {
		t.Errorf("a key that was good, from the address of the flood: %v", err)
	}
	if _, err := others.Authenticate(from(t, "192.0.2.1"), "k"); err != nil {
		t.Errorf("a good key that is not known yet, from another address: %v", err)
	}
	if got := keys.Refused(); got.Throttled == 0 || got.Unknown == 0 {
		t.Errorf("counts are %+v, want some unknown and some throttled", got)
	}
	now = now.Add(time.Minute)
	if _, err := keys.Authenticate(flooder, "bad1"); esh3ar.CodeOf(err) != esh3ar.Unauthenticated {
		t.Errorf("after a minute: %v, want unauthenticated", err)
	}
}

func TestKeys_SameUnknownKeyAgain_IsNotLookedUp(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	store := newFakeKeyStore(0)
	keys := auth.NewKeys(store, func() time.Time { return now })
	for range 1000 {
		if _, err := keys.Authenticate(from(t, "192.0.2.1"), "bad"); esh3ar.CodeOf(err) != esh3ar.Unauthenticated {
			t.Fatalf("got %v, want unauthenticated", err)
		}
	}
	if got := store.asked.Load(); got != 1 {
		t.Errorf("the store was asked %d times, want once", got)
	}
}

// TestKeys_ManyGoodKeys_AreNotThrottled: what is found costs nothing of the rate.
func TestKeys_ManyGoodKeys_AreNotThrottled(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	store := newFakeKeyStore(0)
	keys := auth.NewKeys(store, func() time.Time { return now })
	for i := range 1000 {
		key := fmt.Sprint("good", i)
		store.key.Hash = auth.HashOf(key)
		if _, err := keys.Authenticate(from(t, "192.0.2.1"), key); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
}

// TestKeys_FloodFromOneAddress_KeysOfTheClusterAreServed: a good key that the node has not seen comes from the address of a flood of
// bad keys. The texts of the flood have the form of keys.
func TestKeys_FloodFromOneAddress_KeysOfTheClusterAreServed(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	clock := func() time.Time { return now }
	store := newFakeKeyStore(0)
	ring := keyring.Generate(clock)
	other := keyring.Generate(clock)
	keys := auth.NewSharedKeys(store, clock, nil, ring)
	flooder := from(t, "192.0.2.1")
	forger := auth.NewSharedKeys(store, clock, nil, other)
	for range 1000 {
		if _, err := keys.Authenticate(flooder, forger.NewKey()); err == nil {
			t.Fatal("a key that the store does not know is good")
		}
	}
	if asked := store.asked.Load(); asked > 200 {
		t.Errorf("the store was asked %d times for keys of another ring, want at most 200", asked)
	}
	key := keys.NewKey()
	if _, err := keys.Authenticate(flooder, key[:len(key)-3]+"AAA"); esh3ar.CodeOf(err) != esh3ar.RateLimited {
		t.Errorf("a changed key: %v, want rate_limited", err)
	}
	store.key.Hash = auth.HashOf(key)
	if _, err := keys.Authenticate(flooder, key); err != nil {
		t.Errorf("a good key that this node has not seen: %v", err)
	}
}

// TestKeys_MarkedKeyInUse_CostsNoSecondCheck: the mark of a key is verified on first sight only, since every call authenticates.
func TestKeys_MarkedKeyInUse_CostsNoSecondCheck(t *testing.T) { // not parallel: it counts allocations
	store, ring := newFakeKeyStore(0), keyring.Generate(time.Now)
	keys := auth.NewSharedKeys(store, time.Now, nil, ring)
	key := keys.NewKey()
	store.key.Hash = auth.HashOf(key)
	ctx := from(t, "192.0.2.1")
	allocations := testing.AllocsPerRun(100, func() {
		if _, err := keys.Authenticate(ctx, key); err != nil {
			t.Fatal(err)
		}
	})
	if allocations != 0 {
		t.Errorf("got %v allocations per call, want 0", allocations)
	}
}

// TestKeys_RevokedMarkedKey_LimitsLookups: the mark of a revoked key stays valid, so its owner could ask the store again and again.
func TestKeys_RevokedMarkedKey_LimitsLookups(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	clock := func() time.Time { return now }
	store := newFakeKeyStore(0)
	keys := auth.NewSharedKeys(store, clock, nil, keyring.Generate(clock))
	revoked, ctx := keys.NewKey(), from(t, "192.0.2.1")
	for range 1000 {
		if _, err := keys.Authenticate(ctx, revoked); esh3ar.CodeOf(err) != esh3ar.Unauthenticated {
			t.Fatalf("got %v, want unauthenticated", err)
		}
	}
	if asked := store.asked.Load(); asked > 1 {
		t.Errorf("the store was asked %d times, want once", asked)
	}
}
