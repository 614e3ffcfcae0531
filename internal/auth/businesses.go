package auth

import (
	"context"
	"encoding/json"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cache"
)

// businessStore is the part of the store that businesses are read from.
type businessStore interface {
	Business(ctx context.Context, id esh3ar.BusinessID) (esh3ar.Business, error)
}

const (
	// businessTTL and businessSharedTTL bound the age of a cached name or plan that was changed without a node, such as
	// directly in the database. Changes by a node are visible everywhere at once.
	businessTTL         = 10 * time.Second
	businessSharedTTL   = time.Minute
	maxCachedBusinesses = 1 << 14 // cached entries
)

// businesses caches the names and plans of businesses. They are read with every lookup of a key and rarely change. The cache
// is used only while this node receives invalidations from other nodes. Otherwise a new plan would take effect only after
// the lifetime of a cached business plus that of a cached key, which exceeds the limit of one second.
type businesses struct {
	store  businessStore
	shared *cache.Shared // nil on a single node
	cache  *cache.Cache[esh3ar.BusinessID, esh3ar.Business]
}

func newBusinesses(store businessStore, now func() time.Time, shared *cache.Shared) *businesses {
	b := &businesses{store: store, shared: shared}
	options := cache.Options[esh3ar.BusinessID, esh3ar.Business]{
		Name: "business", Load: b.load, Keys: cache.KeyCodec[esh3ar.BusinessID]{Name: esh3ar.BusinessID.String, Parse: esh3ar.ParseBusinessID},
		Entries: maxCachedBusinesses, TTL: businessTTL, StaleIfError: grace, Timeout: lookupTimeout, Now: now, Shared: shared,
	}
	if shared != nil {
		options.Second = &cache.Second[esh3ar.Business]{TTL: businessSharedTTL, Encode: encodeBusiness, Decode: decodeBusiness}
	}
	b.cache = cache.New(options)
	return b
}

// find returns a business, and whether it exists. The result may predate a change whose invalidation is still on its way.
func (b *businesses) find(ctx context.Context, id esh3ar.BusinessID) (business esh3ar.Business, found bool, err error) {
	if b.shared != nil && b.shared.Subscribed() {
		return b.cache.Get(ctx, id)
	}
	business, err = b.store.Business(ctx, id)
	return business, err == nil, unlessNotFound(err)
}

func (b *businesses) load(ctx context.Context, ids []esh3ar.BusinessID) ([]cache.Entry[esh3ar.Business], error) {
	entries := make([]cache.Entry[esh3ar.Business], len(ids))
	for i, id := range ids {
		business, err := b.store.Business(ctx, id)
		if unlessNotFound(err) != nil {
			return nil, err
		}
		entries[i] = cache.Entry[esh3ar.Business]{Value: business, Found: err == nil}
	}
	return entries, nil
}

func (b *businesses) forget(id esh3ar.BusinessID) { b.cache.Invalidate(context.Background(), id) }

// storedBusiness is a business in the shared cache. Different versions of the program share it, so fields may only be added.
type storedBusiness struct {
	ID        string      `json:"id"`
	Name      string      `json:"name"`
	Plan      string      `json:"plan,omitempty"`
	CreatedAt esh3ar.Time `json:"createdAt"`
}

func encodeBusiness(dst []byte, b esh3ar.Business) []byte {
	text, err := json.Marshal(storedBusiness{ID: b.ID.String(), Name: b.Name, Plan: b.Plan, CreatedAt: b.CreatedAt})
	if err != nil {
		panic("encode business: " + err.Error())
	}
	return append(dst, text...)
}

func decodeBusiness(text []byte) (esh3ar.Business, error) {
	var b esh3ar.Business
	var err error
	var s storedBusiness
	if err = json.Unmarshal(text, &s); err != nil {
		return b, err
	}
	b = esh3ar.Business{Name: s.Name, Plan: s.Plan, CreatedAt: s.CreatedAt}
	b.ID, err = esh3ar.ParseBusinessID(s.ID)
	return b, err
}
