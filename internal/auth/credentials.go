package auth

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
)

// credentialStore is what Credentials needs of the store.
type credentialStore interface {
	swapStore
	esh3ar.CredentialStore
}

// Credentials keeps what a node knows of the credentials as the store has it: the key ring, the administrator's token, and
// the revocations of phones' tokens. It reads the store again and again; what this node changes is in force here at once.
type Credentials struct {
	store   credentialStore
	now     func() time.Time
	dir     string // of the secrets file
	ring    *keyring.Ring
	tokens  *Tokens
	admin   *Admin
	revoked *Revocations

	// OnRevoked is told of each new revocation, so that connections that were opened before it end; without a recipient a signing
	// key has ended, and every connection is meant. It must be set before Run, be quick, and may be called from several
	// goroutines; default: none.
	OnRevoked func(esh3ar.Revocation)
	// OnError is told of each reading that failed; default: none.
	OnError func(error)
}

// How often a node reads the store. What a node revokes is in force on the others so much later.
const (
	revokedEvery = 500 * time.Millisecond
	ringEvery    = 2 * time.Second // well below SignsAfter
	forgetEvery  = time.Hour
)

// openCredentials reads the ring and the revocations, and makes the ring where there is none.
func openCredentials(ctx context.Context, store credentialStore, now func() time.Time) (*Credentials, error) {
	ring, err := RingOf(ctx, store, now)
	if err != nil {
		return nil, err
	}
	c := &Credentials{
		store: store, now: now, ring: ring, admin: new(Admin), revoked: newRevocations(),
		OnRevoked: func(esh3ar.Revocation) {}, OnError: func(error) {},
	}
	c.tokens = newTokens(ring, c.revoked, now)
	return c, c.Refresh(ctx)
}

// Run reads the store until ctx ends.
func (c *Credentials) Run(ctx context.Context) error {
	var group errgroup.Group
	for _, one := range []struct {
		every time.Duration
		do    func(context.Context) error
	}{{revokedEvery, c.Refresh}, {ringEvery, c.readKeys}, {forgetEvery, c.forget}} {
		group.Go(func() error { c.repeat(ctx, one.every, one.do); return nil })
	}
	return group.Wait()
}

func (c *Credentials) repeat(ctx context.Context, every time.Duration, do func(context.Context) error) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		within, cancel := context.WithTimeout(ctx, askWithin)
		if err := do(within); err != nil && ctx.Err() == nil {
			c.OnError(err)
		}
		cancel()
	}
}

// readKeys reads the ring and the administrator's token.
func (c *Credentials) readKeys(ctx context.Context) error {
	_, keys, err := readRing(ctx, c.store)
	if err != nil {
		return err
	}
	hash, err := c.store.Setting(ctx, settingAdminHash)
	if err != nil {
		return err
	}
	return errors.Join(c.setRing(keys), c.admin.set(hash))
}

// setRing takes the ring that the store has, and reports keys that have ended before their time.
func (c *Credentials) setRing(keys []keyring.Key) error {
	before := c.ring.Members()
	if err := c.ring.Set(keys); err != nil {
		return err
	}
	if slices.ContainsFunc(before, func(m keyring.Member) bool { return !c.ring.Verifies(m.ID) }) {
		c.OnRevoked(esh3ar.Revocation{})
	}
	return nil
}

// Refresh reads the revocations that are new. A node that makes a token calls it before: a token is void that knows less than
// the revocations of its phone.
func (c *Credentials) Refresh(ctx context.Context) error {
	const step = 1000
	for {
		news, err := c.store.RevokedTokens(ctx, c.revoked.version(), step)
		if err != nil {
			return err
		}
		for _, r := range news {
			c.apply(r)
		}
		if len(news) < step {
			return nil
		}
	}
}

func (c *Credentials) apply(r esh3ar.Revocation) {
	if c.revoked.add(r) {
		c.OnRevoked(r)
	}
}

