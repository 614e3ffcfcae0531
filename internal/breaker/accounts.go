package breaker

import (
	"context"

	"github.com/esh3artech/esh3ar"
)

// accountStore is what is asked of a store to tell who calls.
type accountStore interface {
	KeyByHash(ctx context.Context, hash esh3ar.KeyHash) (esh3ar.APIKey, error)
	Business(ctx context.Context, id esh3ar.BusinessID) (esh3ar.Business, error)
}

// Accounts are a store's keys and businesses behind a breaker: while it is open, whoever has a key that is known does not
// wait for a store that is silent.
type Accounts struct {
	store   accountStore
	breaker *Breaker
}

// GuardAccounts puts keys and businesses behind a breaker.
func GuardAccounts(store accountStore, b *Breaker) *Accounts { return &Accounts{store, b} }

// KeyByHash finds a key, or NotFound.
func (a *Accounts) KeyByHash(ctx context.Context, hash esh3ar.KeyHash) (key esh3ar.APIKey, err error) {
	err = a.breaker.Do(func() (err error) { key, err = a.store.KeyByHash(ctx, hash); return err })
	return key, err
}

// Business finds a business, or NotFound.
func (a *Accounts) Business(ctx context.Context, id esh3ar.BusinessID) (business esh3ar.Business, err error) {
	err = a.breaker.Do(func() (err error) { business, err = a.store.Business(ctx, id); return err })
	return business, err
}
