package embedded

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// Businesses, API keys, plans and settings are few and change rarely, so their rows are JSON.

// write queues a change of such rows and waits for its commit.
func (s *Store) write(ctx context.Context, stage func(*stagedBatch) error) error {
	if err := s.fault.Err(); err != nil {
		return esh3ar.Errorf(esh3ar.StoreUnavailable, "write: %w", err)
	}
	return s.submit(ctx, newRequest(0, stage))
}

// CreateBusiness implements esh3ar.AccountStore.
func (s *Store) CreateBusiness(ctx context.Context, b esh3ar.Business) error {
	return s.write(ctx, func(st *stagedBatch) error { return st.setJSON(appendBusiness(nil, b.ID), b) })
}

// Business implements esh3ar.AccountStore.
func (s *Store) Business(_ context.Context, id esh3ar.BusinessID) (esh3ar.Business, error) {
	var b esh3ar.Business
	v, err := s.acquireView()
	if err != nil {
		return b, err
	}
	defer v.release()
	err = getJSON(v, appendBusiness(nil, id), &b, "business")
	return b, err
}

// CreateKey implements esh3ar.AccountStore.
func (s *Store) CreateKey(ctx context.Context, k esh3ar.APIKey) error {
	return s.write(ctx, func(st *stagedBatch) error {
		if err := getJSON(st, appendBusiness(nil, k.Business), new(esh3ar.Business), "business"); err != nil {
			return err
		}
		if err := st.setOverlay(appendKeyIndex(nil, k.Business, k.ID), k.Hash[:]); err != nil {
			return err
		}
		return st.setJSON(appendAPIKey(nil, k.Hash), k)
	})
}

// RevokeKey implements esh3ar.AccountStore.
func (s *Store) RevokeKey(ctx context.Context, business esh3ar.BusinessID, id esh3ar.KeyID, at esh3ar.Time) error {
	return s.write(ctx, func(st *stagedBatch) error {
		hash, err := st.get(appendKeyIndex(nil, business, id))
		if err != nil {
			return readError("read key", err)
		}
		if len(hash) != len(esh3ar.KeyHash{}) {
			return esh3ar.Errorf(esh3ar.NotFound, "no such key")
		}
		row := appendAPIKey(nil, esh3ar.KeyHash(hash))
		var k esh3ar.APIKey
		if err := getJSON(st, row, &k, "key"); err != nil {
			return err
		}
		if !k.RevokedAt.IsZero() {
			return nil
		}
		k.RevokedAt = at
		return st.setJSON(row, k)
	})
}

// KeyByHash implements esh3ar.AccountStore.
func (s *Store) KeyByHash(_ context.Context, hash esh3ar.KeyHash) (esh3ar.APIKey, error) {
	var k esh3ar.APIKey
	v, err := s.acquireView()
	if err != nil {
		return k, err
	}
	defer v.release()
	err = getJSON(v, appendAPIKey(nil, hash), &k, "key")
	return k, err
}

// Setting implements esh3ar.AccountStore.
func (s *Store) Setting(_ context.Context, name string) ([]byte, error) {
	v, err := s.acquireView()
	if err != nil {
		return nil, err
	}
	defer v.release()
	row, err := v.get(appendSetting(nil, name))
	if err != nil {
		return nil, readError("read setting", err)
	}
	if row == nil {
		return nil, esh3ar.Errorf(esh3ar.NotFound, "no setting %s", name)
	}
	return row, nil
}

// InitSetting implements esh3ar.AccountStore.
func (s *Store) InitSetting(ctx context.Context, name string, value []byte) (stored []byte, err error) {
	err = s.write(ctx, func(st *stagedBatch) error {
		key := appendSetting(nil, name)
		row, err := st.get(key)
		if err != nil {
			return readError("read setting", err)
		}
		if row != nil {
			stored = slices.Clone(row) // two callers of one batch must not share the slice
			return nil
		}
		stored = append([]byte{}, value...)
		return st.setOverlay(key, slices.Clone(stored))
	})
	return stored, err
}

func (st *stagedBatch) setJSON(key []byte, value any) error {
	row, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode row: %w", err)
	}
	return st.setOverlay(key, row)
}

// setOverlay stages a row, or its deletion if row is nil. Later requests of the batch see the change.
func (st *stagedBatch) setOverlay(key, row []byte) error {
	if st.overlay == nil {
		st.overlay = map[string][]byte{}
	}
	st.overlay[string(key)] = row
	write := func() error { return st.set(key, row) }
	if row == nil {
		write = func() error { return st.batch.Delete(key, nil) }
	}
	if err := write(); err != nil {
		return st.fail(err)
	}
	return nil
}

// getter is where getJSON reads from: a view, or the batch under construction.
type getter interface {
	get(key []byte) ([]byte, error)
}

// getJSON decodes a row into value. It returns NotFound if the row does not exist; what names the row in errors.
func getJSON(src getter, key []byte, value any, what string) error {
	row, err := src.get(key)
	if err != nil {
		return readError("read "+what, err)
	}
	if row == nil {
		return esh3ar.Errorf(esh3ar.NotFound, "no such %s", what)
	}
	if err := json.Unmarshal(row, value); err != nil {
		return readError("read "+what, fmt.Errorf("row %x: %w", key, codec.ErrDamaged))
	}
	return nil
}
