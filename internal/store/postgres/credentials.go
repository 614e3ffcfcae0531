package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
)

var (
	swapSetting  = statement{"swap_setting", `UPDATE settings SET value = $3 WHERE name = $1 AND value = $2`}
	revokeTokens = statement{"revoke_tokens", `
WITH next AS (UPDATE token_revocation_version SET newest = newest + 1 RETURNING newest)
INSERT INTO token_revocations AS r (recipient, device, version, revoked_at) SELECT $1, $2, newest, $3 FROM next
ON CONFLICT (recipient, device) DO UPDATE SET version = excluded.version, revoked_at = excluded.revoked_at
RETURNING version`}
	readRevoked       = statement{"revoked_tokens", `SELECT recipient, device, version, revoked_at FROM token_revocations WHERE version > $1 ORDER BY version LIMIT $2`}
	forgetRevocations = statement{"forget_revocations", `DELETE FROM token_revocations WHERE (recipient, device) IN (
		SELECT recipient, device FROM token_revocations WHERE revoked_at < $1 LIMIT 1000) AND revoked_at < $1`}
)

// SwapSetting implements esh3ar.CredentialStore.
func (s *Store) SwapSetting(ctx context.Context, name string, old, value []byte) error {
	tag, err := s.exec(ctx, swapSetting, name, append([]byte{}, old...), append([]byte{}, value...))
	if err != nil {
		return writeError("swap setting", err)
	}
	if tag.RowsAffected() == 0 {
		return esh3ar.Errorf(esh3ar.InUse, "the setting %s has changed since it was read", name)
	}
	return nil
}

// RevokeTokens implements esh3ar.CredentialStore.
func (s *Store) RevokeTokens(ctx context.Context, r esh3ar.Revocation) (version uint64, err error) {
	err = s.query(ctx, revokeTokens, func(rows pgx.Rows) error { return rows.Scan(&version) }, int64(r.Recipient), r.Device, int64(r.At))
	if err != nil {
		return 0, writeError("revoke tokens", err)
	}
	return version, nil
}

// RevokedTokens implements esh3ar.CredentialStore.
func (s *Store) RevokedTokens(ctx context.Context, after uint64, limit int) ([]esh3ar.Revocation, error) {
	var all []esh3ar.Revocation
	err := s.query(ctx, readRevoked, func(rows pgx.Rows) error {
		all = append(all, esh3ar.Revocation{})
		r := &all[len(all)-1]
		return rows.Scan(&r.Recipient, &r.Device, &r.Version, &r.At)
	}, int64(after), limit)
	if err != nil {
		return nil, readError("read revocations", err)
	}
	return all, nil
}

// DeleteRevocations implements esh3ar.CredentialStore.
func (s *Store) DeleteRevocations(ctx context.Context, before esh3ar.Time) (more bool, err error) {
	tag, err := s.exec(ctx, forgetRevocations, int64(before))
	if err != nil {
		return false, writeError("forget revocations", err)
	}
	return tag.RowsAffected() > 0, nil
}
