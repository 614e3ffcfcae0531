package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cache"
	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
)

// Caller is an authenticated business.
type Caller struct {
	Business esh3ar.BusinessID
	Name     string
	Plan     string // empty: the default plan
}

// keyStore is the part of the store that Keys uses.
type keyStore interface {
	KeyByHash(ctx context.Context, hash esh3ar.KeyHash) (esh3ar.APIKey, error)
	businessStore
}

const (
	// keyTTL is how long a result of the store is cached. A key revoked on another node stays valid for at most that long.
	keyTTL = time.Second
	// grace is how long a cached key stays valid while the store is unavailable; calls of its business then go to the spill.
	// During that time only nodes that reach the store can revoke the key. If their invalidation does not arrive either, the
	// key stays valid here until the store answers, or until grace ends.
	grace = time.Hour
	// maxCachedKeys bounds the cached keys; the least recently used are evicted.
	maxCachedKeys = 1 << 16
)

// Keys authenticates API keys. A valid key is cached for a second. Keys that were not valid before, and that this cluster has not
// created, are looked up at a limited rate per address, and unknown keys are cached in a table of fixed size. Concurrent callers with
// the same key share one lookup. While a key is in use it is renewed before its cache entry expires, so no caller waits.
//
// Keys are not stored in the shared cache: if that cache hung, a revoked key would stay valid for as long as it hangs.
type Keys struct {
	store      keyStore
	known      *cache.Cache[esh3ar.KeyHash, Caller]
	businesses *businesses
	throttle   *throttle
	ring       *keyring.Ring // marks the keys that the cluster made; nil: none is marked
}

// NewKeys returns an authenticator for a single node; now is the clock.
func NewKeys(store keyStore, now func() time.Time) *Keys { return NewSharedKeys(store, now, nil, nil) }

// NewSharedKeys returns an authenticator that receives revocations by other nodes at once, and polls for missed ones within a second.
// shared is nil on a single node. ring marks and recognises the keys that the cluster creates; nil for none.
func NewSharedKeys(store keyStore, now func() time.Time, shared *cache.Shared, ring *keyring.Ring) *Keys {
	k := &Keys{store: store, ring: ring, businesses: newBusinesses(store, now, shared), throttle: newThrottle(now)}
	k.known = cache.New(cache.Options[esh3ar.KeyHash, Caller]{
		Name: "key", Load: k.load, Keys: cache.KeyCodec[esh3ar.KeyHash]{Name: hashName, Parse: parseHash},
		Entries: maxCachedKeys, TTL: keyTTL, StaleIfError: grace, RefreshAhead: true, Timeout: lookupTimeout, Now: now, Shared: shared,
	})
	return k
}

// lookupTimeout bounds a lookup that several callers share. The contexts of the callers do not end it.
const lookupTimeout = 2 * time.Second

// randomBytes returns keySize random bytes.
func randomBytes() (raw [keySize]byte) {
	_, _ = rand.Read(raw[:]) // crypto/rand.Read never fails
	return raw
}

