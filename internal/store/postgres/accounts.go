package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
)

var (
	createBusiness = statement{"create_business", `INSERT INTO businesses (id, name, plan, created_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, plan = excluded.plan, created_at = excluded.created_at`}
	readBusiness = statement{"business", `SELECT name, plan, created_at FROM businesses WHERE id = $1`}
	createKey    = statement{"create_key", `INSERT INTO api_keys (id, business, hash, created_at, revoked_at) VALUES ($1, $2, $3, $4, $5)`}
	revokeKey    = statement{"revoke_key", `UPDATE api_keys SET revoked_at = CASE WHEN revoked_at = 0 THEN $3 ELSE revoked_at END WHERE id = $1 AND business = $2`}
	keyByHash    = statement{"key_by_hash", `SELECT id, business, created_at, revoked_at FROM api_keys WHERE hash = $1`}
	readSetting  = statement{"setting", `SELECT value FROM settings WHERE name = $1`}
	setOnce      = statement{"set_once", `INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`}
)

// CreateBusiness implements esh3ar.AccountStore.
func (s *Store) CreateBusiness(ctx context.Context, b esh3ar.Business) error {
	if _, err := s.exec(ctx, createBusiness, [16]byte(b.ID.UUID), b.Name, b.Plan, int64(b.CreatedAt)); err != nil {
		return writeError("create business", err)
	}
	return nil
}

// Business implements esh3ar.AccountStore.
func (s *Store) Business(ctx context.Context, id esh3ar.BusinessID) (esh3ar.Business, error) {
	b, found := esh3ar.Business{ID: id}, false
	err := s.query(ctx, readBusiness, func(rows pgx.Rows) error {
		found = true
		return rows.Scan(&b.Name, &b.Plan, &b.CreatedAt)
	}, [16]byte(id.UUID))
	if err != nil {
		return esh3ar.Business{}, readError("read business", err)
	}
	if !found {
		return esh3ar.Business{}, noBusiness(id)
	}
	return b, nil
}

func noBusiness(id esh3ar.BusinessID) error {
	return esh3ar.Errorf(esh3ar.NotFound, "no business %s", id)
}

// CreateKey implements esh3ar.AccountStore.
func (s *Store) CreateKey(ctx context.Context, k esh3ar.APIKey) error {
	_, err := s.exec(ctx, createKey, [16]byte(k.ID.UUID), [16]byte(k.Business.UUID), k.Hash[:], int64(k.CreatedAt), int64(k.RevokedAt))
	if sqlState(err) == foreignKeyViolation {
		return noBusiness(k.Business)
	}
	if err != nil {
		return writeError("create key", err)
	}
	return nil
}

// RevokeKey implements esh3ar.AccountStore.
func (s *Store) RevokeKey(ctx context.Context, business esh3ar.BusinessID, key esh3ar.KeyID, at esh3ar.Time) error {
	tag, err := s.exec(ctx, revokeKey, [16]byte(key.UUID), [16]byte(business.UUID), int64(at))
	if err != nil {
		return writeError("revoke key", err)
	}
	if tag.RowsAffected() == 0 {
		return esh3ar.Errorf(esh3ar.NotFound, "business %s has no key %s", business, key)
	}
	return nil
}

// KeyByHash implements esh3ar.AccountStore.
func (s *Store) KeyByHash(ctx context.Context, hash esh3ar.KeyHash) (esh3ar.APIKey, error) {
	k, found := esh3ar.APIKey{Hash: hash}, false
	err := s.query(ctx, keyByHash, func(rows pgx.Rows) error {
		found = true
		return rows.Scan((*[16]byte)(&k.ID.UUID), (*[16]byte)(&k.Business.UUID), &k.CreatedAt, &k.RevokedAt)
	}, hash[:])
	if err != nil {
		return esh3ar.APIKey{}, readError("read key", err)
	}
	if !found {
		return esh3ar.APIKey{}, esh3ar.Errorf(esh3ar.NotFound, "no such key")
	}
	return k, nil
}

// Setting implements esh3ar.AccountStore.
func (s *Store) Setting(ctx context.Context, name string) (value []byte, err error) {
	found := false
	err = s.query(ctx, readSetting, func(rows pgx.Rows) error {
		found = true
		return rows.Scan(&value)
	}, name)
	if err != nil {
		return nil, readError("read setting", err)
	}
	if !found {
		return nil, esh3ar.Errorf(esh3ar.NotFound, "no setting %q", name)
	}
	return value, nil
}

// InitSetting implements esh3ar.AccountStore.
func (s *Store) InitSetting(ctx context.Context, name string, value []byte) ([]byte, error) {
	if _, err := s.exec(ctx, setOnce, name, append([]byte{}, value...)); err != nil {
		return nil, writeError("store setting", err)
	}
	return s.Setting(ctx, name)
}
