package embedded

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// settingRevoked is the name of the setting that holds the version of the newest revocation.
const settingRevoked = "revocations"

// SwapSetting implements esh3ar.CredentialStore.
func (s *Store) SwapSetting(ctx context.Context, name string, old, value []byte) error {
	value = append([]byte{}, value...)
	return s.write(ctx, func(st *stagedBatch) error {
		key := appendSetting(nil, name)
		row, err := st.get(key)
		if err != nil {
			return readError("read setting", err)
		}
		if row == nil || !bytes.Equal(row, old) {
			return esh3ar.Errorf(esh3ar.InUse, "the setting %s has changed since it was read", name)
		}
		return st.setOverlay(key, value)
	})
}

// RevokeTokens implements esh3ar.CredentialStore.
func (s *Store) RevokeTokens(ctx context.Context, r esh3ar.Revocation) (version uint64, err error) {
	err = s.write(ctx, func(st *stagedBatch) error {
		row, err := st.get(appendSetting(nil, settingRevoked))
		if err != nil {
			return readError("read the version of revocations", err)
		}
		version = revokedVersion(row) + 1
		r.Version = version
		if err := st.setJSON(appendRevocation(nil, r.Recipient, r.Device), revocationRow{r.Version, r.At}); err != nil {
			return err
		}
		return st.setOverlay(appendSetting(nil, settingRevoked), binary.BigEndian.AppendUint64(nil, version))
	})
	return version, err
}

// revokedVersion decodes the version of the newest revocation; zero if there is none.
func revokedVersion(row []byte) uint64 {
	if len(row) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(row)
}

// RevokedTokens implements esh3ar.CredentialStore. It reads all revocations, but only if there is a newer one than after.
func (s *Store) RevokedTokens(_ context.Context, after uint64, limit int) ([]esh3ar.Revocation, error) {
	v, err := s.acquireView()
	if err != nil {
		return nil, err
	}
	defer v.release()
	newest, err := v.get(appendSetting(nil, settingRevoked))
	if err != nil {
		return nil, readError("read the version of revocations", err)
	}
	if revokedVersion(newest) <= after {
		return nil, nil
	}
	var found []esh3ar.Revocation
	err = eachRevocation(v, func(r *esh3ar.Revocation) {
		if r.Version > after {
			found = append(found, *r)
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b esh3ar.Revocation) int { return cmp.Compare(a.Version, b.Version) })
	return found[:min(limit, len(found))], nil
}

// revocationRow is the row of a revocation. The recipient and the device are in its key.
type revocationRow struct {
	Version uint64
	At      esh3ar.Time
}

func parseRevocation(key, row []byte) (esh3ar.Revocation, error) {
	var r esh3ar.Revocation
	var rest revocationRow
	if err := json.Unmarshal(row, &rest); err != nil || len(key) < 9 {
		return r, fmt.Errorf("row %x: %w", key, codec.ErrDamaged)
	}
	return esh3ar.Revocation{Version: rest.Version, Recipient: esh3ar.Recipient(binary.BigEndian.Uint64(key[1:])), Device: string(key[9:]), At: rest.At}, nil
}

// eachRevocation calls each for all revocations of a view.
func eachRevocation(v *view, each func(*esh3ar.Revocation)) error {
	err := scan(v.snapshot, []byte{revocationKey}, []byte{revocationKey + 1}, func(key, row []byte) error {
		r, err := parseRevocation(key, row)
		if err == nil {
			each(&r)
		}
		return err
	})
	if err != nil {
		return readError("read revocations", err)
	}
	return nil
}

// revocationBatch bounds the revocations deleted by one commit.
const revocationBatch = 256

// DeleteRevocations implements esh3ar.CredentialStore.
func (s *Store) DeleteRevocations(ctx context.Context, before esh3ar.Time) (more bool, err error) {
	old, err := s.oldRevocations(before)
	if err != nil || len(old) == 0 {
		return false, err
	}
	err = s.write(ctx, func(st *stagedBatch) error {
		for i := range old {
			key := appendRevocation(nil, old[i].Recipient, old[i].Device)
			var now revocationRow
			if err := getJSON(st, key, &now, "revocation"); err != nil || now.Version != old[i].Version {
				continue // replaced by a newer revocation
			}
			if err := st.setOverlay(key, nil); err != nil {
				return err
			}
		}
		return nil
	})
	return len(old) == revocationBatch, err
}

// oldRevocations returns up to forgetStep revocations made before the given time.
func (s *Store) oldRevocations(before esh3ar.Time) ([]esh3ar.Revocation, error) {
	var old []esh3ar.Revocation
	v, err := s.acquireView()
	if err != nil {
		return nil, err
	}
	defer v.release()
	err = eachRevocation(v, func(r *esh3ar.Revocation) {
		if r.At < before && len(old) < revocationBatch {
			old = append(old, *r)
		}
	})
	return old, err
}