// secret returns 256 random bits in base64url.
func secret() string {
	raw := randomBytes()
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// HashOf returns the hash under which the store has a key.
func HashOf(key string) esh3ar.KeyHash {
	var room [64]byte // fits an API key of 47 bytes, which avoids an allocation
	return sha256.Sum256(append(room[:0], key...))
}

func hashName(h esh3ar.KeyHash) string { return hex.EncodeToString(h[:]) }

func parseHash(name string) (esh3ar.KeyHash, error) {
	var h esh3ar.KeyHash
	raw, err := hex.DecodeString(name)
	if err == nil && len(raw) != len(h) {
		err = hex.ErrLength
	}
	if err != nil {
		return h, err
	}
	return esh3ar.KeyHash(raw), nil
}

// Authenticate returns the business of a key. It returns Unauthenticated if the key is unknown or revoked, StoreUnavailable
// if the store does not answer, and RateLimited if the address of the connection in ctx has tried too many unknown keys.
func (k *Keys) Authenticate(ctx context.Context, key string) (Caller, error) {
	hash := HashOf(key)
	if k.throttle.wasGood(&hash) {
		return k.find(ctx, hash)
	}
	return k.findNew(ctx, key, hash)
}

// findNew looks up a key that was not good on this node before. A key that the store did not know a moment ago is not looked up again.
// Keys without a valid mark of the cluster are also held to the rate of their address.
func (k *Keys) findNew(ctx context.Context, key string, hash esh3ar.KeyHash) (Caller, error) {
	if k.throttle.isUnknown(&hash) {
		return Caller{}, errUnknownKey
	}
	marked := isMarked(k.ring, key)
	conn := connlimit.FromContext(ctx)
	address := conn.Address()
	if !marked {
		if err := k.throttle.admit(address, conn.Trusted()); err != nil {
			return Caller{}, err
		}
	}
	caller, err := k.find(ctx, hash)
	if err != nil {
		return caller, err
	}
	k.throttle.found(&hash)
	if !marked {
		k.throttle.giveBack(address)
	}
	return caller, nil
}

// Refused returns the counts of rejected keys.
func (k *Keys) Refused() RefusedCredentials { return k.throttle.stats() }

// find looks a key up in the cache and the store.
func (k *Keys) find(ctx context.Context, hash esh3ar.KeyHash) (Caller, error) {
	caller, found, err := k.known.Get(ctx, hash)
	if err != nil {
		return Caller{}, lookupError(ctx, err)
	}
	if !found {
		k.throttle.notFound(&hash)
		return Caller{}, errUnknownKey
	}
	return caller, nil
}

// lookupError gives the error of a failed lookup its code.
func lookupError(ctx context.Context, err error) error {
	if ours := (*esh3ar.Error)(nil); errors.As(err, &ours) {
		return ours
	}
	code := esh3ar.Internal
	if ctx.Err() != nil {
		code = esh3ar.Abandoned
	}
	return esh3ar.Errorf(code, "look up API key: %w", err)
}

// ForgetID drops a key from the caches of all reachable nodes, after its revocation by this node.
func (k *Keys) ForgetID(id esh3ar.KeyID) {
	k.known.InvalidateTags(context.Background(), id.String()) // bounded by Shared; the caller's context must not end it
}

// ForgetBusiness drops a business and its keys from the caches of all reachable nodes, after a change of its plan.
func (k *Keys) ForgetBusiness(id esh3ar.BusinessID) {
	k.businesses.forget(id)
	k.known.InvalidateTags(context.Background(), id.String()) // after the business, because loading a key reads it
}

// Stats returns the statistics of the caches.
func (k *Keys) Stats() []cache.Stats {
	return []cache.Stats{k.known.Stats(), k.businesses.cache.Stats()}
}

// load reads keys from the store, one at a time.
func (k *Keys) load(ctx context.Context, hashes []esh3ar.KeyHash) ([]cache.Entry[Caller], error) {
	entries := make([]cache.Entry[Caller], len(hashes))
	for i, hash := range hashes {
		var err error
		if entries[i], err = k.readKey(ctx, hash); err != nil {
			return nil, unverifiedKey(err)
		}
	}
	return entries, nil
}

// unverifiedKey returns the error for a key that the store could not look up. The key may be good, so it is not refused.
func unverifiedKey(err error) error {
	e := &esh3ar.Error{
		Code: esh3ar.StoreUnavailable,
		Text: "the store does not answer, and this node has not verified this API key in the last hour; calls with keys that it has verified " +
			"continue, and another node may know this key; this call stored nothing",
		Err: fmt.Errorf("look up API key: %w", err),
	}
	if cause, ok := errors.AsType[*esh3ar.Error](err); ok {
		e.RetryAfter = cause.RetryAfter
	}
	return e
}

// readKey reads one key and its business from the store.
func (k *Keys) readKey(ctx context.Context, hash esh3ar.KeyHash) (cache.Entry[Caller], error) {
	var e cache.Entry[Caller]
	key, err := k.store.KeyByHash(ctx, hash)
	if err != nil || !key.RevokedAt.IsZero() {
		return e, unlessNotFound(err)
	}
	business, found, err := k.businesses.find(ctx, key.Business)
	if err != nil || !found {
		return e, err
	}
	caller := Caller{Business: business.ID, Name: business.Name, Plan: business.Plan}
	return cache.Entry[Caller]{Value: caller, Found: true, Tags: []string{key.ID.String(), business.ID.String()}}, nil
}

// unlessNotFound returns err, or nil if it is NotFound.
func unlessNotFound(err error) error {
	if err != nil && esh3ar.CodeOf(err) == esh3ar.NotFound {
		return nil
	}
	return err
}
