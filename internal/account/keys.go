package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"sync/atomic"
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
// always is, so that a flood of made-up keys cannot fill the memory. However many callers come at once, one of them asks
// the store for a key and the others take what he hears; while a key is in use he asks before the second is over, and
// nobody waits.
type Keys struct {
	store keyStore
	now   func() time.Time
	mu    struct {
		sync.RWMutex
		known     map[esh3ar.KeyHash]*knownKey
		asking    map[esh3ar.KeyHash]*question // one for each caller who waits, at most
		forgotten uint64                       // counts ForgetID: an answer that was on its way then is not remembered
	}
}

type knownKey struct {
	caller  Caller
	id      esh3ar.KeyID
	asked   time.Time
	renewed atomic.Bool // somebody asks again already
}

// stands tells whether the answer is good without asking again. In the second half of its time the first who wants to
// know is told no, so that it is renewed before it ends.
func (n *knownKey) stands(now time.Time) bool {
	age := now.Sub(n.asked)
	return age < fresh/2 || age < fresh && n.renewed.Swap(true)
}

// NewKeys makes an authenticator over store; now is the clock.
func NewKeys(store keyStore, now func() time.Time) *Keys {
	k := &Keys{store: store, now: now}
	k.mu.known, k.mu.asking = map[esh3ar.KeyHash]*knownKey{}, map[esh3ar.KeyHash]*question{}
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
func HashOf(key string) esh3ar.KeyHash {
	var room [64]byte // a key of ours has 47 bytes: no allocation
	return sha256.Sum256(append(room[:0], key...))
}

// Authenticate finds the business of a key: Unauthenticated for an unknown or revoked one, StoreUnavailable while the
// store cannot say.
func (k *Keys) Authenticate(ctx context.Context, key string) (Caller, error) {
	hash := HashOf(key)
	k.mu.RLock()
	known := k.mu.known[hash]
	k.mu.RUnlock()
	if known != nil && known.stands(k.now()) {
		return known.caller, nil
	}
	renewed, err := k.renew(ctx, hash)
	switch {
	case err == nil:
		return renewed.caller, nil
	case known != nil && esh3ar.CodeOf(err) != esh3ar.Unauthenticated && k.now().Sub(known.asked) < fresh:
		return known.caller, nil // the store is away, and what it said last still stands
	default:
		return Caller{}, err
	}
}

// askWithin bounds a question that several callers wait for: none of their contexts may end it for the others.
const askWithin = 5 * time.Second

// question is one look-up that everybody who needs it waits for.
type question struct {
	done  chan struct{}
	known *knownKey // both written before done is closed
	err   error
}

// renew asks the store once for all who want to know.
func (k *Keys) renew(ctx context.Context, hash esh3ar.KeyHash) (*knownKey, error) {
	k.mu.Lock()
	q, asked := k.mu.asking[hash]
	if !asked {
		q = &question{done: make(chan struct{}), err: esh3ar.Errorf(esh3ar.Internal, "look up API key: no answer")}
		k.mu.asking[hash] = q
	}
	forgotten := k.mu.forgotten
	k.mu.Unlock()
	if !asked {
		defer k.settle(hash, q, forgotten)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askWithin)
		defer cancel()
		q.known, q.err = k.ask(ctx, hash)
		return q.known, q.err
	}
	select {
	case <-q.done:
		return q.known, q.err
	case <-ctx.Done():
		return nil, esh3ar.Errorf(esh3ar.Abandoned, "look up API key: %w", context.Cause(ctx))
	}
}

// settle remembers the answer, unless a key was forgotten meanwhile, and lets all who wait have it.
func (k *Keys) settle(hash esh3ar.KeyHash, q *question, forgotten uint64) {
	k.mu.Lock()
	if k.mu.asking[hash] == q {
		delete(k.mu.asking, hash)
	}
	switch {
	case q.err == nil && forgotten == k.mu.forgotten:
		if len(k.mu.known) >= cacheLimit {
			clear(k.mu.known)
		}
		k.mu.known[hash] = q.known
	case q.err != nil && esh3ar.CodeOf(q.err) == esh3ar.Unauthenticated:
		delete(k.mu.known, hash)
	}
	k.mu.Unlock()
	close(q.done)
}

// ForgetID drops what is known of a key, as after its revocation on this node.
func (k *Keys) ForgetID(id esh3ar.KeyID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.forgotten++
	clear(k.mu.asking) // who comes now asks anew; those who wait came before
	for hash, known := range k.mu.known {
		if known.id == id {
			delete(k.mu.known, hash)
		}
	}
}

func (k *Keys) ask(ctx context.Context, hash esh3ar.KeyHash) (*knownKey, error) {
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
		return &knownKey{caller: Caller{business.ID, business.Name}, id: key.ID, asked: asked}, nil
	case esh3ar.CodeOf(err) == esh3ar.NotFound:
		return nil, esh3ar.Errorf(esh3ar.Unauthenticated, "the API key is unknown or revoked")
	default:
		return nil, esh3ar.Errorf(esh3ar.StoreUnavailable, "look up API key: %w", err)
	}
}
