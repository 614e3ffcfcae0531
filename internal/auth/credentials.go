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

// credentialStore is the part of the store that Credentials uses.
type credentialStore interface {
	swapStore
	esh3ar.CredentialStore
}

// Credentials keeps a node's credentials up to date with the store: the key ring, the administrator's token, and the
// revocations of device tokens. It polls the store. Changes made by this node take effect here at once.
type Credentials struct {
	store   credentialStore
	now     func() time.Time
	dir     string // directory of the secrets file; empty for none
	ring    *keyring.Ring
	tokens  *Tokens
	admin   *Admin
	revoked *Revocations

	// OnRevoked is called for each new revocation, so that existing connections can be closed. A revocation without a
	// recipient means that a signing key has ended; every connection must then be checked. OnRevoked must be set before Run,
	// return quickly, and be safe for concurrent use. Default: no call.
	OnRevoked func(esh3ar.Revocation)
	// OnError is called for each failed poll. Default: no call.
	OnError func(error)
}

// Polling intervals. They bound the time after which a revocation by one node takes effect on the others.
const (
	revocationInterval = 500 * time.Millisecond
	ringInterval       = 2 * time.Second // well below SignsAfter
	forgetInterval     = time.Hour
)

// newCredentials reads the ring and the revocations. It creates the ring if there is none.
func newCredentials(ctx context.Context, store credentialStore, now func() time.Time) (*Credentials, error) {
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

// Run polls the store until ctx ends.
func (c *Credentials) Run(ctx context.Context) error {
	var group errgroup.Group
	for _, one := range []struct {
		every time.Duration
		do    func(context.Context) error
	}{{revocationInterval, c.Refresh}, {ringInterval, c.refreshKeys}, {forgetInterval, c.forget}} {
		group.Go(func() error { c.poll(ctx, one.every, one.do); return nil })
	}
	return group.Wait()
}

// poll calls do at every interval until ctx ends.
func (c *Credentials) poll(ctx context.Context, every time.Duration, do func(context.Context) error) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		within, cancel := context.WithTimeout(ctx, lookupTimeout)
		if err := do(within); err != nil && ctx.Err() == nil {
			c.OnError(err)
		}
		cancel()
	}
}

// refreshKeys reads the ring and the administrator's token.
func (c *Credentials) refreshKeys(ctx context.Context) error {
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

// setRing applies the ring from the store. It calls OnRevoked if a key has ended early.
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

// Refresh reads new revocations. A node must call it before it creates a token: a token is void if its version is lower than
// a revocation of its phone.
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

// forget drops revocations that are older than any valid token.
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

// Revoke voids the tokens created so far for a device, or for all devices of the phone if device is empty. When Revoke
// returns, the revocation is stored and in force on this node. Other nodes apply it within revokedEvery plus the time of a
// query.
func (c *Credentials) Revoke(ctx context.Context, r esh3ar.Recipient, device string) error {
	if c.revoked.full() {
		return esh3ar.Errorf(esh3ar.Overloaded, "%d revocations are in force; make a signing key that ends all others, which voids every token", maxRevocations)
	}
	revocation := esh3ar.Revocation{Recipient: r, Device: device, At: esh3ar.TimeOf(c.now())}
	if _, err := c.store.RevokeTokens(ctx, revocation); err != nil {
		return err
	}
	return c.Refresh(ctx) // also reads earlier revocations by other nodes
}

// Rotate adds a signing key, see RotateKeys.
func (c *Credentials) Rotate(ctx context.Context, endOthers bool) error {
	keys, err := RotateKeys(ctx, c.store, c.now(), endOthers)
	if err != nil {
		return err
	}
	return c.setRing(keys)
}

// End ends a signing key, see EndKey.
func (c *Credentials) End(ctx context.Context, id string) error {
	keys, err := EndKey(ctx, c.store, c.now(), id)
	if err != nil {
		return err
	}
	return c.setRing(keys)
}

// SigningKey describes a key of the ring to an administrator.
type SigningKey struct {
	ID        string
	Public    string      // public key, which verifies registry entries
	CreatedAt esh3ar.Time // zero for the first key of the store
	SignsFrom esh3ar.Time // zero: same as CreatedAt
	EndsAt    esh3ar.Time // zero: no end
	Signs     bool        // whether new tokens are signed with it
}

// SigningKeys returns the keys that verify tokens, newest first.
func (c *Credentials) SigningKeys() []SigningKey { return listKeys(c.ring) }

func listKeys(ring *keyring.Ring) []SigningKey {
	var list []SigningKey
	signing, _ := ring.Signing()
	for _, m := range ring.Members() {
		list = append(list, SigningKey{
			ID: m.ID, Public: m.Public, CreatedAt: m.CreatedAt, SignsFrom: m.SignsFrom, EndsAt: m.EndsAt, Signs: m.ID == signing,
		})
	}
	return list
}

// RotateAdmin creates a new admin token and voids the previous one: at once on this node, within ringEvery on the others. It
// updates the secrets file of this node if there is one.
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

// ResetAdmin creates a new admin token for a store, which voids the previous one, and updates the secrets file in dir if
// there is one. The file is written first: after a crash, either the previous token is in force, or the new one is in the
// file.
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
