package auth

import (
	"crypto/subtle"
	"fmt"
	"sync/atomic"

	"github.com/esh3artech/esh3ar"
)

// Admin knows the administrator's token by its hash.
type Admin struct {
	hash  atomic.Pointer[esh3ar.KeyHash]
	fixed atomic.Bool // the token is a flag's, whatever the store has
}

// Is reports whether token is the administrator's. It takes as long for a bad one as for a good one.
func (a *Admin) Is(token string) bool {
	hash, known := HashOf(token), a.hash.Load()
	return known != nil && subtle.ConstantTimeCompare(hash[:], known[:]) == 1
}

// set takes the hash that the store has.
func (a *Admin) set(hash []byte) error {
	if len(hash) != len(esh3ar.KeyHash{}) {
		return fmt.Errorf("the store's setting %s has %d bytes, not %d: it is damaged", settingAdminHash, len(hash), len(esh3ar.KeyHash{}))
	}
	if !a.fixed.Load() {
		stored := esh3ar.KeyHash(hash)
		a.hash.Store(&stored)
	}
	return nil
}

// fix makes the token the administrator's for good.
func (a *Admin) fix(token string) {
	hash := HashOf(token)
	a.fixed.Store(true)
	a.hash.Store(&hash)
}
