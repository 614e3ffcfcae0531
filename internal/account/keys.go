package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

// Caller is a business that proved who it is.
type Caller struct {
	Business esh3ar.BusinessID
	Name     string
}

// keyStore is what Keys needs of the store.
type keyStore interface {
	KeyByHash(ctx context.Context, hash esh3ar.KeyHash) (esh3ar.APIKey, error)
	Business(ctx context.Context, id esh3ar.BusinessID) (esh3ar.Business, error)
}

const (
	// fresh is how long an answer of the store stands: a key revoked elsewhere is in force that much longer.
	fresh = time.Second
	// cacheLimit bounds the keys remembered; when there are more, all are forgotten and asked for again.
	cacheLimit = 1 << 16
)

// Keys authenticates API keys. A key that was good within the last second is not looked up again; a key that is bad
// always is, so that a flood of made-up keys cannot fill the memory.
type Keys struct {
	store keyStore
	now   func() time.Time
	mu    struct {
		sync.RWMutex
		known map[esh3ar.KeyHash]knownKey
	}
}

type knownKey struct {
	caller Caller
	id     esh3ar.KeyID
	asked  time.Time
}

// NewKeys makes an authenticator over store; now is the clock.
func NewKeys(store keyStore, now func() time.Time) *Keys {
	k := &Keys{store: store, now: now}
	k.mu.known = map[esh3ar.KeyHash]knownKey{}
	return k
}

// NewKey makes up an API key of 256 bits.
func NewKey() string { return "esk_" + secret() }

func secret() string {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // crypto/rand.Read never fails
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// HashOf is what the store keeps of a key.
func HashOf(key string) esh3ar.KeyHash { return sha256.Sum256([]byte(key)) }

// Authenticate finds the business of a key: Unauthenticated for an unknown or revoked one, StoreUnavailable while the
// store cannot say.
func (k *Keys) Authenticate(ctx context.Context, key string) (Caller, error) {
	hash := HashOf(key)
	k.mu.RLock()
	known, ok := k.mu.known[hash]
	k.mu.RUnlock()
	if ok && k.now().Sub(known.asked) < fresh {
		return known.caller, nil
	}
	known, err := k.ask(ctx, hash)
	if err != nil {
		k.Forget(hash)
		return Caller{}, err
	}
	k.mu.Lock()
	if len(k.mu.known) >= cacheLimit {
		clear(k.mu.known)
	}
	k.mu.known[hash] = known
	k.mu.Unlock()
	return known.caller, nil
}

// Forget drops what is known of a key, as after its revocation on this node.
func (k *Keys) Forget(hash esh3ar.KeyHash) {
	k.mu.Lock()
	delete(k.mu.known, hash)
	k.mu.Unlock()
}

// ForgetID is Forget for one who has only the key's id.
func (k *Keys) ForgetID(id esh3ar.KeyID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for hash, known := range k.mu.known {
		if known.id == id {
			delete(k.mu.known, hash)
		}
	}
}

func (k *Keys) ask(ctx context.Context, hash esh3ar.KeyHash) (knownKey, error) {
	asked := k.now() // before the store is: a revocation between the two must not be missed for longer
	key, err := k.store.KeyByHash(ctx, hash)
	if err == nil && !key.RevokedAt.IsZero() {
		err = esh3ar.Errorf(esh3ar.NotFound, "revoked")
	}
	var business esh3ar.Business
	if err == nil {
		business, err = k.store.Business(ctx, key.Business)
	}
	switch {
	case err == nil:
		return knownKey{Caller{business.ID, business.Name}, key.ID, asked}, nil
	case esh3ar.CodeOf(err) == esh3ar.NotFound:
		return knownKey{}, esh3ar.Errorf(esh3ar.Unauthenticated, "the API key is unknown or revoked")
	default:
		return knownKey{}, esh3ar.Errorf(esh3ar.StoreUnavailable, "look up API key: %w", err)
	}
}
