package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cache"
	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
)

// Caller is a business that proved who it is.
type Caller struct {
	Business esh3ar.BusinessID
	Name     string
	Plan     string // empty: the default plan
}

// keyStore is what Keys needs of the store.
type keyStore interface {
	KeyByHash(ctx context.Context, hash esh3ar.KeyHash) (esh3ar.APIKey, error)
	businessStore
}

const (
	// fresh is how long an answer of the store stands: a key revoked elsewhere is in force at most that much longer.
	fresh = time.Second
	// grace is how long a key that was good is let in while the store cannot be asked: what its business sends then goes to
	// the spill. Nobody can revoke a key meanwhile, but on a node that reaches the store; if no word of that comes here
	// either, the key is in force here until the store answers, or so long.
	grace = time.Hour
	// keysKept bounds the keys remembered; beyond them those go that are used least.
	keysKept = 1 << 16
)

// Keys authenticates API keys. A key that was good within the last second is not looked up again. Keys that were not good
// before, and that this cluster has not made, are looked up at a bounded rate per address, and those that the store did not know are remembered in a bounded
// table. However many callers come at once, one of them asks
// the store for a key and the others take what he hears; while a key is in use he asks before the second is over, and
// nobody waits.
//
// Keys stay out of the second level of the cache: an answer from there is as old as the level's clock says, and a level
// that stood still would let a revoked key in for as long as it stood.
type Keys struct {
	store      keyStore
	known      *cache.Cache[esh3ar.KeyHash, Caller]
	businesses *businesses
	throttle   *throttle
	ring       *keyring.Ring // marks the keys that the cluster made; nil: none is marked
}

// NewKeys makes an authenticator over store for a node that is alone; now is the clock.
func NewKeys(store keyStore, now func() time.Time) *Keys { return NewSharedKeys(store, now, nil, nil) }

// NewSharedKeys makes one that hears of what other nodes revoke as soon as they do; at the latest it knows after a second.
// The ring marks the keys that are made, and recognises them; it may be nil.
func NewSharedKeys(store keyStore, now func() time.Time, shared *cache.Shared, ring *keyring.Ring) *Keys {
	k := &Keys{store: store, ring: ring, businesses: newBusinesses(store, now, shared), throttle: newThrottle(now)}
	k.known = cache.New(cache.Options[esh3ar.KeyHash, Caller]{
		Name: "key", Load: k.load, Keys: cache.KeyCodec[esh3ar.KeyHash]{Name: hashName, Parse: parseHash},
		Entries: keysKept, TTL: fresh, StaleIfError: grace, RefreshAhead: true, Timeout: askWithin, Now: now, Shared: shared,
	})
	return k
}

// askWithin bounds a question that several callers wait for: none of their contexts may end it for the others.
const askWithin = 2 * time.Second

func randomBytes() (raw [keySize]byte) {
	_, _ = rand.Read(raw[:]) // crypto/rand.Read never fails
	return raw
}

func secret() string {
	raw := randomBytes()
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// HashOf is what the store keeps of a key.
func HashOf(key string) esh3ar.KeyHash {
	var room [64]byte // a key of ours has 47 bytes: no allocation
	return sha256.Sum256(append(room[:0], key...))
}

func hashName(h esh3ar.KeyHash) string { return hex.EncodeToString(h[:]) }

func parseHash(name string) (h esh3ar.KeyHash, err error) {
	raw, err := hex.DecodeString(name)
	if err == nil && len(raw) != len(h) {
		err = hex.ErrLength
	}
	if err != nil {
		return h, err
	}
	return esh3ar.KeyHash(raw), nil
}

// Authenticate finds the business of a key: Unauthenticated for an unknown or revoked one, StoreUnavailable while the
// store cannot say, RateLimited if the address of the connection in ctx has asked for too many unknown keys.
func (k *Keys) Authenticate(ctx context.Context, key string) (Caller, error) {
	hash := HashOf(key)
	if k.throttle.wasGood(&hash) || isMarked(k.ring, key) {
		return k.find(ctx, hash)
	}
	conn := connlimit.FromContext(ctx)
	address := conn.Address()
	if err := k.throttle.admit(&hash, address, conn.Trusted()); err != nil {
		return Caller{}, err
	}
	caller, err := k.find(ctx, hash)
	if err == nil {
		k.throttle.found(&hash)
		k.throttle.giveBack(address)
	}
	return caller, err
}

// Refused returns how many keys were refused.
func (k *Keys) Refused() RefusedCredentials { return k.throttle.stats() }

// find asks cache and store for a key.
func (k *Keys) find(ctx context.Context, hash esh3ar.KeyHash) (Caller, error) {
	caller, found, err := k.known.Get(ctx, hash)
	var ours *esh3ar.Error
	switch {
	case err == nil && found:
		return caller, nil
	case err == nil:
		k.throttle.notFound(&hash)
		return Caller{}, errUnknownKey
	case errors.As(err, &ours):
		return Caller{}, ours
	case ctx.Err() != nil:
		return Caller{}, esh3ar.Errorf(esh3ar.Abandoned, "look up API key: %w", err)
	default:
		return Caller{}, esh3ar.Errorf(esh3ar.Internal, "look up API key: %w", err)
	}
}

// ForgetID drops what is known of a key, as after its revocation on this node, here and on every node that can be reached.
func (k *Keys) ForgetID(id esh3ar.KeyID) {
	k.known.InvalidateTags(context.Background(), id.String()) // bounded by Shared, and not by a caller who leaves
}

// ForgetBusiness drops what is known of a business, as after a change of its plan.
func (k *Keys) ForgetBusiness(id esh3ar.BusinessID) {
	k.businesses.forget(id)
	k.known.InvalidateTags(context.Background(), id.String()) // after the business: a key is loaded with it
}

// Stats reads the counts of the caches.
func (k *Keys) Stats() []cache.Stats {
	return []cache.Stats{k.known.Stats(), k.businesses.cache.Stats()}
}

// load asks the store for keys: for one at a time, as Authenticate does.
func (k *Keys) load(ctx context.Context, hashes []esh3ar.KeyHash) ([]cache.Entry[Caller], error) {
	entries := make([]cache.Entry[Caller], len(hashes))
	for i, hash := range hashes {
		var err error
		if entries[i], err = k.ask(ctx, hash); err != nil {
			return nil, esh3ar.Errorf(esh3ar.StoreUnavailable, "look up API key: %w", err)
		}
	}
	return entries, nil
}

func (k *Keys) ask(ctx context.Context, hash esh3ar.KeyHash) (e cache.Entry[Caller], err error) {
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

// unlessNotFound is an error of the store, if it is not an answer.
func unlessNotFound(err error) error {
	if err != nil && esh3ar.CodeOf(err) == esh3ar.NotFound {
		return nil
	}
	return err
}
