package account

import "crypto/subtle"

// Admin knows the administrator's token by its hash.
type Admin struct{ hash [32]byte }

// Is tells whether token is the administrator's. It takes as long for a bad one as for a good one.
func (a *Admin) Is(token string) bool {
	hash := HashOf(token)
	return subtle.ConstantTimeCompare(hash[:], a.hash[:]) == 1
}
