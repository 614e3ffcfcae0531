package embedded

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/esh3artech/esh3ar"
)

// Accounts are few and change rarely: their rows are JSON.

// write queues a change of accounts and waits for its commit.
func (s *Store) write(ctx context.Context, stage func(*staging) error) error {
	if err := s.fault.err(); err != nil {
		return esh3ar.Errorf(esh3ar.StoreUnavailable, "write: %w", err)
	}
	return s.submit(ctx, newRequest(stage))
}

// CreateBusiness realises esh3ar.AccountStore.
func (s *Store) CreateBusiness(ctx context.Context, b esh3ar.Business) error {
	return s.write(ctx, func(st *staging) error { return st.setJSON(appendBusiness(nil, b.ID), b) })
}

// Business realises esh3ar.AccountStore.
func (s *Store) Business(_ context.Context, id esh3ar.BusinessID) (b esh3ar.Business, err error) {
	v := s.read()
	defer v.release()
	err = getJSON(v.snapshot, appendBusiness(nil, id), &b, "business")
	return b, err
}

// CreateKey realises esh3ar.AccountStore.
func (s *Store) CreateKey(ctx context.Context, k esh3ar.APIKey) error {
	return s.write(ctx, func(st *staging) error {
		if err := getJSON(st.committer.store.db, appendBusiness(nil, k.Business), new(esh3ar.Business), "business"); err != nil {
			return err
		}
		if err := st.set(appendOwned(nil, k.Business, k.ID), k.Hash[:]); err != nil {
			return st.fail(err)
		}
		return st.setJSON(appendAPIKey(nil, k.Hash), k)
	})
}

// RevokeKey realises esh3ar.AccountStore.
func (s *Store) RevokeKey(ctx context.Context, business esh3ar.BusinessID, id esh3ar.KeyID, at esh3ar.Time) error {
	return s.write(ctx, func(st *staging) error {
		hash, err := st.get(appendOwned(nil, business, id))
		if err != nil {
			return readError("read key", err)
		}
		if len(hash) != len(esh3ar.KeyHash{}) {
			return esh3ar.Errorf(esh3ar.NotFound, "no such key")
		}
		row := appendAPIKey(nil, esh3ar.KeyHash(hash))
		var k esh3ar.APIKey
		if err := getJSON(st.committer.store.db, row, &k, "key"); err != nil {
			return err
		}
		if !k.RevokedAt.IsZero() {
			return nil
		}
		k.RevokedAt = at
		return st.setJSON(row, k)
	})
}

// KeyByHash realises esh3ar.AccountStore.
func (s *Store) KeyByHash(_ context.Context, hash esh3ar.KeyHash) (k esh3ar.APIKey, err error) {
	v := s.read()
	defer v.release()
	err = getJSON(v.snapshot, appendAPIKey(nil, hash), &k, "key")
	return k, err
}

// Setting realises esh3ar.AccountStore.
func (s *Store) Setting(_ context.Context, name string) ([]byte, error) {
	v := s.read()
	defer v.release()
	row, err := getRow(v.snapshot, appendSetting(nil, name))
	if err != nil {
		return nil, readError("read setting", err)
	}
	if row == nil {
		return nil, esh3ar.Errorf(esh3ar.NotFound, "no setting %s", name)
	}
	return row, nil
}

// SettingOnce realises esh3ar.AccountStore.
func (s *Store) SettingOnce(ctx context.Context, name string, value []byte) (stored []byte, err error) {
	err = s.write(ctx, func(st *staging) error {
		key := string(appendSetting(nil, name))
		if known, ok := st.settings[key]; ok {
			stored = known
			return nil
		}
		row, err := st.get([]byte(key))
		if err != nil {
			return readError("read setting", err)
		}
		if row != nil {
			stored = row
			return nil
		}
		if st.settings == nil {
			st.settings = map[string][]byte{}
		}
		stored = append([]byte{}, value...)
		st.settings[key] = stored
		if err := st.set([]byte(key), stored); err != nil {
			return st.fail(err)
		}
		return nil
	})
	return stored, err
}

func (st *staging) setJSON(key []byte, value any) error {
	row, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode row: %w", err)
	}
	if err := st.set(key, row); err != nil {
		return st.fail(err)
	}
	return nil
}

func getJSON(src source, key []byte, value any, what string) error {
	row, err := getRow(src, key)
	if err != nil {
		return readError("read "+what, err)
	}
	if row == nil {
		return esh3ar.Errorf(esh3ar.NotFound, "no such %s", what)
	}
	if err := json.Unmarshal(row, value); err != nil {
		return readError("read "+what, fmt.Errorf("row %x: %w", key, errRow))
	}
	return nil
}