// forget drops the revocations that no token is old enough for.
func (c *Credentials) forget(ctx context.Context) error {
	before := esh3ar.TimeOf(c.now().Add(-MaxTokenTTL - clockMargin))
	c.revoked.forget(before)
	for {
		more, err := c.store.DeleteRevocations(ctx, before)
		if err != nil || !more {
			return err
		}
	}
}

// Revoke voids the tokens of a device that were made before, or of all devices of the phone where device is empty. It is
// stored when it returns, in force on this node at once, and on the others within revokedEvery and the time of a query.
func (c *Credentials) Revoke(ctx context.Context, r esh3ar.Recipient, device string) error {
	if c.revoked.full() {
		return esh3ar.Errorf(esh3ar.Overloaded, "%d revocations are in force; make a signing key that ends all others, which voids every token", maxRevocations)
	}
	revocation := esh3ar.Revocation{Recipient: r, Device: device, At: esh3ar.TimeOf(c.now())}
	if _, err := c.store.RevokeTokens(ctx, revocation); err != nil {
		return err
	}
	return c.Refresh(ctx) // those of other nodes that came before it too
}

// Rotate adds a signing key; see RotateKeys.
func (c *Credentials) Rotate(ctx context.Context, endOthers bool) error {
	keys, err := RotateKeys(ctx, c.store, c.now(), endOthers)
	if err != nil {
		return err
	}
	return c.setRing(keys)
}

// End ends a signing key; see EndKey.
func (c *Credentials) End(ctx context.Context, id string) error {
	keys, err := EndKey(ctx, c.store, c.now(), id)
	if err != nil {
		return err
	}
	return c.setRing(keys)
}

// SigningKey is a key of the ring as an administrator sees it.
type SigningKey struct {
	ID        string
	Public    string      // verifies the registry
	CreatedAt esh3ar.Time // zero: the store's first key
	SignsFrom esh3ar.Time // zero: as CreatedAt
	EndsAt    esh3ar.Time // zero: no end yet
	Signs     bool        // new tokens are signed with it
}

// SigningKeys returns the keys that verify, the newest first.
func (c *Credentials) SigningKeys() []SigningKey { return listKeys(c.ring) }

func listKeys(ring *keyring.Ring) (list []SigningKey) {
	signing, _ := ring.Signing()
	for _, m := range ring.Members() {
		list = append(list, SigningKey{
			ID: m.ID, Public: m.Public, CreatedAt: m.CreatedAt, SignsFrom: m.SignsFrom, EndsAt: m.EndsAt, Signs: m.ID == signing,
		})
	}
	return list
}

// RotateAdmin makes a new admin token and voids the one of before: on this node at once, on the others within ringEvery.
// The new one goes into the secrets file of this node, if that is there.
func (c *Credentials) RotateAdmin(ctx context.Context) (token string, err error) {
	if c.admin.fixed.Load() {
		return "", esh3ar.Errorf(esh3ar.InUse, "the admin token of this node is set by --admin-token; change it there")
	}
	token, hash, err := ResetAdmin(ctx, c.store, c.dir)
	if err != nil {
		return "", err
	}
	return token, c.admin.set(hash[:])
}

// ResetAdmin makes a new admin token for a store, which voids the one of before, and puts it into the secrets file of dir, if
// that is there. The file is written first: a crash leaves the token of before in force, or the new one in the file.
func ResetAdmin(ctx context.Context, store swapStore, dir string) (token string, hash esh3ar.KeyHash, err error) {
	old, err := store.Setting(ctx, settingAdminHash)
	if err != nil {
		return "", hash, err
	}
	token = "esa_" + secret()
	hash = HashOf(token)
	if err := replaceAdmin(dir, token); err != nil {
		return "", hash, err
	}
	return token, hash, store.SwapSetting(ctx, settingAdminHash, old, hash[:])
}
