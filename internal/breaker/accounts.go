package breaker

import (
	"context"

	"github.com/esh3artech/esh3ar"
)

// accountStore is the part of a store that authentication uses.
type accountStore interface {
	KeyByHash(ctx context.Context, hash esh3ar.KeyHash) (esh3ar.APIKey, error)
	Business(ctx context.Context, id esh3ar.BusinessID) (esh3ar.Business, error)
}

// Accounts is a store's keys and businesses behind a circuit breaker. While it is open, callers whose key is cached do not wait for
// an unresponsive store.
type Accounts struct {
	store   accountStore
	breaker *Breaker
}

// GuardAccounts returns store behind the breaker b.
func GuardAccounts(store accountStore, b *Breaker) *Accounts { return &Accounts{store, b} }

// KeyByHash returns the key with a hash, or NotFound.
func (a *Accounts) KeyByHash(ctx context.Context, hash esh3ar.KeyHash) (key esh3ar.APIKey, err error) {
	err = a.breaker.Do(func() (err error) { key, err = a.store.KeyByHash(ctx, hash); return err })
	return key, err
}

// Business returns a business, or NotFound.
func (a *Accounts) Business(ctx context.Context, id esh3ar.BusinessID) (business esh3ar.Business, err error) {
	err = a.breaker.Do(func() (err error) { business, err = a.store.Business(ctx, id); return err })
	return business, err
}
