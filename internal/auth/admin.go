package auth

import (
	"crypto/subtle"
	"fmt"
	"sync/atomic"

	"github.com/esh3artech/esh3ar"
)

// Admin checks the administrator's token against its hash.
type Admin struct {
	hash  atomic.Pointer[esh3ar.KeyHash]
	fixed atomic.Bool // whether the token was given as a flag, which overrides the store
}

// Is reports whether token is the administrator's token. It takes constant time.
func (a *Admin) Is(token string) bool {
	hash, known := HashOf(token), a.hash.Load()
	return known != nil && subtle.ConstantTimeCompare(hash[:], known[:]) == 1
}

// set applies the hash from the store, unless the token was given as a flag.
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

// setFixed sets the token given as a flag.
func (a *Admin) setFixed(token string) {
	hash := HashOf(token)
	a.fixed.Store(true)
	a.hash.Store(&hash)
}
